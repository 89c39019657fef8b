//! What the objects of a state are called, and the labels that find them.
//!
//! ```text
//!   simdb-state-<state>          the head: which chunks the rows are in, and the latest rows; the Lease has the same name
//!   simdb-chunk-<hex>            rows of before, as many as a Secret holds
//!   <state>                      NAME, NAME.workspace.WORKSPACE for another workspace than the default one, and any of these with
//!                                .backup-N or .format-N for a copy
//! ```
//!
//! A copy is a head like any other: `name = "NAME.backup-N"` in a configuration reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Who makes the objects, as those who look at them know it.
pub(super) const MANAGER: &str = "simdb";

/// The type of the Secrets.
pub(super) const TYPE: &str = "simdb.dev/state";

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The name in the configuration.
pub(super) const STATE: &str = "simdb.dev/state";
/// Tells the objects of one record from those of others: a digest, because a label is short.
pub(super) const RECORD: &str = "simdb.dev/record";
/// What an object is to its record.
pub(super) const PART: &str = "simdb.dev/part";

/// Of a head, for people: its workspace.
pub(super) const WORKSPACE: &str = "simdb.dev/workspace";
/// Of a chunk: the token of the lock that it was written under.
pub(super) const TOKEN: &str = "simdb.dev/token";
/// Of a Lease: who holds it.
pub(super) const LEASES: &str = "simdb.dev/leases";
/// Of a Lease of an earlier version: how often its holder said that it is alive, and who that is.
pub(super) const BEAT: &str = "simdb.dev/beat";
pub(super) const OWNER: &str = "simdb.dev/owner";

/// What an object is to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    Chunk,
    Copy,
    Lock,
}

impl Part {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Part::Head => "head",
            Part::Chunk => "chunk",
            Part::Copy => "copy",
            Part::Lock => "lock",
        }
    }
}

/// The names of one record's objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// As in the configuration.
    state: String,
    workspace: Option<String>,
    /// The head and the Lease.
    pub(super) head: String,
    record: String,
}

/// Labels, or annotations.
pub(super) type Pairs = BTreeMap<String, String>;

impl Names {
    /// Names the objects of a state in a workspace; none stands for the default one.
    pub(super) fn new(state: &str, workspace: Option<&str>) -> Self {
        let full = match workspace {
            Some(workspace) => format!("{state}.{}", encoded(workspace)),
            None => state.to_owned(),
        };
        let head = format!("simdb-state-{full}");
        Self {
            state: state.to_owned(),
            workspace: workspace.map(str::to_owned),
            record: hex(&Sha256::digest(&head)[..8]),
            head,
        }
    }

    /// Returns the name of a copy of the head.
    pub(super) fn copy(&self, name: &str) -> String {
        format!("{}.{name}", self.head)
    }

    /// Returns the labels of a part of the record.
    pub(super) fn labels(&self, part: Part) -> Pairs {
        pairs([
            (MANAGED_BY, MANAGER),
            (STATE, &self.state),
            (RECORD, &self.record),
            (PART, part.label()),
        ])
    }

    /// Returns the annotations of the head.
    pub(super) fn annotations(&self) -> Pairs {
        let workspace = self.workspace.iter();
        workspace.map(|name| (WORKSPACE.to_owned(), name.clone())).collect()
    }

    /// Selects everything of the record.
    pub(super) fn everything(&self) -> String {
        format!("{RECORD}={}", self.record)
    }

    /// Selects what is one part of the record.
    pub(super) fn every(&self, part: Part) -> String {
        format!("{RECORD}={},{PART}={}", self.record, part.label())
    }

    /// Selects the heads of all workspaces.
    pub(super) fn heads(&self) -> String {
        format!("{STATE}={},{PART}={}", self.state, Part::Head.label())
    }
}

/// Returns the name of a chunk, which no other chunk ever has.
pub(super) fn chunk(random: [u8; 8]) -> String {
    format!("simdb-chunk-{}", hex(&random))
}

/// Makes of the name of a workspace what the name of an object may hold.
fn encoded(workspace: &str) -> String {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if workspace.bytes().all(inner) && !workspace.starts_with('-') && !workspace.ends_with('-') {
        format!("workspace.{workspace}")
    } else {
        format!("workspace-hex.{}", hex(workspace.as_bytes()))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Makes labels or annotations.
pub(super) fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Pairs {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workspace_has_objects_that_no_other_one_has() {
        let name = |workspace| Names::new("orders", workspace).head;
        assert_eq!(name(None), "simdb-state-orders");
        assert_eq!(name(Some("staging")), "simdb-state-orders.workspace.staging");
        assert_eq!(name(Some("v1.2_X")), "simdb-state-orders.workspace-hex.76312e325f58");
        assert_eq!(name(Some("a-")), "simdb-state-orders.workspace-hex.612d");
        let long = "Z".repeat(64);
        let longest = Names::new(&"o".repeat(63), Some(&long)).copy("backup-18446744073709551615");
        assert!(longest.len() <= 253, "{} characters", longest.len());
    }

    #[test]
    fn a_copy_is_read_as_a_state_of_its_name() {
        let copy = Names::new("orders", None).copy("backup-7");
        assert_eq!(copy, Names::new("orders.backup-7", None).head);
    }

    #[test]
    fn labels_are_what_the_api_takes() {
        let labels = Names::new(&"o".repeat(63), Some("v1.2_X")).labels(Part::Chunk);
        assert!(labels.values().all(|value| value.len() <= 63), "{labels:?}");
        assert_eq!(labels[PART], "chunk");
    }
}
