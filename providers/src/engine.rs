//! The effectful half of each engine: what speaks to its servers, and what a platform must know of its programs.

mod log;
pub mod mariadb;
pub mod pgbouncer;
pub mod postgresql;
pub(crate) mod programs;
mod steps;

use simdb_state::sensitive::Sensitive;

pub(crate) use self::postgresql::signs::Held;
pub use self::postgresql::{compare, ledger, log_files, trial, verify};
use self::programs::Programs;

/// The programs of every engine.
pub(crate) const PROGRAMS: &[Programs] = &[
    postgresql::programs::PROGRAMS,
    pgbouncer::PROGRAMS,
    mariadb::programs::PROGRAMS,
];

/// Returns what a server keeps of a password by the method that every one of its engine has.
pub(crate) fn native_verifier(password: &Sensitive<String>) -> String {
    mariadb::verifier::Method::Native.verifier(password)
}

/// Returns whether a process, as a platform names it, is a server that holds data.
pub(crate) fn holds_data(process: &str) -> bool {
    let servers = [
        postgresql::programs::PROGRAMS.server,
        mariadb::programs::PROGRAMS.server,
    ];
    let rest = servers.into_iter().find_map(|server| process.strip_prefix(server));
    rest.is_some_and(|rest| rest.starts_with(' '))
}
