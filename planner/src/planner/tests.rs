mod access;
mod astray;
mod cascade;
mod drift;
mod elected;
mod ignored;
mod image;
mod imports;
mod interrupted;
mod limits;
mod lossy;
mod named;
mod network;
mod pinned;
mod pooler;
mod ports;
mod power;
mod protected;
mod published;
mod refresh;
mod replication;
mod resources;
mod role;
mod ruined;
mod scope;
mod several;
mod triggered;
mod unproven;

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::object::{
    CommitLevel, EndpointTarget, EngineKind, FailoverPolicy, ReplicationMode, Resources, first_platform,
};

use super::*;
use crate::desired::access::AccessSpec;
use crate::desired::{
    ClusterSpans, ClusterSpec, EndpointSpec, Ignored, LocalSettings, NetworkSpec, NodeSpec, ReplicationSpec,
};
use crate::diagnostic::Span;
use crate::plan::StepId;
use crate::simulate::{Cut, Fault, World};

fn span() -> Span {
    Span {
        file: "main.simdb.hcl".to_owned(),
        start: 0,
        end: 0,
    }
}

fn node() -> NodeSpec {
    NodeSpec {
        platform: None,
        provider_span: None,
        port: None,
        follows: None,
        apply_delay: None,
        parameters: BTreeMap::new(),
        image: None,
        resources: Resources::default(),
        resources_span: None,
        parameter_spans: BTreeMap::new(),
        span: span(),
        port_span: None,
        follows_span: None,
        prevent_destroy: false,
        ignored: Ignored::default(),
        triggers: Vec::new(),
    }
}

pub(super) fn address(text: &str) -> NodeAddress {
    text.parse().unwrap()
}

/// A configuration with one cluster `orders` of these nodes, the first one first.
pub(crate) fn orders(nodes: &[&str]) -> Desired {
    let endpoint = |target| EndpointSpec {
        target,
        pooler: None,
        span: span(),
    };
    let cluster = ClusterSpec {
        platform: first_platform(),
        network: "lan".parse().unwrap(),
        engine: EngineKind::Postgresql,
        version: None,
        replication: ReplicationSpec::of(1),
        failover: FailoverPolicy::default(),
        nodes: nodes.iter().map(|name| (name.parse().unwrap(), node())).collect(),
        first: nodes[0].parse().unwrap(),
        primary: None,
        prevent_destroy: false,
        ignored: Ignored::default(),
        ignored_drift: Vec::new(),
        depends_on: BTreeSet::new(),
        access: AccessSpec::default(),
        endpoints: BTreeMap::from([
            ("ro".parse().unwrap(), endpoint(EndpointTarget::Standby)),
            ("rw".parse().unwrap(), endpoint(EndpointTarget::Primary)),
        ]),
        spans: ClusterSpans {
            provider: None,
            cluster: span(),
            version: None,
            primary: None,
            synchronous_standbys: None,
        },
    };
    Desired {
        forgotten: BTreeMap::new(),
        imports: BTreeMap::new(),
        moved: Vec::new(),
        local: LocalSettings::default(),
        networks: BTreeMap::from([(
            "lan".parse().unwrap(),
            NetworkSpec {
                platform: first_platform(),
                subnet: None,
                reachable: false,
                span: span(),
            },
        )]),
        clusters: BTreeMap::from([("orders".parse().unwrap(), cluster)]),
        ignored_drift: Vec::new(),
    }
}

pub(crate) fn cluster(desired: &mut Desired) -> &mut ClusterSpec {
    desired.clusters.values_mut().next().unwrap()
}

pub(super) fn plan_for(world: &World, desired: &Desired) -> Planned {
    plan(Inputs {
        desired,
        recorded: &world.state,
        observed: &world.observe(),
        proposal: None,
    })
}

/// A plan as a reader of a test wants it: a line a step, with what it waits for.
pub(crate) fn steps(plan: &Plan) -> String {
    let line = |(id, step): (StepId, &crate::plan::Step)| {
        let after: Vec<String> = step.after.iter().map(|earlier| earlier.0.to_string()).collect();
        format!(
            "{} {} {} after [{}] {}\n",
            id.0,
            step.action.name(),
            step.address,
            after.join(" "),
            step.impact
        )
    };
    (0..)
        .map(StepId)
        .zip(&plan.steps)
        .map(line)
        .collect::<Vec<_>>()
        .concat()
}

