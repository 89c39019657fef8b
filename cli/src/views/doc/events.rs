//! What happened to clusters.

use jiff::Timestamp;
use serde::Serialize;
use simdb_state::address::Address;
use simdb_state::journal::Event;
use simdb_state::name::ClusterName;
use simdb_state::object::Term;
use simdb_state::position::Position;

use super::FORMAT_VERSION;

/// What happened to clusters, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventsDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// What happened.
    pub events: Vec<EventDoc>,
}

/// Something that happened to a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventDoc {
    /// When, by the wall clock of the machine that simdb ran on.
    pub at: String,
    /// What: `standby_created`, `sync_established`, `lag_detected`, `switchover`, `failover`, `promoted`, `degraded`,
    /// `rejoined` or `split_brain`.
    pub event: &'static str,
    /// To whom.
    pub address: Address,
    /// The cluster.
    pub cluster: ClusterName,
    /// The position of the log that it is about.
    pub position: Option<Position>,
    /// The election that it follows from.
    pub term: Option<Term>,
    /// The run that did it; absent for what was seen to have happened by itself.
    pub run: Option<String>,
    /// The step of that run.
    pub step: Option<u32>,
}

impl EventsDoc {
    /// Picks what happened to one cluster or all, since a time or ever.
    pub fn new(events: &[Event], cluster: Option<&ClusterName>, since: Option<Timestamp>) -> Self {
        let is_recent = |event: &EventDoc| match (since, event.at.parse::<Timestamp>()) {
            (Some(since), Ok(at)) => at >= since,
            _ => true,
        };
        let chosen = events
            .iter()
            .filter_map(EventDoc::new)
            .filter(|event| cluster.is_none_or(|cluster| event.cluster == *cluster) && is_recent(event));
        Self {
            format_version: FORMAT_VERSION,
            events: chosen.collect(),
        }
    }
}

impl EventDoc {
    /// Makes the document of an event; nothing where it is about a run of simdb and no cluster.
    fn new(event: &Event) -> Option<Self> {
        let address = event.addresses.first().filter(|_| event.kind.is_of_cluster())?;
        Some(Self {
            at: event.at.clone(),
            event: event.kind.name(),
            cluster: address.cluster()?.clone(),
            address: address.clone(),
            position: event.position.clone(),
            term: event.term,
            run: event.run.as_ref().map(|run| run.0.clone()),
            // As plans count them.
            step: event.step.map(|step| step + 1),
        })
    }
}
