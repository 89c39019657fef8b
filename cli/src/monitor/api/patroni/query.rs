//! What a check may ask for beside the role: how far behind a replica may be, in which state, with which tags.

use std::collections::BTreeMap;

use super::super::view::NodeView;
use super::document;

/// The parameters of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Query {
    /// How many bytes a replica may be behind.
    lag: Option<u64>,
    /// In which state its replication is to be.
    state: Option<String>,
    /// The tags that it is to have.
    tags: BTreeMap<String, String>,
    /// Whether readiness counts what was received, in place of what was replayed.
    receives: bool,
}

impl Query {
    /// Reads parameters. One that is not known, and a lag that is no number of bytes, asks for nothing, as with Patroni.
    pub(in super::super) fn read(given: &BTreeMap<String, String>) -> Self {
        let tags = given.iter();
        let tags = tags.filter_map(|(name, value)| Some((name.strip_prefix("tag_")?.to_owned(), value.clone())));
        Self {
            lag: given.get("lag").and_then(|lag| size(lag)),
            state: given.get("replication_state").cloned(),
            tags: tags.collect(),
            receives: given.get("mode").is_some_and(|mode| mode == "write"),
        }
    }

    /// Returns whether a replica is what is asked for. A lag that is not known is within no limit.
    pub(super) fn admits(&self, node: &NodeView<'_>) -> bool {
        let tags = document::tags(node);
        let has = |name: &String, value: &String| tags.get(name).is_some_and(|tag| document::plain(tag) == *value);
        within(self.lag, node.lag_bytes())
            && self
                .state
                .as_deref()
                .is_none_or(|state| document::replication_state(node) == Some(state))
            && self.tags.iter().all(|(name, value)| has(name, value))
    }

    /// Returns whether a replica that streams is near enough to be sent clients.
    pub(super) fn is_ready(&self, node: &NodeView<'_>) -> bool {
        let limit = self.lag.unwrap_or(node.cluster.recorded.max_lag);
        let lag = if self.receives {
            node.receive_lag_bytes()
        } else {
            node.lag_bytes()
        };
        within(Some(limit), lag)
    }
}

fn within(limit: Option<u64>, lag: Option<u64>) -> bool {
    limit.is_none_or(|limit| lag.is_some_and(|lag| lag <= limit))
}

/// Reads a number of bytes with a unit: `16`, `16kB`, `10MB`, `1GB`, `1TB`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
