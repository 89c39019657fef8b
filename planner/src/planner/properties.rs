//! Random histories on the simulated world: whatever was declared, cut off, killed and declared again, the next plan
//! that runs to its end leads to what is declared, and the one after it is empty.

mod roles;

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use simdb_state::instance::LOOPBACK;
use simdb_state::object::ReplicationMode;

use super::tests::{address, assert_second_plan_is_empty, diagnostics, orders, plan_for, subnet};
use crate::desired::{Desired, ReplicationSpec};
use crate::simulate::{Cut, World};

/// The nodes that histories play with; the first one always leads, as nothing moves a primary yet.
const STANDBYS: [&str; 5] = ["b", "c", "r[0]", "r[1]", "r[2]"];

/// Where this is set, the tests are to run with debug assertions: their profile leaves them out for speed.
const DEBUG_ASSERTIONS: &str = "SIMDB_TEST_DEBUG_ASSERTIONS";

/// The lowest of the ports that are declared; those that are chosen are below.
const DECLARED: u16 = 20_000;

/// What is declared: `a` and these standbys.
#[derive(Clone, Debug)]
struct Topology {
    standbys: Vec<&'static str>,
    mode: ReplicationMode,
    number: u32,
    /// Each standby follows the one this far before it, where there is one; 0 is the primary.
    cascade: usize,
    /// The standby that this one chooses is delayed.
    delayed: Option<Index>,
    /// The port of `a`, and those of the standbys from it on; absent, they are chosen.
    port: Option<u16>,
    /// Which of two subnets the nodes have addresses of, if they have their own.
    subnet: Option<u8>,
}

/// What happens to the world between two finished plans.
#[derive(Clone, Debug)]
enum Event {
    /// A topology is declared, and the plan is cut off.
    Interrupted(Topology, Index, CutKind),
    /// A topology is declared, and the plan is run.
    Applied(Topology),
    /// A server dies.
    Killed(Index),
    /// A slot is dropped by hand.
    SlotDropped(Index),
    /// An endpoint's route is removed by hand.
    RouteRemoved(Index),
    /// A standby's data directory is removed by hand, its server being down.
    DataRemoved(Index),
    /// A server's replay is paused by hand.
    Paused(Index),
    /// A server dies, and another program takes its port.
    PortTaken(Index),
}

#[derive(Clone, Copy, Debug)]
enum CutKind {
    Before,
    Within,
    After,
}

fn declared() -> impl Strategy<Value = Topology> {
    let mode = prop_oneof![
        Just(ReplicationMode::Async),
        Just(ReplicationMode::Sync),
        Just(ReplicationMode::Quorum)
    ];
    // Ports of two topologies overlap in no node, so that nobody is to have what another one leaves.
    let port = prop_oneof![3 => Just(None), 1 => Just(Some(DECLARED)), 1 => Just(Some(DECLARED + 100))];
    let subnet = prop_oneof![3 => Just(None), 1 => Just(Some(1)), 1 => Just(Some(2))];
    (
        subsequence(STANDBYS.to_vec(), 0..=STANDBYS.len()),
        mode,
        1..3_u32,
        0..3_usize,
        prop::option::weighted(0.2, any::<Index>()),
        port,
        subnet,
    )
        .prop_map(|(standbys, mode, number, cascade, delayed, port, subnet)| Topology {
            standbys,
            mode,
            number,
            cascade,
            delayed,
            port,
            subnet,
        })
}

fn event() -> impl Strategy<Value = Event> {
    let cut = prop_oneof![Just(CutKind::Before), Just(CutKind::Within), Just(CutKind::After)];
    prop_oneof![
        4 => (declared(), any::<Index>(), cut).prop_map(|(topology, at, cut)| Event::Interrupted(topology, at, cut)),
        2 => declared().prop_map(Event::Applied),
        1 => any::<Index>().prop_map(Event::Killed),
        1 => any::<Index>().prop_map(Event::SlotDropped),
        1 => any::<Index>().prop_map(Event::RouteRemoved),
        1 => any::<Index>().prop_map(Event::DataRemoved),
        1 => any::<Index>().prop_map(Event::Paused),
        1 => any::<Index>().prop_map(Event::PortTaken),
    ]
}

fn desired(topology: &Topology) -> Desired {
    let Topology {
        standbys,
        mode,
        number,
        cascade,
        delayed,
        port,
        subnet: own,
    } = topology;
    let nodes: Vec<&str> = std::iter::once("a").chain(standbys.iter().copied()).collect();
    let mut desired = orders(&nodes);
    if let Some(number) = own {
        subnet(&mut desired, *number);
    }
    let cluster = desired.clusters.values_mut().next().unwrap();
    let offset = |name: &str| u16::try_from(STANDBYS.iter().position(|other| *other == name).map_or(0, |at| at + 1));
    for (name, spec) in &mut cluster.nodes {
        spec.port = port.map(|port| port + offset(&name.to_string()).unwrap());
    }
    for (at, name) in standbys.iter().enumerate() {
        let upstream = at.checked_sub(*cascade).filter(|before| *before < at);
        let spec = cluster.nodes.get_mut(&name.parse().unwrap()).unwrap();
        spec.follows = upstream.map(|upstream| standbys[upstream].parse().unwrap());
    }
    if let Some(name) = delayed.and_then(|index| pick(index, standbys)) {
        let spec = cluster.nodes.get_mut(&name.parse().unwrap()).unwrap();
        spec.apply_delay = Some("5s".to_owned());
    }
    let direct = cluster.nodes.values().filter(|spec| spec.follows.is_none()).count() - 1;
    let able = u32::try_from(direct).unwrap();
    if able > 0 && *mode != ReplicationMode::Async {
        cluster.replication = ReplicationSpec {
            mode: *mode,
            synchronous_standbys: (*number).min(able),
            ..cluster.replication
        };
    }
    desired
}

