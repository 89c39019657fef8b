//! A port of 127.0.0.1 that is one test's alone, for as long as the test needs it.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use simdb_state::instance::LOOPBACK;
use simdb_state::place::Bind;

/// Below the ports that systems give to clients, any of which may be busy at any time, and those of end-to-end tests.
const PORTS: std::ops::Range<u16> = 19_000..21_000;

#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) listen: Bind,
    /// Has the port's name for as long as the port is ours. Names of this kind belong to a network, as ports do, and
    /// leave no file.
    _claim: UnixListener,
}

impl Port {
    /// Takes the first port that nobody has: not another test (it has the port's name), and not a server that
    /// was there before.
    pub(crate) fn claim() -> Self {
        let claim = |port: u16| {
            let name = SocketAddr::from_abstract_name(format!("simdb-test-port-{port}")).ok()?;
            let claim = UnixListener::bind_addr(&name).ok()?;
            TcpListener::bind((LOOPBACK, port)).ok()?;
            Some(Self {
                listen: Bind { host: LOOPBACK, port },
                _claim: claim,
            })
        };
        PORTS.into_iter().find_map(claim).expect("some port is free")
    }
}
