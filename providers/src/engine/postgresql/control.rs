//! Control data: what a data directory is, without its server.

use simdb_planner::engine::postgresql::replay::{self, ReplayLimits};
use simdb_planner::observed::ControlData;
use simdb_state::identity::DataIdentity;
use simdb_state::instance::{Argument, Command, TaskSpec};
use simdb_state::lsn::Lsn;
use simdb_state::object::EngineKind;
use thiserror::Error;

/// Why what `pg_controldata` printed makes no sense. It must speak English (`LC_ALL=C`), which is the platform's part.
#[derive(Debug, Error)]
pub enum ControlError {
    /// It is not what a server wrote.
    #[error("read the control data: it is damaged")]
    Damaged,
    /// A line is missing.
    #[error("read the control data: it has no line {0:?}")]
    Missing(&'static str),
    /// A value is not what the line promises.
    #[error("read the control data: {value:?} does not fit {label:?}")]
    Value {
        /// The line.
        label: &'static str,
        /// What stands there.
        value: String,
    },
}

/// Makes the task that prints the control data of a directory below the instance directory.
pub(crate) fn task(version: u16, data: &str) -> TaskSpec {
    TaskSpec {
        name: "controldata".to_owned(),
        commands: vec![Command {
            engine: EngineKind::Postgresql,
            version,
            program: "pg_controldata".to_owned(),
            arguments: vec![Argument::text("-D"), Argument::below_directory("", data)],
        }],
        ..TaskSpec::default()
    }
}

/// Reads what the task printed.
pub(crate) fn parse(text: &str) -> Result<ControlData, ControlError> {
    let system_identifier: u64 = field(text, "Database system identifier", |value| value.parse().ok())?;
    // It warns of a checksum that does not fit (up to 16 here, later elsewhere), and prints what it found all the same.
    if system_identifier == 0 || text.lines().any(|line| line.starts_with("WARNING")) {
        return Err(ControlError::Damaged);
    }
    let state: String = field(text, "Database cluster state", |value| Some(value.to_owned()))?;
    if state == "unrecognized status code" {
        return Err(ControlError::Value {
            label: "Database cluster state",
            value: state,
        });
    }
    Ok(ControlData {
        system_identifier: DataIdentity::from(system_identifier),
        state,
        timeline: field(text, "Latest checkpoint's TimeLineID", |value| value.parse().ok())?,
        checkpoint: field(text, "Latest checkpoint location", |value| value.parse().ok())?,
        // It is 0/0 where the last server on the data wrote.
        consistent: field(text, "Minimum recovery ending location", |value| {
            value.parse::<Lsn>().ok()
        })
        .ok()
        .filter(|position| position.0 != 0),
        limits: ReplayLimits::try_from_each(|at, _| field(text, LIMITS[at], |value| value.parse().ok()))?,
    })
}

/// The lines of what a standby needs that replays the log, in the order of `replay::SETTINGS`.
const LIMITS: [&str; replay::SETTINGS.len()] = [
    "max_connections setting",
    "max_worker_processes setting",
    "max_wal_senders setting",
    "max_prepared_xacts setting",
    "max_locks_per_xact setting",
];

fn field<T>(text: &str, label: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ControlError> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(label)?.strip_prefix(':'))
        .ok_or(ControlError::Missing(label))?
        .trim();
    read(value).ok_or_else(|| ControlError::Value {
        label,
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests;
