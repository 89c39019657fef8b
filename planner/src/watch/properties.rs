//! Random histories of a watched cluster: servers die and freeze, cables are cut, the monitor sleeps, is restarted, and is killed in
//! the middle of what it does. At no time do two nodes write, nothing that was acknowledged is lost, no node takes over from one
//! that can be seen to serve, and once all is mended a node leads again without a person.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::object::{FailoverMode, OnStandbyLoss, ReplicationMode};
use simdb_state::position::Progress;

use super::*;
use crate::desired::Desired;
use crate::observed::Observation;
use crate::plan::{Action, Step};
use crate::planner::tests::{applied, cluster, diagnostics, orders};
use crate::planner::{Inputs, plan};
use crate::simulate::{Cut, Fault, InstanceDirectory, Schedule, World};

const NODES: [&str; 4] = ["a", "b", "c", "d"];

/// How long a simulated monitor may take until the cluster is well again.
const PATIENCE: usize = 700;

#[derive(Clone, Debug)]
enum Event {
    Fault(Fault),
    /// The monitor does not reach a node any more, or does again.
    Reach(u8, bool),
    /// No other node reaches a node any more, or does again.
    Link(u8, bool),
    /// The monitor reaches nothing for so many rounds.
    Blind(u8),
    /// The monitor stands still for so many rounds.
    Sleep(u8),
    /// The monitor does not reach the store for so many rounds.
    Storeless(u8),
    /// The monitor is killed, and another one starts.
    Restart,
    /// So many rounds pass; what is done in them is cut off there.
    Pass(u8, Cut),
}

fn event() -> impl Strategy<Value = Event> {
    let node = || 0..4_u8;
    let cut = prop_oneof![
        3 => Just(Cut::Never),
        1 => (0..16_usize).prop_map(Cut::Before),
        1 => (0..16_usize).prop_map(Cut::Within),
        1 => (0..16_usize).prop_map(Cut::After),
    ];
    prop_oneof![
        4 => any::<u8>().prop_map(|receivers| Event::Fault(Fault::Write(receivers))),
        4 => node().prop_map(|node| Event::Fault(Fault::Kill(node))),
        2 => node().prop_map(|node| Event::Fault(Fault::Freeze(node))),
        1 => node().prop_map(|node| Event::Fault(Fault::Thaw(node))),
        3 => (node(), any::<bool>()).prop_map(|(node, cut)| Event::Reach(node, cut)),
        2 => (node(), any::<bool>()).prop_map(|(node, cut)| Event::Link(node, cut)),
        1 => (1..30_u8).prop_map(Event::Blind),
        1 => (1..30_u8).prop_map(Event::Sleep),
        1 => (1..30_u8).prop_map(Event::Storeless),
        1 => Just(Event::Restart),
        8 => (1..60_u8, cut).prop_map(|(rounds, cut)| Event::Pass(rounds, cut)),
    ]
}

/// A cluster, its monitor, and what is between them.
struct Watched {
    world: World,
    desired: Desired,
    memory: Memory,
    started: Duration,
    now: Duration,
    unreached: BTreeSet<NodeName>,
    unlinked: BTreeSet<NodeName>,
    blind: u8,
    storeless: u8,
    late: Duration,
}

fn name() -> ClusterName {
    "orders".parse().unwrap()
}

fn node_of(number: u8) -> NodeName {
    NODES[usize::from(number) % NODES.len()].parse().unwrap()
}

/// Whether a step belongs to a role change. What else a run that was cut off left, a person applies.
fn changes_the_lead(step: &Step) -> bool {
    use Action::{Elect, Endpoint, Fence, Follow, Promote, Rejoin};
    matches!(
        step.action,
        Elect { .. } | Fence { .. } | Promote { .. } | Follow { .. } | Rejoin { .. } | Endpoint { .. }
    )
}

fn serves(directory: &InstanceDirectory) -> bool {
    directory.server.as_ref().is_some_and(|server| !server.frozen)
}

impl Watched {
    fn new(mode: ReplicationMode, nodes: usize, degrade: bool) -> Self {
        let mut desired = orders(&NODES[..nodes]);
        let spec = cluster(&mut desired);
        spec.replication.mode = mode;
        spec.replication.synchronous_standbys = 1;
        if degrade {
            spec.replication.on_standby_loss = OnStandbyLoss::Degrade;
        }
        spec.failover.mode = FailoverMode::Automatic;
        spec.failover.max_per_hour = 1_000;
        Self {
            world: applied(&desired),
            desired,
            memory: Memory::default(),
            started: Duration::ZERO,
            now: Duration::ZERO,
            unreached: BTreeSet::new(),
            unlinked: BTreeSet::new(),
            blind: 0,
            storeless: 0,
            late: Duration::ZERO,
        }
    }

