//! Exit codes: part of the interface, never changed.

use std::process::ExitCode;

/// How the program ended, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: what was asked for is done.
    Done = 0,
    /// 1: it failed; wrong usage, a declined plan, and what could not be compared (`plan -detailed-exitcode`, `apply`)
    /// included.
    Failed = 1,
    /// 2: there is a difference (`plan -detailed-exitcode`).
    Difference = 2,
    /// 3: a file is not in canonical style (`fmt -check`).
    Unformatted = 3,
    /// 4: somebody else holds the lock of the state, or a failover that was more urgent took it over.
    Locked = 4,
    /// 5: a cluster is not healthy (`status`), or something is lost, differs or cannot be compared (`verify`).
    Unhealthy = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
