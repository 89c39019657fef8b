//! Whom the commits of a cluster wait for.

use std::collections::BTreeSet;

use simdb_state::name::NodeName;
use simdb_state::object::{CommitLevel, Election, OnStandbyLoss, Power, ReplicationMode, Role, State};
use simdb_state::sync::{SyncRule, awaited};

use super::cluster::Declaration;
use crate::desired::{NodeSpec, ReplicationSpec};
use crate::diagnostic::Diagnostic;
use crate::engine::sync::APPLY_DELAY;
use crate::planner::before;
use crate::planner::intended::{Intended, IntendedNode, Lead, Lost, Sync};

impl Declaration<'_> {
    /// Returns the node that a standby streams from. One whose declared upstream is stopped on request follows that one's
    /// upstream meanwhile; one that is stopped itself, or whose primary is, moves when that is started.
    pub(crate) fn upstream(&self, node: &NodeName, election: &Election) -> NodeName {
        let primary = &election.primary;
        let stopped = |node: &NodeName| {
            let address = self.address(node);
            self.power(&address, self.before.node(&address), Some(election)) == Power::Stopped
        };
        // Nobody is made, nor moves, while the primary is stopped.
        let stays = stopped(node) || stopped(primary);
        let role = |node: &NodeName| self.before.nodes.get(&self.address(node))?.role.as_ref();
        let replays =
            |node: &NodeName| self.spec.nodes.contains_key(node) && matches!(role(node), Some(Role::Standby { .. }));
        match role(node) {
            Some(Role::Standby { follows }) if stopped(node) || (stays && replays(follows)) => return follows.clone(),
            _ if stays => return primary.clone(),
            _ => {}
        }
        let declared = |node: &NodeName| self.spec.nodes.get(node).and_then(|spec| spec.follows.as_ref());
        let mut upstream = node;
        while let Some(next) = declared(upstream) {
            if next == primary || !stopped(next) {
                return next.clone();
            }
            upstream = next;
        }
        primary.clone()
    }

    /// No commit can wait for more standbys than stream from the primary itself.
    pub(super) fn enough_standbys(&self, primary: &NodeName) -> Result<(), Diagnostic> {
        let ReplicationSpec {
            mode,
            synchronous_standbys: number,
            synchronous_commit: level,
            ..
        } = self.spec.replication;
        let counts = |(name, spec): &(&NodeName, &NodeSpec)| {
            let direct = spec.follows.as_ref().is_none_or(|follows| follows == primary);
            let delayed = spec.apply_delay.is_some() && level == CommitLevel::RemoteApply;
            *name != primary && direct && !delayed
        };
        let able = self.spec.nodes.iter().filter(counts).count();
        if mode == ReplicationMode::Async || usize::try_from(number).is_ok_and(|number| number <= able) {
            return Ok(());
        }
        let spans = &self.spec.spans;
        let able = match able {
            0 => "no standby".to_owned(),
            1 => "only one standby".to_owned(),
            able => format!("only {able} standbys"),
        };
        Err(Diagnostic::error(
            "Too few standbys to wait for",
            format!(
                "Commits of cluster {} wait for {number}, and {able} can be waited for: one that streams from {primary}, \
                 which leads, and is not delayed while synchronous_commit is remote_apply. Let more of them follow the \
                 primary, or lower synchronous_standbys.",
                self.name
            ),
        )
        .at(spans.synchronous_standbys.clone().unwrap_or_else(|| spans.cluster.clone())))
    }

    /// Commits wait for standbys that stream from the primary itself and are meant to run. Where the primary is stopped
    /// nobody commits, and the rule stays: it starts with that.
    pub(super) fn sync(&self, primary: &NodeName, intended: &Intended) -> Sync {
        let ReplicationSpec {
            mode,
            synchronous_standbys: number,
            synchronous_commit: level,
            ..
        } = self.spec.replication;
        let rule = |state: &State| {
            let cluster = state.clusters.get(self.name);
            cluster.map(|cluster| cluster.sync_rule.clone()).unwrap_or_default()
        };
        let recorded = rule(self.inputs.recorded);
        let pending = self.inputs.recorded.clusters.get(self.name);
        let pending = pending.is_some_and(|cluster| !cluster.pending_sync_rules.is_empty());
        let standbys: BTreeSet<String> = intended
            .nodes_of(self.name)
            .filter(|(_, node)| mode != ReplicationMode::Async && counts(node, primary, level))
            .map(|(address, _)| address.node.identifier())
            .collect();
        let runs = intended.nodes.get(&self.address(primary)).map(|node| node.power) == Some(Power::Running);
        let before = rule(self.before);
        let after = if runs {
            SyncRule::new(mode, number, &standbys)
        } else {
            before.clone()
        };
        let lead = self.lead(primary);
        let moves = lead == Lead::Passes;
        let before = if moves {
            self.rule_at_promotion(&after, &standbys)
        } else {
            before
        };
        let present = before.clone();
        // Where they are to wait for nobody else anyway, one step says so.
        let lost = self
            .lost(primary, &before)
            .filter(|(_, meanwhile)| runs && lead == Lead::Stays && *meanwhile != after);
        let before = match &lost {
            Some((_, meanwhile)) => meanwhile.clone(),
            None => before,
        };
        Sync {
            present,
            lost: lost.map(|(lost, _)| lost),
            due: runs && (before != after || ((recorded != after || pending) && !moves)),
            awaited: awaited(number, &standbys),
            before,
            after,
            standbys,
        }
    }
}