    fn live(&mut self, event: &Event) {
        let set = |all: &mut BTreeSet<NodeName>, node: u8, cut: bool| {
            if cut {
                all.insert(node_of(node));
            } else {
                all.remove(&node_of(node));
            }
        };
        match event {
            Event::Fault(Fault::Write(receivers)) => self.write(*receivers),
            Event::Fault(fault) => self.world.inject(fault),
            Event::Reach(node, cut) => set(&mut self.unreached, *node, *cut),
            Event::Link(node, cut) => set(&mut self.unlinked, *node, *cut),
            Event::Blind(rounds) => self.blind = *rounds,
            Event::Storeless(rounds) => self.storeless = *rounds,
            Event::Sleep(rounds) => {
                self.now += PERIOD * u32::from(*rounds);
                self.late = PERIOD * u32::from(*rounds);
            }
            Event::Restart => {
                let cut_off = self.memory.cut_off;
                self.memory = Memory::default();
                self.memory.cut_off = cut_off;
                self.started = self.now;
            }
            Event::Pass(rounds, cut) => (0..*rounds).for_each(|_| self.round(*cut)),
        }
    }

    /// A client writes; standbys that are cut off receive nothing.
    fn write(&mut self, receivers: u8) {
        let nodes: Vec<NodeAddress> = self.world.directories.keys().cloned().collect();
        let alone = nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| self.unlinked.contains(&node.node));
        let mask = alone.fold(receivers, |mask, (at, _)| mask & !(1 << (at % 8)));
        let writer = self.world.directories.iter().find(|(_, directory)| directory.writes());
        let isolated = writer.is_some_and(|(node, _)| self.unlinked.contains(&node.node));
        self.world.inject(&Fault::Write(if isolated { 0 } else { mask }));
    }

    fn reaches(&self, node: &NodeName) -> bool {
        self.blind == 0 && !self.unreached.contains(node)
    }

    fn directory(&self, node: &NodeName) -> Option<&InstanceDirectory> {
        let mut all = self.world.directories.iter();
        all.find(|(address, _)| address.node == *node)
            .map(|(_, directory)| directory)
    }

    fn running(&self) -> Duration {
        self.now.saturating_sub(self.started)
    }

    /// Whether a standby that the monitor reaches receives what a node writes.
    fn is_streamed(&self, primary: &NodeName) -> bool {
        let linked = |node: &NodeName| !self.unlinked.contains(node) && self.directory(node).is_some_and(serves);
        let mut others = self.world.directories.keys().filter(|other| other.node != *primary);
        linked(primary) && others.any(|other| linked(&other.node) && self.reaches(&other.node))
    }

    fn listen(&mut self) -> bool {
        let now = self.running();
        let leader = self.world.state.leader(&name()).map(|leader| leader.node.clone());
        let nodes: Vec<NodeName> = self
            .world
            .directories
            .keys()
            .map(|address| address.node.clone())
            .collect();
        let mut hears = false;
        for node in &nodes {
            self.memory.ask(node, now);
            if leader.as_ref() == Some(node) && self.is_streamed(node) {
                self.memory.hear(node, Heard::Stream, now);
            }
            if !self.reaches(node) {
                continue;
            }
            let directory = self.directory(node).unwrap();
            let (runs, answers, writes) = (directory.server.is_some(), serves(directory), directory.writes());
            let data = Heard::Data(!directory.data.is_empty());
            self.memory
                .hear(node, if runs { Heard::Runs } else { Heard::Ended }, now);
            self.memory.hear(node, data, now);
            if answers {
                hears = true;
                let streams = !writes && leader.as_ref().is_some_and(|leader| self.is_streamed(leader));
                let said = Said {
                    writes,
                    progress: Progress {
                        timeline: 1,
                        position: Lsn(1).into(),
                    },
                    streams: streams && !self.unlinked.contains(node),
                    lag_bytes: None,
                    lag: None,
                    slot: SlotState::Kept,
                    diverged: false,
                    archive_fails: false,
                    waiting: 0,
                };
                self.memory.hear(node, Heard::Answer(said), now);
                self.memory.hear(node, Heard::Entry, now);
                if writes {
                    self.memory.hear(node, Heard::Commit, now);
                }
            }
        }
        hears
    }

    fn round(&mut self, cut: Cut) {
        self.now += PERIOD;
        let hears = self.listen();
        let standing = if self.storeless > 0 {
            Standing::Observes("the store does not answer".to_owned())
        } else {
            Standing::Decides
        };
        let round = Round {
            running: self.running(),
            complete: true,
            late: std::mem::take(&mut self.late),
            standing,
            hears,
            at_work: None,
        };
        if !round.late.is_zero() {
            self.memory.wake(self.running());
        }
        let (evidence, history) = (
            self.memory.evidence(self.running()),
            self.memory.history(self.running()),
        );
        let judged = judge(Case {
            cluster: &name(),
            recorded: &self.world.state,
            evidence: &evidence,
            history: &history,
            round: &round,
        });
        self.blind = self.blind.saturating_sub(1);
        self.storeless = self.storeless.saturating_sub(1);
        if let Some(decision) = judged.decision {
            self.no_false_failover(&decision, hears);
            self.act(&decision, cut);
        }
    }

    /// A node that serves, and that the monitor hears of in any way, is never replaced.
    fn no_false_failover(&self, decision: &Decision, hears: bool) {
        let Decision::Elect { lost, by, .. } = decision else {
            return;
        };
        assert!(hears || by.is_certain(), "a blind monitor fails over");
        assert_eq!(self.storeless, 0, "a monitor without its store fails over");
        let lives = self.directory(lost).is_some_and(serves);
        let is_seen = self.reaches(lost) || self.is_streamed(lost);
        assert!(!(lives && is_seen), "{lost} serves, and another node takes over");
    }

    /// What happened to nodes that the monitor does not reach happens to them again as the run begins: no plan knew of it.
    fn unseen(&self) -> Vec<(u8, Fault)> {
        let nodes = self.world.directories.iter().zip(0..);
        let hidden = nodes.filter(|((address, _), _)| !self.reaches(&address.node));
        let again = |((_, directory), number): ((&NodeAddress, &InstanceDirectory), u8)| match &directory.server {
            None => Some((0, Fault::Kill(number))),
            Some(server) => server.frozen.then_some((0, Fault::Freeze(number))),
        };
        hidden.filter_map(again).collect()
    }

    fn act(&mut self, decision: &Decision, cut: Cut) {
        let now = self.running();
        self.memory.tried(decision.subject(), now);
        let mut observed = self.world.observe();
        for (address, seen) in &mut observed.nodes {
            if !self.reaches(&address.node) {
                *seen = Observation::Unknown("cut off".to_owned());
            }
        }
        let desired = Desired::recorded(&self.world.state, self.desired.local.clone());
        let planned = plan(Inputs {
            desired: &desired,
            recorded: &self.world.state,
            observed: &observed,
            proposal: decision.proposal(&name()).as_ref(),
        });
        let policy = &self.world.state.clusters[&name()].failover;
        if !planned.diagnostics.is_empty() || permit(&name(), decision, policy, &planned.plan, None).is_err() {
            return;
        }
        let schedule = Schedule {
            cut,
            faults: self.unseen(),
            ..Schedule::default()
        };
        let done = self.world.follow(&planned.plan, &schedule).is_ok() && cut == Cut::Never;
        if cut != Cut::Never {
            // It was killed, and another one goes on.
            self.memory = Memory::default();
            self.started = self.now;
            self.memory.cut_off = planned.plan.steps.iter().any(changes_the_lead);
        } else if done {
            self.memory.helped(&decision.subject());
            self.memory.cut_off = false;
        }
        if matches!(decision, Decision::Elect { .. }) {
            self.memory.failed_over(Duration::ZERO, self.running());
        }
    }

    /// Everything is mended but what a monitor mends.
    fn mend(&mut self) {
        (self.unreached, self.unlinked) = (BTreeSet::new(), BTreeSet::new());
        (self.blind, self.storeless) = (0, 0);
        for node in 0..4 {
            self.world.inject(&Fault::Thaw(node));
        }
    }

    fn is_well(&self) -> bool {
        let writers = self.world.directories.values().filter(|directory| directory.writes());
        let all = self.world.directories.values().all(serves);
        let planned = plan(Inputs {
            desired: &Desired::recorded(&self.world.state, self.desired.local.clone()),
            recorded: &self.world.state,
            observed: &self.world.observe(),
            proposal: None,
        });
        let led = !planned.plan.steps.iter().any(changes_the_lead);
        writers.count() == 1 && all && led
    }

    fn recover(&mut self) {
        self.mend();
        for _ in 0..PATIENCE {
            self.round(Cut::Never);
        }
        let planned = plan(Inputs {
            desired: &Desired::recorded(&self.world.state, self.desired.local.clone()),
            recorded: &self.world.state,
            observed: &self.world.observe(),
            proposal: None,
        });
        let left = crate::planner::tests::steps(&planned.plan);
        assert!(self.is_well(), "what is left: {}{left}", diagnostics(&planned));
    }
}

