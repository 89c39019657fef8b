//! Role changes in random histories: whatever was declared, asked for, cut off, broken and written meanwhile, nothing that
//! was acknowledged is lost unless somebody accepted it, at no time do two nodes write, nobody leads who was not asked
//! to, and in the end there is what is declared.

mod declared;
mod mutations;
mod unknown;

use std::collections::BTreeSet;
use std::fmt;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use simdb_state::address::NodeAddress;
use simdb_state::object::{Node, Power, Role};

use super::super::tests::{diagnostics, steps};
use crate::observed::Observed;
use crate::plan::{Action, Impact, Plan, Step};
use crate::planner::{Assurance, ElectionKind, ElectionRequest, Inputs, Planned, Proposal, plan};
use crate::simulate::{Cut, Fault, InstanceDirectory, PASSWORD, Schedule, World};
use declared::{Declared, declared};

/// Where this is set, every plan of every history is printed: the last history is the smallest one that fails.
const PLANS: &str = "SIMDB_TEST_PLANS";

/// The nodes that histories play with.
const NODES: [&str; 5] = ["a", "b", "c", "r[0]", "r[1]"];

/// What happens.
#[derive(Clone)]
pub(super) enum Event {
    /// This is declared, and applied on this schedule.
    Apply(Declared, Schedule),
    /// A command is given while that is declared, and runs on this schedule.
    Command(Command, Schedule),
    /// Something else.
    Fault(Fault),
}

/// A command, with the number of the node it names, if it names one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    Switchover(Option<u8>),
    Failover(Option<u8>),
    Keep(u8),
    Resync(u8),
    Stop(Option<u8>),
    Start(Option<u8>),
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Apply(declared, schedule) => write!(f, "apply [{declared:?}]{}", script(schedule)),
            Event::Command(command, schedule) => write!(f, "{command:?}{}", script(schedule)),
            Event::Fault(fault) => write!(f, "{fault:?}"),
        }
    }
}

fn script(schedule: &Schedule) -> String {
    let Schedule {
        cut,
        order,
        faults,
        twice,
    } = schedule;
    let mut parts = Vec::new();
    if *cut != Cut::Never {
        parts.push(format!(" cut {cut:?}"));
    }
    if order.iter().any(|choice| *choice != 0) {
        parts.push(format!(" in order {order:?}"));
    }
    parts.extend(faults.iter().map(|(at, fault)| format!(" at {at} {fault:?}")));
    if *twice {
        parts.push(" each step twice".to_owned());
    }
    parts.concat()
}

pub(super) fn fault() -> impl Strategy<Value = Fault> {
    let number = 0..8_u8;
    prop_oneof![
        12 => any::<u8>().prop_map(Fault::Write),
        4 => number.clone().prop_map(Fault::Kill),
        2 => number.clone().prop_map(Fault::Freeze),
        1 => number.clone().prop_map(Fault::Thaw),
        1 => number.clone().prop_map(Fault::DropSlot),
        1 => number.clone().prop_map(Fault::RemoveRoute),
        1 => number.clone().prop_map(Fault::RemoveData),
        2 => number.clone().prop_map(Fault::ForgetLog),
        1 => number.clone().prop_map(Fault::Differ),
        1 => number.clone().prop_map(Fault::PauseReplay),
        1 => number.clone().prop_map(Fault::KillPooler),
        1 => number.prop_map(Fault::AlterPassword),
    ]
}

pub(super) fn schedule() -> impl Strategy<Value = Schedule> {
    let cut = prop_oneof![
        3 => Just(Cut::Never),
        1 => (0..16_usize).prop_map(Cut::Before),
        1 => (0..16_usize).prop_map(Cut::Within),
        1 => (0..16_usize).prop_map(Cut::After),
    ];
    let order = prop::collection::vec(0..6_u8, 0..4);
    let faults = prop::collection::vec((0..32_u8, fault()), 0..5);
    (cut, order, faults, prop::bool::weighted(0.2)).prop_map(|(cut, order, faults, twice)| Schedule {
        cut,
        order,
        faults,
        twice,
    })
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let node = || prop::option::weighted(0.5, 0..5_u8);
    let command = prop_oneof![
        3 => node().prop_map(Command::Switchover),
        4 => node().prop_map(Command::Failover),
        1 => (0..5_u8).prop_map(Command::Keep),
        1 => (0..5_u8).prop_map(Command::Resync),
        1 => node().prop_map(Command::Stop),
        1 => node().prop_map(Command::Start),
    ];
    prop_oneof![
        3 => (declared(), schedule()).prop_map(|(declared, schedule)| Event::Apply(declared, schedule)),
        4 => (command, schedule()).prop_map(|(command, schedule)| Event::Command(command, schedule)),
        6 => fault().prop_map(Event::Fault),
    ]
}

