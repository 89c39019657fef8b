//! PostgreSQL's programs, and what its server notes of itself.

use simdb_planner::engine::postgresql::instance::STOP;
use simdb_state::object::EngineKind;

use crate::engine::programs::{Lock, Programs, first_number};

/// PostgreSQL's programs.
pub(crate) const PROGRAMS: Programs = Programs {
    engine: EngineKind::Postgresql,
    server: "postgres",
    others: &["initdb", "pg_basebackup", "pg_verifybackup", "pg_controldata"],
    beside: &[],
    version: first_number,
    known: &[
        ("/usr/lib/postgresql/", "/bin"),
        ("/usr/pgsql-", "/bin"),
        ("/usr/local/pgsql", "/bin"),
        ("/home/linuxbrew/.linuxbrew/opt/postgresql@", "/bin"),
    ],
    image: Some("postgres:{version}"),
    contained: true,
    stop: STOP.signal,
    lock: "postmaster.pid",
    read_lock,
};

/// The line of `postmaster.pid` that says what the server is at (`LOCK_FILE_LINE_PM_STATUS`).
const STATUS_LINE: usize = 8;

/// What that line says of a server that was told to stop (`PM_STATUS_STOPPING`).
const STOPPING: &str = "stopping";

fn read_lock(text: &str) -> Option<Lock> {
    let line = |number: usize| text.lines().nth(number - 1).map(str::trim);
    Some(Lock {
        process: line(1)?.parse().ok()?,
        stopping: line(STATUS_LINE) == Some(STOPPING),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_in_its_lock_whether_it_is_stopping() {
        let lock = |status: &str| format!("812\n/data\n1700000000\n5432\n\n127.0.0.1\n  1234 5\n{status}\n");
        let read = |status: &str| read_lock(&lock(status)).map(|lock| (lock.process, lock.stopping));
        assert_eq!(read("ready   "), Some((812, false)));
        assert_eq!(read("stopping"), Some((812, true)));
        // A server that starts has not written all of it yet.
        assert_eq!(read_lock("812\n").map(|lock| lock.stopping), Some(false));
        assert_eq!(read_lock(""), None);
        assert_eq!(read_lock("no number\n"), None);
    }
}
