//! What a step that is done means to who runs the cluster: pure derivation from what it changes in the record.

use crate::address::Address;
use crate::delta::{Delta, Edit, Outputs};
use crate::journal::EventKind;
use crate::object::{ElectionReason, Role, State, Term};
use crate::position::Position;

/// Something that happened to a cluster or a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEvent {
    /// What.
    pub kind: EventKind,
    /// To whom.
    pub subject: Address,
    /// The position of the log that it is about.
    pub position: Option<Position>,
    /// The election that it follows from.
    pub term: Option<Term>,
}

impl ClusterEvent {
    /// Makes one that is about no position and no election.
    pub fn new(kind: EventKind, subject: impl Into<Address>) -> Self {
        Self {
            kind,
            subject: subject.into(),
            position: None,
            term: None,
        }
    }
}

/// Returns what a delta makes happen, given the record before it.
pub fn cluster_events(before: &State, delta: &Delta, outputs: &Outputs) -> Vec<ClusterEvent> {
    delta.0.iter().filter_map(|edit| event(before, edit, outputs)).collect()
}

fn event(before: &State, edit: &Edit, outputs: &Outputs) -> Option<ClusterEvent> {
    match edit {
        Edit::Role(node, role) => {
            let was = before.nodes.get(node).and_then(|node| node.role.as_ref());
            let happened = |kind| ClusterEvent::new(kind, node.clone());
            match (was, role) {
                (None, Role::Standby { .. }) => Some(happened(EventKind::StandbyCreated)),
                (Some(Role::Standby { .. }), Role::Primary { term }) => Some(ClusterEvent {
                    term: Some(*term),
                    ..happened(EventKind::Promoted)
                }),
                (Some(was), Role::Standby { .. }) if !is_standby(was) => Some(happened(EventKind::Rejoined)),
                _ => None,
            }
        }
        // Told when the lead has passed, not when it is to: an election may come to nothing.
        Edit::Switched(cluster) => {
            let election = before.elections.get(cluster)?;
            of_election(election.reason).map(|kind| ClusterEvent {
                position: outputs.switch.as_ref().map(|switch| switch.point.clone()),
                term: Some(election.term),
                ..ClusterEvent::new(kind, Address::Cluster(cluster.clone()))
            })
        }
        Edit::Degraded(cluster, Some(since)) => Some(ClusterEvent {
            position: Some(since.clone()),
            ..ClusterEvent::new(EventKind::Degraded, Address::Cluster(cluster.clone()))
        }),
        Edit::Verified { cluster, term, .. } => Some(ClusterEvent {
            kind: EventKind::SyncEstablished,
            subject: Address::Cluster(cluster.clone()),
            position: outputs.marker.clone(),
            term: Some(*term),
        }),
        _ => None,
    }
}

fn of_election(reason: ElectionReason) -> Option<EventKind> {
    match reason {
        ElectionReason::Birth => None,
        ElectionReason::Switchover => Some(EventKind::Switchover),
        ElectionReason::Failover => Some(EventKind::Failover),
    }
}

fn is_standby(role: &Role) -> bool {
    matches!(role, Role::Standby { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::NodeAddress;
    use crate::lsn::Lsn;
    use crate::object::{Election, Loss, Node, Switch, Verdict};

    fn at(lsn: u64) -> Position {
        Position::Wal(Lsn(lsn))
    }

    fn node() -> NodeAddress {
        "cluster.orders.node.a".parse().unwrap()
    }

    fn after(was: Option<Role>, edit: Edit, outputs: &Outputs) -> Vec<(&'static str, Option<Term>, Option<Position>)> {
        let mut before = State::default();
        let recorded = Node {
            role: was,
            ..Node::default()
        };
        before.nodes.insert(node(), recorded.into());
        let happened = cluster_events(&before, &Delta(vec![edit]), outputs);
        let told = happened
            .iter()
            .map(|one| (one.kind.name(), one.term, one.position.clone()));
        told.collect()
    }

    #[test]
    fn a_role_tells_what_happened_by_what_it_was_before() {
        let primary = Role::Primary { term: Term(2) };
        let standby = |follows: &str| Role::Standby {
            follows: follows.parse().unwrap(),
        };
        let cases = [
            (None, standby("b"), vec![("standby_created", None, None)]),
            (
                Some(standby("b")),
                primary.clone(),
                vec![("promoted", Some(Term(2)), None)],
            ),
            (Some(primary.clone()), standby("b"), vec![("rejoined", None, None)]),
            (Some(standby("b")), standby("c"), vec![]),
            (None, primary.clone(), vec![]),
            (Some(primary.clone()), primary, vec![]),
        ];
        for (was, is, expected) in cases {
            let edit = Edit::Role(node(), is.clone());
            assert_eq!(
                after(was.clone(), edit, &Outputs::default()),
                expected,
                "{was:?} to {is:?}"
            );
        }
    }

    #[test]
    fn a_proof_of_replication_is_told_with_its_position() {
        let edit = Edit::Verified {
            cluster: "orders".parse().unwrap(),
            topology: "digest".to_owned(),
            term: Term(1),
        };
        let outputs = Outputs {
            marker: Some(at(7)),
            ..Outputs::default()
        };
        assert_eq!(
            after(None, edit, &outputs),
            [("sync_established", Some(Term(1)), Some(at(7)))]
        );
    }

    #[test]
    fn a_lead_that_has_passed_is_told_by_why_it_did_and_where() {
        let outputs = Outputs {
            switch: Some(Box::new(Switch {
                timeline: Some(2),
                point: at(9),
                verdict: Verdict::Unknown(Loss(None)),
            })),
            ..Outputs::default()
        };
        for (reason, expected) in [
            (ElectionReason::Switchover, Some("switchover")),
            (ElectionReason::Failover, Some("failover")),
            (ElectionReason::Birth, None),
        ] {
            let election = Election {
                term: Term(2),
                primary: "a".parse().unwrap(),
                pin: None,
                reason,
                chosen: false,
                switch: None,
            };
            let mut before = State::default();
            let cluster: crate::name::ClusterName = "orders".parse().unwrap();
            let elected = Delta(vec![Edit::Election(cluster.clone(), election.clone())]);
            assert!(
                cluster_events(&before, &elected, &outputs).is_empty(),
                "it may come to nothing"
            );
            before.elections.insert(cluster.clone(), election);
            let switched = Delta(vec![Edit::Switched(cluster)]);
            let happened = cluster_events(&before, &switched, &outputs);
            let told = happened
                .first()
                .map(|one| (one.kind.name(), one.term, one.position.clone()));
            assert_eq!(told, expected.map(|kind| (kind, Some(Term(2)), Some(at(9)))));
        }
    }

    #[test]
    fn what_changes_no_role_and_proves_nothing_is_no_cluster_event() {
        let edits = [
            Edit::StoppedByRequest(node(), true),
            Edit::Unverified("orders".parse().unwrap()),
            Edit::Drop(node().into()),
        ];
        for edit in edits {
            assert!(after(None, edit.clone(), &Outputs::default()).is_empty(), "{edit:?}");
        }
    }
}
