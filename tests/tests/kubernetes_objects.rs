//! What becomes of pods, volumes and images under a cluster, and what simdb makes of it.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::contained::{PAIR, THREE};
use simdb_tests::{Moment, Output, Run, Scenario, Step, first, json_lines, run_to, wait_until};

/// How long a plan may take about a server that does not start.
const SOON: Duration = Duration::from_secs(30);

/// Waits until all is well, and asserts that nothing is left to do.
#[track_caller]
fn assert_settles(scenario: &Scenario) {
    scenario.assert_healthy();
    scenario.assert_settled(first(1));
}

/// Returns a part of what the API server has of a node's pod.
fn of_pod(scenario: &Scenario, node: &str, path: &str) -> String {
    scenario.kubectl(&[
        "get",
        "pod",
        &Scenario::pod(node),
        "-o",
        &format!("jsonpath={{{path}}}"),
    ])
}

/// Returns whether a server runs in the pod of a node.
fn serves(scenario: &Scenario, node: &str) -> bool {
    scenario.in_pod(node, "[ -e /tmp/simdb/pid ] && echo yes || echo no") == "yes"
}

/// Removes the pod of a node, and waits for the next one.
fn replace_pod(scenario: &Scenario, node: &str) {
    let before = scenario.uid(node);
    scenario.kubectl(&["delete", "pod", &Scenario::pod(node)]);
    scenario.wait_for_another_pod(node, &before);
}

#[test]
fn what_ends_in_a_pod_comes_back_as_it_is_to_be() {
    let Some(scenario) = Scenario::in_pods(PAIR) else {
        return;
    };
    scenario.ask("a", "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1");
    // The container ends, and its machine starts it again: the same pod, the same role.
    let before = scenario.uid("a");
    scenario.in_pod("a", "kill -TERM 1");
    wait_until("the container is started again", || {
        of_pod(&scenario, "a", ".status.containerStatuses[0].restartCount") == "1"
    });
    assert_settles(&scenario);
    assert_eq!((scenario.primary(), scenario.uid("a")), ("a".to_owned(), before));
    // A mount opened the data to its group, with which servers refuse to start.
    scenario.in_pod(
        "r[0]",
        "chmod -R g+rwX /var/lib/simdb/data-*; chmod 2770 /var/lib/simdb/data-*; kill -KILL $(cat /tmp/simdb/pid)",
    );
    assert_settles(&scenario);
    // A server that cannot start is told, and nobody waits for it for ever.
    scenario.in_pod(
        "r[0]",
        "echo 'no_such_setting = 1' >>/var/lib/simdb/postgresql.conf; kill -KILL $(cat /tmp/simdb/pid)",
    );
    wait_until("the status says so", || {
        let status = scenario.environment.run(&["status"]);
        status.code == Some(5) && status.text().contains("r[0] is down")
    });
    wait_until("its log says why", || {
        scenario
            .simdb(&["logs", "orders.r[0]"])
            .stdout
            .contains("no_such_setting")
    });
    let began = Instant::now();
    let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
    assert!(plan.code == Some(2) && began.elapsed() < SOON, "{}", plan.text());
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_settles(&scenario);
    // A server that was stopped stays down in the next pod.
    scenario.simdb(&["stop", "orders.r[0]", "-auto-approve"]);
    replace_pod(&scenario, "r[0]");
    scenario.simdb(&["plan", "-detailed-exitcode"]);
    assert!(!serves(&scenario, "r[0]"));
    scenario.simdb(&["start", "orders.r[0]", "-auto-approve"]);
    assert_settles(&scenario);
    assert_eq!(scenario.ask("a", "SELECT n FROM kept"), "42");
    scenario.destroy_pods();
}

#[test]
fn a_server_that_was_fenced_stays_down_in_the_next_pod() {
    let Some(scenario) = Scenario::in_pods(PAIR) else {
        return;
    };
    let switchover = ["switchover", "orders", "-auto-approve", "-json"];
    let planned = scenario.environment.run(&["switchover", "orders", "-plan", "-json"]);
    let steps = Step::all(&json_lines(&planned.stdout));
    let fence = steps
        .iter()
        .find(|step| step.name == "fence")
        .expect("the former primary is fenced");
    fence.kill(&scenario.environment, &switchover, Moment::After, 0);
    replace_pod(&scenario, "a");
    assert!(!serves(&scenario, "a"));
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_settles(&scenario);
    scenario.destroy_pods();
}

