//! The names of servers and endpoints where a platform finds them by name: one space of names for all clusters of a provider.

use std::collections::BTreeMap;

use simdb_language::source::Source;
use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::name::{ClusterName, PlatformName};

use crate::desired::{ClusterSpec, Desired};
use crate::diagnostic::{Diagnostic, Span};
use crate::platform::{Platform, name_of_pooler, name_within};

/// No two may have the same name, and none may have one that is too long. Names are not cut: what is looked for by name would be
/// found under another one.
pub(super) fn check(desired: &Desired, source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    let mut taken: BTreeMap<(&PlatformName, String), (Address, &Span)> = BTreeMap::new();
    for (cluster, spec) in &desired.clusters {
        let platform = Platform::find(&spec.platform).unwrap_or_default();
        let Some(longest) = platform.longest_name() else {
            continue;
        };
        let mut last = None;
        for (address, name, span) in names(cluster, spec) {
            let complain = |summary: &str, detail: String| {
                let diagnostic = Diagnostic::error(summary, detail);
                diagnostic.at(span.clone()).within(format!("cluster \"{cluster}\""))
            };
            let problem = if name.len() > longest {
                let detail = format!(
                    "{address} would be called {name:?} there, which has {} characters, and names have at most {longest}. Give the cluster, \
                     or it, a shorter name.",
                    name.len()
                );
                Some(complain("Name is too long", detail))
            } else {
                let owner = taken.get(&(&spec.platform, name.clone())).cloned();
                owner.map(|(other, at)| {
                    let at = source.place(at);
                    let detail = format!(
                        "{address} would be called {name:?} there, as {other} is already ({at}). Give one of them another name."
                    );
                    complain("Name used twice", detail)
                })
            };
            // One message for a block with a count, not one for each of its nodes.
            if let Some(problem) = problem.filter(|_| last != Some(span)) {
                diagnostics.push(problem);
                last = Some(span);
            }
            taken.entry((&spec.platform, name)).or_insert((address, span));
        }
    }
}

/// Returns what the servers and endpoints of a cluster would be called, each with where it is declared.
fn names<'a>(cluster: &'a ClusterName, spec: &'a ClusterSpec) -> impl Iterator<Item = (Address, String, &'a Span)> {
    let nodes = spec.nodes.iter().map(|(node, declared)| {
        let address = NodeAddress {
            cluster: cluster.clone(),
            node: node.clone(),
        };
        (
            Address::from(address),
            name_within(cluster, &node.host()),
            &declared.span,
        )
    });
    let endpoints = spec.endpoints.iter().flat_map(|(endpoint, declared)| {
        let address = Address::from(EndpointAddress {
            cluster: cluster.clone(),
            endpoint: endpoint.clone(),
        });
        let pooler = declared.pooler.as_ref().map(|_| name_of_pooler(cluster, endpoint));
        let own = name_within(cluster, endpoint.as_str());
        [Some(own), pooler]
            .into_iter()
            .flatten()
            .map(move |name| (address.clone(), name, &declared.span))
    });
    nodes.chain(endpoints)
}
