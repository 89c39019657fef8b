//! `synchronous_standby_names`: which standbys commits wait for, as PostgreSQL spells it.

use std::collections::BTreeSet;

use simdb_state::object::{CommitLevel, ReplicationMode};

/// Returns the value for a mode, a number of standbys to wait for and the standbys that count, by their identifiers;
/// empty where commits wait for nobody.
///
/// Where fewer standbys count than are to be waited for, all of them are: a longer wait would never end.
pub fn synchronous_standby_names(mode: ReplicationMode, number: u32, standbys: &BTreeSet<String>) -> String {
    let method = match mode {
        ReplicationMode::Async => return String::new(),
        ReplicationMode::Sync => "FIRST",
        ReplicationMode::Quorum => "ANY",
    };
    let number = awaited(number, standbys);
    if number == 0 {
        return String::new();
    }
    let names: Vec<String> = standbys.iter().map(|name| quote(name)).collect();
    format!("{method} {number} ({})", names.join(", "))
}

/// The setting that a delayed standby has.
pub const APPLY_DELAY: &str = "recovery_min_apply_delay";

/// Returns how far the commit of a marker waits: whatever others wait for, the proof is that standbys have it on disk.
pub fn marker_level(level: CommitLevel) -> CommitLevel {
    match level {
        CommitLevel::RemoteApply => CommitLevel::RemoteApply,
        CommitLevel::On | CommitLevel::RemoteWrite | CommitLevel::Local => CommitLevel::On,
    }
}

/// Returns how many standbys are waited for, of those that count.
pub fn awaited(number: u32, standbys: &BTreeSet<String>) -> u32 {
    number.min(u32::try_from(standbys.len()).unwrap_or(u32::MAX))
}

/// Returns the number of standbys to wait for and their names, as [`synchronous_standby_names`] wrote them; nothing of a
/// value that it did not write.
pub fn read(value: &str) -> (u32, BTreeSet<String>) {
    let parse = || {
        let rest = value.strip_prefix("FIRST ").or_else(|| value.strip_prefix("ANY "))?;
        let (number, names) = rest.strip_suffix(')')?.split_once(" (")?;
        let names = names.split(", ").map(|name| name.trim_matches('"').to_owned());
        Some((number.parse().ok()?, names.collect()))
    };
    parse().unwrap_or_default()
}

/// Identifiers of nodes are lower-case letters, digits and `_`; two of them could be taken for the words of the grammar.
fn quote(name: &str) -> String {
    if matches!(name, "first" | "any") {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_spelled_as_postgresql_reads_them_and_read_back() {
        use ReplicationMode::{Async, Quorum, Sync};
        for (mode, number, standbys, expected) in [
            (Async, 0, names(&["r_0"]), ""),
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
            let value = synchronous_standby_names(mode, number, &standbys);
            assert_eq!(value, expected);
            let read_back = if value.is_empty() {
                (0, BTreeSet::new())
            } else {
                (awaited(number, &standbys), standbys)
            };
            assert_eq!(read(&value), read_back, "{value}");
        }
    }

    #[test]
    fn what_somebody_else_wrote_names_nobody() {
        for value in ["*", "r_0", "2 (r_0, r_1)", "FIRST x (r_0)", "FIRST 1 r_0"] {
            assert_eq!(read(value), (0, BTreeSet::new()), "{value}");
        }
    }
}