#[test]
fn a_volume_that_is_being_removed_is_told_and_nothing_is_made_beside_it() {
    let Some(scenario) = Scenario::in_pods(THREE) else {
        return;
    };
    scenario.kubectl(&["create", "configmap", "of-somebody-else", "--from-literal=a=b"]);
    scenario.kubectl(&["delete", "pvc", &Scenario::set("r[1]"), "--wait=false"]);
    let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
    let said = plan.text();
    assert!(
        plan.code == Some(1) && said.contains("its volume, PersistentVolumeClaim orders-r-1, is being removed"),
        "{said}"
    );
    // Its data is copied anew beside nothing: what is being removed goes first.
    scenario.simdb(&["resync", "orders", "r[1]", "-auto-approve"]);
    assert_settles(&scenario);
    scenario.kubectl(&["delete", "pvc", &Scenario::set("r[1]"), "--wait=false"]);
    let before = scenario.requests().map(|requests| requests.len());
    let namespace = scenario.namespace().to_owned();
    scenario.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
    assert_eq!(scenario.objects_in_pods(), "", "{namespace}");
    scenario.kubectl(&["get", "configmap", "of-somebody-else"]);
    let Some(before) = before else { return };
    let requests = scenario.requests().unwrap_or_default().split_off(before);
    let removed = |name: &str| {
        let at = requests.iter().position(|(verb, kind, of)| {
            verb == "delete" && kind == "persistentvolumeclaims" && of.as_deref() == Some(name)
        });
        at.expect("its volume is removed")
    };
    let primary = removed("orders-a");
    assert!(
        removed("orders-r-0") < primary && removed("orders-r-1") < primary,
        "{requests:?}"
    );
}

#[test]
fn another_image_restarts_standbys_first_and_nothing_before_it_is_applied() {
    let Some(scenario) = Scenario::in_pods(PAIR) else {
        return;
    };
    let before = ["a", "r[0]"].map(|node| scenario.uid(node));
    scenario.provide("image", "simdb.test/postgres-again:{version}");
    let plan = scenario.simdb(&["plan"]).stdout;
    let at = |text: &str| plan.find(text).unwrap_or_else(|| panic!("no {text:?} in {plan}"));
    assert!(plan.contains("simdb.test/postgres-again:15"), "{plan}");
    assert!(
        at("configure    cluster.orders.node.r[0]") < at("fence        cluster.orders.node.a"),
        "{plan}"
    );
    assert_eq!(
        before,
        ["a", "r[0]"].map(|node| scenario.uid(node)),
        "nothing restarts before"
    );
    scenario.simdb(&["apply", "-auto-approve"]);
    for node in ["a", "r[0]"] {
        assert_eq!(
            of_pod(&scenario, node, ".spec.containers[0].image"),
            "simdb.test/postgres-again:15"
        );
    }
    assert_settles(&scenario);
    scenario.destroy_pods();
}

#[test]
fn a_volume_is_enlarged_by_a_plan_beside_its_server_and_never_made_smaller() {
    let Some(mut scenario) = Scenario::before_pods(&simdb_tests::Version::of_major(15)) else {
        return;
    };
    let of_size = |size: &str| format!("  storage = \"{size}\"\n{PAIR}");
    scenario.apply(&of_size("192MB"));
    let asked_for = |node: &str| {
        let claim = Scenario::set(node);
        scenario.kubectl(&[
            "get",
            "pvc",
            &claim,
            "-o",
            "jsonpath={.spec.resources.requests.storage}",
        ])
    };
    for node in ["a", "r[0]"] {
        assert_eq!(asked_for(node), "192Mi");
    }
    let before = scenario.uid("a");
    scenario.declare(&of_size("256MB"));
    let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
    let said = plan.text();
    assert!(
        plan.code == Some(2) && said.contains("192MB") && said.contains("256MB"),
        "{said}"
    );
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_settles(&scenario);
    assert_eq!(scenario.uid("a"), before, "a larger volume restarts nothing");
    for node in ["a", "r[0]"] {
        assert_eq!(asked_for(node), "256Mi");
    }
    scenario.declare(&of_size("192MB"));
    let plan = scenario.simdb(&["plan", "-detailed-exitcode"]).text();
    assert!(plan.contains("Volume does not get smaller"), "{plan}");
    scenario.destroy_pods();
}

