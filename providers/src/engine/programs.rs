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
    /// What else must stand beside it, or in `beside`.
    pub(crate) others: &'static [&'static str],
    /// Where the others are as well, seen from the directory that the server is in.
    pub(crate) beside: &'static [&'static str],
    /// Reads the version from what the server says of itself: `server (Product) 15.18 (Debian …)`.
    pub(crate) version: fn(&str) -> Option<u16>,
    /// Well-known directories, as what stands before and after the part that varies.
    pub(crate) known: &'static [(&'static str, &'static str)],
    /// The image that containers of it are made from, with a place for the major version; absent where there is none.
    #[allow(dead_code, reason = "simdb may be built without the platforms that have images")]
    pub(crate) image: Option<&'static str>,
    /// Whether it runs in containers.
    #[allow(dead_code, reason = "simdb may be built without the platforms that have images")]
    pub(crate) contained: bool,
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

/// Reads the numbers of a version from a line such as `server (Product) 15.18 (Debian 15.18-0+deb12u1)`.
pub(crate) fn numbers(printed: &str) -> impl Iterator<Item = u16> {
    let word = printed
        .split_ascii_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    word.unwrap_or_default().split('.').map_while(|number| {
        let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        number[..end].parse().ok()
    })
}

/// Reads the major version where that is the first number.
pub(crate) fn first_number(printed: &str) -> Option<u16> {
    numbers(printed).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        for (printed, version) in [
            ("server (Product) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("server (Product) 18beta1", Some(18)),
            ("server (Product) 9.6.24", Some(9)),
            ("server (Product) devel", None),
            ("", None),
        ] {
            assert_eq!(first_number(printed), version, "{printed:?}");
        }
    }
}