/// A world, what is declared in it, and what its plans are put through before they run.
pub(super) struct History<'a> {
    pub(super) world: World,
    declared: Declared,
    /// Plans that were made under earlier elections.
    earlier: Vec<Plan>,
    mutation: Option<&'a Mutation>,
    /// Whether everything that a view can see is searched for passwords.
    watched: bool,
    /// Whether every plan is made again without each of its observations.
    doubted: bool,
}

/// A way in which a planner could be broken: what it sees, or what it says.
pub(super) struct Mutation {
    pub(super) name: &'static str,
    pub(super) look: fn(&mut Observed),
    pub(super) edit: fn(&mut Plan),
}

impl<'a> History<'a> {
    pub(super) fn new(declared: Declared, mutation: Option<&'a Mutation>) -> Self {
        Self {
            world: World::default(),
            declared,
            earlier: Vec::new(),
            mutation,
            watched: false,
            doubted: false,
        }
    }

    fn planned(&self, proposal: Option<&Proposal>) -> Planned {
        let mut observed = self.world.observe();
        if let Some(mutation) = self.mutation {
            (mutation.look)(&mut observed);
        }
        let planned = plan(Inputs {
            desired: &self.declared.desired(),
            recorded: &self.world.state,
            observed: &observed,
            proposal,
        });
        if self.doubted {
            self.unknown_opens_no_gate(&observed, proposal, &planned);
        }
        if self.watched {
            self.no_password_is_seen(&planned, &observed);
        }
        planned
    }

    /// Views are made of these values, and of no others. Steps carry their deltas, and plans their notes.
    fn no_password_is_seen(&self, planned: &Planned, observed: &Observed) {
        let Planned {
            plan,
            after,
            diagnostics,
            not_compared,
            found,
            differing,
        } = planned;
        let seen = [
            serde_json::to_string(plan).unwrap(),
            serde_json::to_string(observed).unwrap(),
            format!(
                "{diagnostics:?}{not_compared:?}{found:?}{differing:?}{after:?}{:?}",
                self.world.state
            ),
        ];
        for text in seen {
            let found = text.find(PASSWORD).map(|at| &text[at.saturating_sub(200)..at]);
            assert_eq!(found, None, "a password is seen");
        }
    }

    /// Runs a plan, unless it is refused, or loses what nobody accepted to lose. Returns whether it was run to its end.
    fn run(&mut self, planned: Planned, lossy: bool, schedule: &Schedule) -> bool {
        for diagnostic in &planned.diagnostics {
            let known = [
                "Switchover is refused",
                "Failover is refused",
                "Primary has lost its data",
                "Elected node cannot take over",
                "Role was changed without simdb",
                "Standby has diverged",
                "User still owns objects",
                "Role change is not finished",
            ];
            assert!(
                known.contains(&diagnostic.summary.as_str()),
                "{}",
                diagnostics(&planned)
            );
        }
        if !planned.diagnostics.is_empty() || (loses(&planned.plan) && !lossy) {
            return false;
        }
        // What has to wait until the lead has passed is told, and due after that.
        let complete = !planned
            .plan
            .notes
            .iter()
            .any(|note| note.contains("with the next apply"));
        let mut plan = planned.plan;
        if let Some(mutation) = self.mutation {
            (mutation.edit)(&mut plan);
        }
        self.world.secrets.extend(self.declared.desired().given_secrets());
        self.world.lossy = lossy;
        if std::env::var_os(PLANS).is_some() {
            eprintln!("plan{}\n{}", script(schedule), steps(&plan));
        }
        let followed = self.world.follow(&plan, schedule);
        if let (Some(_), Err(error)) = (std::env::var_os(PLANS), &followed) {
            eprintln!("failed: {error:?}");
        }
        let done = followed.is_ok() && schedule.cut == Cut::Never && complete;
        self.old_plans_are_refused();
        self.earlier.push(plan);
        done
    }

