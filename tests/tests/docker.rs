//! Clusters in containers: made, changed, led by others, disturbed and removed, on a real daemon.

use std::process::Stdio;

use simdb_tests::contained::{PAIR, ROWS, THREE, on_each_version};
use simdb_tests::{Scenario, first, wait_until};

/// What makes a cluster of this machine's version, and of the newest.
const VERSIONS: [fn(&str) -> Option<Scenario>; 2] = [Scenario::in_containers, Scenario::in_containers_of_newest];

#[test]
fn a_primary_that_is_killed_loses_no_acknowledged_row() {
    on_each_version(VERSIONS, PAIR, |scenario| {
        scenario.assert_settled(first(1));
        assert_no_secrets(&scenario);
        let writing = scenario.load();
        writing.further(ROWS);
        scenario.switchover(None);
        assert_eq!(scenario.primary(), "r[0]");
        writing.further(ROWS);
        scenario.docker(&["kill", &scenario.container("r[0]")]);
        scenario.failover();
        assert_eq!(scenario.primary(), "a");
        writing.further(ROWS);
        scenario.assert_settled(first(1));
        writing.expect_nothing_lost();
        scenario.destroy_containers();
    });
}

/// Asserts that no password stands where the daemon shows it to others.
#[track_caller]
fn assert_no_secrets(scenario: &Scenario) {
    let env = scenario.simdb(&["env", "orders", "-json"]).stdout;
    let env: serde_json::Value = serde_json::from_str(&env).expect("it is a document");
    let password = env["variables"]["PGPASSWORD"].as_str().expect("the password is known");
    for node in ["a", "r[0]"] {
        let container = scenario.container(node);
        for name in [&container, &format!("{container}.home")] {
            assert!(!scenario.docker(&["inspect", name]).contains(password), "{name}");
        }
        assert!(
            !scenario.docker(&["logs", &container]).contains(password),
            "{container}"
        );
    }
}

#[test]
fn what_happens_to_containers_is_drift_and_mended_without_loss() {
    on_each_version(VERSIONS, THREE, |scenario| {
        scenario.ask("a", "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1");
        let (primary, standby) = (scenario.container("a"), scenario.container("r[0]"));
        let network = scenario.network_name();
        let (down, cut_off) = ("its server is down", "its server was cut off from its network");
        let disturbances: [(&[&str], &str); 7] = [
            (&["stop", &standby], down),
            (&["rm", "--force", &standby], down),
            (&["rm", "--force", &primary], down),
            (&["pause", &primary], "its server was paused"),
            (&["kill", "--signal", "STOP", &standby], "a signal halted its server"),
            (&["network", "disconnect", &network, &standby], cut_off),
            (&["network", "disconnect", &network, &primary], cut_off),
        ];
        for (disturbance, told) in disturbances {
            scenario.docker(disturbance);
            let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
            let said = plan.text();
            assert_ne!(plan.code, Some(0), "{disturbance:?}: {said}");
            assert!(said.contains(told), "{disturbance:?}: no {told:?} in {said}");
            // A server that is halted cannot be compared, either.
            let drift = scenario.environment.run(&["drift"]);
            let said = drift.text();
            assert!(matches!(drift.code, Some(1 | 2)), "{disturbance:?}: {said}");
            assert!(said.contains("has drifted"), "{disturbance:?}: {said}");
            scenario.simdb(&["apply", "-auto-approve"]);
            assert_eq!(scenario.primary(), "a", "{disturbance:?}");
            scenario.assert_settled(first(1));
            assert_eq!(scenario.ask("a", "SELECT n FROM kept"), "42");
        }
        scenario.destroy_containers();
    });
}

#[test]
fn a_parameter_is_reloaded_or_takes_a_restart_and_nodes_come_and_go() {
    on_each_version(VERSIONS, PAIR, |mut scenario| {
        let started = |scenario: &Scenario, node: &str| {
            scenario.docker(&["inspect", "--format", "{{.State.StartedAt}}", &scenario.container(node)])
        };
        let before = started(&scenario, "a");
        let with = |parameters: &str| {
            PAIR.replace(
                "node \"a\" {}",
                &format!("node \"a\" {{ parameters = {{ {parameters} }} }}"),
            )
        };
        scenario.apply(&with("work_mem = \"8MB\""));
        assert_eq!(scenario.ask("a", "SHOW work_mem"), "8MB");
        assert_eq!(started(&scenario, "a"), before);
        scenario.apply(&with("shared_buffers = \"32MB\""));
        assert_eq!(scenario.ask("a", "SHOW shared_buffers"), "32MB");
        assert_ne!(started(&scenario, "a"), before);
        scenario.apply(&PAIR.replace("count = 1", "count = 2"));
        assert_eq!(scenario.nodes(), ["a", "r[0]", "r[1]"]);
        scenario.assert_settled(first(1));
        scenario.simdb(&["stop", "orders", "-auto-approve"]);
        scenario.simdb(&["start", "orders", "-auto-approve"]);
        scenario.assert_settled(first(1));
        scenario.apply(PAIR);
        scenario.assert_settled(first(1));
        scenario.destroy_containers();
    });
}

