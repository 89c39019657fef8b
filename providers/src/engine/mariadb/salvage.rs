//! Carries over what only the files of a killed primary have: its last transactions, to the server that takes over.
//!
//! They are applied there as they were written, with the same numbers: the other servers receive them from there, and the former primary
//! finds them in its new upstream when it comes back, and follows without a copy.

use std::fs;
use std::path::Path;

use simdb_planner::engine::mariadb::facts::DataFacts;
use simdb_planner::plan::Server;
use simdb_state::gtid::GtidPosition;
use simdb_state::instance::{Argument, Command, FilePart, FileText, TaskSpec};
use simdb_state::object::EngineKind;
use simdb_state::place::Bind;

use super::LOGIN;
use super::offline::{self, OfflineError};
use super::stream::reaches;

/// Reads the tail into a file first, so that nothing of one that cannot be read is applied.
const SCRIPT: &str = r#"set -eu
umask 077
defaults=$1 tail=$2 from=$3 to=$4
shift 4
mariadb-binlog --no-defaults --start-position="$from" --stop-position="$to" "$@" > "$tail"
mariadb --defaults-file="$defaults" --binary-mode < "$tail"
"#;

/// The files of the task, none of which outlives it.
const FILES: [&str; 3] = ["salvage.cnf", "salvage.sh", "salvage.sql"];

/// What only the files of a killed primary have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Its binlogs that hold it, oldest first.
    pub binlogs: Vec<String>,
    /// After which transactions it begins.
    pub from: GtidPosition,
    /// The last of it.
    pub to: GtidPosition,
}

/// Returns what data has beyond a position; nothing where the position reaches it.
pub fn tail(data: &Path, facts: &DataFacts, from: &GtidPosition) -> Result<Option<Tail>, OfflineError> {
    if reaches(from, &facts.logged) {
        return Ok(None);
    }
    let mut binlogs = Vec::new();
    for name in offline::binlogs(data)?.into_iter().rev() {
        // Those that were removed hold what every server had.
        if fs::symlink_metadata(data.join(&name)).is_err() {
            break;
        }
        let before = offline::before(data, &name)?;
        binlogs.insert(0, name);
        if before.is_some_and(|before| reaches(from, &before)) {
            break;
        }
    }
    Ok(Some(Tail {
        binlogs,
        from: from.clone(),
        to: facts.logged.clone(),
    }))
}

/// Makes the task that carries a tail from the data of a node, whose server is down, into a server.
pub fn task(version: u16, data: &str, tail: &Tail, into: &Server) -> TaskSpec {
    let Bind { host, port } = into.place.published().unwrap_or(into.place.bind);
    let [login, script, statements] = FILES;
    let defaults = FileText(vec![
        FilePart::Text(format!("[client]\nuser={LOGIN}\nhost={host}\nport={port}\npassword=")),
        FilePart::Secret(into.password.clone()),
        FilePart::Text("\n".to_owned()),
    ]);
    let mut arguments = vec![
        Argument::below_directory("", script),
        Argument::below_directory("", login),
        Argument::below_directory("", statements),
        Argument::text(tail.from.to_string()),
        Argument::text(tail.to.to_string()),
    ];
    let binlogs = tail.binlogs.iter();
    arguments.extend(binlogs.map(|name| Argument::below_directory("", &format!("{data}/{name}"))));
    TaskSpec {
        name: "salvage".to_owned(),
        commands: vec![Command {
            engine: EngineKind::Mariadb,
            version,
            program: "/bin/sh".to_owned(),
            arguments,
        }],
        files: [
            (login.to_owned(), defaults),
            (script.to_owned(), FileText::text(SCRIPT)),
        ]
        .into_iter()
        .collect(),
        temporary: FILES.map(str::to_owned).into(),
        ..TaskSpec::default()
    }
}