    /// No step of a plan that was made under an earlier election may run.
    fn old_plans_are_refused(&self) {
        let Some((_, election)) = self.world.state.elections.first_key_value() else {
            return;
        };
        for step in self.earlier.iter().flat_map(|plan| &plan.steps) {
            if step.term.is_some_and(|term| term < election.term) {
                let refused = crate::guard::check(step, &self.world.state).is_err();
                assert!(refused, "{} of an earlier election may run", step.action.name());
            }
        }
    }

    pub(super) fn happen(&mut self, event: &Event) {
        match event {
            Event::Fault(fault) => self.world.inject(fault),
            Event::Apply(declared, schedule) => {
                self.declared = declared.clone();
                let planned = self.planned(None);
                self.nobody_moves_the_lead(&planned);
                self.run(planned, false, schedule);
            }
            Event::Command(command, schedule) => {
                let proposal = self.proposal(*command);
                let planned = self.planned(Some(&proposal));
                self.run(planned, matches!(command, Command::Keep(_)), schedule);
            }
        }
    }

    fn proposal(&self, command: Command) -> Proposal {
        let node = |number: u8| self.declared.nodes[usize::from(number) % self.declared.nodes.len()];
        match command {
            Command::Switchover(to) => election(ElectionKind::Switchover, to.map(node), false),
            Command::Failover(to) => election(ElectionKind::Failover, to.map(node), false),
            Command::Keep(number) => election(ElectionKind::Failover, Some(node(number)), true),
            Command::Resync(number) => Proposal::resync([address(node(number))]),
            Command::Stop(number) => self.power(number.map(node), Power::Stopped),
            Command::Start(number) => self.power(number.map(node), Power::Running),
        }
    }

    /// A standby that streams, and a client, log in with the password that simdb keeps.
    fn logins_have_the_passwords_on_record(&self) {
        let writer = self
            .world
            .directories
            .values()
            .find(|directory| directory.server.as_ref().is_some_and(|server| !server.replays));
        let writer = writer.expect("there is a server that writes");
        for (address, user) in self.world.state.users.iter().filter(|(_, user)| user.login) {
            let known = self.world.secrets.get(&user.password(address));
            assert_eq!(writer.passwords.get(address.user.as_str()), known, "{address}");
        }
    }

    /// Stops or starts a node, or every one that is declared.
    fn power(&self, node: Option<&'static str>, power: Power) -> Proposal {
        let nodes = self
            .declared
            .nodes
            .iter()
            .filter(|other| node.is_none_or(|node| node == **other));
        let nodes = nodes.copied().map(address).collect();
        Proposal::Power { nodes, power }
    }

    /// Lets every node run that somebody stopped.
    fn started(&self) -> Option<Proposal> {
        let held = self
            .world
            .state
            .nodes
            .iter()
            .filter(|(_, node)| node.stopped_by_request);
        let nodes: BTreeSet<_> = held.map(|(address, _)| address.clone()).collect();
        let power = Power::Running;
        (!nodes.is_empty()).then_some(Proposal::Power { nodes, power })
    }

    /// Only a changed pin and the removal of the node that leads move the lead without a command.
    fn nobody_moves_the_lead(&self, planned: &Planned) {
        let Some((_, last)) = self.world.state.elections.first_key_value() else {
            return;
        };
        let elects = planned
            .plan
            .steps
            .iter()
            .any(|step| matches!(step.action, Action::Elect { .. }));
        let pin = self.declared.pinned().map(|pin| pin.parse().unwrap());
        let asked =
            (pin.is_some() && pin != last.pin) || !self.declared.nodes.contains(&last.primary.to_string().as_str());
        assert!(!elects || asked, "the lead is moved, and nobody asked for it");
    }

