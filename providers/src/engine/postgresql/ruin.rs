//! Whether what a standby's server says as it starts shows that no server can go on with its data.
//!
//! The log is the only witness: a server that has not reached consistency refuses every session. What it says in
//! another language than English is not understood, and then a step fails as if nothing was said.

use simdb_state::address::NodeAddress;

use crate::platform::Platform;

/// How many lines of a log are read: more than a server and those who knock at it say from its start until it gives up.
const LINES: usize = 2000;

/// How often an upstream must have said that the log is gone: once may be a word of an earlier start.
const SURE: usize = 2;

/// What a walsender answers where the log that is asked for is gone.
const REMOVED: &str = "has already been removed";

/// What a server says, with `FATAL` or `PANIC`, when it ends because of what its data holds or lacks.
const RUINED: &[&str] = &[
    "could not locate a valid checkpoint record",
    "could not locate required checkpoint record",
    "could not find redo location referenced by checkpoint record",
    "invalid checkpoint record",
    "invalid redo in checkpoint record",
    "invalid redo record",
    "WAL ends before",
    "WAL contains references to invalid pages",
    "does not contain minimum recovery point",
    "control file contains invalid",
    "incorrect checksum in control file",
    "invalid page in block",
    "could not read block",
    "could not access status of transaction",
    "incorrect resource manager data checksum",
    "is not a valid data directory",
];

/// Files of a data directory that a server cannot do without, as it names them.
const FILES: &[&str] = &["base/", "global/", "pg_xact/", "pg_multixact/", "pg_wal/", "pg_tblspc/"];

/// Where the log of a server ended before it was started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Since(Option<String>);

impl Since {
    /// Notes where a log ends now. What cannot be read is taken for empty, so that all of it counts.
    pub(crate) async fn now(platform: &dyn Platform, node: &NodeAddress) -> Self {
        let lines = platform.log(&node.into(), 1).await.unwrap_or_default();
        Self(lines.into_iter().next_back())
    }

    /// Returns what was logged since.
    async fn lines(&self, platform: &dyn Platform, node: &NodeAddress) -> Vec<String> {
        let mut lines = platform.log(&node.into(), LINES).await.unwrap_or_default();
        if let Some(last) = &self.0
            && let Some(at) = lines.iter().rposition(|line| line == last)
        {
            lines.drain(..=at);
        }
        lines
    }

    /// Returns why no server can go on with the data of one that was started and has ended.
    pub(crate) async fn why_ended(&self, platform: &dyn Platform, node: &NodeAddress) -> Option<String> {
        ruined(&self.lines(platform, node).await)
    }

    /// Returns why a server that runs and refuses sessions will go on doing so.
    pub(crate) async fn why_waiting(&self, platform: &dyn Platform, node: &NodeAddress) -> Option<String> {
        starved(&self.lines(platform, node).await)
    }
}

/// What a server says of a directory without a control file, which a copy that was cut off may have begun to remove.
const NO_CONTROL_FILE: &str = "postgres: could not find the database system";

fn ruined(lines: &[String]) -> Option<String> {
    let last_words = lines.iter().rev().filter_map(|line| {
        let words = ["FATAL:", "PANIC:"].iter().find_map(|level| line.split_once(level))?;
        Some(words.1.trim())
    });
    let mut last_words = last_words;
    // It says this before it has a log to say it in.
    if lines.iter().any(|line| line.ends_with(NO_CONTROL_FILE)) {
        return Some("its server cannot recover its data: the control file is gone".to_owned());
    }
    let says = last_words.find(|words| RUINED.iter().any(|known| words.contains(known)) || misses_a_file(words))?;
    Some(format!("its server cannot recover its data: {says}"))
}

fn misses_a_file(words: &str) -> bool {
    let named = |file: &&str| words.contains(&format!("\"{file}"));
    words.contains("No such file or directory") && FILES.iter().any(named)
}

fn starved(lines: &[String]) -> Option<String> {
    let mut refusals = lines.iter().rev().filter(|line| line.contains(REMOVED));
    let last = refusals.next()?;
    if refusals.take(SURE - 1).count() < SURE - 1 {
        return None;
    }
    let says = last
        .rsplit_once("ERROR:")
        .map_or(last.as_str(), |(_, says)| says)
        .trim();
    Some(format!(
        "it needs WAL to become consistent, and its upstream no longer has it: {says}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_server_that_finds_no_checkpoint_has_lost_its_data_and_one_without_rights_has_not() {
        let panic = "2026-01-01 00:00:00.000 UTC [7] PANIC:  could not locate a valid checkpoint record";
        let abort = "2026-01-01 00:00:00.001 UTC [6] LOG:  aborting startup due to startup process failure";
        assert_eq!(
            ruined(&lines(&[panic, abort])).unwrap(),
            "its server cannot recover its data: could not locate a valid checkpoint record"
        );
        for kept in [
            "FATAL:  data directory \"/d\" has invalid permissions",
            "FATAL:  could not load server certificate file \"server.crt\": No such file or directory",
            "LOG:  invalid checkpoint record",
        ] {
            assert_eq!(ruined(&lines(&[kept])), None, "{kept}");
        }
        let missing = "postgres: could not find the database system";
        assert_eq!(
            ruined(&lines(&["LOG:  database system is shut down", missing])).unwrap(),
            "its server cannot recover its data: the control file is gone"
        );
        let gone = "FATAL:  could not open file \"global/pg_filenode.map\": No such file or directory";
        assert!(ruined(&lines(&[gone])).is_some());
    }

    #[test]
    fn what_an_upstream_says_twice_counts() {
        let gone = "FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment \
                    000000010000000000000003 has already been removed";
        assert_eq!(starved(&lines(&[gone])), None);
        assert_eq!(
            starved(&lines(&[gone, "LOG:  waiting", gone])).unwrap(),
            "it needs WAL to become consistent, and its upstream no longer has it: requested WAL segment \
             000000010000000000000003 has already been removed"
        );
    }
}
