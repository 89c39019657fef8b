//! Machines that are cut off, under clusters in pods: never two writers, nothing lost, and a refusal where nothing proves that a server is
//! down.

use std::panic::{self, AssertUnwindSafe};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::contained::{PAIR, ROWS, THREE};
use simdb_tests::{NOTICED, Output, Run, Scenario, first, has_faults, run_to, wait_until};

/// What a person lays on a machine that is off for sure.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";

/// Makes a cluster where machines can be made to fail, lives through something with it, and removes it.
fn where_machines_fail(body: &str, live: impl FnOnce(&Scenario)) {
    if !has_faults() {
        return;
    }
    let Some(scenario) = Scenario::in_pods(body) else {
        return;
    };
    let lived = panic::catch_unwind(AssertUnwindSafe(|| live(&scenario)));
    if let Err(failed) = lived {
        // Other tests find the machines as they were.
        scenario.fault(&["mend"]);
        scenario.try_kubectl(&["taint", "nodes", "--all", &format!("{OUT_OF_SERVICE}-")]);
        for machine in ["n1", "n2"] {
            wait_until_back(&scenario, machine);
        }
        panic::resume_unwind(failed);
    }
    scenario.destroy_pods();
}

/// Waits until the cluster says of a machine that it does not report.
fn wait_until_noticed(scenario: &Scenario, machine: &str) {
    let limit = format!("--timeout={}s", NOTICED.as_secs());
    scenario.kubectl(&[
        "wait",
        "--for=condition=Ready=Unknown",
        &format!("node/{machine}"),
        &limit,
    ]);
}

/// Returns the machine that a node is on.
fn machine(scenario: &Scenario, node: &str) -> String {
    scenario.kubectl(&["get", "pod", &Scenario::pod(node), "-o", "jsonpath={.spec.nodeName}"])
}

/// Asserts that a failover is refused, with what a person can do, and returns what it says.
#[track_caller]
fn refused(scenario: &Scenario) -> String {
    let failover = scenario.environment.run(&["failover", "orders", "-auto-approve"]);
    let said = failover.text();
    let expected = [
        "cannot be proven that it takes no writes",
        "simdb failover orders -fenced-by-operator",
    ];
    assert!(
        failover.code == Some(1) && expected.iter().all(|expected| said.contains(expected)),
        "{said}"
    );
    said
}

/// Waits until a machine reports again.
fn wait_until_back(scenario: &Scenario, machine: &str) {
    scenario.kubectl(&[
        "wait",
        "--for=condition=Ready",
        &format!("node/{machine}"),
        "--timeout=60s",
    ]);
}

/// Lets simdb bring everything to what is declared, and asserts that nothing is left to do then.
fn assert_mended(scenario: &Scenario) {
    scenario.simdb(&["apply", "-auto-approve"]);
    scenario.assert_healthy();
    scenario.assert_settled(first(1));
}

#[test]
fn a_primary_whose_machine_is_cut_off_is_not_replaced() {
    where_machines_fail(THREE, |scenario| {
        let cut = machine(scenario, "a");
        for break_it in ["node-down", "api-cut"] {
            scenario.fault(&[break_it, &cut]);
            wait_until_noticed(scenario, &cut);
            let said = refused(scenario);
            assert!(
                said.contains(&format!("kubectl taint nodes {cut}")),
                "{break_it}: {said}"
            );
            scenario.fault(&["heal"]);
            wait_until_back(scenario, &cut);
            scenario.assert_healthy();
            scenario.assert_settled(first(1));
            assert_eq!(scenario.primary(), "a");
        }
    });
}

#[test]
fn a_primary_whose_machine_still_counts_as_ready_is_not_replaced_before_its_fence() {
    where_machines_fail(PAIR, |scenario| {
        let cut = machine(scenario, "a");
        scenario.fault(&["node-down", &cut]);
        // The fence finds out, and the standby is not promoted before it is done.
        refused(scenario);
        assert_eq!(scenario.ask("r[0]", "SELECT pg_is_in_recovery()"), "t");
        scenario.fault(&["heal"]);
        wait_until_back(scenario, &cut);
        assert_mended(scenario);
        assert_eq!(
            scenario.primary(),
            "r[0]",
            "the election that was held is carried through"
        );
    });
}

