//! Machines that are network namespaces of this one, on a wire with it and with each other.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;

use crate::environment::{Output, TestEnvironment};
use crate::require::skip;

/// The bridge that connects machines. It goes when its last user goes.
#[derive(Debug)]
struct Wire {
    bridge: String,
}

/// A machine: a network namespace with an address on the wire.
#[derive(Debug)]
pub struct Machine {
    namespace: String,
    /// Its address.
    pub address: Ipv4Addr,
    wire: Arc<Wire>,
}

impl Machine {
    /// Makes machines with these names on one wire, where this machine can have network namespaces. The first port of an environment
    /// tells them from those of other tests.
    pub fn connected<const N: usize>(names: [&str; N], environment: &TestEnvironment) -> Option<[Self; N]> {
        let own = *environment.ports().start();
        let [high, low] = own.to_be_bytes();
        let address = |last: u8| Ipv4Addr::new(10, 100 + (high & 127), low, last);
        let bridge = format!("simdb{own}");
        if let Err(reason) = ip(&["link", "add", &bridge, "type", "bridge"]) {
            skip(&format!("this machine can have no machines within it: {reason}"));
            return None;
        }
        let wire = Arc::new(Wire { bridge });
        let bridge = wire.bridge.as_str();
        must(&["addr", "add", &format!("{}/24", address(254)), "dev", bridge]);
        must(&["link", "set", bridge, "up"]);
        let mut last = 0;
        Some(names.map(|name| {
            last += 1;
            Self::on(&wire, &format!("simdb{own}{name}"), address(last))
        }))
    }

    fn on(wire: &Arc<Wire>, namespace: &str, address: Ipv4Addr) -> Self {
        must(&["netns", "add", namespace]);
        let machine = Self {
            namespace: namespace.to_owned(),
            address,
            wire: Arc::clone(wire),
        };
        // Names of interfaces are short.
        let [.., last] = address.octets();
        let outside = format!("{}v{last}", wire.bridge);
        must(&[
            "link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", namespace,
        ]);
        must(&["link", "set", &outside, "master", &wire.bridge, "up"]);
        let inside = |arguments: &[&str]| must(&[&["-n", namespace], arguments].concat());
        inside(&["addr", "add", &format!("{address}/24"), "dev", "eth0"]);
        inside(&["link", "set", "eth0", "up"]);
        inside(&["link", "set", "lo", "up"]);
        machine
    }

    /// Returns a command that runs on it.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg(program);
        command
    }

    /// Returns the wire that it is on, for messages.
    pub fn wire(&self) -> &str {
        &self.wire.bridge
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.namespace]);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = ip(&["link", "del", &self.bridge]);
    }
}

fn must(arguments: &[&str]) {
    if let Err(reason) = ip(arguments) {
        panic!("ip {arguments:?}: {reason}");
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Output::of(Command::new("ip").args(arguments));
    if output.code == Some(0) {
        Ok(())
    } else {
        Err(output.stderr.trim().to_owned())
    }
}
