//! What a record is called, what is read of it at one moment, and what one commit adds to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cluster_event::ClusterEvent;
use crate::delta::{Delta, Outputs};
use crate::object::{Output, ProviderSettings, State};
use crate::sensitive::{SecretName, Sensitive};

/// Identifies one record for good: two records never share it, and it names the key and the data root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage(pub String);

/// Identifies one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub String);

/// What was read, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The record.
    pub state: State,
    /// Counts the commits.
    pub serial: u64,
    /// The last run that was not finished, where there is one. A run that goes on at this moment is none.
    pub unfinished: Option<UnfinishedRun>,
    /// Where the nodes are; absent where an earlier version wrote the record.
    pub settings: Option<ProviderSettings>,
}

/// A run that neither finished nor failed in an orderly way.
#[derive(Clone, Debug, PartialEq)]
pub struct UnfinishedRun {
    /// The run.
    pub id: RunId,
    /// What it was: `apply`, `destroy`.
    pub operation: String,
    /// Its plan, as the document it was given.
    pub plan: serde_json::Value,
    /// Steps that were started and not finished: in doubt.
    pub in_doubt: Vec<u32>,
}

/// How long a step took that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// What kind of step it was, as plans name it.
    pub kind: String,
    /// From its start to its end.
    pub milliseconds: u64,
}

/// What goes into one atomic commit.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A step starts; what may hold from then on, and secrets that it will use for the first time, are stored before
    /// anything happens.
    Started {
        /// The step.
        step: u32,
        /// What it is to change in the record; [`Delta::beginning`] is noted at once.
        delta: Delta,
        /// The secrets.
        secrets: Vec<(SecretName, Sensitive<String>)>,
    },
    /// A step is done.
    Done {
        /// The step.
        step: u32,
        /// What it changes in the record.
        delta: Delta,
        /// What it found out.
        outputs: Outputs,
        /// How long it took.
        took: Took,
    },
    /// A step failed.
    Failed {
        /// The step.
        step: u32,
        /// Why, with all causes, for people.
        cause: String,
    },
    /// Something about recorded objects was found out, whatever came of the step that found it out; it needs no run.
    Found(Delta),
    /// Something was seen to have happened by itself; it belongs to no step and needs no run.
    Noticed(Vec<ClusterEvent>),
    /// The values of the `output` blocks; the sensitive ones with their JSON text. They replace all that were recorded;
    /// a sensitive one without text keeps the text it has.
    Outputs(BTreeMap<String, (Output, Option<Sensitive<String>>)>),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunEnd {
    /// Every step is done.
    Done,
    /// A step failed.
    Failed,
    /// It was asked to stop.
    Cancelled,
}
