//! One row of the tables of decisions, partitions and frozen parts after the other.

mod partitions;
mod standbys;
mod works;

use std::collections::BTreeSet;
use std::time::Duration;

use simdb_state::address::NodeAddress;
use simdb_state::identity::DataIdentity;
use simdb_state::lsn::Lsn;
use simdb_state::object::{
    Cluster, Data, Election, ElectionReason, EngineKind, FailoverMode, MaxLoss, Node, OnStandbyLoss, Origin, Power,
    Prefer, ReplicationMode, Role, Term, first_platform,
};
use simdb_state::position::Progress;
use simdb_state::sync::{SyncMethod, SyncRule};

use super::*;

/// A cluster `orders` of nodes a, b and c, led by a, all of them alive, watched by a monitor that may decide.
struct Scene {
    state: State,
    evidence: BTreeMap<NodeName, NodeEvidence>,
    history: History,
    round: Round,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn orders() -> ClusterName {
    "orders".parse().unwrap()
}

fn name(node: &str) -> NodeName {
    node.parse().unwrap()
}

fn address(node: &str) -> NodeAddress {
    NodeAddress {
        cluster: orders(),
        node: name(node),
    }
}

fn said(writes: bool) -> Said {
    Said {
        writes,
        progress: Progress {
            timeline: 1,
            position: Lsn(0x1000).into(),
        },
        streams: !writes,
        lag_bytes: (!writes).then_some(0),
        lag: (!writes).then_some(Duration::ZERO),
        slot: SlotState::Kept,
        diverged: false,
        archive_fails: false,
        waiting: 0,
    }
}

fn alive(writes: bool) -> NodeEvidence {
    NodeEvidence {
        process: Process::Runs,
        has_data: Some(true),
        answer: Sign::Alive,
        entry: Sign::Alive,
        said: Some(said(writes)),
        commit: if writes { Sign::Alive } else { Sign::Unwatched },
        stream: if writes { Sign::Alive } else { Sign::Unwatched },
        ..NodeEvidence::default()
    }
}

fn recorded(role: Role) -> Node {
    Node {
        role: Some(role),
        power: Power::Running,
        data: Some(Data {
            generation: 1,
            identity: DataIdentity::from(7),
            origin: Origin::Initialized,
            outside: None,
        }),
        ..Node::default()
    }
}

impl Scene {
    fn new(mode: ReplicationMode) -> Self {
        let mut cluster = Cluster::new(first_platform(), "lan".parse().unwrap(), EngineKind::Postgresql, 17);
        cluster.replication = mode;
        cluster.failover.mode = FailoverMode::Automatic;
        if mode != ReplicationMode::Async {
            cluster.synchronous_standbys = 1;
            cluster.sync_rule = SyncRule {
                method: SyncMethod::Any,
                number: 1,
                standbys: ["b", "c"].map(str::to_owned).into(),
            };
        }
        let mut state = State::default();
        state.clusters.insert(orders(), cluster);
        let election = Election {
            term: Term(1),
            primary: name("a"),
            pin: None,
            reason: ElectionReason::Birth,
            chosen: false,
            switch: None,
        };
        state.elections.insert(orders(), election);
        state
            .nodes
            .insert(address("a"), recorded(Role::Primary { term: Term(1) }).into());
        for standby in ["b", "c"] {
            let role = Role::Standby { follows: name("a") };
            state.nodes.insert(address(standby), recorded(role).into());
        }
        let evidence = [("a", true), ("b", false), ("c", false)];
        Self {
            state,
            evidence: evidence
                .into_iter()
                .map(|(node, writes)| (name(node), alive(writes)))
                .collect(),
            history: History::default(),
            round: Round {
                running: seconds(60),
                complete: true,
                late: Duration::ZERO,
                standing: Standing::Decides,
                hears: true,
                at_work: None,
            },
        }
    }

