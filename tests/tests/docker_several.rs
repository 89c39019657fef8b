//! A cluster on two machines, each with an engine of its own: made, led by both, disturbed, and removed.

use simdb_tests::contained::ROWS;
use simdb_tests::{Engine, Machine, Scenario, TestEnvironment, first, wait_until};

const ACROSS: &str = r#"
  node "a" {}
  node "b" { provider = docker.west }
  user "app" { login = true }
  database "app" { owner = "app" }
  endpoint "rw" { target = "primary" }
"#;

/// A cluster beside it, on the first machine alone.
const BESIDE: &str = r#"
cluster "sales" {
  provider = docker.east
  network  = network.lan
  engine "postgresql" { parameters = { work_mem = "MEMORY" } }
  node "a" {}
}
"#;

/// The engines of both machines, east first.
fn engines(environment: &TestEnvironment) -> Option<[Engine; 2]> {
    let [east, west] = Machine::connected(["e", "w"], environment)?;
    Some([Engine::start_on(Some(east))?, Engine::start_on(Some(west))?])
}

#[test]
fn a_cluster_on_two_machines_is_led_by_either_and_loses_nothing() {
    let environment = TestEnvironment::new();
    let Some([east, mut west]) = engines(&environment) else {
        return;
    };
    let mut scenario = Scenario::in_containers_across(environment, &[("east", &east), ("west", &west)], ACROSS);
    scenario.assert_settled(first(1));
    let shown = scenario.simdb(&["state", "show", "cluster.orders.node.b"]).stdout;
    assert!(shown.contains("docker.west"), "{shown}");
    assert_addresses(&scenario, [("a", &east), ("b", &west)]);
    led_by_either(&scenario, [&east, &west]);
    what_one_engine_lost_is_made_again_there(&scenario, &west);
    one_that_does_not_answer_is_no_obstacle_to_others(&scenario, &mut west);
    // It is a primary again where it cannot be asked, and nothing proves that it does not write.
    scenario.switchover(Some("b"));
    west.stop("TERM");
    scenario.expect_refusal(
        &["failover", "orders", "-auto-approve"],
        "Servers in its containers may run all the same",
    );
    west.restart();
    settles(&scenario);
    assert_eq!(scenario.primary(), "b");
    // Another name is another node, and the part of the network goes with the last one on its machine.
    scenario.switchover(Some("a"));
    scenario.apply(&format!(
        "  provider = docker.east\n{}",
        ACROSS.replace("node \"b\" { provider = docker.west }", "node \"c\" {}")
    ));
    scenario.assert_settled(first(1));
    let lineage = scenario.lineage();
    assert_eq!(scenario.objects_at(&west.host(), &lineage), "");
    scenario.apply(&format!("  provider = docker.east\n{ACROSS}"));
    scenario.assert_settled(first(1));
    assert_ne!(scenario.objects_at(&west.host(), &lineage), "");
    let west = west.host();
    scenario.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
    for host in [east.host(), west] {
        assert_eq!(scenario.objects_at(&host, &lineage), "");
    }
    scenario.environment.assert_nothing_left();
}

/// Clients reach each node at the address of its machine.
#[track_caller]
fn assert_addresses(scenario: &Scenario, expected: [(&str, &Engine); 2]) {
    let status = scenario.status();
    for (node, engine) in expected {
        let nodes = status["nodes"].as_array().expect("a status lists nodes");
        let found = nodes.iter().find(|found| found["node"] == node).expect("it is listed");
        let address = found["address"].as_str().expect("it is reached somewhere");
        assert!(address.starts_with(&format!("{}:", engine.address())), "{address}");
    }
}

/// Returns to which containers the name of the endpoint leads clients in containers of each engine.
fn leads_to(scenario: &Scenario, engines: [&Engine; 2]) -> [String; 2] {
    let network = scenario.endpoint_network("rw");
    let members = "{{range .Containers}}{{.Name}}{{end}}";
    engines.map(|engine| scenario.docker_at(&engine.host(), &["network", "inspect", "--format", members, &network]))
}

/// The lead passes to the other machine in order, and back by force.
fn led_by_either(scenario: &Scenario, [east, west]: [&Engine; 2]) {
    let (a, b) = (scenario.container("a"), scenario.container("b"));
    let writing = scenario.load();
    writing.further(ROWS);
    assert_eq!(leads_to(scenario, [east, west]), [a, String::new()]);
    scenario.switchover(Some("b"));
    assert_eq!(scenario.primary(), "b");
    assert_eq!(leads_to(scenario, [east, west]), [String::new(), b]);
    writing.further(ROWS);
    scenario.assert_settled(first(1));
    scenario.docker_at(&west.host(), &["kill", &scenario.container("b")]);
    scenario.failover();
    assert_eq!(scenario.primary(), "a");
    writing.further(ROWS);
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
}

fn what_one_engine_lost_is_made_again_there(scenario: &Scenario, west: &Engine) {
    let (standby, network) = (scenario.container("b"), scenario.network_name());
    scenario.docker_at(&west.host(), &["rm", "--force", &standby]);
    scenario.docker_at(&west.host(), &["network", "rm", &network]);
    let said = scenario.environment.run(&["plan"]).text();
    assert!(said.contains("docker.west no longer has it"), "{said}");
    scenario.simdb(&["apply", "-auto-approve"]);
    scenario.assert_settled(first(1));
}

fn one_that_does_not_answer_is_no_obstacle_to_others(scenario: &Scenario, west: &mut Engine) {
    let beside = |memory: &str| {
        let text = BESIDE.replace("MEMORY", memory);
        scenario.environment.write("beside.simdb.hcl", &text);
        scenario.environment.run(&["apply", "-auto-approve"])
    };
    beside("4MB").expect_code(0);
    west.stop("TERM");
    let plan = scenario.environment.run(&["plan"]);
    let said = plan.text();
    assert_eq!(plan.code, Some(0), "{said}");
    assert!(said.contains("This plan does nothing on it"), "{said}");
    assert!(
        said.contains("cluster.orders.node.b: it could not be looked at"),
        "{said}"
    );
    // What is unknown may differ, so that the apply is not called complete.
    let changed = beside("8MB");
    let said = changed.text();
    assert!(
        said.contains("1 changed") && said.contains("Apply is not complete"),
        "{said}"
    );
    assert_eq!(changed.code, Some(1), "{said}");
    west.restart();
    settles(scenario);
}

/// An engine that comes back starts its containers by and by.
fn settles(scenario: &Scenario) {
    wait_until("all servers are back", || {
        scenario.environment.run(&["apply", "-auto-approve"]).code == Some(0)
            && scenario.environment.run(&["plan", "-detailed-exitcode"]).code == Some(0)
    });
}
