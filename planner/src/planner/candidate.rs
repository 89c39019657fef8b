//! Who may lead: every node of a cluster is looked at, and told why it may not.
//!
//! A switchover goes to a standby that streams and keeps up; a
//! failover goes to the most advanced survivor, and loses nothing where so many of those that commits waited for answer
//! that one of them must have every acknowledged write (R + W > N).

mod again;
mod unknown;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use simdb_state::address::NodeAddress;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Damage, FailoverPolicy, Loss, Node, Role, State, Verdict};
use simdb_state::position::{Distance, Position, Progress};
use simdb_state::writers::may_write_beside;

use super::{Assurance, ElectionRequest, astray, before};
use crate::desired::NodeSpec;
use crate::engine::replay::ReplayLimits;
use crate::observed::{Observation, Observed, ProcessFacts, ServerFacts};

pub(super) use self::unknown::without_proof;

/// The nodes of one cluster, as they stand for election.
pub(super) struct Field<'a> {
    pub(super) cluster: &'a ClusterName,
    pub(super) recorded: &'a State,
    pub(super) observed: &'a Observed,
    pub(super) declared: &'a BTreeMap<NodeName, NodeSpec>,
    /// Which of several that are as good is chosen, and which never is unless it is named.
    pub(super) policy: &'a FailoverPolicy,
    /// Who was elected last.
    pub(super) elected: &'a NodeName,
    /// Who writes, as far as is recorded: not the one elected last where that election was cut off.
    pub(super) leader: Option<&'a NodeName>,
}

/// Why nobody, or not the one who was named, may lead. Sentences, the last one a way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a node may not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfit<'a> {
    NotSeen,
    Silent,
    Stopped,
    OtherData,
    Damaged(&'a str),
    Writes,
    Paused,
    NotStreaming,
    Behind(u64),
    Never,
}

impl fmt::Display for Unfit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::NotSeen => f.write_str("it was not looked at"),
            Unfit::Silent => f.write_str("its server does not answer"),
            Unfit::Stopped => f.write_str("it is stopped on request"),
            Unfit::OtherData => f.write_str("it does not hold this cluster's data"),
            Unfit::Damaged(reason) => write!(f, "its data has to be made anew with `simdb resync` first ({reason})"),
            Unfit::Writes => f.write_str("it is no standby"),
            Unfit::Paused => f.write_str("its replay is paused"),
            Unfit::NotStreaming => f.write_str("it does not stream from the primary"),
            Unfit::Behind(bytes) => write!(f, "it is {bytes} bytes behind"),
            Unfit::Never => f.write_str("its failover_priority is 0"),
        }
    }
}

impl Unfit<'_> {
    /// Returns whether an apply that leaves the lead where it is lets the node stream and replay again, as far as it can.
    fn is_mended(&self) -> bool {
        match self {
            Unfit::Silent | Unfit::OtherData | Unfit::Damaged(_) | Unfit::Paused | Unfit::NotStreaming => true,
            Unfit::NotSeen | Unfit::Stopped | Unfit::Writes | Unfit::Behind(_) | Unfit::Never => false,
        }
    }

    /// Returns a sentence that says what a person can do, for a node that has a name.
    fn way_out(&self, cluster: &ClusterName, node: &NodeName) -> String {
        match self {
            Unfit::NotSeen => "Look at it: leave out -refresh=false".to_owned(),
            Unfit::Silent => "Start it with `simdb apply`".to_owned(),
            Unfit::Stopped => format!("Start it with `simdb start {cluster}.{node}`"),
            Unfit::Paused | Unfit::NotStreaming => "Let `simdb apply` mend that".to_owned(),
            Unfit::OtherData => "Let `simdb apply` clone it".to_owned(),
            Unfit::Damaged(_) => format!("Run `simdb resync {cluster}.{node}`"),
            Unfit::Writes => "Run `simdb status` to see who promoted it".to_owned(),
            Unfit::Behind(_) => "Wait until it has caught up".to_owned(),
            Unfit::Never => "Name it in the command".to_owned(),
        }
    }
}