fn pick<T>(index: Index, from: &[T]) -> Option<&T> {
    (!from.is_empty()).then(|| index.get(from))
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Interrupted(topology, at, cut) => {
            let planned = plan_for(world, &desired(topology));
            assert_eq!(diagnostics(&planned), "");
            let steps: Vec<usize> = (0..planned.plan.steps.len()).collect();
            let Some(at) = pick(*at, &steps) else { return };
            let cut = match cut {
                CutKind::Before => Cut::Before(*at),
                CutKind::Within => Cut::Within(*at),
                CutKind::After => Cut::After(*at),
            };
            // A run may fail before it comes to the cut; to the next plan that is an interruption as well.
            drop(world.run(&planned.plan, cut));
        }
        Event::Applied(topology) => finish(world, &desired(topology)),
        Event::Killed(index) => {
            let directories: Vec<_> = world.directories.keys().cloned().collect();
            if let Some(node) = pick(*index, &directories) {
                world.kill(node);
            }
        }
        Event::SlotDropped(index) => {
            if let Some(directory) = world.directories.get_mut(&address("cluster.orders.node.a")) {
                let slots: Vec<String> = directory.slots.iter().cloned().collect();
                pick(*index, &slots).map(|slot| directory.slots.remove(slot));
            }
        }
        Event::RouteRemoved(index) => {
            let routes: Vec<_> = world.routes.keys().cloned().collect();
            pick(*index, &routes).map(|route| world.routes.remove(route));
        }
        Event::DataRemoved(index) => {
            let directories = world.directories.keys().filter(|node| node.node.to_string() != "a");
            let directories: Vec<_> = directories.cloned().collect();
            let Some(directory) = pick(*index, &directories).and_then(|node| world.directories.get_mut(node)) else {
                return;
            };
            directory.server = None;
            directory.data.clear();
        }
        Event::Paused(index) => {
            let standbys = world
                .directories
                .values_mut()
                .filter_map(|directory| directory.server.as_mut());
            let standbys: Vec<_> = standbys.filter(|server| server.replays).collect();
            let length = standbys.len();
            let mut standbys = standbys.into_iter();
            if let Some(server) = (length > 0).then(|| standbys.nth(index.index(length))).flatten() {
                server.paused = true;
            }
        }
        Event::PortTaken(index) => {
            let directories: Vec<_> = world.directories.keys().cloned().collect();
            let Some(node) = pick(*index, &directories) else { return };
            world.kill(node);
            // A port that is declared is not given up: whoever took it has to go.
            if let Some(listen) = world.directories[node]
                .listen
                .filter(|at| at.host == LOOPBACK && at.port < DECLARED)
            {
                world.busy_ports.insert(listen.port, "nginx (pid 12)".to_owned());
            }
        }
    }
}

/// Applies until it succeeds. A second apply is needed only where the first one could not see what it then ran into:
/// what a server that is down holds.
fn finish(world: &mut World, desired: &Desired) {
    for _ in 0..2 {
        let planned = plan_for(world, desired);
        assert_eq!(diagnostics(&planned), "");
        if world.run(&planned.plan, Cut::Never).is_ok() {
            return assert_second_plan_is_empty(world, desired);
        }
    }
    panic!("the second apply failed as well");
}

#[test]
fn debug_assertions_are_on_where_they_are_asked_for() {
    let asked = std::env::var_os(DEBUG_ASSERTIONS).is_some();
    assert!(
        !asked || cfg!(debug_assertions),
        "{DEBUG_ASSERTIONS} is set, and the planner was built without them"
    );
}

proptest! {
    #![proptest_config(roles::cases(12_000))]

    #[test]
    fn whatever_happened_the_next_plan_leads_to_what_is_declared(
        events in prop::collection::vec(event(), 0..8),
        last in declared(),
        destroyed in any::<bool>(),
    ) {
        let mut world = World::default();
        for event in &events {
            happen(&mut world, event);
        }
        finish(&mut world, &desired(&last));
        prop_assert_eq!(world.directories.len(), last.standbys.len() + 1);
        prop_assert!(world.directories.values().all(|directory| !directory.partial && directory.server.is_some()));
        if destroyed {
            finish(&mut world, &Desired::default());
            prop_assert!(world.directories.is_empty() && world.routes.is_empty());
        }
    }
}