    fn quorum() -> Self {
        Self::new(ReplicationMode::Quorum)
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn policy(&mut self) -> &mut simdb_state::object::FailoverPolicy {
        &mut self.state.clusters.get_mut(&orders()).unwrap().failover
    }

    fn node(&mut self, node: &str) -> &mut NodeEvidence {
        self.evidence.get_mut(&name(node)).unwrap()
    }

    fn trend(&mut self, node: &str) -> &mut Trend {
        self.history.trends.entry(name(node)).or_default()
    }

    fn ended(&mut self, node: &str, ago: Duration) {
        self.node(node).process = Process::Ended(ago);
    }

    /// No sign of life reaches the monitor, also not through standbys.
    fn silent(&mut self, node: &str) {
        let evidence = self.node(node);
        evidence.answer = Sign::Silent(seconds(2));
        evidence.process = Process::Unknown;
        if evidence.stream != Sign::Unwatched {
            evidence.stream = Sign::Silent(seconds(2));
        }
    }

    fn judged(&self) -> Judgement {
        judge(Case {
            cluster: &orders(),
            recorded: &self.state,
            evidence: &self.evidence,
            history: &self.history,
            round: &self.round,
        })
    }

    /// What is done, or held and why.
    fn told(&self) -> String {
        let judged = self.judged();
        match (judged.decision, judged.held) {
            (None, None) => "nothing".to_owned(),
            (Some(decision), None) => decision.to_string(),
            (None, Some((decision, held))) => format!("not now: {decision} ({held})"),
            (Some(_), Some(_)) => panic!("what is done is not held"),
        }
    }

    fn alarms(&self) -> String {
        let alarms = self.judged().alarms;
        alarms.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

#[test]
fn a_healthy_cluster_is_left_alone() {
    let scene = Scene::quorum();
    assert_eq!((scene.told().as_str(), scene.alarms().as_str()), ("nothing", ""));
}

#[test]
fn a_process_that_ended_is_enough_for_a_failover() {
    let scene = Scene::quorum().with(|scene| scene.ended("a", Duration::ZERO));
    assert_eq!(scene.told(), "fail over from a: its process ended");
}

#[test]
fn silence_needs_every_sign_of_life_that_is_watched() {
    let silent = |change: fn(&mut Scene)| {
        Scene::quorum().with(|scene| {
            scene.silent("a");
            change(scene);
        })
    };
    assert_eq!(silent(|_| {}).told(), "fail over from a: no sign of life for 2.0 s");
    let streams = silent(|scene| scene.node("a").stream = Sign::Alive);
    assert_eq!(streams.told(), "nothing");
    assert_eq!(streams.alarms(), "a does not answer, and something shows that it lives");
    let beats = silent(|scene| scene.node("a").beat = Sign::Alive);
    assert_eq!(beats.told(), "nothing");
    let once = silent(|scene| scene.node("a").answer = Sign::Silent(Duration::from_millis(800)));
    assert_eq!(once.told(), "nothing");
    assert_eq!(
        once.judged().conditions[&name("a")],
        Condition::Suspect(Duration::from_millis(800))
    );
}

#[test]
fn a_refusal_makes_silence_shorter_only_where_nothing_shows_a_process() {
    let refuses = |process| {
        Scene::quorum().with(|scene| {
            scene.silent("a");
            let a = scene.node("a");
            (a.answer, a.refuses, a.process) = (Sign::Silent(Duration::from_millis(100)), true, process);
        })
    };
    assert_eq!(
        refuses(Process::Unknown).told(),
        "fail over from a: no sign of life for 0.1 s"
    );
    assert_eq!(refuses(Process::Runs).told(), "nothing");
}

#[test]
fn a_monitor_that_was_late_or_started_a_moment_ago_does_nothing() {
    let lost = || Scene::quorum().with(|scene| scene.ended("a", Duration::ZERO));
    let late = lost().with(|scene| scene.round.late = Duration::from_millis(101));
    assert_eq!((late.told().as_str(), late.alarms().as_str()), ("nothing", ""));
    let young = lost().with(|scene| scene.round.running = seconds(4));
    assert!(young.told().ends_with("(the monitor has just started)"));
    let incomplete = lost().with(|scene| scene.round.complete = false);
    assert!(incomplete.told().ends_with("(the monitor has just started)"));
}

#[test]
fn a_server_that_recovers_is_given_its_time() {
    let recovering = |time| {
        Scene::quorum().with(|scene| {
            scene.node("a").starting = Some(time);
        })
    };
    assert_eq!(recovering(seconds(10)).told(), "nothing");
    assert!(
        recovering(seconds(11))
            .told()
            .starts_with("fail over from a: it has been recovering")
    );
}

#[test]
fn a_primary_that_is_stopped_paused_maintained_or_worked_on_is_left_alone() {
    let lost = || Scene::quorum().with(|scene| scene.ended("a", Duration::ZERO));
    let stopped = lost().with(|scene| scene.state.nodes.get_mut(&address("a")).unwrap().stopped_by_request = true);
    assert_eq!(stopped.told(), "nothing");
    let paused = lost().with(|scene| scene.history.paused = true);
    assert!(paused.told().ends_with("(the monitor is paused for this cluster)"));
    let maintained = lost().with(|scene| scene.history.maintained = true);
    assert!(maintained.told().ends_with("(a maintenance window is open)"));
    let worked = lost().with(|scene| {
        scene.round.at_work = Some(Work {
            who: "ann@host (apply)".to_owned(),
            yields: false,
        });
    });
    assert!(worked.told().ends_with("(ann@host (apply) is at work)"));
    let manual = lost().with(|scene| scene.policy().mode = FailoverMode::Manual);
    assert!(manual.told().ends_with("(failover.mode is \"manual\")"));
}

#[test]
fn without_a_standby_that_answers_there_is_no_failover() {
    let lost = |change: fn(&mut Scene)| {
        Scene::quorum().with(|scene| {
            scene.silent("a");
            change(scene);
        })
    };
    let alone = lost(|scene| {
        scene.silent("b");
        scene.silent("c");
    });
    assert!(alone.told().ends_with("(no standby could take over)"));
    let never = lost(|scene| scene.policy().priorities = ["b", "c"].map(|node| (name(node), 0)).into());
    assert!(never.told().ends_with("(no standby could take over)"));
    // A server that ended and has its data is started.
    let ended = lost(|scene| {
        scene.silent("b");
        scene.silent("c");
        scene.ended("a", Duration::ZERO);
    });
    assert_eq!(ended.told(), "start a");
}

#[test]
fn an_asynchronous_primary_is_started_first_and_replaced_within_what_may_be_lost() {
    let crashed = |ago, change: fn(&mut Scene)| {
        Scene::new(ReplicationMode::Async).with(|scene| {
            scene.ended("a", ago);
            change(scene);
        })
    };
    assert_eq!(crashed(seconds(9), |_| {}).told(), "start a");
    let late = crashed(seconds(10), |_| {}).judged().decision;
    assert!(matches!(late, Some(Decision::Elect { lossy: false, .. })));
    let lossy = crashed(seconds(10), |scene| scene.policy().max_loss = MaxLoss::Unlimited);
    assert!(matches!(
        lossy.judged().decision,
        Some(Decision::Elect { lossy: true, .. })
    ));
    let gone = crashed(Duration::ZERO, |scene| scene.node("a").has_data = Some(false));
    assert!(matches!(gone.judged().decision, Some(Decision::Elect { .. })));
    let prefers = Scene::quorum().with(|scene| {
        scene.ended("a", Duration::ZERO);
        scene.policy().prefer = Prefer::Restart;
    });
    assert_eq!(prefers.told(), "start a");
}

#[test]
fn a_failover_that_was_refused_is_tried_again_later_and_the_primary_started_in_between() {
    let refused = |times, ago, started| {
        Scene::quorum().with(|scene| {
            scene.ended("a", seconds(1));
            scene.history.tried.insert(Subject::Lead, Attempt { ago, times });
            if started {
                let attempt = Attempt { ago, times };
                scene.history.tried.insert(Subject::Node(name("a")), attempt);
            }
        })
    };
    assert_eq!(refused(1, seconds(1), false).told(), "start a");
    assert!(
        refused(2, seconds(1), true)
            .told()
            .ends_with("(the last attempt failed; the next one is in 1 s)")
    );
    assert_eq!(
        refused(2, seconds(2), true).told(),
        "fail over from a: its process ended"
    );
}

#[test]
fn a_second_failover_waits_unless_it_is_certain_and_loses_nothing() {
    let again = |mode, change: fn(&mut Scene)| {
        Scene::new(mode).with(|scene| {
            scene.history.failovers = vec![seconds(20)];
            change(scene);
        })
    };
    let ended = again(ReplicationMode::Quorum, |scene| scene.ended("a", Duration::ZERO));
    assert_eq!(ended.told(), "fail over from a: its process ended");
    let silent = again(ReplicationMode::Quorum, |scene| scene.silent("a"));
    assert!(
        silent
            .told()
            .ends_with("(the last failover was a moment ago; wait 40 s)")
    );
    let lossy = again(ReplicationMode::Async, |scene| {
        scene.ended("a", seconds(11));
        scene.policy().max_loss = MaxLoss::Unlimited;
    });
    assert!(
        lossy
            .told()
            .ends_with("(the last failover was a moment ago; wait 40 s)")
    );
}

#[test]
fn a_cluster_that_fails_over_again_and_again_pauses_itself() {
    let scene = Scene::quorum().with(|scene| {
        scene.ended("a", Duration::ZERO);
        scene.history.failovers = vec![seconds(3_000), seconds(1_000), seconds(100), seconds(4_000)];
    });
    assert_eq!(scene.told(), "pause after 3 failovers within an hour");
}

#[test]
fn where_every_server_ended_the_recorded_primary_starts_and_nobody_is_elected() {
    let down = |change: fn(&mut Scene)| {
        Scene::quorum().with(|scene| {
            for node in ["a", "b", "c"] {
                scene.ended(node, seconds(1));
            }
            scene.round.hears = false;
            change(scene);
        })
    };
    assert_eq!(down(|_| {}).told(), "start a");
    let ahead = down(|scene| {
        let said = scene.node("b").said.as_mut().unwrap();
        said.progress.timeline = 2;
    });
    assert!(
        ahead
            .told()
            .ends_with("(b is on a later timeline than the primary on record)")
    );
    let one_is_stopped = down(|scene| {
        scene.state.nodes.get_mut(&address("b")).unwrap().stopped_by_request = true;
    });
    assert_eq!(one_is_stopped.told(), "start a");
}

#[test]
fn an_election_that_was_cut_off_is_carried_through() {
    let scene = Scene::quorum().with(|scene| {
        let election = scene.state.elections.get_mut(&orders()).unwrap();
        (election.term, election.primary) = (Term(2), name("b"));
        scene.ended("a", Duration::ZERO);
    });
    assert_eq!(scene.told(), "finish the role change to b, which was cut off");
    // The winner writes already, and not all that follows it was led there.
    let promoted = Scene::quorum().with(|scene| scene.history.cut_off = true);
    assert_eq!(promoted.told(), "finish the role change to a, which was cut off");
}

#[test]
fn a_second_writer_is_shut_down() {
    let scene = Scene::quorum().with(|scene| *scene.node("b") = alive(true));
    assert_eq!(scene.told(), "shut down b, which writes beside the primary");
    assert_eq!(scene.alarms(), "b writes beside the primary");
}

#[test]
fn a_former_primary_is_no_second_writer_before_it_says_so_again() {
    let mut memory = Memory::default();
    let at = Duration::from_millis;
    for node in ["a", "b"] {
        memory.hear(&name(node), Heard::Answer(said(true)), at(0));
    }
    // The lead has passed to b, and a was stopped and started in between, so quickly that it never was silent.
    memory.led_by(&name("b"));
    let writes = |memory: &Memory, node| memory.evidence(at(100))[&name(node)].said.as_ref().unwrap().writes;
    assert!(!writes(&memory, "a") && writes(&memory, "b"));
    memory.hear(&name("a"), Heard::Answer(said(true)), at(100));
    assert!(
        writes(&memory, "a"),
        "one that goes on to write is told by its next answer"
    );
}

#[test]
fn a_memory_turns_what_is_heard_into_evidence() {
    let mut memory = Memory::default();
    let (a, at) = (name("a"), Duration::from_millis);
    memory.ask(&a, at(0));
    memory.hear(&a, Heard::Runs, at(0));
    assert_eq!(memory.evidence(at(250))[&a].answer, Sign::Alive);
    assert_eq!(memory.evidence(at(900))[&a].answer, Sign::Silent(at(900)));
    memory.hear(&a, Heard::Answer(said(true)), at(1_000));
    memory.hear(&a, Heard::Entry, at(1_000));
    let evidence = &memory.evidence(at(1_100))[&a];
    assert_eq!(
        (evidence.answer, evidence.entry, evidence.stream),
        (Sign::Alive, Sign::Alive, Sign::Unwatched)
    );
    memory.hear(&a, Heard::Ended, at(2_000));
    memory.hear(&a, Heard::Ended, at(2_500));
    assert_eq!(memory.evidence(at(3_000))[&a].process, Process::Ended(at(1_000)));
    assert_eq!(memory.evidence(at(3_000))[&a].entry, Sign::Unwatched);
    memory.tried(Subject::Lead, at(3_000));
    memory.tried(Subject::Lead, at(4_000));
    let attempt = Attempt { ago: at(500), times: 2 };
    assert_eq!(memory.history(at(4_500)).tried[&Subject::Lead], attempt);
    memory.failed_over(seconds(3_000), at(5_000));
    assert_eq!(memory.history(at(6_000)).failovers, [seconds(3_001)]);
    memory.wake(at(9_000));
    assert_eq!(memory.evidence(at(9_100))[&a].answer, Sign::Alive);
}