/// What commits waited for, and who of that answers.
#[derive(Clone, Copy, Debug, Default)]
struct Votes {
    /// For how many standbys a commit waited (W).
    waited: u32,
    /// How many are listed (N).
    listed: u32,
    /// How many of those answer (R).
    responders: u32,
}

impl Votes {
    /// Returns whether one of those that answer must have every acknowledged write: R + W > N.
    fn overlap(&self) -> bool {
        self.listed > 0 && self.responders + self.waited > self.listed
    }
}

/// Compares two of which the furthest is looked for. Those that do not compare count as equal: what the one that is chosen
/// lacks, its verdict tells.
fn order<T: PartialOrd>(one: &T, other: &T) -> Ordering {
    one.partial_cmp(other).unwrap_or(Ordering::Equal)
}

impl Field<'_> {
    /// Returns whether the last election was recorded and its winner does not lead yet.
    pub(super) fn is_pending(&self) -> bool {
        self.leader != Some(self.elected)
    }

    /// Returns whether the node that leads answers, and writes.
    pub(super) fn leader_serves(&self) -> bool {
        self.leader
            .and_then(|leader| self.server(leader))
            .is_some_and(|facts| !facts.in_recovery)
    }

    /// Returns who takes over from a node that serves: the one who is named, else the one best suited.
    pub(super) fn switchover(&self, to: Option<&NodeName>) -> Result<NodeName, Refusal> {
        if let Some(to) = to {
            self.declares(to)?;
            // Going back to the node that still leads, or led and was fenced before anybody else was promoted.
            if Some(to) == self.leader || (self.leader.is_none() && *to != *self.elected && self.led_last(to)) {
                return Ok(to.clone());
            }
        }
        let leader = self.leader.and_then(|leader| Some((leader, self.server(leader)?)));
        let Some((leader, primary)) = leader.filter(|(_, facts)| !facts.in_recovery) else {
            let name = self.leader.unwrap_or(self.elected);
            return Err(Refusal(format!(
                "{}.{name} leads and does not answer, so that no node can take over without loss. Start it again with \
                 `simdb apply`; if it is lost, run `simdb failover {}`.",
                self.cluster, self.cluster
            )));
        };
        let unfit = |node: &NodeName| self.unfit_to_take_over(node, primary);
        match to {
            Some(to) => match unfit(to) {
                None => Ok(to.clone()),
                Some(reason) => Err(Refusal(format!(
                    "{}.{to} cannot take over from {leader}: {reason}. {}, or choose another node.",
                    self.cluster,
                    reason.way_out(self.cluster, to)
                ))),
            },
            None => self.best(leader, primary, unfit),
        }
    }

    /// Returns why a node cannot take over yet, as a clause, where an apply that leaves the lead where it is mends that.
    pub(super) fn mended_first(&self, to: &NodeName) -> Option<String> {
        let leader = self.leader.and_then(|leader| self.server(leader));
        let Some(primary) = leader.filter(|facts| !facts.in_recovery) else {
            return Some(format!("{} does not answer", self.leader.unwrap_or(self.elected)));
        };
        let reason = self.unfit_to_take_over(to, primary)?;
        reason.is_mended().then(|| reason.to_string())
    }

    /// Returns whether nobody was fenced after this node was: whoever was has written since.
    fn led_last(&self, node: &NodeName) -> bool {
        let fenced = self.recorded.nodes_of(self.cluster).filter_map(|(address, node)| {
            let Some(Role::Fenced { term, .. }) = node.role else {
                return None;
            };
            Some((term, &address.node))
        });
        fenced.max().is_some_and(|(_, last)| last == node)
    }

    fn best<'f>(
        &self,
        leader: &NodeName,
        primary: &ServerFacts,
        unfit: impl Fn(&NodeName) -> Option<Unfit<'f>>,
    ) -> Result<NodeName, Refusal> {
        let others = || self.declared.keys().filter(|node| *node != leader);
        let confirms = |node: &NodeName| {
            let sender = primary.senders.get(&node.identifier());
            sender.is_some_and(|sender| matches!(sender.sync_state.as_str(), "sync" | "quorum"))
        };
        let fit = others().filter(|node| unfit(node).is_none() && self.policy.priority(node) > 0);
        let rank = |node: &&NodeName| {
            let server = self.server(node);
            let priority = self.policy.priority(node);
            (confirms(node), priority, server.map(|facts| facts.progress().position))
        };
        // Of equals the first by name: `max_by` keeps the last one it sees.
        let best = fit.rev().max_by(|one, other| order(&rank(one), &rank(other)));
        best.cloned().ok_or_else(|| {
            let never = |node: &NodeName| (self.policy.priority(node) == 0).then_some(Unfit::Never);
            let reasons: Vec<String> = others()
                .filter_map(|node| Some(format!("{node}: {}", unfit(node).or_else(|| never(node))?)))
                .collect();
            Refusal(if reasons.is_empty() {
                format!(
                    "Cluster {} has no other node that could take over from {leader}. Declare a standby first.",
                    self.cluster
                )
            } else {
                format!(
                    "No node of cluster {} can take over from {leader} ({}). Let `simdb apply` mend them, with {leader} \
                     declared until one of them can.",
                    self.cluster,
                    reasons.join("; ")
                )
            })
        })
    }

    fn unfit_to_take_over(&self, node: &NodeName, primary: &ServerFacts) -> Option<Unfit<'_>> {
        if let Some(reason) = self.unfit(node) {
            return Some(reason);
        }
        let facts = self.server(node)?;
        let streams = primary
            .senders
            .get(&node.identifier())
            .is_some_and(|sender| sender.state == "streaming");
        if !streams {
            return Some(Unfit::NotStreaming);
        }
        // What does not compare with what the primary writes does not come from it.
        let Some(lag) = primary.progress().position.ahead_of(&Position::from(facts.replayed)) else {
            return Some(Unfit::NotStreaming);
        };
        let allowed = self.recorded.clusters.get(self.cluster)?.max_lag;
        lag.bytes().filter(|lag| *lag > allowed).map(Unfit::Behind)
    }

    /// Returns why a node cannot lead, whatever the others are.
    fn unfit(&self, node: &NodeName) -> Option<Unfit<'_>> {
        let address = self.address(node);
        let recorded = self.recorded.nodes.get(&address);
        let Some(facts) = self.server(node) else {
            let looked_at = self.observed.nodes.contains_key(&address);
            return Some(match recorded {
                _ if !looked_at => Unfit::NotSeen,
                Some(recorded) if recorded.stopped_by_request => Unfit::Stopped,
                _ => Unfit::Silent,
            });
        };
        let data = recorded.and_then(|node| node.data.as_ref());
        if data.is_none_or(|data| data.identity != facts.system_identifier) {
            return Some(Unfit::OtherData);
        }
        if let Some(damage) = recorded.and_then(|node| node.damage.as_ref()) {
            return Some(Unfit::Damaged(damage.reason()));
        }
        if !facts.in_recovery {
            return Some(Unfit::Writes);
        }
        facts.replay_paused.then_some(Unfit::Paused)
    }

    /// Returns who takes over from a node that is lost. Where losses are accepted, the one who is named may have less than others.
    pub(super) fn failover(&self, request: &ElectionRequest) -> Result<NodeName, Refusal> {
        let (to, lossy) = (request.to.as_ref(), request.lossy);
        if let Some(to) = to {
            self.declares(to)?;
        }
        self.leader_is_known(request)?;
        let survivors = self.survivors();
        if let Some(astray) = to.filter(|to| self.is_astray(to)) {
            return self.keep_branch(astray, lossy);
        }
        if let Some(damaged) = to.filter(|to| lossy && matches!(self.unfit(to), Some(Unfit::Damaged(_)))) {
            return Ok(damaged.clone());
        }
        let Some((best, furthest)) = survivors.iter().rev().max_by(|one, other| order(one.1, other.1)) else {
            self.others_are_known(to)?;
            return self.dormant(to).filter(|_| lossy).ok_or_else(|| self.nobody());
        };
        // Whoever is no longer declared is about to go; it is asked all the same what it has.
        let declared = survivors
            .iter()
            .rev()
            .filter(|(node, _)| self.declared.contains_key(**node));
        let able = declared.clone().filter(|(node, _)| self.policy.priority(node) > 0);
        let best_able = able.max_by(|(one, furthest), (other, progress)| {
            let ranks = (self.policy.priority(one), self.policy.priority(other));
            order(&(furthest, ranks.0), &(progress, ranks.1))
        });
        let Some(winner) = to.or_else(|| best_able.map(|(node, _)| *node)) else {
            if let Some((node, _)) = declared.clone().next() {
                return Err(Refusal(format!(
                    "Every standby of cluster {} that answers has failover_priority = 0. To promote one all the same, name it: simdb \
                     failover {} -promote {node}",
                    self.cluster, self.cluster
                )));
            }
            return Err(Refusal(format!(
                "The configuration of cluster {} declares none of the standbys that answer. Declare {best} again, so that it can \
                 take over.",
                self.cluster
            )));
        };
        if let Some(reason) = self.unfit(winner).filter(|_| !self.lacks_settings(winner)) {
            return Err(Refusal(format!(
                "{}.{winner} cannot lead: {reason}. {}, or promote another node.",
                self.cluster,
                reason.way_out(self.cluster, winner)
            )));
        }
        let has = survivors.get(winner).cloned().unwrap_or(Progress::NOTHING);
        if !has.reaches(furthest) && !lossy {
            let distance = furthest.position.ahead_of(&has.position);
            let distance = distance.map_or_else(String::new, |distance| format!("{distance} of "));
            return Err(Refusal(format!(
                "{}.{winner} is at {}, and {best} at {}: {distance}acknowledged writes are at stake. Promote {best}, or \
                 add -allow=data-loss.",
                self.cluster, has.position, furthest.position,
            )));
        }
        match self.verdict(winner) {
            // What is lost where the proof was waived is told by the plan, which takes an approval for it.
            Verdict::Unknown(loss) if !lossy && request.assurance != Assurance::Waived => {
                Err(self.at_stake(winner, loss.0))
            }
            _ => Ok(winner.clone()),
        }
    }

    /// Returns whether a standby is unfit only because it paused its replay by itself, having less than its log asks for:
    /// it is restarted with enough before it is promoted.
    fn lacks_settings(&self, node: &NodeName) -> bool {
        let version = self.recorded.clusters.get(self.cluster).map(|cluster| cluster.version);
        let needs = self.server(node).and_then(|facts| Some((facts, facts.needs?)));
        let lacks = version.zip(needs).is_some_and(|(version, (facts, needs))| {
            let own = ReplayLimits::of(version, &facts.configured);
            needs.exceeds(&own)
        });
        lacks && self.unfit(node) == Some(Unfit::Paused)
    }

    /// Returns whether somebody promoted a node by hand.
    pub(super) fn is_astray(&self, node: &NodeName) -> bool {
        let address = self.address(node);
        // A run that was cut off promoted it before it could record that.
        let pending = node == self.elected && self.leader.is_none_or(|leader| leader == node);
        !pending && astray::is_astray(&address, self.recorded.node(&address), self.observed)
    }

    /// A node that somebody promoted by hand leads with the writes it has, if somebody says so: what others have, and it has
    /// not, is lost.
    fn keep_branch(&self, node: &NodeName, lossy: bool) -> Result<NodeName, Refusal> {
        let address = self.address(node);
        let found = astray::branch(&address, self.observed);
        if !lossy {
            let found = found.map(|branch| format!(" ({branch})")).unwrap_or_default();
            return Err(Refusal(format!(
                "{address} was promoted by hand{found}. To keep its writes and give up those of the other nodes since, \
                 add -allow=data-loss; the plan says what each branch holds.",
            )));
        }
        match self.unfit(node) {
            Some(Unfit::Writes) => Ok(node.clone()),
            // It is started to write, so no other server may write by then.
            Some(Unfit::Silent | Unfit::Stopped)
                if self
                    .leader
                    .is_none_or(|leader| may_write_beside(&address, &self.address(leader)) || self.is_down(leader)) =>
            {
                Ok(node.clone())
            }
            Some(Unfit::Silent | Unfit::Stopped) => Err(Refusal(format!(
                "{address} was promoted by hand and is down, and the server of the primary is not: start {address} by hand, or \
                 stop the primary, and say so again."
            ))),
            Some(reason) => Err(Refusal(format!(
                "{address} cannot lead: {reason}. {} first.",
                reason.way_out(self.cluster, node)
            ))),
            None => Err(Refusal(format!(
                "{address} only replays. Promote it without -allow=data-loss."
            ))),
        }
    }

    /// Returns whether no server runs on a node, as was seen.
    fn is_down(&self, node: &NodeName) -> bool {
        match self.observed.nodes.get(&self.address(node)) {
            Some(Observation::Absent) => true,
            Some(Observation::Seen(facts)) => matches!(facts.process, ProcessFacts::Down),
            Some(Observation::Unknown(_)) | None => false,
        }
    }

    fn nobody(&self) -> Refusal {
        let damaged = self.declared.keys().find_map(|node| match self.unfit(node)? {
            Unfit::Damaged(reason) if Some(node) != self.leader => Some((node, reason)),
            _ => None,
        });
        if let Some((node, reason)) = damaged {
            return Refusal(format!(
                "No standby of cluster {} is fit to lead. {node} answers, and its data was found damaged ({reason}). Start what \
                 is left with `simdb apply`; to promote {node} all the same, add -promote {node} -allow=data-loss.",
                self.cluster
            ));
        }
        Refusal(format!(
            "No standby of cluster {} answers, so there is no node to promote. Start the remaining nodes with \
             `simdb apply`; where that \
             is refused, add -allow=data-loss to promote one that is down.",
            self.cluster
        ))
    }

    /// Returns who could be started and promoted where nobody answers: of those that have this cluster's data the one
    /// whose control data is furthest. What it lacks nobody can say.
    fn dormant(&self, to: Option<&NodeName>) -> Option<NodeName> {
        let sleeps = |node: &&NodeName| {
            let address = self.address(node);
            let facts = self.observed.nodes.get(&address).and_then(Observation::seen)?;
            let recorded = self.recorded.nodes.get(&address)?.data.as_ref()?;
            let control = facts.control.seen()?;
            let recoverable = !matches!(
                self.recorded.nodes.get(&address)?.damage,
                Some(Damage::Unrecoverable(_))
            );
            let halted = matches!(facts.process, ProcessFacts::Down | ProcessFacts::Frozen { .. });
            // The control data are those of the newest; what nobody recorded nobody is promoted on.
            let newest = facts.generations.last() == Some(&recorded.generation);
            (halted && newest && recoverable && control.system_identifier == recorded.identity).then_some(Progress {
                timeline: control.timeline,
                position: control.checkpoint.into(),
            })
        };
        let others = self.declared.keys().filter(|node| Some(*node) != self.leader);
        let asked = others.filter(|node| to.is_none_or(|to| to == *node));
        let able = asked.rev().filter_map(|node| Some((node, sleeps(&node)?)));
        able.max_by(|one, other| order(&one.1, &other.1))
            .map(|(node, _)| node.clone())
    }

    fn at_stake(&self, winner: &NodeName, lost: Option<Distance>) -> Refusal {
        let Votes {
            waited,
            listed,
            responders,
        } = self.votes(winner);
        let lost = match lost {
            Some(lost) => format!("up to {lost} of acknowledged writes are at stake"),
            None => "an unknown number of acknowledged writes is at stake".to_owned(),
        };
        let why = match listed {
            0 => "commits do not wait for standbys".to_owned(),
            _ => format!("commits waited for {waited} of {listed} standbys, and only {responders} answer"),
        };
        Refusal(format!(
            "Promoting {}.{winner} may lose writes: {why}, and {lost}. Bring the primary back with `simdb apply`; or, to \
             promote it all the same, add -allow=data-loss.",
            self.cluster
        ))
    }

    /// Returns what is known of the acknowledged writes if this node is promoted while the one that led cannot be asked.
    pub(super) fn verdict(&self, winner: &NodeName) -> Verdict {
        if self.is_astray(winner) {
            let fork = astray::branch(&self.address(winner), self.observed).and_then(|branch| branch.fork);
            let survivors = self.survivors();
            let furthest = survivors.values().max_by(|one, other| order(*one, *other));
            let lost = fork.zip(furthest);
            let lost = lost.and_then(|(fork, furthest)| furthest.position.ahead_of(&fork));
            return Verdict::Unknown(Loss(lost.filter(|lost| !lost.is_nothing())));
        }
        let votes = self.votes(winner);
        let survivors = self.survivors();
        let has = survivors.get(winner).cloned().unwrap_or(Progress::NOTHING);
        if votes.overlap() && survivors.values().all(|other| has.reaches(other)) {
            return Verdict::Argued {
                responders: votes.responders,
                waited: votes.waited,
                listed: votes.listed,
            };
        }
        let furthest = survivors.values().max_by(|one, other| order(*one, *other));
        let behind = furthest.and_then(|furthest| furthest.position.ahead_of(&has.position));
        Verdict::Unknown(Loss(behind.filter(|behind| !behind.is_nothing())))
    }

    /// Returns what commits waited for that the winner may lack, and who of that answers. Where it is not known which of
    /// several it was, the one that shows the least. What a node acknowledged itself it has: a rule that only a survivor may have been
    /// under asks for nothing that the winner, who reaches all survivors, could lack.
    fn votes(&self, winner: &NodeName) -> Votes {
        let cluster = self.recorded.clusters.get(self.cluster);
        let survivors = self.survivors();
        let rules = cluster.into_iter().flat_map(|cluster| {
            let recorded = [&cluster.sync_rule].into_iter();
            let pending = cluster.pending_sync_rules.iter();
            let pending = pending.filter(|pending| pending.node != *winner && !survivors.contains_key(&pending.node));
            recorded.chain(pending.map(|pending| &pending.rule))
        });
        let answers = |name: &&String| survivors.keys().any(|node| node.identifier() == **name);
        let count = |number: usize| u32::try_from(number).expect("a cluster has few nodes");
        let votes = rules.map(|rule| Votes {
            waited: rule.number,
            listed: count(rule.standbys.len()),
            responders: count(rule.standbys.iter().filter(answers).count()),
        });
        votes.min_by_key(Votes::overlap).unwrap_or_default()
    }

    /// Returns how far the standbys are that answer and hold this cluster's data.
    fn survivors(&self) -> BTreeMap<&NodeName, Progress> {
        let others = self.recorded.nodes_of(self.cluster).map(|(address, _)| &address.node);
        others
            .filter(|node| match self.unfit(node) {
                None | Some(Unfit::Paused) => Some(*node) != self.leader,
                // It was promoted by a run that was cut off before it could record that.
                Some(Unfit::Writes) => *node == self.elected && !self.is_recorded_to_lead(node),
                Some(_) => false,
            })
            .filter_map(|node| Some((node, self.server(node)?.progress())))
            .collect()
    }

    fn is_recorded_to_lead(&self, node: &NodeName) -> bool {
        let recorded = self.recorded.node(&self.address(node));
        recorded.is_some_and(Node::writes)
    }

    fn declares(&self, node: &NodeName) -> Result<(), Refusal> {
        if self.declared.contains_key(node) {
            return Ok(());
        }
        let names: Vec<String> = self.declared.keys().map(ToString::to_string).collect();
        Err(Refusal(format!(
            "Cluster {} declares no node {node}. It has: {}.",
            self.cluster,
            names.join(", ")
        )))
    }

    fn address(&self, node: &NodeName) -> NodeAddress {
        NodeAddress {
            cluster: self.cluster.clone(),
            node: node.clone(),
        }
    }

    fn server(&self, node: &NodeName) -> Option<&ServerFacts> {
        before::server(self.observed, &self.address(node))
    }
}
