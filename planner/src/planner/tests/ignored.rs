//! `ignore_changes` and `depends_on`.

use super::*;

fn ignoring(names: &[&str]) -> Ignored {
    Ignored {
        attributes: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Ignored::default()
    }
}

fn parameter(desired: &mut Desired, name: &str, value: &str) {
    for node in cluster(desired).nodes.values_mut() {
        node.parameters.insert(name.to_owned(), value.to_owned());
    }
}

fn names(planned: &Planned) -> Vec<String> {
    let steps = planned.plan.steps.iter();
    steps
        .map(|step| format!("{} {}", step.action.name(), step.address))
        .collect()
}

#[test]
fn what_is_ignored_stays_as_it_is_on_record() {
    let mut desired = replicating(&["a", "r[0]"], ReplicationMode::Sync, 1);
    parameter(&mut desired, "work_mem", "8MB");
    port(&mut desired, "a", 6000);
    let world = applied(&desired);
    parameter(&mut desired, "work_mem", "16MB");
    port(&mut desired, "a", 6001);
    cluster(&mut desired).replication.max_lag = 1;
    cluster(&mut desired).replication.mode = ReplicationMode::Async;
    cluster(&mut desired).replication.synchronous_standbys = 0;
    assert_ne!(names(&plan_for(&world, &desired)), [""; 0]);
    cluster(&mut desired).ignored = ignoring(&["engine.parameters", "replication"]);
    let a = "a".parse().unwrap();
    cluster(&mut desired).nodes.get_mut(&a).unwrap().ignored = ignoring(&["port"]);
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn one_parameter_is_ignored_and_the_others_are_not() {
    let mut desired = orders(&["a"]);
    parameter(&mut desired, "work_mem", "8MB");
    let mut world = applied(&desired);
    cluster(&mut desired).ignored.parameters.insert("work_mem".to_owned());
    parameter(&mut desired, "work_mem", "16MB");
    parameter(&mut desired, "application_name", "x");
    finish(&mut world, &desired);
    let a = &world.state.nodes[&address("cluster.orders.node.a")];
    let parameters: Vec<(&str, &str)> = a.parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(parameters, [("application_name", "x"), ("work_mem", "8MB")]);
}

#[test]
fn what_is_ignored_counts_as_declared_until_there_is_a_record() {
    let mut desired = orders(&["a"]);
    port(&mut desired, "a", 6000);
    let a = "a".parse().unwrap();
    cluster(&mut desired).nodes.get_mut(&a).unwrap().ignored = ignoring(&["port"]);
    let world = applied(&desired);
    let place = world.state.nodes[&address("cluster.orders.node.a")]
        .place
        .clone()
        .unwrap();
    assert_eq!(place.bind.port, 6000);
}

#[test]
fn a_cluster_is_made_after_those_it_depends_on() {
    let mut desired = orders(&["a", "r[0]"]);
    let mut first = cluster(&mut desired).clone();
    first.depends_on.insert("orders".parse().unwrap());
    desired.clusters.insert("events".parse().unwrap(), first);
    let mut world = World::default();
    let planned = plan_for(&world, &desired);
    assert_eq!(diagnostics(&planned), "");
    let steps = names(&planned);
    let at = |name: &str| steps.iter().position(|step| step == name).unwrap();
    assert!(at("verify-sync cluster.orders") < at("primary cluster.events.node.a"));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_cluster_that_is_there_waits_for_no_other_one() {
    let mut desired = orders(&["a"]);
    let mut other = cluster(&mut desired).clone();
    other.depends_on.insert("orders".parse().unwrap());
    desired.clusters.insert("events".parse().unwrap(), other);
    let mut world = World::default();
    finish(&mut world, &desired);
    for cluster in desired.clusters.values_mut() {
        for node in cluster.nodes.values_mut() {
            node.parameters.insert("work_mem".to_owned(), "8MB".to_owned());
        }
    }
    let planned = plan_for(&world, &desired);
    assert!(
        planned.plan.steps.iter().all(|step| step.after.is_empty()),
        "{}",
        steps(&planned.plan)
    );
}

#[test]
fn what_is_ignored_is_not_put_back_where_somebody_changed_it() {
    let mut desired = super::access::shop(&["a", "r[0]"]);
    parameter(&mut desired, "work_mem", "8MB");
    cluster(&mut desired).ignored.parameters.insert("work_mem".to_owned());
    for spec in super::access::access(&mut desired).users.values_mut() {
        spec.ignored = ignoring(&["createdb", "password"]);
    }
    for spec in super::access::access(&mut desired).databases.values_mut() {
        spec.ignored = ignoring(&["owner"]);
    }
    let mut world = super::access::made(&desired);
    let directory = super::access::primary(&mut world);
    directory.configured.insert("work_mem".to_owned(), "64MB".to_owned());
    directory.users.get_mut("app").unwrap().createdb = true;
    directory.databases.get_mut("app").unwrap().owner = "readers".to_owned();
    directory.passwords.insert(
        "app".to_owned(),
        simdb_state::sensitive::Sensitive::new("by hand".to_owned()),
    );
    let planned = plan_for(&world, &desired);
    assert_eq!((steps(&planned.plan).as_str(), planned.plan.changes.len()), ("", 0));
    // What is not ignored of the same objects is.
    let directory = super::access::primary(&mut world);
    directory.configured.insert("jit".to_owned(), "off".to_owned());
    directory.users.get_mut("app").unwrap().superuser = true;
    expect![[r#"
        configure a: drift: jit of a is off in place of its default
        user app: drift: superuser is true in place of its default
    "#]]
    .assert_eq(&super::access::reasons(&plan_for(&world, &desired)));
}

#[test]
fn every_attribute_that_a_plan_shows_can_be_named_in_a_drift_block() {
    let mut shop = super::access::shop(&["a", "r[0]"]);
    subnet(&mut shop, 1);
    parameter(&mut shop, "work_mem", "8MB");
    let mut named = BTreeSet::new();
    let mut problems = Vec::new();
    for desired in [shop, super::pooler::pooled(&["a", "r[0]"])] {
        for change in plan_for(&World::default(), &desired).plan.changes {
            for attribute in change.attributes.iter() {
                let pattern = format!("{}.{}", change.address, attribute.name);
                problems.extend(crate::config::drift_problem(&pattern));
                named.insert((change.address.kind(), attribute.name.clone()));
            }
        }
    }
    assert_eq!(problems, [""; 0]);
    let kinds: BTreeSet<&str> = named.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds.len(), 7, "{named:?}");
}

#[test]
fn what_is_ignored_may_drift_by_the_names_that_plans_have() {
    let mut desired = super::access::shop(&["a"]);
    desired.ignored_drift.push("network.*".to_owned());
    let orders = cluster(&mut desired);
    orders.ignored_drift.push("cluster.orders.endpoint.rw".to_owned());
    orders.ignored = ignoring(&["engine.parameters", "replication"]);
    orders.access.databases.values_mut().next().unwrap().ignored = ignoring(&["owner"]);
    let patterns = desired.drift_patterns();
    let covered = |text: &str| patterns.iter().any(|pattern| pattern.covers(text));
    for text in [
        "network.lan.subnet",
        "cluster.orders.endpoint.rw.hosts",
        "cluster.orders.node.a.parameters.work_mem",
        "cluster.orders.synchronous_standbys",
        "cluster.orders.database.app.owner",
    ] {
        assert!(covered(text), "{text}");
    }
    for text in [
        "cluster.orders.node.a.port",
        "cluster.orders.database.app",
        "cluster.orders.version",
    ] {
        assert!(!covered(text), "{text}");
    }
}
