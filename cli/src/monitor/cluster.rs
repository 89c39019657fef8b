//! What the watcher keeps of one cluster, and what it tells of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use simdb_planner::watch::{Alarm, Condition, Heard, Held, Judgement, Memory, PERIOD, Said, Sign, SlotState};
use simdb_providers::signs::Report;
use simdb_state::address::NodeAddress;
use simdb_state::claim::Pause;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Election, State};

use super::act;
use super::board::{Kind, News};
use super::node::Told;
use super::quiet::Quiet;
use super::work::Others;

/// What the watcher keeps of one cluster.
#[derive(Debug, Default)]
pub(super) struct ClusterWatch {
    pub(super) memory: Memory,
    pub(super) reports: BTreeMap<NodeName, (Report, Timestamp)>,
    pub(super) pause: Option<Pause>,
    /// What others do on it.
    pub(super) work: Others,
    /// Whether what its servers do is somebody's work.
    pub(super) quiet: Quiet,
    /// When the last process of a server was heard to have ended.
    pub(super) ended: Option<Instant>,
    conditions: BTreeMap<NodeName, Condition>,
    /// What was told to be held back last, and why.
    held: Option<String>,
}

impl ClusterWatch {
    /// Notes what was told of a node, and returns whether that is to be judged at once.
    pub(super) fn hear(&mut self, node: &NodeAddress, told: Told, (state, now): (&State, Duration)) -> bool {
        let name = &node.node;
        match told {
            Told::Heard(heard) => {
                if heard == Heard::Ended {
                    self.ended = Some(Instant::now());
                }
                let news = heard == Heard::Ended && !matches!(self.conditions.get(name), Some(Condition::Lost(_)));
                self.memory.hear(name, heard, now);
                news
            }
            Told::Report(mut report) => {
                report.progress.timeline = newest(&report, self.reports.get(name).map(|(before, _)| before));
                let leader = state.leader(&node.cluster).map(|leader| &leader.node);
                let gain = |before: &Report| report.progress.position.ahead_of(&before.progress.position);
                let before = self.reports.get(name);
                let has_more = before
                    .and_then(|(before, _)| gain(before))
                    .is_some_and(|gain| !gain.is_nothing());
                if let Some(leader) = leader.filter(|leader| *leader != name && !report.writes && has_more) {
                    self.memory.hear(leader, Heard::Stream, now);
                }
                let said = self.said(node, &report, state);
                self.reports.insert(name.clone(), (*report, Timestamp::now()));
                self.memory.hear(name, Heard::Answer(said), now);
                false
            }
        }
    }

    /// Returns what a server says of itself, in the light of what the primary says of it.
    fn said(&self, node: &NodeAddress, report: &Report, state: &State) -> Said {
        let leader = state.leader(&node.cluster).filter(|leader| *leader != node);
        let primary = leader
            .and_then(|leader| self.reports.get(&leader.node))
            .map(|(report, _)| report);
        let primary = primary.filter(|primary| primary.writes && !report.writes);
        let name = node.node.identifier();
        let upstreams = self
            .reports
            .values()
            .filter_map(|(report, _)| report.senders.get(&name));
        let streams = upstreams.clone().any(|sender| sender.streams) && report.receives;
        let lag_bytes = primary.and_then(|primary| primary.progress.position.ahead_of(&report.replayed)?.bytes());
        let slot = primary.and_then(|primary| primary.slots.get(&name));
        Said {
            writes: report.writes,
            progress: report.progress.clone(),
            streams: streams && !report.writes,
            lag_bytes,
            lag: (!report.writes).then(|| report.behind.unwrap_or_default()),
            slot: slot.map_or(SlotState::Kept, |slot| slot.state),
            diverged: primary.is_some() && has_diverged(report, state.elections.get(&node.cluster)),
            archive_fails: report.archived == Some(false),
            waiting: report.waiting,
        }
    }

    /// Returns whether any node answers.
    pub(super) fn answers(&self, now: Duration) -> bool {
        let fresh = |sign: Sign| match sign {
            Sign::Alive => true,
            Sign::Silent(silent) => silent < PERIOD * 3,
            Sign::Unwatched => false,
        };
        let evidence = self.memory.evidence(now);
        evidence.values().any(|evidence| fresh(evidence.answer))
    }

    /// Returns by how many bytes the primary was last seen to be ahead of the standby that has most.
    pub(super) fn unseen(&self, cluster: &ClusterName, state: &State) -> Option<u64> {
        let leader = &state.leader(cluster)?.node;
        let (primary, _) = self.reports.get(leader)?;
        let others = self
            .reports
            .iter()
            .filter(|(node, (report, _))| *node != leader && !report.writes);
        others
            .filter_map(|(_, (report, _))| primary.progress.position.ahead_of(&report.progress.position)?.bytes())
            .min()
    }

