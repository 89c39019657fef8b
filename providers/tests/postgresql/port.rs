//! A port of 127.0.0.1 that is one test's alone, for as long as the test needs it.

use std::fs::{self, File};
use std::net::TcpListener;

use nix::unistd::geteuid;
use simdb_state::instance::LOOPBACK;
use simdb_state::object::Listen;

/// Below the ports that systems give to clients, any of which may be busy at any time, and those of end-to-end tests.
const PORTS: std::ops::Range<u16> = 19_000..21_000;

#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) listen: Listen,
    /// Locked for as long as the port is ours.
    _claim: File,
}

impl Port {
    /// Takes the first port that nobody has: not another test (it holds the port's file locked), and not a server that
    /// was there before.
    pub(crate) fn claim() -> Self {
        // A directory for each user: one could not lock the files of another.
        let directory = std::env::temp_dir().join(format!("simdb-test-server-ports-{}", geteuid()));
        fs::create_dir_all(&directory).unwrap();
        let claim = |port: u16| {
            let claim = File::create(directory.join(port.to_string())).ok()?;
            claim.try_lock().ok()?;
            TcpListener::bind((LOOPBACK, port)).ok()?;
            Some(Self {
                listen: Listen { host: LOOPBACK, port },
                _claim: claim,
            })
        };
        PORTS.into_iter().find_map(claim).expect("some port is free")
    }
}
