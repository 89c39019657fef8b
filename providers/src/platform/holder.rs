//! Who keeps simdb from changing something.

use std::fmt;

/// Who holds the lock of an instance directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A process that was halted, and does nothing until it is told to go on.
    Halted(u32),
    /// A process that is at work.
    Running(u32),
    /// The system does not tell.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halted(pid) => write!(
                f,
                "process {pid}, which is halted (let it go on: kill -CONT {pid}, or end it: kill -KILL {pid}),"
            ),
            Self::Running(pid) => write!(f, "process {pid}, which is at work there,"),
            Self::Unknown => f.write_str("another simdb, or a task of one,"),
        }
    }
}