#[test]
fn a_primary_whose_machine_lost_its_power_leads_again_and_has_lost_nothing() {
    where_machines_fail(THREE, |scenario| {
        let writing = scenario.load();
        writing.further(ROWS);
        let cut = machine(scenario, "a");
        scenario.fault(&["power-off", &cut]);
        scenario.fault(&["power-on", &cut]);
        writing.further(ROWS);
        scenario.assert_healthy();
        scenario.assert_settled(first(1));
        writing.expect_nothing_lost();
    });
}

#[test]
fn an_operator_who_switched_a_machine_off_answers_for_its_server() {
    where_machines_fail(PAIR, |scenario| {
        let writing = scenario.load();
        writing.further(ROWS);
        let lost = machine(scenario, "a");
        let before = scenario.uid("a");
        scenario.fault(&["power-off", &lost]);
        wait_until_noticed(scenario, &lost);
        refused(scenario);
        // The taint alone has the pod removed by force, and proves nothing.
        scenario.kubectl(&["taint", "nodes", &lost, OUT_OF_SERVICE]);
        wait_until("the pod is made anew", || {
            let pod = [
                "get",
                "pod",
                "orders-a-0",
                "--ignore-not-found",
                "-o",
                "jsonpath={.metadata.uid}",
            ];
            let uid = scenario.kubectl(&pod);
            !uid.is_empty() && uid != before
        });
        refused(scenario);
        let done = scenario.simdb(&["failover", "orders", "-fenced-by-operator", "-auto-approve"]);
        let said = done.text();
        assert!(said.contains("an operator said that its machine is off"), "{said}");
        writing.further(ROWS);
        let settled = scenario.environment.run(&["plan", "-detailed-exitcode"]).text();
        assert!(
            settled.contains("an operator attests that its machine is off"),
            "{settled}"
        );
        scenario.fault(&["power-on", &lost]);
        wait_until_back(scenario, &lost);
        scenario.kubectl(&["taint", "nodes", &lost, &format!("{OUT_OF_SERVICE}-")]);
        assert_mended(scenario);
        assert_eq!(scenario.primary(), "r[0]");
        writing.expect_nothing_lost();
    });
}

#[test]
fn a_failover_by_force_says_that_nobody_knows_and_the_former_primary_is_stopped_by_its_own_machine() {
    where_machines_fail(PAIR, |scenario| {
        let cut = machine(scenario, "a");
        scenario.fault(&["node-down", &cut]);
        wait_until_noticed(scenario, &cut);
        let limited = ["failover", "orders", "-force", "-auto-approve"];
        scenario.expect_refusal(&limited, "add -allow=data-loss");
        let done = scenario.simdb(&["failover", "orders", "-force", "-auto-approve", "-allow=data-loss"]);
        let said = done.text();
        for expected in [
            "unknown: acknowledged writes may be lost",
            "Whether a is down is not known",
        ] {
            assert!(said.contains(expected), "no {expected:?} in {said}");
        }
        scenario.ask("r[0]", "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1");
        scenario.fault(&["heal"]);
        scenario.kubectl(&["wait", "--for=delete", "pod/orders-a-0", "--timeout=90s"]);
        assert_mended(scenario);
        assert_eq!(scenario.primary(), "r[0]");
        assert_eq!(scenario.ask("a", "SELECT n FROM kept"), "42");
    });
}

#[test]
fn a_pod_that_was_removed_behind_its_machine_proves_nothing() {
    where_machines_fail(PAIR, |scenario| {
        let cut = machine(scenario, "a");
        scenario.fault(&["node-down", &cut]);
        wait_until_noticed(scenario, &cut);
        scenario.kubectl(&["delete", "node", &cut]);
        refused(scenario);
        scenario.kubectl(&[
            "delete",
            "pod",
            "orders-a-0",
            "--force",
            "--grace-period=0",
            "--ignore-not-found",
        ]);
        refused(scenario);
        // Everything of it may go while its server runs on.
        scenario.kubectl(&["delete", "statefulset", "orders-a"]);
        scenario.kubectl(&["delete", "persistentvolumeclaim", "orders-a"]);
        let said = refused(scenario);
        assert!(said.contains("leads and is gone"), "{said}");
        scenario.fault(&["heal"]);
        // A machine makes itself known when its kubelet starts.
        scenario.fault(&["kill", &cut, "kubelet"]);
        scenario.fault(&["start", &cut, "kubelet"]);
        wait_until("the machine is known again", || {
            let node = ["get", "node", &cut, "--ignore-not-found", "-o", "name"];
            !scenario.kubectl(&node).is_empty()
        });
        wait_until_back(scenario, &cut);
        scenario.simdb(&["failover", "orders", "-fenced-by-operator", "-auto-approve"]);
        assert_eq!(scenario.primary(), "r[0]");
        assert_mended(scenario);
    });
}

