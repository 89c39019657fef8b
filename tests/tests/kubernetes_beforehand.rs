//! What is asked of an API server before anything is made: whether it would be, and how often it is asked.

use simdb_tests::contained::{PAIR, THREE};
use simdb_tests::{Scenario, Version, wait_until};

/// Asserts that what is declared could not be made, which is said before any of it is.
#[track_caller]
fn assert_refused(scenario: &Scenario, text: &str) {
    for command in [["validate", "-platform"], ["plan", "-input=false"]] {
        scenario.expect_refusal(&command, text);
    }
    assert_eq!(scenario.objects_in_pods(), "", "{text}");
}

#[test]
fn what_keeps_servers_from_being_made_is_said_before_any_is() {
    let Some(scenario) = Scenario::before_pods(&Version::of_major(15)) else {
        return;
    };
    scenario.declare(PAIR);
    let fine = scenario.simdb(&["validate", "-platform"]);
    assert!(fine.text().contains("The configuration is valid."), "{}", fine.text());
    scenario.kubectl(&["create", "quota", "small", "--hard=pods=1,requests.storage=600Mi"]);
    // Until its status is known nobody can make a pod.
    wait_until("the quota counts", || {
        !scenario
            .kubectl(&["get", "quota", "small", "-o", "jsonpath={.status.hard}"])
            .is_empty()
    });
    assert_refused(
        &scenario,
        "ResourceQuota small leaves 1 of pods, and what is to be made takes 2.",
    );
    assert_refused(&scenario, "ResourceQuota small leaves 600Mi of requests.storage");
    scenario.kubectl(&["delete", "quota", "small"]);
    scenario.kubectl(&["create", "service", "clusterip", "orders-rw", "--tcp=5432"]);
    scenario.expect_refusal(
        &["validate", "-platform"],
        "has a Service orders-rw, which cluster.orders.endpoint.rw is to have",
    );
    scenario.kubectl(&["delete", "service", "orders-rw"]);
    for (argument, told) in [
        ("storage_class", "has no StorageClass \"nowhere\""),
        ("priority_class", "has no PriorityClass \"nowhere\""),
        ("pull_secret", "has no Secret \"nowhere\""),
    ] {
        scenario.provide(argument, "nowhere");
        assert_refused(&scenario, told);
    }
    scenario.provide("namespace", "nowhere");
    scenario.expect_refusal(&["validate", "-platform"], "has no namespace \"nowhere\"");
    scenario.provide_as_before();
    scenario.become_account("nobody");
    assert_refused(&scenario, "get, create pods/exec");
}

#[test]
fn looking_takes_a_list_of_each_kind_of_object_and_no_request_for_each() {
    let Some(mut scenario) = Scenario::before_pods(&Version::of_major(15)) else {
        return;
    };
    let cluster = |number: usize| {
        format!(
            "cluster \"c{number}\" {{\n  engine \"postgresql\" {{ version = \"15\" }}\n  node \"n\" {{ count = 3 }}\n  endpoint \"rw\" {{ target \
             = \"primary\" }}\n  endpoint \"ro\" {{ target = \"standby\" }}\n}}\n"
        )
    };
    let all: String = (0..100).map(cluster).collect();
    scenario.environment.write("main.simdb.hcl", &all);
    let Some(before) = scenario.requests() else { return };
    scenario.simdb(&["plan", "-summary"]);
    let asked = scenario.requests().unwrap_or_default().split_off(before.len());
    println!("a plan that makes 100 clusters of 3 nodes: {} requests", asked.len());
    assert!((10..=40).contains(&asked.len()), "{} requests: {asked:?}", asked.len());

    scenario.apply(THREE);
    let before = scenario.requests().unwrap_or_default().len();
    scenario.simdb(&["plan", "-detailed-exitcode"]);
    let asked = scenario.requests().unwrap_or_default().split_off(before);
    println!("a plan that changes nothing in 3 nodes: {} requests", asked.len());
    let one_by_one = asked.iter().filter(|(verb, kind, name)| {
        let listed = ["pods", "statefulsets", "persistentvolumeclaims"].contains(&kind.as_str());
        verb == "get" && listed && name.is_some()
    });
    assert_eq!(one_by_one.count(), 0, "{asked:?}");
    scenario.destroy_pods();
}
