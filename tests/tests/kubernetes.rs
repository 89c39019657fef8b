//! Clusters in pods: made, changed, led by others, disturbed and removed, on a real API server and real machines.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::contained::{PAIR, ROWS, THREE, on_each_version};
use simdb_tests::{Output, Run, Scenario, first, run_to, wait_until};

/// What makes a cluster of this machine's version, and of the newest.
const VERSIONS: [fn(&str) -> Option<Scenario>; 2] = [Scenario::in_pods, Scenario::in_pods_of_newest];

#[test]
fn a_primary_that_is_killed_in_its_pod_loses_no_acknowledged_row() {
    on_each_version(VERSIONS, PAIR, |scenario| {
        scenario.assert_settled(first(1));
        assert_no_secrets(&scenario);
        let writing = scenario.load();
        writing.further(ROWS);
        scenario.switchover(None);
        assert_eq!(scenario.primary(), "r[0]");
        writing.further(ROWS);
        scenario.in_pod("r[0]", "kill -KILL $(cat /tmp/simdb/pid)");
        scenario.failover();
        assert_eq!(scenario.primary(), "a");
        writing.further(ROWS);
        scenario.assert_settled(first(1));
        writing.expect_nothing_lost();
        let roles = ["get", "pods", "--selector", "simdb.dev/role=primary", "-o", "name"];
        assert_eq!(scenario.kubectl(&roles), "pod/orders-a-0");
        assert_told(&scenario);
        scenario.destroy_pods();
    });
}

/// Asserts that those who look with kubectl see what happened, of which term it is, and what is meant to be.
#[track_caller]
fn assert_told(scenario: &Scenario) {
    let reasons = |of: &str| {
        let field = format!("involvedObject.name={of}");
        let events = scenario.kubectl(&[
            "get",
            "events",
            "--field-selector",
            &field,
            "-o",
            "jsonpath={.items[*].reason}",
        ]);
        events.split(' ').map(str::to_owned).collect::<Vec<String>>()
    };
    let set = reasons("orders-r-0");
    for reason in ["StandbyCreated", "Promoted"] {
        assert!(set.iter().any(|told| told == reason), "no {reason} in {set:?}");
    }
    // A server that is back already when it is deposed hands over in order, so that a failover may be told as a switchover.
    let service = reasons("orders-rw");
    for reason in ["SyncEstablished", "Switchover", "EndpointSwitched"] {
        assert!(service.iter().any(|told| told == reason), "no {reason} in {service:?}");
    }
    let annotation = |kind: &str, name: &str, of: &str| {
        let path = format!("jsonpath={{.metadata.annotations.simdb\\.dev/{of}}}");
        scenario.kubectl(&["get", kind, name, "-o", &path])
    };
    assert_eq!(annotation("service", "orders-rw", "term"), "3");
    assert_eq!(annotation("statefulset", "orders-a", "term"), "3");
    assert_eq!(annotation("statefulset", "orders-a", "intent"), "run");
    let columns = [
        "get",
        "pods",
        "-L",
        "simdb.dev/role,simdb.dev/cluster,app.kubernetes.io/version",
        "--no-headers",
    ];
    let shown = scenario.kubectl(&columns);
    let shown: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    let columns = |pod: &str| {
        let line = shown
            .iter()
            .find(|line| line.first() == Some(&pod))
            .expect("the pod is there");
        line[line.len() - 3..line.len() - 1].join(" ")
    };
    assert_eq!(
        (columns("orders-a-0"), columns("orders-r-0-0")),
        ("primary orders".to_owned(), "standby orders".to_owned())
    );
}

/// Waits until all is well, and asserts that nothing is left to do.
#[track_caller]
fn assert_settles(scenario: &Scenario) {
    scenario.assert_healthy();
    scenario.assert_settled(first(1));
}