    /// Returns what is new in a judgement, each to be told once.
    pub(super) fn news(&mut self, cluster: &ClusterName, judged: &Judgement) -> Vec<News> {
        let mut told = Vec::new();
        let news = |kind, node: Option<&NodeName>, text: String| News {
            kind,
            cluster: Some(cluster.clone()),
            node: node.cloned(),
            term: None,
            text,
        };
        for (node, condition) in &judged.conditions {
            let before = self.conditions.insert(node.clone(), *condition).unwrap_or_default();
            match (before, condition) {
                (Condition::Lost(_), Condition::Lost(_)) | (Condition::Suspect(_), Condition::Suspect(_)) => {}
                (_, Condition::Lost(by)) => told.push(news(Kind::Lost, Some(node), by.to_string())),
                (_, Condition::Suspect(silent)) => {
                    let text = format!("no answer for {:.1} s", silent.as_secs_f64());
                    told.push(news(Kind::Suspected, Some(node), text));
                }
                (Condition::Lost(_) | Condition::Suspect(_), Condition::Alive) => {
                    told.push(news(Kind::Returned, Some(node), "it answers".to_owned()));
                }
                _ => {}
            }
        }
        if judged.conditions.is_empty() {
            return told;
        }
        let held = judged.held.as_ref().map(|(decision, held)| match held {
            // How long it waits is not told again and again.
            Held::Again(_) | Held::Cooldown(_) | Held::Restarting(_) | Held::Warming => String::new(),
            Held::Manual => format!("would {decision}, and {held}: run {}", act::command(cluster, decision)),
            _ => format!("would {decision}, and does not: {held}"),
        });
        let held = held.filter(|held| !held.is_empty());
        if held != self.held {
            told.extend(held.clone().map(|text| news(Kind::Held, None, text)));
            self.held = held;
        }
        let (raised, over) = self.memory.alarms(&judged.alarms);
        let node = |alarm: &Alarm| alarm.node().cloned();
        told.extend(
            raised
                .iter()
                .map(|alarm| news(Kind::Alarm, node(alarm).as_ref(), alarm.to_string())),
        );
        told.extend(
            over.iter()
                .map(|alarm| news(Kind::Clear, node(alarm).as_ref(), format!("over: {alarm}"))),
        );
        told
    }
}

/// Returns the timeline that a server's log is on. One that lost its upstream a moment ago reads it from its control file, which may name
/// an older one until the next restart point: what was seen before counts.
fn newest(report: &Report, before: Option<&Report>) -> u32 {
    let before = before.map(|before| before.progress.timeline);
    before.map_or(report.progress.timeline, |before| before.max(report.progress.timeline))
}

/// Returns whether a standby has log that the primary never had: it went on beyond where the primary's timeline began.
fn has_diverged(report: &Report, election: Option<&Election>) -> bool {
    let switch = election.and_then(|election| election.switch.as_ref());
    switch.is_some_and(|switch| {
        let beyond = report
            .progress
            .position
            .ahead_of(&switch.point)
            .is_some_and(|distance| !distance.is_nothing());
        !report.receives && Some(report.progress.timeline) < switch.timeline && beyond
    })
}

#[cfg(test)]
mod tests {
    use simdb_state::lsn::Lsn;
    use simdb_state::object::{ElectionReason, Loss, Switch, Term, Verdict};
    use simdb_state::position::Progress;

    use super::*;

    #[test]
    fn a_standby_whose_upstream_just_ended_has_not_left_its_branch() {
        let report = |receives, timeline| Report {
            writes: false,
            progress: Progress {
                timeline,
                position: Lsn(0x0500_0000).into(),
            },
            replayed: Lsn(0x0500_0000).into(),
            behind: None,
            paused: false,
            receives,
            senders: BTreeMap::new(),
            slots: BTreeMap::new(),
            archived: None,
            waiting: 0,
            started: None,
            version: None,
        };
        let election = Election {
            term: Term(2),
            primary: "a".parse().unwrap(),
            pin: None,
            reason: ElectionReason::Failover,
            chosen: false,
            switch: Some(Switch {
                timeline: Some(2),
                point: Lsn(0x0400_0000).into(),
                verdict: Verdict::Unknown(Loss(None)),
            }),
        };
        let streamed = report(true, 2);
        let mut ended = report(false, 1);
        assert!(has_diverged(&ended, Some(&election)), "nothing else is known of it");
        ended.progress.timeline = newest(&ended, Some(&streamed));
        assert!(!has_diverged(&ended, Some(&election)));
    }
}
