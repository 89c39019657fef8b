//! Processes of this machine: what the planner must know of them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

pub(super) const NAME: &str = "local";

pub(super) const ARGUMENTS: &[&str] = &["run_as", "data_root", "port_range", "binaries"];

/// The addresses that lead to this machine.
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);

pub(super) fn unlimited() -> String {
    "Nodes are processes of this machine, which simdb does not limit. Remove \"memory\", \"cpus\" and \"storage\", or let the servers be containers, which \
     another provider runs."
        .to_owned()
}

pub(super) fn this_machine_only() -> String {
    "its servers are processes of this machine, which no other machine reaches.".to_owned()
}

pub(super) fn check_subnet(subnet: Ipv4Net) -> Result<(), String> {
    if LOOPBACK.contains(&subnet) {
        return Ok(());
    }
    Err(format!(
        "Nodes are processes of this machine, so their addresses are within {LOOPBACK}, and {subnet} is not. Write one \
         such as \"127.20.0.0/24\", or leave it out: then all nodes have 127.0.0.1, and each a port of its own."
    ))
}
