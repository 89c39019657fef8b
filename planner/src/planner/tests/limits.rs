//! Settings that replay depends on, given while standbys are away, move, or have too little.

use expect_test::expect;

use super::role::{election, proposed, quorum};
use super::*;
use crate::engine::replay::ReplayLimits;
use crate::observed::Observation;
use crate::plan::{Action, Step};
use crate::planner::ElectionKind;

fn with(nodes: &[&str], settings: &[(&str, &str)]) -> Desired {
    let mut desired = quorum(nodes);
    for node in cluster(&mut desired).nodes.values_mut() {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        node.parameters.extend(settings.iter().map(pair));
    }
    desired
}

/// Lets `a` write what all others receive, on a log that asks for this much of `max_connections`.
fn write_with(world: &mut World, connections: &str) {
    let limits = [("max_connections".to_owned(), connections.to_owned())].into();
    let log = world.logs.get_mut(&(address("cluster.orders.node.a"), 1)).unwrap();
    log.limits = ReplayLimits::of(15, &limits);
    world.inject(&Fault::Write(0b1111_1110));
}

/// Returns what a node's server has of `max_connections` now.
fn connections(world: &World, node: &str) -> Option<u32> {
    let server = world.directories[&address(&format!("cluster.orders.node.{node}"))]
        .server
        .as_ref()?;
    server.limits.value("max_connections")
}

