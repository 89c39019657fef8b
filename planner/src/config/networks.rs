//! `network` blocks to what is desired.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use simdb_state::name::NetworkName;

use crate::desired::NetworkSpec;
use crate::diagnostic::Diagnostic;
use crate::platform::Platform;

use super::expand::{Groups, Instance};
use super::instance_name::{name, same_name};
use super::provider_choice::{self, Known};
use super::read::Read;

/// The network of clusters that name none where none is declared.
pub(super) const DEFAULT: &str = "default";

/// The networks that a module knows, each by what the module calls it.
#[derive(Clone, Debug, Default)]
pub(super) struct Visible {
    declared: BTreeMap<String, NetworkName>,
    /// Those of the modules around.
    outer: BTreeMap<String, NetworkName>,
}

impl Visible {
    /// Makes those of a module within another one.
    pub(super) fn within(outer: &Visible) -> Self {
        Self {
            declared: BTreeMap::new(),
            outer: outer
                .outer
                .iter()
                .chain(&outer.declared)
                .map(|(a, b)| (a.clone(), b.clone()))
                .collect(),
        }
    }

    /// Returns the networks that a cluster of the module can be in without naming one.
    pub(super) fn own(&self) -> &BTreeMap<String, NetworkName> {
        if self.declared.is_empty() {
            &self.outer
        } else {
            &self.declared
        }
    }

    /// Returns the network that is called so, in the module or in all.
    pub(super) fn find(&self, name: &str) -> Option<&NetworkName> {
        let known = self.declared.get(name).or_else(|| self.outer.get(name));
        let mut all = self.declared.values().chain(self.outer.values());
        known.or_else(|| all.find(|network| network.as_str() == name))
    }
}

/// Reads the `network` blocks of a module, and returns their names.
pub(super) fn read(
    instances: &[Instance<'_, '_>],
    providers: &Known,
    groups: &mut Groups,
    networks: &mut BTreeMap<NetworkName, NetworkSpec>,
    visible: &mut Visible,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<NetworkName> {
    let mut names = Vec::new();
    let subnets = networks
        .iter()
        .filter_map(|(name, spec)| Some((name.clone(), spec.subnet?)));
    let mut subnets: Vec<(NetworkName, Ipv4Net)> = subnets.collect();
    for instance in instances {
        let reader = instance.reader;
        let platform = provider_choice::of(&instance.header, reader, &instance.names, providers, diagnostics);
        // What is wrong with the provider has been told.
        let rule = platform.as_ref().and_then(Platform::find);
        let without = rule.map_or(Ok(()), Platform::check_no_subnet);
        if let (Err(detail), None) = (without, reader.attribute("subnet")) {
            diagnostics.push(reader.error(instance.header.clone(), "Missing subnet", detail));
        }
        let given = reader.text("subnet", &instance.names, diagnostics);
        let subnet = given.and_then(|given| match parse(&given, rule, &subnets) {
            Ok(subnet) => Some((subnet, given.span)),
            Err(detail) => {
                diagnostics.push(reader.error(given.span, "Invalid subnet", detail));
                None
            }
        });
        let (Some(name), Some(platform)) = (name::<NetworkName>(instance, diagnostics), platform) else {
            continue;
        };
        subnets.extend(subnet.as_ref().map(|(subnet, _)| (name.clone(), *subnet)));
        let reachable = reader.flag("reachable", &instance.names, diagnostics);
        let spec = NetworkSpec {
            reachable: reachable.unwrap_or(false),
            platform,
            subnet: subnet.map(|(subnet, _)| subnet),
            span: instance.header.clone(),
        };
        instance.note(&instance.local_name(), groups);
        visible.declared.insert(instance.local_name(), name.clone());
        let is_composed = instance.key.is_some() || !instance.prefix.is_empty();
        if networks.insert(name.clone(), spec).is_some() && is_composed {
            diagnostics.push(same_name(instance, "network", name.as_str()));
        }
        names.push(name);
    }
    names
}

/// Reads a subnet that shares no address with those of other networks, or says what is wrong with it.
fn parse(
    given: &Read<String>,
    platform: Option<Platform>,
    others: &[(NetworkName, Ipv4Net)],
) -> Result<Ipv4Net, String> {
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
    if let Some(platform) = platform {
        platform.check_subnet(subnet)?;
    }
    let overlaps = |(_, other): &&(NetworkName, Ipv4Net)| other.contains(&subnet) || subnet.contains(other);
    match others.iter().find(overlaps) {
        Some((name, other)) => Err(format!(
            "{subnet} has addresses that {other} of network.{name} has, too. Choose one that lies beside it."
        )),
        None => Ok(subnet),
    }
}