#[test]
fn a_primary_that_nobody_reaches_is_fenced_through_the_daemon() {
    let Some(scenario) = Scenario::in_containers(THREE) else {
        return;
    };
    let writing = scenario.load();
    writing.further(ROWS);
    let container = scenario.container("a");
    scenario.docker(&["network", "disconnect", &scenario.network_name(), &container]);
    scenario.failover();
    assert_ne!(scenario.primary(), "a");
    writing.further(ROWS);
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
    scenario.destroy_containers();
}

#[test]
fn a_daemon_that_does_not_answer_proves_nothing() {
    let Some(scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    let started = scenario.docker(&["inspect", "--format", "{{.State.StartedAt}}", &scenario.container("a")]);
    scenario.declare_daemon(Some("unix:///run/simdb-no-such.sock"));
    let said =
        "cannot be reached: /run/simdb-no-such.sock does not exist. Servers in its containers may run all the same";
    scenario.expect_refusal(&["failover", "orders", "-auto-approve"], said);
    scenario.expect_refusal(&["plan"], said);
    scenario.expect_refusal(&["destroy", "-auto-approve", "-allow=data-loss"], said);
    scenario.declare_daemon(None);
    assert_eq!(
        scenario.docker(&["inspect", "--format", "{{.State.StartedAt}}", &scenario.container("a")]),
        started
    );
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn what_belongs_to_others_is_not_touched() {
    let Some(scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    let container = scenario.container("r[0]");
    // Somebody else's container of a name that a node needs.
    scenario.docker(&["rm", "--force", &container]);
    let image = scenario.docker(&["inspect", "--format", "{{.Image}}", &scenario.container("a")]);
    scenario.docker(&["create", "--name", &container, &image, "/bin/sh"]);
    scenario.expect_refusal(&["apply", "-auto-approve"], "is already in use by container");
    scenario.docker(&["inspect", &container]);
    scenario.docker(&["rm", &container]);
    scenario.simdb(&["apply", "-auto-approve"]);
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn what_a_killed_simdb_left_running_is_finished_or_ended_by_the_next_apply() {
    let Some(mut scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    for task in ["a", "r[0]"] {
        scenario.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
        let mut apply = scenario.environment.command(&["apply", "-auto-approve"]);
        let mut apply = apply
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("simdb can be started");
        let name = format!("name=^/{}.task$", scenario.container(task));
        wait_until("the task runs", || {
            !scenario.docker(&["ps", "--quiet", "--filter", &name]).is_empty()
        });
        apply.kill().expect("it runs");
        apply.wait().expect("it is a child");
        scenario.simdb(&["apply", "-auto-approve"]);
        scenario.look();
        scenario.assert_settled(first(1));
    }
    scenario.destroy_containers();
}

#[test]
fn limits_are_held_and_another_one_takes_no_restart() {
    let limited = |limits: &str| format!("  {limits}\n{PAIR}");
    let Some(mut scenario) = Scenario::in_containers(&limited("memory = \"320MB\"\n  cpus = 1.5")) else {
        return;
    };
    let container = scenario.container("a");
    let inspect = |scenario: &Scenario, format: &str| scenario.docker(&["inspect", "--format", format, &container]);
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}";
    let started = "{{.State.StartedAt}}";
    let (before, mb) = (inspect(&scenario, started), 1 << 20);
    assert_eq!(inspect(&scenario, limits), format!("{0} {0} 1500000000", 320 * mb));
    scenario.declare(&limited("memory = \"384MB\"\n  cpus = 2"));
    let plan = scenario.environment.run(&["plan"]).text();
    assert!(
        plan.contains("configuration: memory 320MB -> 384MB, cpus 1.5 -> 2"),
        "{plan}"
    );
    scenario.apply(&limited("memory = \"384MB\"\n  cpus = 2"));
    assert_eq!(inspect(&scenario, limits), format!("{0} {0} 2000000000", 384 * mb));
    scenario.docker(&["update", "--memory", "400m", "--memory-swap", "400m", &container]);
    let drift = scenario.environment.run(&["drift"]);
    assert_eq!(drift.code, Some(2), "{}", drift.text());
    assert!(
        drift.text().contains("drift: memory is 400MB in place of 384MB"),
        "{}",
        drift.text()
    );
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_eq!(inspect(&scenario, limits), format!("{0} {0} 2000000000", 384 * mb));
    assert_eq!(inspect(&scenario, started), before, "no restart");
    scenario.simdb(&["stop", "orders.a", "-auto-approve"]);
    let id = inspect(&scenario, "{{.Id}}");
    scenario.apply(&limited("memory = \"320MB\"\n  cpus = 2"));
    scenario.simdb(&["start", "orders.a", "-auto-approve"]);
    assert_eq!(inspect(&scenario, limits), format!("{0} {0} 2000000000", 320 * mb));
    assert_eq!(inspect(&scenario, "{{.Id}}"), id, "the same container");
    scenario.apply(PAIR);
    assert_eq!(inspect(&scenario, limits), "0 0 0");
    scenario.assert_settled(first(1));
    // What tells people whether it answers.
    let probe = inspect(&scenario, "{{index .Config.Healthcheck.Test 1}}");
    scenario.docker(&["exec", &container, "/bin/sh", "-c", &probe]);
    scenario.destroy_containers();
}

#[test]
fn an_endpoint_is_a_name_in_a_network_of_its_own() {
    let Some(scenario) = Scenario::in_containers(&format!("{PAIR}  endpoint \"ro\" {{ target = \"standby\" }}\n"))
    else {
        return;
    };
    let image = scenario.docker(&["inspect", "--format", "{{.Image}}", &scenario.container("a")]);
    let [rw, ro] = ["rw", "ro"].map(|endpoint| scenario.endpoint_network(endpoint));
    let members = |network: &str| {
        let found = scenario.docker(&[
            "network",
            "inspect",
            "--format",
            "{{range .Containers}}{{.Name}} {{end}}",
            network,
        ]);
        found.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let asked = |network: &str, name: &str| {
        let program = ["--entrypoint", "/bin/sh", &image, "-c"];
        let command = format!("pg_isready -t 10 -h {name} -p 5432");
        scenario.docker(&[&["run", "--rm", "--network", network][..], &program, &[&command]].concat());
    };
    assert_eq!(
        (members(&rw), members(&ro)),
        (vec![scenario.container("a")], vec![scenario.container("r[0]")])
    );
    asked(&rw, "rw.orders");
    asked(&ro, "ro.orders");
    scenario.assert_settled(first(1));
    scenario.switchover(None);
    assert_eq!(
        (members(&rw), members(&ro)),
        (vec![scenario.container("r[0]")], vec![scenario.container("a")])
    );
    asked(&rw, "rw.orders");
    scenario.docker(&["network", "disconnect", &rw, &scenario.container("r[0]")]);
    let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, Some(2), "{}", plan.text());
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_eq!(members(&rw), [scenario.container("r[0]")]);
    scenario.assert_settled(first(1));
    // A client of somebody else's holds the network.
    let client = format!("client-{}", std::process::id());
    scenario.docker(&[
        "run",
        "--detach",
        "--interactive",
        "--name",
        &client,
        "--network",
        &rw,
        "--entrypoint",
        "/bin/sh",
        &image,
        "-c",
        "cat",
    ]);
    scenario.expect_refusal(&["destroy", "-auto-approve", "-allow=data-loss"], &client);
    scenario.docker(&["rm", "--force", &client]);
    scenario.destroy_containers();
}

#[test]
fn a_pooler_is_a_container_that_holds_clients_up_while_another_node_comes_to_lead() {
    let Some(mut scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    let body = format!("{PAIR}  endpoint \"pool\" {{\n    target = \"primary\"\n    via    = \"pgbouncer\"\n  }}\n");
    scenario.declare(&body);
    scenario.expect_refusal(&["plan"], "Add there pooler_image = ");
    let image = scenario.docker(&["images", "postgres", "--format", "{{.Repository}}:{{.Tag}}"]);
    let image = image.lines().min().expect("the daemon has images");
    let path = scenario.environment.project().join("provider.simdb.hcl");
    let provider = std::fs::read_to_string(path).expect("it was written");
    let provider = provider.replace("}\n", &format!("  pooler_image = \"{image}\"\n}}\n"));
    scenario.environment.write("provider.simdb.hcl", &provider);
    scenario.apply(&body);
    scenario.assert_settled(first(1));
    let pooler = scenario.container("pool.pooler");
    assert_eq!(
        scenario.docker(&["inspect", "--format", "{{.State.Running}}", &pooler]),
        "true"
    );
    let service =
        std::fs::read_to_string(scenario.environment.project().join(".simdb/pg_service.conf")).expect("it has entries");
    assert!(service.contains("[orders-pool]"), "{service}");
    let network = scenario.endpoint_network("pool");
    let members = scenario.docker(&[
        "network",
        "inspect",
        "--format",
        "{{range .Containers}}{{.Name}}{{end}}",
        &network,
    ]);
    assert_eq!(members, pooler);
    let listens = scenario.docker(&[
        "inspect",
        "--format",
        "{{index .Config.Labels \"dev.simdb.listen\"}}",
        &pooler,
    ]);
    let port = listens.rsplit(':').next().expect("it listens at a port");
    let command = format!("pg_isready -t 10 -U app -d app -h pool.orders -p {port}");
    let asked = |scenario: &Scenario| {
        let arguments = [
            "run",
            "--rm",
            "--network",
            &network,
            "--entrypoint",
            "/bin/sh",
            image,
            "-c",
            &command,
        ];
        scenario.docker(&arguments);
    };
    asked(&scenario);
    scenario.switchover(None);
    scenario.docker(&["rm", "--force", &pooler]);
    scenario.simdb(&["apply", "-auto-approve"]);
    asked(&scenario);
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn what_is_left_of_a_lost_state_is_found_and_removed_and_nothing_else() {
    let (Some(lost), Some(kept)) = (Scenario::in_containers(PAIR), Scenario::in_containers(PAIR)) else {
        return;
    };
    let lineages = [&lost, &kept].map(Scenario::lineage);
    let left = [&lost, &kept].map(|scenario| scenario.objects(&scenario.lineage()));
    let state = lost.environment.project().join(".simdb/state.db");
    let gc = |arguments: &[&str]| kept.simdb(&[&["gc"], arguments].concat());
    assert!(gc(&["-json"]).stdout.contains("\"projects\": []"));
    std::fs::remove_file(&state).expect("the state is there");
    let said = gc(&["-json"]).stdout;
    let found: serde_json::Value = serde_json::from_str(&said).expect("it is a document");
    assert_eq!(found["projects"][0]["lineage"], lineages[0], "{said}");
    assert_eq!(found["projects"].as_array().map(Vec::len), Some(1), "{said}");
    assert!(found["others"].to_string().contains(&lineages[1]), "{said}");
    assert_eq!(lost.objects(&lineages[0]), left[0], "who looks removes nothing");
    kept.expect_refusal(&["gc"], "add -force");
    gc(&["-force"]);
    assert_eq!(lost.objects(&lineages[0]), "");
    assert_eq!(kept.objects(&lineages[1]), left[1]);
    kept.assert_settled(first(1));
    kept.expect_refusal(&["gc", "-force", "0123456789"], "Nothing here has lineage");
    gc(&["-force", &lineages[1][..8]]);
    assert_eq!(kept.objects(&lineages[1]), "");
}

/// A server that was made by hand and is to become a container.
const IMPORTED: &str = r#"
cluster "other" {
  provider = docker.east
  network  = network.lan
  engine "postgresql" {}
  node "a" {}
}

import {
  to = cluster.other.node.a
  id = "/srv/pg/a"
}
"#;

#[test]
fn a_provider_without_its_block_is_reached_as_it_was_until_nothing_is_on_it() {
    let Some(scenario) = Scenario::in_containers_of_alias("east", PAIR) else {
        return;
    };
    scenario.assert_settled(first(1));
    let lineage = scenario.lineage();
    let container = scenario.container("a");
    let format = "{{index .Config.Healthcheck.Test 1}}";
    let probe = scenario.docker(&["inspect", "--format", format, &container]);
    assert!(probe.contains("pg_isready"), "{probe}");
    scenario.docker(&["exec", &container, "/bin/sh", "-c", &probe]);
    scenario.environment.write("other.simdb.hcl", IMPORTED);
    scenario.expect_refusal(&["plan"], "pg_dumpall");
    scenario.environment.write("other.simdb.hcl", "");
    scenario.environment.write("provider.simdb.hcl", "");
    scenario.expect_refusal(&["plan"], "There is no provider \"docker\" with alias = \"east\" here");
    scenario.environment.write("main.simdb.hcl", "");
    scenario.simdb(&["status"]);
    assert_ne!(scenario.objects(&lineage), "");
    scenario.simdb(&["apply", "-auto-approve", "-allow=data-loss"]);
    assert_eq!(scenario.objects(&lineage), "");
    scenario.environment.assert_nothing_left();
}
