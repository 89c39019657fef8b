//! `network` blocks to what is desired.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use simdb_state::name::NetworkName;

use crate::desired::NetworkSpec;
use crate::diagnostic::Diagnostic;

use super::clusters::{name, same_name};
use super::expand::{Groups, Instance};
use super::read::Read;

/// The addresses that lead to this machine.
const LOCAL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);

/// Reads the `network` blocks.
pub(super) fn read(
    instances: &[Instance<'_, '_>],
    groups: &mut Groups,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<NetworkName, NetworkSpec> {
    let mut networks = BTreeMap::new();
    let mut subnets = Vec::new();
    for instance in instances {
        let reader = instance.reader;
        let given = reader.text("subnet", &instance.names, diagnostics);
        let subnet = given.and_then(|given| match parse(&given, &subnets) {
            Ok(subnet) => Some((subnet, given.span)),
            Err(detail) => {
                diagnostics.push(reader.error(given.span, "Invalid subnet", detail));
                None
            }
        });
        let Some(name) = name::<NetworkName>(instance, diagnostics) else {
            continue;
        };
        subnets.extend(subnet.as_ref().map(|(subnet, _)| (name.clone(), *subnet)));
        let spec = NetworkSpec {
            subnet: subnet.map(|(subnet, _)| subnet),
            span: instance.header.clone(),
        };
        instance.note(name.as_str(), groups);
        if networks.insert(name.clone(), spec).is_some() && instance.key.is_some() {
            diagnostics.push(same_name(instance, "network", name.as_str()));
        }
    }
    networks
}

/// Reads a subnet that shares no address with those of other networks, or says what is wrong with it.
fn parse(given: &Read<String>, others: &[(NetworkName, Ipv4Net)]) -> Result<Ipv4Net, String> {
    let text = &given.value;
    let subnet: Ipv4Net = text.parse().map_err(|_| {
        format!("\"subnet\" is an IPv4 address and the length of its prefix, as in \"127.20.0.0/24\"; {text:?} is not.")
    })?;
    if subnet != subnet.trunc() {
        let network = subnet.trunc();
        return Err(format!(
            "{subnet} is one address of a subnet. Write {:?}.",
            network.to_string()
        ));
    }
    if !LOCAL.contains(&subnet) {
        return Err(format!(
            "Nodes are processes of this machine, so their addresses are within {LOCAL}, and {subnet} is not. Write one \
             such as \"127.20.0.0/24\", or leave it out: then all nodes have 127.0.0.1, and each a port of its own."
        ));
    }
    let overlaps = |(_, other): &&(NetworkName, Ipv4Net)| other.contains(&subnet) || subnet.contains(other);
    match others.iter().find(overlaps) {
        Some((name, other)) => Err(format!(
            "{subnet} has addresses that {other} of network.{name} has, too. Choose one that lies beside it."
        )),
        None => Ok(subnet),
    }
}