impl Declaration<'_> {
    /// Returns the standbys that commits are not to wait for any longer, and whom they wait for meanwhile.
    fn lost(&self, primary: &NodeName, rule: &SyncRule) -> Option<(Lost, SyncRule)> {
        let replication = &self.spec.replication;
        if replication.on_standby_loss == OnStandbyLoss::Block {
            return None;
        }
        let server =
            before::server(self.inputs.observed, &self.address(primary)).filter(|server| !server.in_recovery)?;
        let streams = |name: &&String| {
            server
                .senders
                .get(*name)
                .is_some_and(|sender| sender.state == "streaming")
        };
        let (there, lost): (BTreeSet<&String>, BTreeSet<&String>) = rule.standbys.iter().partition(streams);
        let owned = |names: BTreeSet<&String>| names.into_iter().cloned().collect::<BTreeSet<String>>();
        let (there, lost) = (owned(there), owned(lost));
        let number = replication.synchronous_standbys;
        let meanwhile = SyncRule::new(replication.mode, number, &there);
        let lost = Lost {
            standbys: lost,
            awaited: awaited(number, &there),
            since: server.progress().position,
        };
        (!lost.standbys.is_empty()).then_some((lost, meanwhile))
    }

    /// Returns whom commits wait for from the first one that a new primary takes. Where they are to wait rather than be
    /// unprotected that is everybody who is meant to replay from it, also those who have yet to come back.
    fn rule_at_promotion(&self, after: &SyncRule, standbys: &BTreeSet<String>) -> SyncRule {
        let replication = &self.spec.replication;
        if replication.on_standby_loss == OnStandbyLoss::Block {
            return after.clone();
        }
        let replays = |node: &NodeName| {
            before::server(self.inputs.observed, &self.address(node)).is_some_and(|server| server.in_recovery)
        };
        let there: BTreeSet<String> = self
            .spec
            .nodes
            .keys()
            .filter(|node| standbys.contains(&node.identifier()) && replays(node))
            .map(NodeName::identifier)
            .collect();
        SyncRule::new(replication.mode, replication.synchronous_standbys, &there)
    }
}

/// A delayed standby has every commit at once, and shows it late: who waits for it to be shown waits for the delay.
fn counts(node: &IntendedNode, primary: &NodeName, level: CommitLevel) -> bool {
    let follows = matches!(&node.role, Role::Standby { follows } if follows == primary);
    let delayed = node.parameters.contains_key(APPLY_DELAY);
    follows && node.power == Power::Running && !(delayed && level == CommitLevel::RemoteApply)
}
