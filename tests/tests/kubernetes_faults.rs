//! Machines that are cut off, under clusters in pods: never two writers, nothing lost, and a refusal where nothing proves that a server is
//! down.

use simdb_tests::contained::{ROWS, THREE};
use simdb_tests::{NOTICED, Scenario, first, has_faults};

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

#[test]
fn a_primary_whose_machine_is_cut_off_is_not_replaced() {
    if !has_faults() {
        return;
    }
    let Some(scenario) = Scenario::in_pods(THREE) else {
        return;
    };
    let cut = machine(&scenario, "a");
    for (break_it, noticed) in [("node-down", true), ("api-cut", true), ("node-down", false)] {
        scenario.fault(&[break_it, &cut]);
        if noticed {
            wait_until_noticed(&scenario, &cut);
        }
        let failover = scenario.environment.run(&["failover", "orders", "-auto-approve"]);
        let said = failover.text();
        assert!(
            failover.code == Some(1) && said.contains("cannot be proven that it takes no writes"),
            "{break_it}: {said}"
        );
        scenario.fault(&["heal"]);
        scenario.kubectl(&["wait", "--for=condition=Ready", &format!("node/{cut}"), "--timeout=60s"]);
        scenario.assert_healthy();
        scenario.assert_settled(first(1));
        assert_eq!(scenario.primary(), "a");
    }
    scenario.destroy_pods();
}

#[test]
fn a_primary_whose_machine_lost_its_power_leads_again_and_has_lost_nothing() {
    if !has_faults() {
        return;
    }
    let Some(scenario) = Scenario::in_pods(THREE) else {
        return;
    };
    let writing = scenario.load();
    writing.further(ROWS);
    let cut = machine(&scenario, "a");
    scenario.fault(&["power-off", &cut]);
    scenario.fault(&["power-on", &cut]);
    writing.further(ROWS);
    scenario.assert_healthy();
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
    scenario.destroy_pods();
}