/// Asserts that no password stands where the API server shows it to others.
#[track_caller]
fn assert_no_secrets(scenario: &Scenario) {
    let env = scenario.simdb(&["env", "orders", "-json"]).stdout;
    let env: serde_json::Value = serde_json::from_str(&env).expect("it is a document");
    let password = env["variables"]["PGPASSWORD"].as_str().expect("the password is known");
    // What was asked of it, with what every command was called with.
    if let Some(audit) = scenario.audit() {
        assert!(audit.contains("/exec?") && !audit.contains(password));
    }
    let all = "pods,statefulsets,services,configmaps,persistentvolumeclaims,events";
    assert!(!scenario.kubectl(&["get", all, "-o", "json"]).contains(password));
    for node in ["a", "r[0]"] {
        assert!(!scenario.kubectl(&["logs", &Scenario::pod(node)]).contains(password));
        let shown = scenario.in_pod(node, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true");
        assert!(!shown.contains(password), "{node}");
    }
}

/// What somebody does to a cluster.
type Disturbance = fn(&Scenario);

#[test]
fn what_happens_to_pods_mends_itself_or_is_drift_and_mended_without_loss() {
    let Some(scenario) = Scenario::in_pods(THREE) else {
        return;
    };
    scenario.ask("a", "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1");
    // A pod that is removed comes back by itself, and nothing has to be done.
    for node in ["r[0]", "a"] {
        let before = scenario.uid(node);
        scenario.kubectl(&["delete", "pod", &Scenario::pod(node)]);
        scenario.wait_for_another_pod(node, &before);
        assert_settles(&scenario);
    }
    // So does a server that is killed.
    scenario.in_pod("r[0]", "kill -KILL $(cat /tmp/simdb/pid)");
    assert_settles(&scenario);
    let disturbances: [(Disturbance, &str); 4] = [
        (
            |scenario| {
                let selector = ["get", "service", "orders-rw", "-o", "jsonpath={.spec.selector}"];
                let before = scenario.kubectl(&selector);
                scenario.kubectl(&["label", "pod", "orders-r-0-0", "simdb.dev/role=primary", "--overwrite"]);
                assert_eq!(scenario.kubectl(&selector), before);
                assert!(before.contains("orders-a"), "{before}: a label leads no client");
            },
            "cluster.orders.endpoint.rw",
        ),
        (
            |scenario| drop(scenario.in_pod("r[0]", "kill -STOP $(cat /tmp/simdb/pid)")),
            "a signal halted its server",
        ),
        (
            |scenario| {
                let stop = "echo stopped >/var/lib/simdb/.simdb/intent; kill -INT $(cat /tmp/simdb/pid)";
                scenario.in_pod("r[0]", stop);
            },
            "its server is down",
        ),
        (
            |scenario| {
                let elsewhere = "{\"spec\":{\"selector\":{\"simdb.dev/server\":\"orders-r-0\"}}}";
                scenario.kubectl(&["patch", "service", "orders-rw", "--patch", elsewhere]);
            },
            "orders-rw",
        ),
    ];
    for (disturb, told) in disturbances {
        disturb(&scenario);
        let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
        let said = plan.text();
        assert_ne!(plan.code, Some(0), "{told}: {said}");
        assert!(said.contains(told), "no {told:?} in {said}");
        scenario.simdb(&["apply", "-auto-approve"]);
        assert_eq!(scenario.primary(), "a", "{told}");
        assert_settles(&scenario);
    }
    assert_eq!(scenario.ask("a", "SELECT n FROM kept"), "42");
    scenario.destroy_pods();
}

#[test]
fn a_set_that_somebody_scaled_or_removed_keeps_its_data() {
    let Some(scenario) = Scenario::in_pods(PAIR) else {
        return;
    };
    let set = Scenario::set("r[0]");
    let unknown = |told: &str| {
        let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
        let said = plan.text();
        assert!(plan.code == Some(1) && said.contains(told), "no {told:?} in {said}");
    };
    scenario.kubectl(&["scale", "statefulset", &set, "--replicas=0"]);
    scenario.kubectl(&["wait", "--for=delete", &format!("pod/{set}-0"), "--timeout=60s"]);
    unknown("scaled to 0");
    scenario.kubectl(&["scale", "statefulset", &set, "--replicas=1"]);
    assert_settles(&scenario);
    scenario.kubectl(&["delete", "statefulset", &set]);
    scenario.kubectl(&["wait", "--for=delete", &format!("pod/{set}-0"), "--timeout=60s"]);
    unknown("its StatefulSet orders-r-0 is gone");
    scenario.simdb(&["resync", "orders", "r[0]", "-auto-approve"]);
    assert_settles(&scenario);
    scenario.destroy_pods();
}

#[test]
fn parameters_nodes_and_resources_of_pods_come_and_go() {
    let Some(mut scenario) = Scenario::in_pods(PAIR) else {
        return;
    };
    let before = scenario.uid("a");
    let with = |arguments: &str| PAIR.replace("node \"a\" {}", &format!("node \"a\" {{\n{arguments}\n}}"));
    scenario.apply(&with("parameters = { work_mem = \"8MB\" }"));
    assert_eq!(scenario.ask("a", "SHOW work_mem"), "8MB");
    scenario.apply(&with("parameters = { shared_buffers = \"32MB\" }"));
    assert_eq!(scenario.ask("a", "SHOW shared_buffers"), "32MB");
    assert_eq!(scenario.uid("a"), before, "a restart of a server is none of its pod");
    scenario.apply(&PAIR.replace("count = 1", "count = 2"));
    assert_eq!(scenario.nodes(), ["a", "r[0]", "r[1]"]);
    assert_settles(&scenario);
    scenario.simdb(&["stop", "orders", "-auto-approve"]);
    scenario.simdb(&["start", "orders", "-auto-approve"]);
    assert_settles(&scenario);
    scenario.apply(PAIR);
    assert_settles(&scenario);
    scenario.apply(&with("memory = \"512MB\""));
    let limit = [
        "get",
        "pod",
        "orders-a-0",
        "-o",
        "jsonpath={.spec.containers[0].resources.limits.memory}",
    ];
    assert_eq!(scenario.kubectl(&limit), "512Mi");
    assert_settles(&scenario);
    scenario.destroy_pods();
}

#[test]
fn a_pooler_in_a_pod_leads_to_whoever_leads() {
    let pooled = PAIR.replace(
        "endpoint \"rw\" { target = \"primary\" }",
        "endpoint \"rw\" {\n    target = \"primary\"\n    via    = \"pgbouncer\"\n  }",
    );
    let Some(scenario) = Scenario::in_pods(&pooled) else {
        return;
    };
    assert_settles(&scenario);
    let selector = ["get", "service", "orders-rw", "-o", "jsonpath={.spec.selector}"];
    assert!(scenario.kubectl(&selector).contains("orders-rw-pooler"));
    scenario.switchover(None);
    assert_eq!(scenario.primary(), "r[0]");
    assert_settles(&scenario);
    scenario.destroy_pods();
}

#[test]
fn a_role_change_that_was_overtaken_does_not_turn_the_service_back() {
    let Some(scenario) = Scenario::in_pods(PAIR) else {
        return;
    };
    let to = |node: &'static str| ["switchover", "orders", "-to", node, "-auto-approve"];
    let Run::Halted(halted) = run_to(
        &scenario.environment,
        1,
        "endpoint cluster.orders.endpoint.rw",
        &to("r[0]"),
    ) else {
        panic!("it asks whether it may go on before it changes the service");
    };
    let refused = scenario.environment.run(&to("a"));
    refused.expect_code(4);
    let said = refused.text();
    let id = said.split_once("ID: ").unwrap().1.split(' ').next().unwrap();
    scenario.simdb(&["force-unlock", "-force", id]);
    scenario.simdb(&["apply", "-auto-approve"]);
    scenario.simdb(&to("a"));
    kill(Pid::from_raw(halted.id().try_into().unwrap()), Signal::SIGCONT).unwrap();
    let late = Output::from(halted.wait_with_output().unwrap());
    late.expect_code(1);
    assert!(late.text().contains("was lost"), "{}", late.text());
    let selector = ["get", "service", "orders-rw", "-o", "jsonpath={.spec.selector}"];
    assert!(scenario.kubectl(&selector).contains("orders-a"));
    assert_eq!(scenario.primary(), "a");
    assert_settles(&scenario);
    scenario.destroy_pods();
}

#[test]
fn the_roles_that_simdb_writes_are_all_that_it_needs() {
    let Some(scenario) = Scenario::in_pods(PAIR) else {
        return;
    };
    scenario.become_account("simdb");
    let failed = scenario.environment.run(&["plan"]);
    let said = failed.text();
    assert!(
        failed.code == Some(1) && said.contains("may not do in namespace") && said.contains("get, create pods/exec"),
        "{said}"
    );
    let namespace = scenario.namespace().to_owned();
    let roles = scenario
        .simdb(&["metadata", "rbac", &format!("-namespace={namespace}")])
        .stdout;
    scenario.environment.write("roles.yaml", &roles);
    let path = scenario.environment.project().join("roles.yaml");
    scenario.kubectl(&["apply", "--filename", &path.display().to_string()]);
    scenario.simdb(&["plan", "-detailed-exitcode"]);
    scenario.switchover(None);
    scenario.in_pod("r[0]", "kill -KILL $(cat /tmp/simdb/pid)");
    // Its pod may start it again before that, and then the lead passes once a streams from it.
    wait_until("the lead passes", || {
        let failover = ["failover", "orders", "-auto-approve"];
        scenario.environment.run(&failover).code == Some(0)
    });
    assert_eq!(scenario.primary(), "a");
    assert_settles(&scenario);
    for kind in ["clusterrole", "clusterrolebinding"] {
        scenario.kubectl(&["delete", kind, &format!("simdb-{namespace}")]);
    }
    scenario.destroy_pods();
}