    /// Applies until there is what is declared, with what an operator would try in turn where a plan is refused.
    /// Returns whether the cluster could be saved.
    pub(super) fn finish(&mut self) -> bool {
        for attempt in 0..8 {
            let asked = self.primary_answers();
            // A promotion may fail again and again, as the winner cannot get what it lacks; then the lead goes back.
            if self.apply(attempt % 3 == 2) {
                let next = self.planned(None);
                if !asked && !next.plan.is_empty() && next.plan.steps.iter().all(is_of_the_catalog) {
                    // What a run that was cut off, or somebody, changed there before the primary was down, no plan knew.
                    continue;
                }
                assert_eq!((diagnostics(&next).as_str(), steps(&next.plan).as_str()), ("", ""));
                assert_eq!(next.plan.changes, []);
                return true;
            }
        }
        let next = self.planned(None);
        // A copy that nobody recorded, as a cut kept it from that, is for a person to judge.
        let nodes = &self.world.state.nodes;
        let served = nodes.iter().any(|(address, node)| {
            let directory = self.world.directories.get(address);
            directory
                .zip(node.data.as_ref())
                .is_some_and(|(directory, data)| directory.data.contains_key(&data.generation))
        });
        // Somebody wrote whom nobody recorded, and whoever was elected since has lost its data: a person has to choose.
        let is_told = |summary| next.diagnostics.iter().any(|found| found.summary == summary);
        let cannot_lead = is_told("Primary has lost its data") || is_told("Elected node cannot take over");
        let torn = is_told("Role was changed without simdb") && cannot_lead;
        assert!(!served || torn, "{}{}", diagnostics(&next), steps(&next.plan));
        false
    }

    /// Whether there is nothing that a plan cannot know of the primary.
    fn primary_answers(&self) -> bool {
        let mut writes = self
            .world
            .directories
            .values()
            .filter_map(|directory| directory.server.as_ref());
        writes.any(|server| !server.replays && !server.frozen)
    }

    fn apply(&mut self, stuck: bool) -> bool {
        let schedule = Schedule::default();
        let planned = self.planned(self.started().as_ref());
        let refused = !planned.diagnostics.is_empty() || loses(&planned.plan);
        if !refused && !stuck {
            self.nobody_moves_the_lead(&planned);
            return self.run(planned, false, &schedule);
        }
        self.keep_everybody();
        let attempts = [
            (self.started(), false),
            (Some(election(ElectionKind::Switchover, self.leader(), false)), false),
            (Some(election(ElectionKind::Failover, None, false)), false),
            (Some(election(ElectionKind::Failover, None, true)), true),
            (self.started(), true),
        ];
        let keeps = |node: &'static str| (Some(election(ElectionKind::Failover, Some(node), true)), true);
        let keeps: Vec<_> = self.declared.nodes.iter().copied().map(keeps).collect();
        let nodes = 0..u8::try_from(self.declared.nodes.len()).unwrap();
        let resyncs = nodes.map(|node| (Some(self.proposal(Command::Resync(node))), false));
        let attempts: Vec<_> = attempts.into_iter().chain(resyncs).chain(keeps).collect();
        for (proposal, lossy) in attempts.into_iter().skip(usize::from(stuck)) {
            let planned = self.planned(proposal.as_ref());
            let helps = planned.diagnostics.is_empty() && !planned.plan.steps.is_empty();
            if helps && (lossy || !loses(&planned.plan)) {
                self.run(planned, lossy, &schedule);
                break;
            }
        }
        false
    }

    /// Nobody can take over who is not declared: whoever is there is declared again until the lead has passed.
    fn keep_everybody(&mut self) {
        // Nor is anybody elected whose replay somebody paused, or who was halted: a person lets them go on.
        let servers = self
            .world
            .directories
            .values_mut()
            .filter_map(|directory| directory.server.as_mut());
        servers.for_each(|server| (server.paused, server.frozen) = (false, false));
        for node in NODES.map(address) {
            // One that goes on comes to what its log asks for.
            if self.world.directories.contains_key(&node) {
                self.world.find_lacking(&node);
            }
        }
        // A database that an interrupted run made may be in nobody's record, and keeps its owner.
        let recorded = &self.world.state.databases;
        let known = |name: &String| recorded.keys().any(|database| database.database.as_str() == name);
        for directory in self.world.directories.values_mut() {
            directory.databases.retain(|name, _| known(name));
        }
        self.declared.pin = None;
        for node in NODES {
            if self.world.state.nodes.contains_key(&address(node)) && !self.declared.nodes.contains(&node) {
                self.declared.nodes.push(node);
            }
        }
    }

