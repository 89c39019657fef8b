//! Containers of a Docker Engine: what the planner must know of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::Ipv4Net;

use crate::desired::{PORT_RANGE, no_port_range, port_range, resources};

pub(super) const NAME: &str = "docker";

pub(super) const ARGUMENTS: &[&str] = &[
    "host",
    "context",
    "cert_path",
    "publish",
    "port_range",
    "image",
    "pooler_image",
    "pull",
    "memory",
    "cpus",
];

/// What stands for the major version in the name of an image.
const VERSION: &str = "{version}";

/// The longest prefix of a subnet: the first and the last address name it, the one before the last leads out of it, and its
/// upper half is for containers of others.
const LONGEST_PREFIX: u8 = 28;

pub(super) fn check_subnet(subnet: Ipv4Net) -> Result<(), String> {
    let address = subnet.network();
    if subnet.prefix_len() > LONGEST_PREFIX {
        return Err(format!(
            "{subnet} has too few addresses for containers. Write one with a prefix of at most {LONGEST_PREFIX}, such as \
             \"172.30.0.0/24\"."
        ));
    }
    if address.is_private() {
        return Ok(());
    }
    Err(format!(
        "Nodes are containers, so their addresses are private ones that this machine does not have otherwise, and {subnet} is \
         none. Write one such as \"172.30.0.0/24\"."
    ))
}

pub(super) fn missing_subnet() -> String {
    "Nodes are containers, and each has an address of its own. Say which addresses its network has that are free on this \
     machine: subnet = \"172.30.0.0/24\"."
        .to_owned()
}

pub(super) fn boundless() -> String {
    "The volumes of containers are as large as the disk of their machine. Remove \"storage\", or let the servers be pods, which another \
     provider runs."
        .to_owned()
}

/// Returns the address at which servers on other machines reach those of a provider, or says what it lacks for that.
pub(super) fn reached_at(arguments: &BTreeMap<String, String>) -> Result<IpAddr, String> {
    let given = arguments.get("publish");
    let at: Option<IpAddr> = given.and_then(|given| given.parse().ok());
    match at {
        Some(at) if !at.is_loopback() => Ok(at),
        Some(at) => Err(format!(
            "it publishes its servers at {at}, which no other machine reaches. Say at which address of its machine the others do: \
             publish = \"192.0.2.7\"."
        )),
        None => Err(
            "it does not say at which address of its machine servers are published. Add one that the others reach: publish = \
             \"192.0.2.7\"."
                .to_owned(),
        ),
    }
}

pub(super) fn check_arguments(arguments: &BTreeMap<String, String>) -> Result<(), String> {
    let has = |name: &str| arguments.contains_key(name);
    if has("host") && has("context") {
        return Err("\"host\" and \"context\" both say where the Docker Engine listens. Keep one of them.".to_owned());
    }
    if has("cert_path") && !arguments.get("host").is_some_and(|host| host.starts_with("tcp://")) {
        return Err(
            "\"cert_path\" says with which certificates the Docker Engine at \"host\" is reached, so that is needed as well, as in \
             \"tcp://db.example.org:2376\". A context has certificates of its own."
                .to_owned(),
        );
    }
    Ok(())
}

pub(super) fn check_argument(name: &str, value: &str) -> Result<(), String> {
    match name {
        "host" if !["unix:///", "tcp://"].iter().any(|scheme| value.starts_with(scheme)) => Err(format!(
            "\"host\" is where the Docker Engine listens, as in \"unix:///run/docker.sock\" or \"tcp://127.0.0.1:2375\"; \
             {value:?} is not."
        )),
        "publish"
            if value.parse().map_or(true, |address: IpAddr| {
                address.is_unspecified() || address.is_multicast()
            }) =>
        {
            Err(format!(
                "\"publish\" is the address of the machine of the Docker Engine at which the ports of servers are published, and \
                 at which it is reached from here, as in \"192.0.2.7\"; {value:?} is none."
            ))
        }
        "pull" if !["missing", "always", "never"].contains(&value) => Err(format!(
            "\"pull\" says when images are fetched from their registry: \"missing\", \"always\" or \"never\"; {value:?} is none of them."
        )),
        "memory" => resources::memory(value).map(drop),
        "cpus" => resources::cpus(value).map(drop),
        PORT_RANGE if port_range(value).is_none() => Err(no_port_range(value)),
        "image" if !value.contains(VERSION) => Err(format!(
            "\"image\" is the name of an image in which {VERSION} stands for the major version, as in \"db:{VERSION}\"; \
             {value:?} has none."
        )),
        _ => Ok(()),
    }
}