/// Halts the server's process that sends a base backup as soon as there is one, and notes it.
const HALT_BACKUP: &str = r#"setsid sh -c '
    until at=$(grep -la "[s]ending backup" /proc/[0-9]*/cmdline 2>/dev/null); do :; done
    at=${at%%/cmdline*}; kill -STOP "${at#/proc/}"; echo "${at#/proc/}" >/tmp/halted
' >/dev/null 2>&1 </dev/null &"#;

#[test]
fn a_copy_whose_pod_goes_in_the_middle_is_made_anew() {
    let Some(mut scenario) = Scenario::in_pods("  node \"a\" {}\n") else {
        return;
    };
    scenario.declare(PAIR);
    let step = "basebackup cluster.orders.node.r[0]";
    let Run::Halted(halted) = run_to(&scenario.environment, 1, step, &["apply", "-auto-approve"]) else {
        panic!("it asks whether it may go on before it copies");
    };
    scenario.in_pod("a", HALT_BACKUP);
    kill(Pid::from_raw(halted.id().try_into().unwrap()), Signal::SIGCONT).unwrap();
    wait_until("the copy is under way", || {
        !scenario.in_pod("a", "cat /tmp/halted 2>/dev/null || true").is_empty()
    });
    assert!(scenario.in_pod("r[0]", "ls /var/lib/simdb").contains(".partial"));
    replace_pod(&scenario, "r[0]");
    Output::from(halted.wait_with_output().unwrap()).expect_code(1);
    scenario.in_pod("a", "kill -CONT $(cat /tmp/halted)");
    scenario.simdb(&["apply", "-auto-approve"]);
    scenario.look();
    assert_settles(&scenario);
    assert!(!scenario.in_pod("r[0]", "ls /var/lib/simdb").contains(".partial"));
    scenario.destroy_pods();
}

#[test]
fn a_full_volume_is_told_and_enlarged_while_its_server_is_down() {
    let Some(mut scenario) = Scenario::before_pods(&simdb_tests::Version::of_major(15)) else {
        return;
    };
    let of_size = |size: &str| format!("  storage = \"{size}\"\n{PAIR}");
    scenario.provide("storage_class", "simdb-bounded");
    scenario.apply(&of_size("192MB"));
    scenario.ask("a", "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1");
    scenario.in_pod(
        "a",
        "dd if=/dev/zero of=/var/lib/simdb/other bs=64k count=3072 2>/dev/null || true",
    );
    // The next segment of the log has no room, neither while the server runs nor when it is started again.
    wait_until("the server has ended for want of room", || {
        let sql = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 100000)); SELECT pg_switch_wal()";
        scenario.answer("a", sql).is_none() && scenario.environment.run(&["status"]).text().contains("a is down")
    });
    wait_until("its log says why, and what to do", || {
        let log = scenario.simdb(&["logs", "orders.a"]).stdout;
        log.contains("No space left on device") && log.contains("The volume is full.")
    });
    scenario.declare(&of_size("256MB"));
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_settles(&scenario);
    assert_eq!(scenario.primary(), "a");
    assert_eq!(scenario.ask("a", "SELECT n FROM kept"), "42");
    scenario.destroy_pods();
}

#[test]
fn an_image_without_a_shell_is_told_and_what_was_made_for_it_goes() {
    let Some(scenario) = Scenario::before_pods(&simdb_tests::Version::of_major(15)) else {
        return;
    };
    scenario.declare(PAIR);
    scenario.provide("image", "simdb.test/bare:{version}");
    scenario.expect_refusal(&["apply", "-auto-approve"], "sh");
    scenario.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
    assert_eq!(scenario.objects_in_pods(), "");
}
