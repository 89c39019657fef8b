//! Whom the commits of a primary wait for.
//!
//! The record has it as text, in the spelling of PostgreSQL's `synchronous_standby_names`, since its first format.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// When a commit is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicationMode {
    /// When the primary has it.
    Async,
    /// When the primary and the first n of its standbys have it.
    Sync,
    /// When the primary and any n of its standbys have it.
    Quorum,
}

impl fmt::Display for ReplicationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplicationMode::Async => "async",
            ReplicationMode::Sync => "sync",
            ReplicationMode::Quorum => "quorum",
        })
    }
}

/// Whom the commits of a primary wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncRule {
    /// How those are chosen that a commit waits for.
    pub method: SyncMethod,
    /// How many standbys a commit waits for.
    pub number: u32,
    /// The identifiers of the standbys that count.
    pub standbys: BTreeSet<String>,
}

/// How the standbys are chosen that a commit waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncMethod {
    /// A commit waits for no standby.
    #[default]
    Nobody,
    /// A commit waits for the first ones that stream.
    First,
    /// A commit waits for whichever confirm it first.
    Any,
    /// The rule was not written by simdb, and this is how the server spells it.
    Foreign(String),
}

impl SyncRule {
    /// Returns the mode that the rule amounts to.
    pub fn mode(&self) -> ReplicationMode {
        match &self.method {
            SyncMethod::Nobody => ReplicationMode::Async,
            SyncMethod::Any => ReplicationMode::Quorum,
            SyncMethod::Foreign(text) if text.to_uppercase().starts_with("ANY") => ReplicationMode::Quorum,
            SyncMethod::First | SyncMethod::Foreign(_) => ReplicationMode::Sync,
        }
    }

    /// Returns the rule for a mode, a number of standbys to wait for and the standbys that count.
    ///
    /// Where fewer standbys count than are to be waited for, all of them are: a longer wait would never end.
    pub fn new(mode: ReplicationMode, number: u32, standbys: &BTreeSet<String>) -> Self {
        let method = match mode {
            ReplicationMode::Async => return Self::default(),
            ReplicationMode::Sync => SyncMethod::First,
            ReplicationMode::Quorum => SyncMethod::Any,
        };
        let number = awaited(number, standbys);
        if number == 0 {
            return Self::default();
        }
        Self {
            method,
            number,
            standbys: standbys.clone(),
        }
    }

    /// Returns whether commits wait for no standby.
    pub fn is_empty(&self) -> bool {
        self.method == SyncMethod::Nobody
    }
}

/// Returns how many standbys are waited for, of those that count.
pub fn awaited(number: u32, standbys: &BTreeSet<String>) -> u32 {
    number.min(u32::try_from(standbys.len()).unwrap_or(u32::MAX))
}

impl fmt::Display for SyncRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match &self.method {
            SyncMethod::Nobody => return Ok(()),
            SyncMethod::First => "FIRST",
            SyncMethod::Any => "ANY",
            SyncMethod::Foreign(text) => return f.write_str(text),
        };
        let names: Vec<String> = self.standbys.iter().map(|name| quote(name)).collect();
        write!(f, "{method} {} ({})", self.number, names.join(", "))
    }
}

/// Identifiers of nodes are lower-case letters, digits and `_`; two of them could be taken for the words of the grammar.
fn quote(name: &str) -> String {
    if matches!(name, "first" | "any") {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}

impl FromStr for SyncRule {
    type Err = Infallible;

    /// Reads a rule. Of one that simdb did not write the number and the standbys are read where it looks alike.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let rule = read(text).unwrap_or_default();
        if rule.to_string() == text {
            return Ok(rule);
        }
        Ok(Self {
            method: SyncMethod::Foreign(text.to_owned()),
            ..rule
        })
    }
}

fn read(text: &str) -> Option<SyncRule> {
    let (method, rest) = match text.strip_prefix("FIRST ") {
        Some(rest) => (SyncMethod::First, rest),
        None => (SyncMethod::Any, text.strip_prefix("ANY ")?),
    };
    let (number, names) = rest.strip_suffix(')')?.split_once(" (")?;
    let names = names.split(", ").map(|name| name.trim_matches('"').to_owned());
    Some(SyncRule {
        method,
        number: number.parse().ok()?,
        standbys: names.collect(),
    })
}

impl From<&str> for SyncRule {
    fn from(text: &str) -> Self {
        text.parse().unwrap_or_else(|never: Infallible| match never {})
    }
}

impl Serialize for SyncRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SyncRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn rules_are_spelled_as_postgresql_reads_them_and_read_back() {
        use ReplicationMode::{Async, Quorum, Sync};
        for (mode, number, standbys, expected) in [
            (Async, 0, names(&[]), ""),
            (Sync, 1, names(&[]), ""),
            (Sync, 1, names(&["r_1", "r_0"]), "FIRST 1 (r_0, r_1)"),
            (Quorum, 2, names(&["b", "c", "d"]), "ANY 2 (b, c, d)"),
            (Quorum, 3, names(&["b", "c"]), "ANY 2 (b, c)"),
            (
                Sync,
                1,
                names(&["any", "first", "x"]),
                "FIRST 1 (\"any\", \"first\", x)",
            ),
        ] {
            let rule = SyncRule::new(mode, number, &standbys);
            assert_eq!(rule.to_string(), expected);
            assert_eq!(SyncRule::from(expected), rule);
            assert_eq!((rule.number, &rule.standbys), (awaited(number, &standbys), &standbys));
            assert_eq!(rule.is_empty(), expected.is_empty());
        }
    }

    #[test]
    fn a_rule_of_somebody_else_keeps_its_spelling_and_is_equal_to_none_of_ours() {
        for text in ["*", "r_0", "2 (r_0, r_1)", "FIRST x (r_0)", "FIRST 1 r_0"] {
            let rule = SyncRule::from(text);
            assert_eq!((rule.number, &rule.standbys), (0, &BTreeSet::new()), "{text}");
            assert_eq!(rule.to_string(), text);
            assert!(!rule.is_empty());
        }
        let ours = SyncRule::from("FIRST 1 (r_0, r_1)");
        let theirs = SyncRule::from("FIRST 1 (r_1, r_0)");
        assert_eq!((theirs.number, &theirs.standbys), (ours.number, &ours.standbys));
        assert_ne!(theirs, ours, "the order of the names is another one");
        assert_eq!(theirs.to_string(), "FIRST 1 (r_1, r_0)");
    }
}
