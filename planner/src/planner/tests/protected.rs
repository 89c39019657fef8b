//! `prevent_destroy` of nodes and databases, and of a cluster with its databases.

use super::access::{access, made, shop};
use super::*;

fn protect(desired: &mut Desired, node: &str, protected: bool) {
    let node = node.parse().unwrap();
    cluster(desired).nodes.get_mut(&node).unwrap().prevent_destroy = protected;
}

fn summaries(world: &World, desired: &Desired) -> Vec<String> {
    let planned = plan_for(world, desired);
    let errors = planned.diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    errors.map(|diagnostic| diagnostic.summary.clone()).collect()
}

#[test]
fn a_protected_node_is_not_removed_even_where_its_block_is_gone() {
    let mut desired = orders(&["a", "r[0]", "r[1]"]);
    protect(&mut desired, "r[1]", true);
    let mut world = made(&desired);
    assert!(world.state.nodes[&address("cluster.orders.node.r[1]")].prevent_destroy);
    assert_second_plan_is_empty(&world, &desired);
    let without = orders(&["a", "r[0]"]);
    refuses(
        &world,
        &without,
        &expect![[r#"
            Node is protected: cluster.orders.node.r[1] has lifecycle.prevent_destroy set, and the plan would destroy it. To destroy it, set prevent_destroy = false in its lifecycle block, apply, and then remove it.
        "#]],
    );
    assert_eq!(summaries(&world, &Desired::default()), ["Node is protected"]);
    world.kill(&address("cluster.orders.node.r[1]"));
    assert_eq!(summaries(&world, &without), ["Node is protected"]);
    protect(&mut desired, "r[1]", false);
    world.run(&plan_for(&world, &desired).plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
    finish(&mut world, &without);
}

#[test]
fn protecting_a_node_changes_the_record_alone() {
    let mut desired = orders(&["a", "r[0]"]);
    let mut world = made(&desired);
    protect(&mut desired, "a", true);
    expect![[r#"
        0 record cluster.orders.node.a after [] none
    "#]]
    .assert_eq(&steps(&plan_for(&world, &desired).plan));
    finish(&mut world, &desired);
    protect(&mut desired, "a", false);
    finish(&mut world, &desired);
}

#[test]
fn a_protected_database_is_not_dropped_and_a_protected_cluster_covers_its_databases() {
    let mut desired = shop(&["a"]);
    let spec = access(&mut desired).databases.values_mut().next().unwrap();
    spec.attributes.prevent_destroy = true;
    let mut world = made(&desired);
    let mut without = shop(&["a"]);
    access(&mut without).databases.clear();
    access(&mut without).seeds.clear();
    refuses(
        &world,
        &without,
        &expect![[r#"
            Database is protected: cluster.orders.database.app has lifecycle.prevent_destroy set, and the plan would destroy it. To destroy it, set prevent_destroy = false in its lifecycle block, apply, and then remove it.
        "#]],
    );
    let mut covered = shop(&["a"]);
    cluster(&mut covered).prevent_destroy = true;
    finish(&mut world, &covered);
    refuses(
        &world,
        &without,
        &expect![[r#"
            Database is protected: cluster.orders has lifecycle.prevent_destroy set, which covers its databases, and the plan would destroy cluster.orders.database.app. To destroy it, set prevent_destroy = false in the lifecycle block of cluster.orders, apply, and then remove it.
        "#]],
    );
    assert_eq!(summaries(&world, &Desired::default()), ["Cluster is protected"]);
    // What is gone already has nothing left to protect.
    let directory = super::access::primary(&mut world);
    directory.databases.clear();
    assert_eq!(summaries(&world, &without), [""; 0]);
}

#[test]
fn a_removed_block_lifts_no_protection_of_what_goes_with_its_cluster() {
    let mut desired = shop(&["a"]);
    let spec = access(&mut desired).databases.values_mut().next().unwrap();
    spec.attributes.prevent_destroy = true;
    let world = made(&desired);
    desired.clusters.clear();
    let database = "cluster.orders.database.app".parse().unwrap();
    desired.forgotten.insert(database, span());
    assert_eq!(summaries(&world, &desired), ["Database is protected"]);
}

/// A later version of simdb may have made it.
#[test]
fn a_cluster_of_an_engine_without_plans_is_left_as_it_is() {
    let desired = orders(&["a", "r[0]"]);
    let mut world = made(&desired);
    let recorded = world.state.clusters.values_mut().next().unwrap();
    (recorded.engine, recorded.version) = (EngineKind::Mariadb, 1011);
    refuses(
        &world,
        &desired,
        &expect![[r"
            Engine cannot be planned: Cluster orders on record runs MariaDB, for which this version of simdb makes no plans. Use the version that made the cluster.
        "]],
    );
    assert_eq!(summaries(&world, &Desired::default()), ["Engine cannot be planned"]);
}