    /// The node that writes, as far as is recorded, or wrote last.
    fn leader(&self) -> Option<&'static str> {
        let term = |node: &Node| match node.role {
            Some(Role::Primary { term }) => Some((true, term)),
            Some(Role::Fenced { term, .. }) => Some((false, term)),
            _ => None,
        };
        let nodes = self.world.state.nodes.iter();
        let led = nodes.filter_map(|(address, node)| Some((term(node)?, address)));
        let (_, leader) = led.max()?;
        let leader = leader.node.to_string();
        NODES.into_iter().find(|node| *node == leader)
    }
}

/// Whether a step is about logins, databases or seeds.
fn is_of_the_catalog(step: &Step) -> bool {
    matches!(
        step.action,
        Action::ReplicationUser { .. }
            | Action::User { .. }
            | Action::Database { .. }
            | Action::Seed { .. }
            | Action::DropUser { .. }
            | Action::DropDatabase { .. }
            | Action::DropSeed { .. }
            | Action::Verify { .. }
    )
}

fn address(node: &str) -> NodeAddress {
    format!("cluster.orders.node.{node}").parse().unwrap()
}

fn election(kind: ElectionKind, to: Option<&str>, lossy: bool) -> Proposal {
    Proposal::Election(ElectionRequest {
        cluster: "orders".parse().unwrap(),
        kind,
        to: to.map(|node| node.parse().unwrap()),
        lossy,
        assurance: Assurance::Proof,
    })
}

/// Whether a plan promotes somebody who may lack what was acknowledged: a person is asked before that.
fn loses(plan: &Plan) -> bool {
    let promotes = |action: &Action| matches!(action, Action::Promote { .. });
    plan.steps
        .iter()
        .any(|step| step.impact == Impact::DataLoss && promotes(&step.action))
}

/// As many cases as `PROPTEST_CASES` says, from a random seed; without it the same ones on every run.
pub(super) fn cases(cases: u32) -> ProptestConfig {
    let told = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 20_000,
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

/// One whole history.
#[derive(Clone, Debug)]
pub(super) struct Story {
    first: Declared,
    events: Vec<Event>,
    last: Declared,
}

pub(super) fn story() -> impl Strategy<Value = Story> {
    let events = prop::collection::vec(event(), 0..10);
    (declared(), events, declared()).prop_map(|(first, events, last)| Story { first, events, last })
}

impl Story {
    /// Lives through it.
    ///
    /// # Panics
    /// Where an invariant is broken, or the end is not what is declared.
    pub(super) fn live(&self, mutation: Option<&Mutation>) {
        self.lived(History::new(self.first.clone(), mutation));
    }

    /// Lives through it, and returns what came of it.
    fn lived<'a>(&self, mut history: History<'a>) -> History<'a> {
        if std::env::var_os(PLANS).is_some() {
            eprintln!("history");
        }
        history.happen(&Event::Apply(self.first.clone(), Schedule::default()));
        for event in &self.events {
            history.happen(event);
        }
        history.happen(&Event::Apply(self.last.clone(), Schedule::default()));
        if history.finish() {
            let directories = &history.world.directories;
            assert_eq!(directories.len(), history.declared.nodes.len());
            assert!(
                directories
                    .values()
                    .all(|directory| !directory.partial && directory.server.is_some())
            );
            let mut poolers = history.world.poolers.values();
            assert!(poolers.all(|pooler| pooler.runs && !pooler.paused));
            history.logins_have_the_passwords_on_record();
        }
        history
    }
}

proptest! {
    #![proptest_config(cases(8_000))]

    #[test]
    fn whoever_leads_has_what_was_acknowledged_and_what_is_declared_comes_to_be(story in story()) {
        story.live(None);
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn no_password_is_in_anything_that_a_view_can_see(story in story()) {
        let watched = History {
            watched: true,
            ..History::new(story.first.clone(), None)
        };
        let world = story.lived(watched).world;
        // There are some that could have been seen.
        let known = |directory: &InstanceDirectory| directory.passwords.values().any(|password| password.expose().starts_with(PASSWORD));
        prop_assert!(world.directories.values().all(|directory| directory.data.is_empty() || known(directory)));
    }
}
