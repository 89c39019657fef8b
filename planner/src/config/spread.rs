//! Clusters whose nodes are on several providers: what these must be like, and what the network must say.
//!
//! ```text
//!   network "lan" { reachable = true }                       the machines reach each other where they publish servers
//!   cluster "orders" { provider = docker.east
//!     node "a" {}
//!     node "b" { provider = docker.west } }
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;

use simdb_state::name::{ClusterName, NodeName, PlatformName};

use crate::desired::{ClusterSpec, LocalSettings, NetworkSpec, NodeSpec};
use crate::diagnostic::{Diagnostic, Span};
use crate::platform::Platform;

use super::read::Reader;

/// Returns what keeps the nodes of a cluster from being on the providers that they name.
pub(super) fn problems(
    reader: Reader<'_>,
    (name, spec): (&ClusterName, &ClusterSpec),
    network: Option<&NetworkSpec>,
    local: &LocalSettings,
) -> Vec<Diagnostic> {
    let elsewhere = spec
        .nodes
        .iter()
        .filter_map(|(node, own)| Some((node, own, own.platform.as_ref()?)));
    // Nodes of one block would all be told the same.
    let mut told: BTreeMap<&Span, (&NodeName, &NodeSpec, &PlatformName)> = BTreeMap::new();
    for (node, own, platform) in elsewhere {
        told.entry(provider_span(own)).or_insert((node, own, platform));
    }
    let told: Vec<_> = told.into_values().collect();
    if told.is_empty() {
        return Vec::new();
    }
    let of_another_kind = told
        .iter()
        .filter(|(_, _, platform)| platform.kind() != spec.platform.kind());
    let mut diagnostics: Vec<Diagnostic> = of_another_kind
        .map(|(node, own, platform)| another_kind(reader, (name, spec), (node, own, platform)))
        .collect();
    if !diagnostics.is_empty() {
        return diagnostics;
    }
    if !network.is_some_and(|network| network.reachable) {
        let unreachable = told
            .iter()
            .map(|(node, own, platform)| unreachable(reader, spec, (node, own, platform)));
        return unreachable.collect();
    }
    diagnostics.extend(unpublished(reader, spec, &told, local));
    diagnostics
}

fn provider_span(node: &NodeSpec) -> &Span {
    node.provider_span.as_deref().unwrap_or(&node.span)
}

fn another_kind(
    reader: Reader<'_>,
    (name, spec): (&ClusterName, &ClusterSpec),
    (node, own, platform): (&NodeName, &NodeSpec, &PlatformName),
) -> Diagnostic {
    let detail = format!(
        "Node {node} is on provider {platform}, and cluster {name} on {}. The nodes of a cluster are on providers of one kind. Choose \
         another provider \"{}\", or declare another cluster.",
        spec.platform,
        spec.platform.kind()
    );
    reader.error(
        provider_span(own).clone(),
        "Cluster spans several kinds of providers",
        detail,
    )
}

fn unreachable(
    reader: Reader<'_>,
    spec: &ClusterSpec,
    (node, own, platform): (&NodeName, &NodeSpec, &PlatformName),
) -> Diagnostic {
    let network = &spec.network;
    let detail = format!(
        "Node {node} is on provider {platform}, and its cluster on {}: they stream from each other at the addresses where these publish \
         their servers, which other machines may not reach. Where they do, say so in network \"{network}\": reachable = true. Else \
         remove provider from the node.",
        spec.platform
    );
    reader.error(provider_span(own).clone(), "Machines may not reach each other", detail)
}

/// Returns what is wrong with where the providers of a cluster publish their servers: others reach each at an address of its own.
fn unpublished(
    reader: Reader<'_>,
    spec: &ClusterSpec,
    told: &[(&NodeName, &NodeSpec, &PlatformName)],
    local: &LocalSettings,
) -> Vec<Diagnostic> {
    let none = BTreeMap::new();
    let own_span = spec.spans.provider.as_ref().unwrap_or(&spec.spans.cluster);
    let mut spans = BTreeMap::from([(&spec.platform, own_span)]);
    for (_, node, platform) in told {
        spans.entry(platform).or_insert(provider_span(node));
    }
    let mut diagnostics = Vec::new();
    let mut addresses: BTreeMap<IpAddr, &PlatformName> = BTreeMap::new();
    for (platform, span) in spans {
        let arguments = local.others.get(platform.as_str()).unwrap_or(&none);
        let wrong = |detail: String| reader.error(span.clone(), "Servers are not reached from other machines", detail);
        match Platform::find(platform).unwrap_or_default().reached_at(arguments) {
            Err(why) => {
                let detail = format!(
                    "Nodes of this cluster are on several providers, so {platform} must be reached from the others, and {why}"
                );
                diagnostics.push(wrong(detail));
            }
            Ok(at) => {
                if let Some(other) = addresses.insert(at, platform) {
                    let detail = format!(
                        "Nodes of this cluster are on {other} and on {platform}, and both publish their servers at {at}, so that nothing \
                         tells them apart. Give each an address of its own."
                    );
                    diagnostics.push(wrong(detail));
                }
            }
        }
    }
    diagnostics
}
