//! Standbys whose data is copied anew because something changes that they name.

use super::*;
use crate::desired::Trigger;

/// A primary and a standby that names something.
fn triggered(by: &str, attributes: &[&str]) -> (Desired, World) {
    let mut desired = replicating(&["a", "b"], ReplicationMode::Async, 0);
    let trigger = Trigger {
        subject: by.to_owned(),
        attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
        span: span(),
    };
    for node in cluster(&mut desired).nodes.values_mut() {
        node.triggers = vec![trigger.clone()];
    }
    let world = applied(&desired);
    assert_second_plan_is_empty(&world, &desired);
    (desired, world)
}

fn set(desired: &mut Desired, node: &str, name: &str, value: &str) {
    let spec = cluster(desired).nodes.get_mut(&node.parse().unwrap()).unwrap();
    spec.parameters.insert(name.to_owned(), value.to_owned());
}

fn copies(planned: &Planned) -> Vec<String> {
    let steps = planned.plan.steps.iter();
    let copies = steps.filter(|step| step.action.name() == "basebackup");
    copies
        .map(|step| format!("{}: {}", step.address, step.reason))
        .collect()
}

#[test]
fn a_standby_is_copied_anew_once_for_a_change_that_it_names() {
    for attributes in [&["parameters"][..], &["port", "parameters.work_mem"]] {
        let (mut desired, mut world) = triggered("cluster.orders.node.a", attributes);
        set(&mut desired, "a", "work_mem", "8MB");
        let planned = plan_for(&world, &desired);
        let reason = "replace_triggered_by names cluster.orders.node.a, which changes";
        assert_eq!(copies(&planned), [format!("cluster.orders.node.b: {reason}")]);
        let said = "Primary is not replaced: cluster.orders.node.a changes, for which the data of cluster.orders.node.a would be copied anew. a \
                    leads, or comes to lead, and the others are copied from it, so it stays as it is.";
        assert_eq!(diagnostics(&planned).trim_end(), said);
        world.run(&planned.plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
    }
}

#[test]
fn what_a_standby_does_not_name_leaves_its_data() {
    for (by, attributes) in [
        ("cluster.orders.node.a", "port"),
        ("cluster.orders.node.a", "parameters.work"),
        ("cluster.orders.node.aa", "parameters"),
        ("cluster.orders", "parameters"),
    ] {
        let (mut desired, world) = triggered(by, &[attributes]);
        set(&mut desired, "a", "work_mem", "8MB");
        assert_eq!(
            copies(&plan_for(&world, &desired)),
            Vec::<String>::new(),
            "{by} {attributes}"
        );
    }
}

#[test]
fn a_server_that_is_only_started_again_triggers_nothing() {
    let (desired, mut world) = triggered("cluster.orders.node.a", &["parameters", "port"]);
    world.kill(&address("cluster.orders.node.a"));
    assert_eq!(copies(&plan_for(&world, &desired)), Vec::<String>::new());
}

#[test]
fn a_standby_that_comes_to_lead_keeps_its_data() {
    let (mut desired, mut world) = triggered("cluster.orders.node.a", &["parameters"]);
    set(&mut desired, "a", "work_mem", "8MB");
    cluster(&mut desired).primary = Some("b".parse().unwrap());
    let planned = plan_for(&world, &desired);
    assert!(planned.plan.steps.iter().any(|step| step.action.name() == "promote"));
    assert_eq!(copies(&planned), Vec::<String>::new());
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}
