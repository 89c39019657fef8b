//! Puts steps in order: each step waits for those that give what it needs, and rules choose among the orders that are left.
//!
//! Steps say what they need and give ([`Fact`](crate::plan::fact::Fact)), whatever operation they are part of: what clones,
//! follows or publishes needs a source that serves; a copy needs the slot that protects it; proof needs all that it
//! proves. The rules are preferences.

mod givers;
mod graph;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{Address, NodeAddress};
use simdb_state::name::ClusterName;
use simdb_state::object::{State, Term};

pub(crate) use self::givers::Givers;
use self::graph::Waits;
pub(crate) use self::rules::Rules;
use super::intended::Intended;
use super::lower::Draft;
use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::plan::{Action, Step, StepId};

/// Servers of a cluster are given other parameters one after the other, standbys first, so that the cluster is served
/// throughout. Where the primary gets less of what replay depends on it comes first, and then each standby after the one it
/// follows: a standby gets less only once the log that it replays asks for no more.
fn rolling(drafts: &[Draft], intended: &Intended) -> BTreeMap<NodeAddress, usize> {
    let mut turns: BTreeMap<&ClusterName, BTreeMap<(usize, &NodeAddress), usize>> = BTreeMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        let Action::Configure {
            server, in_recovery, ..
        } = &draft.action
        else {
            continue;
        };
        let cluster = &server.node.cluster;
        if *in_recovery && intended.primary(cluster).as_ref() == Some(&server.node) {
            // It is about to be promoted, and the others come after that.
            continue;
        }
        let turn = match (intended.limits.lowered.contains(cluster), *in_recovery) {
            (true, _) => intended.depth(&server.node),
            (false, replays) => usize::from(!replays),
        };
        turns.entry(cluster).or_default().insert((turn, &server.node), at);
    }
    let mut earlier = BTreeMap::new();
    for turns in turns.into_values() {
        let after_first = turns.keys().skip(1);
        earlier.extend(
            after_first
                .zip(turns.values())
                .map(|((_, node), before)| ((*node).clone(), *before)),
        );
    }
    earlier
}

/// Returns the steps in order, each with what it waits for last. Of steps that could come next, the one drafted first does.
pub(super) fn order(
    mut drafts: Vec<Draft>,
    before: &State,
    intended: &Intended,
    desired: &Desired,
) -> Result<Vec<Step>, Diagnostic> {
    let mut waits = waits(&drafts, before, intended, desired);
    let sorted = waits.sort().map_err(|members| cycle(&members, &drafts, desired))?;
    waits.reduce(&sorted);
    let mut places = vec![StepId(0); drafts.len()];
    for (id, at) in (0..).map(StepId).zip(&sorted) {
        places[*at] = id;
    }
    for (step, waits) in drafts.iter_mut().zip(waits.into_rows()) {
        step.term = term(step, before, intended);
        step.after = waits.into_iter().map(|earlier| places[earlier]).collect();
    }
    arrange(&mut drafts, places);
    Ok(drafts)
}

/// Returns the election under which a step may run: the one that this plan holds, or the last one before it.
fn term(step: &Step, before: &State, intended: &Intended) -> Option<Term> {
    let cluster = step.address.cluster()?;
    let election = intended.clusters.get(cluster).map(|cluster| &cluster.election);
    Some(election.or_else(|| before.elections.get(cluster))?.term)
}

/// Returns what every step waits for. A cluster that is made waits for those that it depends on: its first steps do.
fn waits(drafts: &[Draft], before: &State, intended: &Intended, desired: &Desired) -> Waits {
    let rules = Rules {
        drafts,
        givers: Givers::of(drafts),
        before,
        intended,
        rolling: rolling(drafts, intended),
    };
    let row = |at: usize| -> BTreeSet<usize> {
        let mut waits = rules.waits_for(at);
        if let Some(cluster) = drafts[at].address.cluster()
            && !before.clusters.contains_key(cluster)
            && let Some(spec) = desired.clusters.get(cluster)
            && waits.iter().all(|at| drafts[*at].address.cluster() != Some(cluster))
        {
            waits.extend(spec.depends_on.iter().flat_map(|other| rules.built(other)));
        }
        waits
    };
    Waits::new((0..drafts.len()).map(row))
}

/// Moves every step to its place, without a second copy of all of them.
fn arrange(steps: &mut [Step], mut places: Vec<StepId>) {
    for at in 0..steps.len() {
        while places[at].index() != at {
            let to = places[at].index();
            steps.swap(at, to);
            places.swap(at, to);
        }
    }
}

/// Names every step of a cycle, and where what it is about is declared.
fn cycle(members: &[usize], drafts: &[Draft], desired: &Desired) -> Diagnostic {
    let name = |at: &usize| format!("{} of {}", drafts[*at].action.name(), drafts[*at].address);
    let next = members.iter().cycle().skip(1);
    let waits: Vec<String> = members
        .iter()
        .zip(next)
        .map(|(at, next)| format!("{} waits for {}", name(at), name(next)))
        .collect();
    let detail = format!("There is no order for these steps: {}.", waits.join(", and "));
    let mut diagnostic = Diagnostic::error("Steps wait for each other", detail);
    let mut addresses: Vec<&Address> = members.iter().map(|at| &drafts[*at].address).collect();
    addresses.sort();
    addresses.dedup();
    for address in addresses {
        let Some(span) = desired.declaration(address) else {
            continue;
        };
        diagnostic = match diagnostic.span {
            None => diagnostic.at(span.clone()),
            Some(_) => diagnostic.also(address.to_string(), span.clone()),
        };
    }
    diagnostic
}

#[cfg(test)]
mod tests;