/// As many cases as `PROPTEST_CASES` says, from a random seed; without it the same ones on every run.
fn cases(cases: u32) -> ProptestConfig {
    let told = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 5_000,
        ..ProptestConfig::default()
    };
    // 256 is what proptest takes where nothing is said.
    if told.cases != 256 {
        return told;
    }
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(4711),
        ..told
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_watched_cluster_has_one_writer_and_recovers(
        quorum in any::<bool>(),
        degrade in any::<bool>(),
        nodes in 2..=4_usize,
        events in prop::collection::vec(event(), 0..24),
    ) {
        let mode = if quorum { ReplicationMode::Quorum } else { ReplicationMode::Sync };
        let mut watched = Watched::new(mode, nodes, degrade);
        for event in &events {
            watched.live(event);
        }
        watched.recover();
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_monitor_that_is_cut_off_alone_does_nothing(rounds in prop::collection::vec((1..60_u8, 1..60_u8), 1..8)) {
        let mut watched = Watched::new(ReplicationMode::Quorum, 3, false);
        let before = watched.world.state.elections.clone();
        for (blind, sees) in rounds {
            watched.live(&Event::Blind(blind));
            watched.live(&Event::Pass(blind.saturating_add(sees), Cut::Never));
        }
        prop_assert_eq!(&watched.world.state.elections, &before);
    }
}
