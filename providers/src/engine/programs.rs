//! What a platform must know of an engine's programs to find them, and to tell its servers from other processes.
//!
//! The spec of an instance says how its own server is stopped. What stands here is for servers whose spec is not at hand: those that
//! somebody else started.

use simdb_state::instance::StopSignal;
use simdb_state::object::EngineKind;

/// The programs of one engine.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The engine.
    pub(crate) engine: EngineKind,
    /// The server's program, which also is the name of its processes.
    pub(crate) server: &'static str,
    /// What else must stand beside it.
    pub(crate) others: &'static [&'static str],
    /// Well-known directories, as what stands before and after the part that varies.
    pub(crate) known: &'static [(&'static str, &'static str)],
    /// The image that containers of it are made from, with a place for the major version; absent where there is none.
    #[allow(dead_code, reason = "simdb may be built without the platforms that have images")]
    pub(crate) image: Option<&'static str>,
    /// What asks the server to end in order, and its sessions with it.
    pub(crate) stop: StopSignal,
    /// The file in the data directory that keeps a second server out.
    pub(crate) lock: &'static str,
    /// Reads that file.
    pub(crate) read_lock: fn(&str) -> Option<Lock>,
}

/// What a server says of itself in the file that keeps a second one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    /// The number of its first process.
    pub(crate) process: u32,
    /// Whether it was told to stop, and has not ended yet.
    pub(crate) stopping: bool,
}