#[test]
fn a_server_that_its_machine_reports_as_ended_is_replaced_though_its_pod_cannot_be_asked() {
    where_machines_fail(PAIR, |scenario| {
        // Its container ends, and cannot be started again: there is nothing in the pod that could be asked.
        scenario.kubectl(&["set", "image", "pod/orders-a-0", "*=simdb.test/none:1"]);
        wait_until("its container has ended and waits for its image", || {
            let path = "jsonpath={.status.containerStatuses[0].state.waiting.reason} {.status.containerStatuses[0].lastState.terminated.exitCode}";
            let state = scenario.kubectl(&["get", "pod", "orders-a-0", "-o", path]);
            matches!(state.split_once(' '), Some((waits, ended)) if waits.contains("Image") && !ended.is_empty())
        });
        scenario.failover();
        assert_eq!(scenario.primary(), "r[0]");
        scenario.assert_settled(first(1));
    });
}

#[test]
fn writes_wait_while_the_machines_do_not_reach_each_other_and_no_role_changes() {
    where_machines_fail(PAIR, |scenario| {
        let writing = scenario.load();
        writing.further(ROWS);
        scenario.fault(&["peers-cut"]);
        writing.wait_until_stalled();
        let acknowledged = writing.acknowledged();
        let plan = scenario.environment.run(&["plan", "-json"]);
        assert!(!plan.stdout.contains("\"elect\""), "{}", plan.stdout);
        assert_eq!(scenario.primary(), "a");
        writing.wait_until_stalled();
        assert_eq!(
            writing.acknowledged(),
            acknowledged,
            "nothing is acknowledged meanwhile"
        );
        scenario.fault(&["heal"]);
        writing.further(ROWS);
        scenario.assert_settled(first(1));
        writing.expect_nothing_lost();
    });
}

#[test]
fn a_drained_machine_has_its_server_shut_down_in_order_and_back_and_the_second_one_waits() {
    where_machines_fail(PAIR, |scenario| {
        let writing = scenario.load();
        writing.further(ROWS);
        let (first_drained, second) = (machine(scenario, "a"), machine(scenario, "r[0]"));
        let before = scenario.uid("a");
        let own = "--pod-selector=simdb.dev/cluster=orders";
        let drain = |node: &str, timeout: &str| {
            let arguments = [
                "drain",
                node,
                own,
                "--ignore-daemonsets",
                "--delete-emptydir-data",
                timeout,
            ];
            scenario.try_kubectl(&arguments)
        };
        drain(&first_drained, "--timeout=60s").expect_code(0);
        let refused = drain(&second, "--timeout=10s");
        assert!(
            refused.code == Some(1) && refused.text().contains("disruption budget"),
            "{}",
            refused.text()
        );
        assert_eq!(machine(scenario, "r[0]"), second, "it was not evicted");
        for node in [&first_drained, &second] {
            scenario.kubectl(&["uncordon", node]);
        }
        scenario.wait_for_another_pod("a", &before);
        assert_eq!(machine(scenario, "a"), first_drained, "its volume is there");
        writing.further(ROWS);
        let log = scenario.log("a");
        assert!(log.contains("database system was shut down at"), "{log}");
        scenario.assert_settled(first(1));
        assert_eq!(scenario.primary(), "a");
        writing.expect_nothing_lost();
    });
}

#[test]
fn a_role_change_that_loses_the_api_server_after_the_fence_is_carried_through_by_the_next_apply() {
    where_machines_fail(PAIR, |scenario| {
        let writing = scenario.load();
        writing.further(ROWS);
        let switchover = ["switchover", "orders", "-auto-approve"];
        let Run::Halted(halted) = run_to(
            &scenario.environment,
            1,
            "promote cluster.orders.node.r[0]",
            &switchover,
        ) else {
            panic!("it asks whether it may go on before it promotes");
        };
        scenario.fault(&["kill", "control", "kube-apiserver"]);
        kill(Pid::from_raw(halted.id().try_into().unwrap()), Signal::SIGCONT).unwrap();
        let ended = Output::from(halted.wait_with_output().unwrap());
        ended.expect_code(1);
        assert!(ended.text().contains("Not attempted"), "{}", ended.text());
        scenario.fault(&["start", "control", "kube-apiserver"]);
        assert_mended(scenario);
        writing.further(ROWS);
        writing.expect_nothing_lost();
    });
}