/// Returns which of the steps is the first of its kind.
fn position(plan: &Plan, action: &str) -> usize {
    let mut steps = plan.steps.iter();
    steps.position(|step| step.action.name() == action).unwrap()
}

pub(crate) fn diagnostics(planned: &Planned) -> String {
    let line = |diagnostic: &Diagnostic| format!("{}: {}\n", diagnostic.summary, diagnostic.detail);
    planned.diagnostics.iter().map(line).collect::<Vec<_>>().concat()
}

/// What was found beside what simdb made, a line each.
fn found(planned: &Planned) -> String {
    let line = |found: &Finding| format!("{}: {}. {}\n", found.address, found.cause, found.remedy);
    planned.found.iter().map(line).collect()
}

fn not_compared(planned: &Planned) -> String {
    let line = |NotCompared { address, reason }: &NotCompared| format!("{address}: {reason}\n");
    planned.not_compared.iter().map(line).collect()
}

/// Plans, expects those steps, runs them, and expects nothing to be left to do.
fn check(world: &mut World, desired: &Desired, expected: &Expect) {
    let planned = plan_for(world, desired);
    assert_eq!(diagnostics(&planned), "");
    expected.assert_eq(&steps(&planned.plan));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(world, desired);
    assert_eq!(found(&plan_for(world, desired)), "");
}

pub(super) fn assert_second_plan_is_empty(world: &World, desired: &Desired) {
    let planned = plan_for(world, desired);
    assert_eq!(
        (diagnostics(&planned).as_str(), steps(&planned.plan).as_str()),
        ("", "")
    );
    assert_eq!(planned.plan.changes, []);
    assert_record_stands_for_itself(world, desired);
}

/// What is recorded, taken for what is declared, asks for nothing either: an emergency needs no configuration.
fn assert_record_stands_for_itself(world: &World, desired: &Desired) {
    let planned = plan_for(world, &Desired::recorded(&world.state, desired.local.clone()));
    assert_eq!(
        (diagnostics(&planned).as_str(), steps(&planned.plan).as_str()),
        ("", ""),
        "planned from the record alone"
    );
    assert_eq!(planned.plan.changes, []);
}

fn created(nodes: &[&str]) -> World {
    let mut world = World::default();
    world.run(&plan_for(&world, &orders(nodes)).plan, Cut::Never).unwrap();
    world
}

/// Applies, and expects nothing to be left to do.
fn finish(world: &mut World, desired: &Desired) {
    let planned = plan_for(world, desired);
    assert_eq!(diagnostics(&planned), "");
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(world, desired);
    assert_eq!(found(&plan_for(world, desired)), "");
}

fn replicating(nodes: &[&str], mode: ReplicationMode, number: u32) -> Desired {
    let mut desired = orders(nodes);
    cluster(&mut desired).replication = ReplicationSpec {
        mode,
        synchronous_standbys: number,
        ..ReplicationSpec::of(1)
    };
    desired
}

pub(crate) fn applied(desired: &Desired) -> World {
    let mut world = World::default();
    world.run(&plan_for(&world, desired).plan, Cut::Never).unwrap();
    world
}

fn propose(world: &World, desired: &Desired, nodes: &[&str], power: Power) -> Planned {
    let nodes = nodes
        .iter()
        .map(|node| address(&format!("cluster.orders.node.{node}")))
        .collect();
    let proposal = Proposal::Power { nodes, power };
    plan(Inputs {
        desired,
        recorded: &world.state,
        observed: &world.observe(),
        proposal: Some(&proposal),
    })
}

fn following(nodes: &[&str], follows: &[(&str, &str)]) -> Desired {
    let mut desired = replicating(nodes, ReplicationMode::Sync, 1);
    for (node, upstream) in follows {
        follow(&mut desired, node, upstream);
    }
    desired
}