#[test]
fn a_standby_that_is_down_while_the_primary_gets_less_is_started_after_that_and_gets_less_too() {
    let nodes = ["a", "r[0]", "r[1]"];
    let mut world = applied(&with(&nodes, &[("max_connections", "80")]));
    world.kill(&address("cluster.orders.node.r[0]"));
    let less = with(&nodes, &[("max_connections", "40")]);
    check(
        &mut world,
        &less,
        &expect![[r#"
            0 configure cluster.orders.node.a after [] downtime
            1 start cluster.orders.node.r[0] after [0] none
            2 configure cluster.orders.node.r[1] after [0] restart
            3 verify-sync cluster.orders after [1 2] none
        "#]],
    );
    assert_eq!(connections(&world, "r[0]"), Some(40));
}

#[test]
fn all_nodes_move_and_get_less_in_one_apply() {
    let nodes = ["a", "r[0]", "r[1]"];
    let mut world = applied(&with(&nodes, &[("max_connections", "80")]));
    let mut less = with(&nodes, &[("max_connections", "40")]);
    subnet(&mut less, 1);
    finish(&mut world, &less);
    assert!(nodes.iter().all(|node| connections(&world, node) == Some(40)));
}

#[test]
fn a_standby_whose_upstream_is_lost_streams_from_another_one_before_it_gets_less() {
    let mut more = with(&["a", "b", "c"], &[("max_connections", "80")]);
    follow(&mut more, "c", "b");
    let mut world = applied(&more);
    world.kill(&address("cluster.orders.node.b"));
    let less = with(&["a", "c"], &[("max_connections", "40")]);
    check(
        &mut world,
        &less,
        &expect![[r#"
            0 configure cluster.orders.node.a after [] downtime
            1 slot cluster.orders.node.c after [0] none
            2 follow cluster.orders.node.c after [1] reload
            3 configure cluster.orders.node.c after [2] restart
            4 endpoint cluster.orders.endpoint.ro after [3] none
            5 endpoint cluster.orders.endpoint.rw after [3] none
            6 sync-names cluster.orders after [3] reload
            7 verify-sync cluster.orders after [4 5 6] none
            8 drop-node cluster.orders.node.b after [7] none
            9 drop-slot cluster.orders.node.b after [8] none
        "#]],
    );
    assert_eq!(connections(&world, "c"), Some(40));
}

#[test]
fn a_standby_that_is_down_is_started_before_it_streams_from_elsewhere_while_its_primary_gets_less() {
    let mut more = with(&["a", "b", "c"], &[("max_connections", "80")]);
    follow(&mut more, "c", "b");
    let mut world = applied(&more);
    world.kill(&address("cluster.orders.node.c"));
    let less = with(&["a", "b", "c"], &[("max_connections", "40")]);
    let planned = plan_for(&world, &less);
    let of_c = |name: &str| {
        let is = |step: &Step| step.action.name() == name && step.address == address("cluster.orders.node.c").into();
        planned.plan.steps.iter().position(is).unwrap()
    };
    assert!(of_c("start") < of_c("follow"));
    finish(&mut world, &less);
}

#[test]
fn a_standby_with_less_than_its_primary_is_refused_and_keeps_no_failover_from_happening() {
    let nodes = ["a", "r[0]"];
    let mut world = applied(&quorum(&nodes));
    let mut desired = quorum(&nodes);
    let parameter = |desired: &mut Desired, node: &str, value: &str| {
        let spec = cluster(desired).nodes.get_mut(&node.parse().unwrap()).unwrap();
        spec.parameters.insert("max_connections".to_owned(), value.to_owned());
    };
    parameter(&mut desired, "a", "150");
    let refused = diagnostics(&plan_for(&world, &desired));
    expect![[r#"
        Standby has less than its primary: cluster.orders.node.r[0] has max_connections = 100, and cluster.orders.node.a, which leads, has max_connections = 150. A standby that has less of these than the server whose log it replays pauses its replay. Give all nodes the same: set parameters in the engine block of cluster "orders".
    "#]].assert_eq(&refused);

    // What was applied before the lead passed is no reason to refuse the next failover.
    let mut desired = quorum(&nodes);
    parameter(&mut desired, "r[0]", "150");
    finish(&mut world, &desired);
    world.kill(&address("cluster.orders.node.a"));
    let planned = proposed(&world, &desired, &election(ElectionKind::Failover, None));
    let errors = planned.diagnostics.iter().filter(|found| found.is_error());
    assert_eq!(errors.count(), 0);
}

#[test]
fn a_standby_that_paused_by_itself_is_restarted_and_never_resumed() {
    let desired = with(&["a", "r[0]"], &[("max_connections", "80")]);
    let mut world = applied(&desired);
    let standby = directory(&mut world, "r[0]").server.as_mut().unwrap();
    standby.limits = ReplayLimits::default();
    standby.lacking = Some(ReplayLimits::of(
        15,
        &[("max_connections".to_owned(), "120".to_owned())].into(),
    ));
    let planned = plan_for(&world, &desired);
    expect![[r#"
        0 configure cluster.orders.node.r[0] after [] write-pause
        1 verify-sync cluster.orders after [0] none
    "#]]
    .assert_eq(&steps(&planned.plan));
    expect!["r[0] paused its replay: the log asks for max_connections = 120"].assert_eq(&planned.plan.steps[0].reason);
    finish(&mut world, &desired);
    assert_eq!(connections(&world, "r[0]"), Some(80));
}

#[test]
fn a_standby_that_paused_by_itself_is_restarted_also_where_its_primary_got_less_since() {
    let desired = with(&["a", "r[0]"], &[("max_connections", "40")]);
    let mut world = applied(&desired);
    write_with(&mut world, "80");
    write_with(&mut world, "40");
    let planned = plan_for(&world, &desired);
    expect![[r#"
        0 configure cluster.orders.node.r[0] after [] write-pause
        1 verify-sync cluster.orders after [0] none
    "#]]
    .assert_eq(&steps(&planned.plan));
    expect!["r[0] paused its replay: the log asks for max_connections = 80"].assert_eq(&planned.plan.steps[0].reason);
    finish(&mut world, &desired);
}

#[test]
fn a_standby_whose_replay_somebody_paused_is_resumed_and_then_restarted_where_its_log_asks_for_more() {
    let desired = with(&["a", "r[0]"], &[("max_connections", "40")]);
    let mut world = applied(&desired);
    world.inject(&Fault::PauseReplay(1));
    write_with(&mut world, "80");
    let planned = plan_for(&world, &desired);
    assert_eq!(planned.plan.steps[0].action.name(), "resume");
    assert!(world.run(&planned.plan, Cut::Never).is_err());
    write_with(&mut world, "40");
    finish(&mut world, &desired);
}

#[test]
fn a_setting_that_takes_a_restart_waits_until_the_lead_has_passed() {
    let nodes = ["a", "r[0]"];
    let mut world = applied(&with(&nodes, &[("shared_buffers", "80MB")]));
    let other = with(&nodes, &[("shared_buffers", "40MB"), ("work_mem", "8MB")]);
    let planned = proposed(&world, &other, &election(ElectionKind::Switchover, Some("r[0]")));
    let kept =
        "keeps shared_buffers while this plan runs, and is restarted with the declared values with the next apply.";
    let told = planned.plan.notes.join("\n");
    assert!(told.contains(&format!("cluster.orders.node.a {kept}")), "{told}");
    assert!(told.contains(&format!("cluster.orders.node.r[0] {kept}")), "{told}");
    world.run(&planned.plan, Cut::Never).unwrap();
    let recorded = &world.state.nodes[&address("cluster.orders.node.r[0]")].parameters;
    assert_eq!(
        (recorded["shared_buffers"].as_str(), recorded["work_mem"].as_str()),
        ("80MB", "8MB")
    );
    finish(&mut world, &other);
}

#[test]
fn a_server_that_cannot_be_asked_in_the_middle_of_its_restart_is_restarted() {
    let mut world = applied(&with(&["a", "r[0]"], &[("max_connections", "40")]));
    let more = with(&["a", "r[0]"], &[("max_connections", "80")]);
    // The files were written, and the server was told to stop.
    let planned = plan_for(&world, &more);
    world.run(&planned.plan, Cut::After(1)).unwrap();
    let mut observed = world.observe();
    let primary = observed.nodes.get_mut(&address("cluster.orders.node.a"));
    let Some(Observation::Seen(facts)) = primary else {
        panic!("the primary was seen")
    };
    facts.server = Some(Observation::Unknown("the database system is shutting down".to_owned()));
    let planned = plan(Inputs {
        desired: &more,
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    });
    assert_eq!(diagnostics(&planned), "");
    let configures = |step: &&Step| step.address == address("cluster.orders.node.a").into();
    let step = planned.plan.steps.iter().find(configures).unwrap();
    assert!(
        matches!(step.action, Action::Configure { restart: true, .. }),
        "{step:?}"
    );
}

#[test]
fn a_standby_that_paused_by_itself_is_restarted_before_a_failover_promotes_it() {
    let desired = with(&["a", "r[0]", "r[1]"], &[("max_connections", "40")]);
    let mut world = applied(&desired);
    write_with(&mut world, "80");
    world.inject(&Fault::RemoveData(0));
    let refused = diagnostics(&plan_for(&world, &desired));
    assert!(refused.contains("Primary has lost its data"), "{refused}");
    let planned = proposed(&world, &desired, &election(ElectionKind::Failover, None));
    assert_eq!(diagnostics(&planned), "");
    let steps = &planned.plan.steps;
    let is_restarted = |step: &Step| {
        let restarts = matches!(step.action, Action::Configure { restart: true, .. });
        restarts && step.address == address("cluster.orders.node.r[0]").into()
    };
    let restart = steps.iter().position(is_restarted).unwrap();
    let promote = &steps[position(&planned.plan, "promote")];
    assert!(promote.after.iter().any(|earlier| earlier.index() == restart));
    expect!["r[0] paused its replay: the log asks for max_connections = 80"].assert_eq(&steps[restart].reason);
    expect![[r#"
        cluster.orders.node.r[0] is restarted with as much max_connections as its log asks for, and gets the declared values with the next apply.
        cluster.orders.node.r[1] is restarted with as much max_connections as its log asks for, and gets the declared values with the next apply."#]]
        .assert_eq(&planned.plan.notes.join("\n"));
    world.run(&planned.plan, Cut::Never).unwrap();
    let next = plan_for(&world, &desired).plan;
    for node in ["r[0]", "r[1]"] {
        let told = format!("cluster.orders.node.{node} is restarted");
        assert!(planned.plan.notes.iter().any(|note| note.starts_with(&told)), "{node}");
        let of_node = |step: &&Step| step.address == address(&format!("cluster.orders.node.{node}")).into();
        assert!(
            next.steps.iter().any(|step| of_node(&step)),
            "{node} gets what is declared"
        );
    }
    finish(&mut world, &desired);
}

#[test]
fn more_standbys_than_a_server_has_room_for_are_told() {
    let names: Vec<String> = (0..64).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let said = |nodes: &[&str]| diagnostics(&plan_for(&World::default(), &orders(nodes)));
    assert_eq!(said(&names[..61]), "");
    expect![[r#"
        More standbys than a server has room for: 63 standbys follow cluster.orders.node.n0, and a server has room for 60. The steps of the others fail. Let some of them follow another standby: set follows in their node blocks.
    "#]].assert_eq(&said(&names));
}
