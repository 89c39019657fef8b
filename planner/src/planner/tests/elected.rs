//! Which of the standbys that could lead is elected.

use std::collections::BTreeSet;

use expect_test::expect;
use simdb_state::object::Verdict;

use super::role::{election, lossy_failover, plan_of, proposed, quorum, refuses_proposal, verdict};
use super::*;
use crate::planner::ElectionKind;

#[test]
fn a_standby_that_is_no_longer_declared_is_not_elected() {
    let mut world = applied(&quorum(&["a", "r[0]", "r[1]"]));
    world.kill(&address("cluster.orders.node.a"));
    world.kill(&address("cluster.orders.node.r[0]"));
    refuses_proposal(
        &world,
        &quorum(&["a", "r[0]"]),
        &election(ElectionKind::Failover, None),
        &expect![[r#"
            Failover is refused: The configuration of cluster orders declares none of the standbys that answer. Declare r[1] again, so that it can take over.
        "#]],
    );
}

#[test]
fn another_node_is_elected_where_the_first_one_turned_out_to_have_less() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    world.write(
        &"orders".parse().unwrap(),
        &BTreeSet::from([address("cluster.orders.node.r[1]")]),
    );
    world.kill(&address("cluster.orders.node.a"));
    let lossy = lossy_failover(Some("r[0]"));
    // r[0] is about to be promoted when r[1] is found to have more: commits may have waited for whom r[0] asks.
    let first = plan_of(&world, &desired, &lossy);
    world.run(&first, Cut::Before(position(&first, "promote"))).unwrap();
    assert!(
        !world
            .state
            .clusters
            .values()
            .next()
            .unwrap()
            .pending_sync_rules
            .is_empty()
    );
    let second = plan_of(&world, &desired, &election(ElectionKind::Failover, None));
    assert!(
        steps(&second).contains("promote cluster.orders.node.r[1] after"),
        "{}",
        steps(&second)
    );
    world.run(&second, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
    assert!(matches!(verdict(&world), Verdict::Argued { .. }));
}

#[test]
fn of_standbys_that_have_as_much_the_one_with_the_greatest_priority_takes_over() {
    let priorities = |of: &[(&str, u32)]| {
        let mut desired = quorum(&["a", "b", "c"]);
        let priorities = of.iter().map(|(node, priority)| (node.parse().unwrap(), *priority));
        cluster(&mut desired).failover.priorities = priorities.collect();
        desired
    };
    let elected = |desired: &Desired, kind| {
        let mut world = applied(desired);
        if kind == ElectionKind::Failover {
            world.kill(&address("cluster.orders.node.a"));
        }
        let planned = proposed(&world, desired, &election(kind, None));
        assert_eq!(diagnostics(&planned), "");
        planned.after.elections.values().next().unwrap().primary.to_string()
    };
    for kind in [ElectionKind::Failover, ElectionKind::Switchover] {
        assert_eq!(elected(&priorities(&[]), kind), "b");
        assert_eq!(elected(&priorities(&[("c", 200)]), kind), "c");
        assert_eq!(elected(&priorities(&[("b", 0)]), kind), "c");
    }
}

#[test]
fn a_node_whose_priority_is_0_takes_over_only_where_it_is_named() {
    let mut desired = quorum(&["a", "b", "c"]);
    cluster(&mut desired).failover.priorities = [("b".parse().unwrap(), 0), ("c".parse().unwrap(), 0)].into();
    let mut world = applied(&desired);
    refuses_proposal(
        &world,
        &desired,
        &election(ElectionKind::Switchover, None),
        &expect![[r#"
            Switchover is refused: No node of cluster orders can take over from a (b: its failover_priority is 0; c: its failover_priority is 0). Let `simdb apply` mend them, with a declared until one of them can.
        "#]],
    );
    world.kill(&address("cluster.orders.node.a"));
    refuses_proposal(
        &world,
        &desired,
        &election(ElectionKind::Failover, None),
        &expect![[r#"
            Failover is refused: Every standby of cluster orders that answers has failover_priority = 0. To promote one all the same, name it: simdb failover orders -promote c
        "#]],
    );
    let named = proposed(&world, &desired, &election(ElectionKind::Failover, Some("c")));
    assert_eq!(diagnostics(&named), "");
    assert!(!named.plan.is_empty());
}