fn follow(desired: &mut Desired, node: &str, upstream: &str) {
    let spec = cluster(desired).nodes.get_mut(&node.parse().unwrap()).unwrap();
    spec.follows = Some(upstream.parse().unwrap());
}

fn port(desired: &mut Desired, node: &str, port: u16) {
    let spec = cluster(desired).nodes.get_mut(&node.parse().unwrap()).unwrap();
    spec.port = Some(port);
}

/// Gives every node an address of its own, from one of several subnets.
pub(super) fn subnet(desired: &mut Desired, number: u8) {
    let network = desired.networks.values_mut().next().unwrap();
    network.subnet = Some(format!("127.20.{number}.0/28").parse().unwrap());
}

#[test]
fn a_cluster_is_made_primary_first_and_standbys_side_by_side() {
    check(
        &mut World::default(),
        &orders(&["a", "r[0]", "r[1]"]),
        &expect![[r#"
            0 network network.lan after [] none
            1 primary cluster.orders.node.a after [0] none
            2 slot cluster.orders.node.r[0] after [1] none
            3 slot cluster.orders.node.r[1] after [1] none
            4 replication-user cluster.orders.user.replicator after [1] none
            5 basebackup cluster.orders.node.r[0] after [2 4] none
            6 standby cluster.orders.node.r[0] after [5] none
            7 basebackup cluster.orders.node.r[1] after [3 4] none
            8 standby cluster.orders.node.r[1] after [7] none
            9 endpoint cluster.orders.endpoint.ro after [6 8] none
            10 endpoint cluster.orders.endpoint.rw after [6 8] none
            11 verify-sync cluster.orders after [9 10] none
        "#]],
    );
}

#[test]
fn a_cluster_without_standbys_is_ready_for_the_first_one() {
    check(
        &mut World::default(),
        &orders(&["a"]),
        &expect![[r#"
            0 network network.lan after [] none
            1 primary cluster.orders.node.a after [0] none
            2 replication-user cluster.orders.user.replicator after [1] none
            3 endpoint cluster.orders.endpoint.ro after [1] none
            4 endpoint cluster.orders.endpoint.rw after [1] none
            5 verify-sync cluster.orders after [2 3 4] none
        "#]],
    );
}

#[test]
fn a_standby_is_added_to_what_is_there() {
    check(
        &mut created(&["a", "r[0]"]),
        &orders(&["a", "r[0]", "r[1]"]),
        &expect![[r#"
            0 slot cluster.orders.node.r[1] after [] none
            1 basebackup cluster.orders.node.r[1] after [0] none
            2 standby cluster.orders.node.r[1] after [1] none
            3 endpoint cluster.orders.endpoint.ro after [2] none
            4 endpoint cluster.orders.endpoint.rw after [2] none
            5 verify-sync cluster.orders after [3 4] none
        "#]],
    );
}

#[test]
fn a_removed_standby_goes_after_the_rest_is_proven_and_its_slot_after_it() {
    check(
        &mut created(&["a", "r[0]", "r[1]"]),
        &orders(&["a", "r[0]"]),
        &expect![[r#"
            0 endpoint cluster.orders.endpoint.ro after [] none
            1 endpoint cluster.orders.endpoint.rw after [] none
            2 verify-sync cluster.orders after [0 1] none
            3 drop-node cluster.orders.node.r[1] after [2] none
            4 drop-slot cluster.orders.node.r[1] after [3] none
        "#]],
    );
}

#[test]
fn everything_is_destroyed_standbys_first() {
    let mut world = created(&["a", "r[0]"]);
    check(
        &mut world,
        &Desired::default(),
        &expect![[r#"
            0 drop-endpoint cluster.orders.endpoint.ro after [] none
            1 drop-endpoint cluster.orders.endpoint.rw after [] none
            2 drop-node cluster.orders.node.r[0] after [0 1] data-loss
            3 drop-node cluster.orders.node.a after [2] data-loss
            4 drop-user cluster.orders.user.replicator after [3] none
            5 drop-cluster cluster.orders after [4] none
            6 drop-network network.lan after [5] none
        "#]],
    );
    assert!(world.directories.is_empty() && world.routes.is_empty());
    assert_eq!(world.state, State::default());
}

#[test]
fn a_killed_server_is_started_where_it_is() {
    for killed in [vec!["a"], vec!["r[0]"], vec!["a", "r[0]"]] {
        let mut world = created(&["a", "r[0]"]);
        for node in &killed {
            world.kill(&address(&format!("cluster.orders.node.{node}")));
        }
        let planned = plan_for(&world, &orders(&["a", "r[0]"]));
        let started: Vec<String> = planned
            .plan
            .steps
            .iter()
            .map(|step| format!("{} {}", step.action.name(), step.address.name()))
            .collect();
        let mut expected: Vec<String> = killed.iter().map(|node| format!("start {node}")).collect();
        expected.push("verify-sync orders".to_owned());
        assert_eq!(started, expected);
        world.run(&planned.plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &orders(&["a", "r[0]"]));
    }
}

/// Everything that is recorded, and everything that lies somewhere, without the numbers of data directories.
fn kept(world: &World) -> (State, BTreeMap<NodeAddress, Vec<String>>, Vec<EndpointAddress>) {
    let mut state = world.state.clone();
    for data in state.nodes.values_mut().filter_map(|node| node.data.as_mut()) {
        data.generation = 0;
    }
    let directories = world.directories.iter();
    let directories =
        directories.map(|(address, directory)| (address.clone(), directory.slots.iter().cloned().collect()));
    (state, directories.collect(), world.routes.keys().cloned().collect())
}

#[test]
fn a_run_cut_off_anywhere_is_finished_by_the_next_plan() {
    let histories: &[(&[&str], Desired)] = &[
        (&[], orders(&["a", "r[0]", "r[1]"])),
        (&["a"], orders(&["a", "r[0]"])),
        (&["a", "r[0]", "r[1]"], orders(&["a", "r[0]"])),
        (&["a", "r[0]"], Desired::default()),
    ];
    let mut cases = 0;
    for (before, desired) in histories {
        let start = if before.is_empty() {
            World::default()
        } else {
            created(before)
        };
        let whole = plan_for(&start, desired).plan;
        let mut finished = start.clone();
        finished.run(&whole, Cut::Never).unwrap();
        for at in 0..whole.steps.len() {
            for cut in [Cut::Before(at), Cut::Within(at), Cut::After(at)] {
                let mut world = start.clone();
                world.run(&whole, cut).unwrap();
                let again = plan_for(&world, desired);
                assert_eq!(diagnostics(&again), "", "{cut:?}");
                world.run(&again.plan, Cut::Never).unwrap();
                assert_second_plan_is_empty(&world, desired);
                assert!(
                    world
                        .directories
                        .values()
                        .all(|directory| !directory.partial && directory.data.len() == 1)
                );
                assert_eq!(kept(&world), kept(&finished), "{cut:?}");
                cases += 1;
            }
        }
    }
    assert!(cases > 50, "{cases}");
}

#[test]
fn what_a_cut_off_creation_left_is_removed_when_it_is_no_longer_declared() {
    let desired = orders(&["a", "r[0]"]);
    let whole = plan_for(&World::default(), &desired).plan;
    for at in 0..whole.steps.len() {
        for cut in [Cut::Before(at), Cut::Within(at), Cut::After(at)] {
            let mut world = World::default();
            world.run(&whole, cut).unwrap();
            let removal = plan_for(&world, &Desired::default());
            assert_eq!(diagnostics(&removal), "");
            world.run(&removal.plan, Cut::Never).unwrap();
            assert!(world.directories.is_empty() && world.routes.is_empty(), "{cut:?}");
            assert_eq!(world.state, State::default(), "{cut:?}");
        }
    }
}

#[test]
fn a_node_keeps_its_port_and_a_new_one_gets_the_lowest_free() {
    let mut world = World::default();
    world.busy_ports.insert(15433, "nginx (pid 12)".to_owned());
    world
        .run(&plan_for(&world, &orders(&["a", "r[0]"])).plan, Cut::Never)
        .unwrap();
    let port = |world: &World, node: &str| world.state.nodes[&address(node)].place.as_ref().unwrap().bind.port;
    assert_eq!(port(&world, "cluster.orders.node.a"), 15432);
    assert_eq!(port(&world, "cluster.orders.node.r[0]"), 15434);
    world.busy_ports.clear();
    world
        .run(&plan_for(&world, &orders(&["a", "r[0]", "b"])).plan, Cut::Never)
        .unwrap();
    assert_eq!(port(&world, "cluster.orders.node.r[0]"), 15434);
    assert_eq!(port(&world, "cluster.orders.node.b"), 15433);
}

/// Expects no plan, and these diagnostics.
fn refuses(world: &World, desired: &Desired, expected: &Expect) {
    let planned = plan_for(world, desired);
    assert!(planned.plan.is_empty());
    expected.assert_eq(&diagnostics(&planned));
}

#[test]
fn a_declared_port_that_somebody_has_is_refused_and_names_who() {
    let mut world = World::default();
    world.busy_ports.insert(6000, "nginx (pid 12)".to_owned());
    let mut desired = orders(&["a"]);
    cluster(&mut desired)
        .nodes
        .values_mut()
        .for_each(|node| node.port = Some(6000));
    refuses(
        &world,
        &desired,
        &expect![[r#"
        Port is taken: Port 6000 of cluster.orders.node.a is in use by nginx (pid 12). Stop that program, or give the node another port; without a "port" argument simdb takes a free one.
    "#]],
    );
}

#[test]
fn an_unknown_version_is_refused_and_says_what_there_is() {
    let mut desired = orders(&["a"]);
    cluster(&mut desired).version = Some(99);
    refuses(
        &World::default(),
        &desired,
        &expect![[r#"
            Database programs not found: The programs of postgresql 99 are not on this machine. Found: 15 in /usr/lib/postgresql/15/bin. Looked in /usr/lib/postgresql. Install it (on Debian: apt-get install postgresql; versions that Debian does not have are at apt.postgresql.org), or name its directory in provider "local": binaries = ["/path/to/bin"].
        "#]],
    );
}

#[test]
fn a_cluster_does_not_move_to_another_platform() {
    let mut desired = orders(&["a", "b"]);
    let world = applied(&desired);
    cluster(&mut desired).platform = "cloud".parse().unwrap();
    refuses(
        &world,
        &desired,
        &expect![[r#"
            Platform cannot be changed: Cluster orders runs on platform "local", and its servers and data cannot move to "cloud". Set provider = "local", or declare another cluster on "cloud" and destroy this one.
        "#]],
    );
}

#[test]
fn a_port_range_that_is_used_up_is_refused() {
    let mut desired = orders(&["a", "b"]);
    desired.local.ports = Some((7000, 7000));
    refuses(
        &World::default(),
        &desired,
        &expect![[r#"
        No free port: Every port from 7000 to 7000 is in use or belongs to another node, so cluster.orders.node.b gets none. Set "port_range" in provider "local" to a larger range.
    "#]],
    );
}

#[test]
fn what_cannot_be_changed_yet_is_refused_with_the_line_to_write() {
    let world = created(&["a", "r[0]"]);
    let mut desired = orders(&["a", "r[0]"]);
    cluster(&mut desired).version = Some(18);
    refuses(
        &world,
        &desired,
        &expect![[r#"
        Major version cannot be changed: Cluster orders runs version 15, and its data can be read by no other. Upgrades are not supported by this version of simdb; set version = "15".
    "#]],
    );
}

#[test]
fn a_primary_that_lost_its_data_is_never_made_empty() {
    let mut world = created(&["a", "r[0]"]);
    world.directories.remove(&address("cluster.orders.node.a"));
    refuses(
        &world,
        &orders(&["a", "r[0]"]),
        &expect![[r#"
        Primary has lost its data: cluster.orders.node.a leads the cluster, and its data directory is gone. simdb makes no empty one in its place. Put the directory back, or destroy the cluster and create it anew.
    "#]],
    );
}

#[test]
fn what_could_not_be_looked_at_is_told_and_changes_nothing() {
    let world = created(&["a", "r[0]"]);
    let mut observed = world.observe();
    for observation in observed.nodes.values_mut() {
        *observation = crate::observed::Observation::Unknown("did not answer within 2 s".to_owned());
    }
    let planned = plan(Inputs {
        desired: &orders(&["a", "r[0]"]),
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    });
    assert_eq!(diagnostics(&planned), "");
    assert!(planned.plan.is_empty());
    expect![[r#"
        cluster.orders.node.a: it could not be looked at: did not answer within 2 s
        cluster.orders.node.r[0]: it could not be looked at: did not answer within 2 s
    "#]]
    .assert_eq(&not_compared(&planned));
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let world = created(&["a", "r[0]"]);
    let bytes = || serde_json::to_string(&plan_for(&world, &orders(&["a", "b", "r[0]"])).plan).unwrap();
    assert_eq!(bytes(), bytes());
}

#[test]
fn a_plan_reads_back_as_it_was_written() {
    let plan = plan_for(&World::default(), &orders(&["a", "r[0]"])).plan;
    assert_eq!(
        serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(),
        plan
    );
}

/// Lets something happen to a created cluster of `a`, `r[0]` and `r[1]`, and expects these steps.
fn after(happen: impl FnOnce(&mut World), expected: &Expect) {
    let mut world = created(&["a", "r[0]", "r[1]"]);
    happen(&mut world);
    check(&mut world, &orders(&["a", "r[0]", "r[1]"]), expected);
    let slots: Vec<&String> = world.directories[&address("cluster.orders.node.a")]
        .slots
        .iter()
        .collect();
    assert_eq!(slots, ["r_0", "r_1"]);
}

fn directory<'a>(world: &'a mut World, node: &str) -> &'a mut crate::simulate::InstanceDirectory {
    world
        .directories
        .get_mut(&address(&format!("cluster.orders.node.{node}")))
        .unwrap()
}

#[test]
fn a_server_halted_by_a_signal_goes_on() {
    after(
        |world| directory(world, "r[0]").server.as_mut().unwrap().frozen = true,
        &expect![[r#"
            0 start cluster.orders.node.r[0] after [] none
            1 verify-sync cluster.orders after [0] none
        "#]],
    );
}

#[test]
fn a_dropped_slot_is_made_again_and_proven() {
    after(
        |world| assert!(directory(world, "a").slots.remove("r_0")),
        &expect![[r#"
        0 slot cluster.orders.node.r[0] after [] none
        1 verify-sync cluster.orders after [0] none
    "#]],
    );
}

#[test]
fn a_standby_whose_data_was_removed_is_stopped_and_cloned_again() {
    after(
        |world| directory(world, "r[0]").data.clear(),
        &expect![[r#"
        0 stop cluster.orders.node.r[0] after [] restart
        1 basebackup cluster.orders.node.r[0] after [0] none
        2 standby cluster.orders.node.r[0] after [1] none
        3 verify-sync cluster.orders after [2] none
    "#]],
    );
}

#[test]
fn an_edited_file_is_written_again_and_read() {
    let edit = |world: &mut World| directory(world, "r[0]").files.get_mut("pg_hba.conf").unwrap().edited = true;
    after(
        edit,
        &expect![[r#"
        0 configure cluster.orders.node.r[0] after [] reload
    "#]],
    );
}

#[test]
fn a_setting_that_was_changed_behind_our_back_is_put_back() {
    let set = |name: &'static str, value: &'static str| {
        move |world: &mut World| {
            directory(world, "a")
                .configured
                .insert(name.to_owned(), value.to_owned());
        }
    };
    after(
        set("work_mem", "64kB"),
        &expect![[r#"
            0 configure cluster.orders.node.a after [] reload
        "#]],
    );
    after(
        set("wal_level", "replica"),
        &expect![[r#"
        0 configure cluster.orders.node.a after [] downtime
        1 verify-sync cluster.orders after [0] none
    "#]],
    );
}

#[test]
fn foreign_data_and_changed_roles_are_refused_with_an_explanation() {
    let desired = orders(&["a", "r[0]"]);
    let mut world = created(&["a", "r[0]"]);
    directory(&mut world, "r[0]")
        .data
        .insert(1, simdb_state::identity::DataIdentity::from(99));
    refuses(
        &world,
        &desired,
        &expect![[r#"
        Foreign data: cluster.orders.node.r[0] holds the data of another cluster: its system identifier is 99, and the one on record is 1. simdb neither starts nor removes data that it did not make. Put the node's own data directory back; or, for a standby, move the foreign one away, and the next apply clones it again.
    "#]],
    );
    let mut world = created(&["a", "r[0]"]);
    directory(&mut world, "r[0]").server.as_mut().unwrap().replays = false;
    refuses(
        &world,
        &desired,
        &expect![[r#"
            Role was changed without simdb: cluster.orders.node.r[0] is a standby on record, and its server takes writes. It was promoted or its start was changed without simdb, and two nodes of a cluster may have taken writes since. Nothing is done until that is settled: find out which node has the writes worth keeping. To give up those of cluster.orders.node.r[0], run: simdb resync orders r[0]; to keep them, and give up the writes of the other nodes since, run: simdb failover orders -promote r[0] -allow=data-loss
        "#]],
    );
}

#[test]
fn a_protected_cluster_is_not_destroyed_even_where_its_block_is_gone() {
    let mut desired = orders(&["a"]);
    cluster(&mut desired).prevent_destroy = true;
    let mut world = World::default();
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 network network.lan after [] none
        1 primary cluster.orders.node.a after [0] none
        2 replication-user cluster.orders.user.replicator after [1] none
        3 endpoint cluster.orders.endpoint.ro after [1] none
        4 endpoint cluster.orders.endpoint.rw after [1] none
        5 verify-sync cluster.orders after [2 3 4] none
    "#]],
    );
    refuses(
        &world,
        &Desired::default(),
        &expect![[r#"
        Cluster is protected: cluster.orders has lifecycle.prevent_destroy set, and the plan would destroy it. To destroy it, set prevent_destroy = false in its lifecycle block, apply, and then remove it.
    "#]],
    );
    check(
        &mut world,
        &orders(&["a"]),
        &expect![[r#"
            0 cluster cluster.orders after [] none
        "#]],
    );
    world
        .run(&plan_for(&world, &Desired::default()).plan, Cut::Never)
        .unwrap();
    assert!(world.directories.is_empty());
}

#[test]
fn parameters_are_changed_one_server_after_the_other() {
    let mut world = created(&["a", "r[0]", "r[1]"]);
    let mut desired = orders(&["a", "r[0]", "r[1]"]);
    for node in cluster(&mut desired).nodes.values_mut() {
        node.parameters.insert("max_connections".to_owned(), "50".to_owned());
    }
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 configure cluster.orders.node.a after [] downtime
            1 configure cluster.orders.node.r[0] after [0] restart
            2 configure cluster.orders.node.r[1] after [1] restart
            3 verify-sync cluster.orders after [2] none
        "#]],
    );
}

#[test]
fn a_standby_whose_log_is_gone_is_cloned_again_beside_its_old_data() {
    let lose = |world: &mut World| {
        directory(world, "a").lost.insert("r_0".to_owned());
    };
    after(
        lose,
        &expect![[r#"
        0 slot cluster.orders.node.r[0] after [] none
        1 stop cluster.orders.node.r[0] after [] restart
        2 basebackup cluster.orders.node.r[0] after [0 1] none
        3 standby cluster.orders.node.r[0] after [2] none
        4 verify-sync cluster.orders after [3] none
    "#]],
    );
}

#[test]
fn parameters_that_the_version_does_not_take_are_refused_once_each() {
    let mut desired = orders(&["a", "r[0]"]);
    for node in cluster(&mut desired).nodes.values_mut() {
        node.parameters.insert("work_men".to_owned(), "8MB".to_owned());
        node.parameters.insert("max_connections".to_owned(), "many".to_owned());
    }
    refuses(
        &World::default(),
        &desired,
        &expect![[r#"
        Parameter is not accepted: The parameter "max_connections" must be a whole number from 1 to 262143, not "many".
        Parameter is not accepted: The parameter "work_men" is none of PostgreSQL 15. Did you mean "work_mem"?
    "#]],
    );
}
