//! Whatever a plan cannot know: one observation after the other is taken away. The plan tells what is missing, and does
//! nothing that it would not have dared with it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use simdb_state::address::{Address, NodeAddress};
use simdb_state::instance::{InstanceSpec, LOOPBACK};
use simdb_state::place::{Bind, Place};

use super::{History, cases, story};
use crate::engine::instance::{self, HBA};
use crate::observed::{Control, FileFacts, NodeFacts, Observation, Observed, ProcessFacts};
use crate::plan::{Action, Plan, Step};
use crate::planner::{ElectionKind, Inputs, Planned, Proposal, plan};

fn silence<T>() -> Observation<T> {
    Observation::Unknown("did not answer within 2s".to_owned())
}

/// Returns the observations with one after the other made unknown, and of what.
fn blinded(observed: &Observed) -> Vec<(Address, Observed)> {
    let mut all = Vec::new();
    for (address, node) in &observed.nodes {
        let mut add = |seen: Observation<_>| {
            let mut blinded = observed.clone();
            blinded.nodes.insert(address.clone(), seen);
            all.push((Address::from(address.clone()), blinded));
        };
        add(silence());
        let Observation::Seen(facts) = node else { continue };
        match facts.process {
            // What was copied is known by its number alone.
            ProcessFacts::Down if !facts.generations.is_empty() => {
                let mut facts = facts.clone();
                facts.control = Control::Unknown("pg_controldata did not answer within 2s".to_owned());
                add(Observation::Seen(facts));
            }
            ProcessFacts::Running { .. } => {
                let mut facts = facts.clone();
                facts.server = Some(silence());
                add(Observation::Seen(facts));
            }
            _ => {}
        }
    }
    for address in observed.endpoints.keys() {
        let mut blinded = observed.clone();
        blinded.endpoints.insert(address.clone(), silence());
        all.push((address.clone().into(), blinded));
    }
    for address in observed.poolers.keys() {
        let mut blinded = observed.clone();
        blinded.poolers.insert(address.clone(), silence());
        all.push((address.clone().into(), blinded));
    }
    all
}

/// Returns what a plan opens that could not be closed again: who is promoted, which clients see what a primary has that
/// crashed, what is dropped.
fn gates(plan: &Plan) -> BTreeSet<(&'static str, String)> {
    let mut gates = BTreeSet::new();
    for step in &plan.steps {
        let gate = match &step.action {
            // Another standby may be better known than the one that is unknown.
            Action::Promote { server, .. } => {
                gates.insert(("promote", server.node.cluster.to_string()));
                continue;
            }
            Action::DropNode { .. }
            | Action::DropUser { .. }
            | Action::DropDatabase { .. }
            | Action::DropCluster { .. } => step.action.name(),
            Action::Start {
                instance,
                in_recovery: false,
                ..
            } if !keeps_clients_out(instance) => "starts with clients",
            _ => continue,
        };
        gates.insert((gate, step.address.to_string()));
    }
    gates
}

/// Returns whether the server that a step starts lets no clients in.
fn keeps_clients_out(instance: &InstanceSpec) -> bool {
    let file = FileFacts {
        digest: instance.files.get(HBA).unwrap().digest(),
        edited: false,
    };
    let facts = NodeFacts {
        files: [(HBA.to_owned(), file)].into(),
        ..NodeFacts::default()
    };
    instance::keeps_clients_out(&facts, &Place::at(instance.listen, instance.published))
}

impl History<'_> {
    /// A node that was elected before and cannot be asked cannot be promoted: the node that leads is not fenced for it.
    fn nothing_is_fenced_in_vain(&self, address: &Address, observed: &Observed, plan: &Plan) {
        let Address::Node(node) = address else { return };
        let silent = match observed.nodes.get(node) {
            Some(Observation::Seen(facts)) => matches!(
                (&facts.process, &facts.server),
                (ProcessFacts::Running { .. }, Some(Observation::Unknown(_)))
            ),
            Some(Observation::Unknown(_)) => true,
            Some(Observation::Absent) | None => false,
        };
        let elections = self.world.state.elections.values();
        let was_elected = elections.into_iter().any(|last| last.primary == node.node);
        let is = |meant: fn(&Action) -> bool| plan.steps.iter().any(|step| meant(&step.action));
        let elects = is(|action| matches!(action, Action::Elect { .. }));
        let fences = is(|action| matches!(action, Action::Fence { .. }));
        assert!(
            !silent || !was_elected || elects || !fences,
            "the node that leads is fenced for {node}, which cannot be asked"
        );
    }

    fn has_lost_its_data(&self, node: &NodeAddress) -> bool {
        let recorded = self.world.state.nodes.get(node).and_then(|node| node.data.as_ref());
        let directory = self.world.directories.get(node);
        recorded.is_some_and(|data| directory.is_none_or(|directory| !directory.data.contains_key(&data.generation)))
    }

    fn has_clients(&self, node: &NodeAddress, observed: &Observed) -> bool {
        let place = self.world.state.nodes.get(node).and_then(|node| node.place.clone());
        let place = place.unwrap_or_else(|| {
            Place::shared(Bind {
                host: LOOPBACK,
                port: 0,
            })
        });
        let facts = observed.nodes.get(node).and_then(Observation::seen);
        facts.is_some_and(|facts| {
            matches!(facts.process, ProcessFacts::Running { .. }) && !instance::keeps_clients_out(facts, &place)
        })
    }

    /// Plans without each of the observations.
    pub(super) fn unknown_opens_no_gate(&self, known_facts: &Observed, proposal: Option<&Proposal>, known: &Planned) {
        let dared = gates(&known.plan);
        for (address, observed) in blinded(known_facts) {
            let blind = plan(Inputs {
                desired: &self.declared.desired(),
                recorded: &self.world.state,
                observed: &observed,
                proposal,
            });
            let told = blind.not_compared.iter().any(|unknown| unknown.address == address);
            let lost = |node: &NodeFacts, generation| !node.generations.contains(&generation);
            let loses = || match &address {
                Address::Node(node) => {
                    let recorded = self.world.state.nodes.get(node).and_then(|node| node.data.as_ref());
                    let facts = observed.nodes.get(node).and_then(Observation::seen);
                    recorded
                        .zip(facts)
                        .is_some_and(|(data, facts)| lost(facts, data.generation))
                }
                _ => false,
            };
            assert!(told || loses(), "nothing tells that {address} is unknown");
            let promoted = |step: &Step| matches!(step.action, Action::Promote { .. }) && step.address == address;
            // An election that was held is carried through, and the promotion itself asks the server.
            let elected = |node: &NodeAddress| {
                self.world
                    .state
                    .elections
                    .values()
                    .any(|last| last.primary == node.node)
            };
            let carried_through = matches!(&address, Address::Node(node) if elected(node));
            let known_to_be = carried_through || known.plan.steps.iter().any(promoted);
            assert!(
                known_to_be || !blind.plan.steps.iter().any(promoted),
                "{address} is promoted because it is unknown"
            );
            self.nothing_is_fenced_in_vain(&address, &observed, &blind.plan);
            // What is removed is no longer declared. Where a plan is refused for another reason, it would have been.
            let removes = |gate: &str| gate.starts_with("drop") && !known.diagnostics.is_empty();
            // A primary that does not answer is what a failover is for: it is killed, and the standbys that are left count.
            let asked = matches!(proposal, Some(Proposal::Election(request)) if request.kind == ElectionKind::Failover);
            // A primary that is restarted lets its clients in as well.
            let restarts = known.plan.steps.iter().any(|step| {
                let restarts = matches!(
                    &step.action,
                    Action::Configure {
                        restart: true,
                        in_recovery: false,
                        ..
                    }
                );
                restarts && step.address == address
            });
            // Whether an elected node can get what it lacks, only the one that led before can tell. The promotion asks for it.
            let cannot_take_over = known
                .diagnostics
                .iter()
                .any(|refusal| refusal.summary == "Elected node cannot take over");
            // A server whose data is gone does not start, and one that has clients already gets none by it.
            let has_nothing_to_open = matches!(&address, Address::Node(node) if self.has_lost_its_data(node) || self.has_clients(node, known_facts));
            let allowed = |gate: &str| match gate {
                "promote" => asked || carried_through || cannot_take_over,
                "starts with clients" => restarts || has_nothing_to_open,
                gate => removes(gate),
            };
            let opened = gates(&blind.plan).into_iter();
            let more: Vec<_> = opened
                .filter(|gate| !dared.contains(gate) && !allowed(gate.0))
                .collect();
            assert!(
                more.is_empty(),
                "without {address} a plan does {more:?}\n{}\nand with it\n{}{}",
                super::steps(&blind.plan),
                super::diagnostics(known),
                super::steps(&known.plan),
            );
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn what_is_unknown_is_told_and_opens_no_gate(story in story()) {
        let doubted = History {
            doubted: true,
            ..History::new(story.first.clone(), None)
        };
        story.lived(doubted);
    }
}
