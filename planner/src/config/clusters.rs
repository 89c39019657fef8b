//! `cluster` blocks to what is desired.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::expr::{Expression, TraversalOperator};
use hcl_edit::structure::Block;
use simdb_state::name::{ClusterName, NetworkName, NodeName};
use simdb_state::object::EngineKind;

use crate::desired::{ClusterSpans, ClusterSpec, NetworkSpec};
use crate::diagnostic::{Diagnostic, Span};

use super::endpoints;
use super::nodes;
use super::parameters;
use super::read::Reader;
use super::reference::Names;
use super::replication;
use super::source::Source;
use super::suggest::did_you_mean;

/// Reads the name in a block's label.
pub(super) fn name<T: std::str::FromStr<Err = simdb_state::name::NameError>>(
    block: &Block,
    reader: Reader<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    let label = block.labels.first()?;
    let parsed: Result<T, _> = label.as_str().parse();
    parsed
        .map_err(|error| {
            diagnostics.push(reader.error(reader.span(label), "Invalid name", format!("The {error}.")));
        })
        .ok()
}

/// What the clusters are read with.
pub(super) struct Context<'a> {
    pub(super) source: &'a Source,
    pub(super) names: &'a Names<'a>,
    pub(super) networks: &'a BTreeMap<NetworkName, NetworkSpec>,
}

/// A cluster, and which of its node blocks have a `count`.
pub(super) struct Cluster {
    pub(super) name: ClusterName,
    pub(super) spec: ClusterSpec,
    pub(super) counted: BTreeSet<String>,
}

/// Reads a `cluster` block. It is whole only where no diagnostic was added.
pub(super) fn read(
    block: &Block,
    reader: Reader<'_>,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Cluster> {
    let cluster: Option<ClusterName> = name(block, reader, diagnostics);
    let header = reader.header(block);
    let network = network(&header, reader, context, diagnostics);
    let (version, shared) = engine(reader, context.names, diagnostics);
    let nodes = nodes::read(reader, &header, &shared, context, diagnostics);
    let (replication, synchronous_standbys) = replication::read(reader, &nodes, context.names, diagnostics);
    let primary = primary(reader, context.names, &nodes, diagnostics);
    let access = super::access::read(reader, context.names, diagnostics);
    let endpoints = endpoints::read(reader, context.names, diagnostics);
    let mut prevent_destroy = false;
    for (_, lifecycle) in reader.blocks("lifecycle") {
        prevent_destroy |= lifecycle
            .flag("prevent_destroy", context.names, diagnostics)
            .unwrap_or(false);
    }
    let (version, version_span) = version.map_or((None, None), |(version, span)| (Some(version), Some(span)));
    let (primary, primary_span) = primary.map_or((None, None), |(primary, span)| (Some(primary), Some(span)));
    Some(Cluster {
        name: cluster?,
        spec: ClusterSpec {
            network: network?,
            engine: EngineKind::Postgresql,
            version,
            replication,
            first: nodes.first?,
            nodes: nodes.specs,
            primary,
            access,
            endpoints,
            prevent_destroy,
            spans: ClusterSpans {
                cluster: header,
                version: version_span,
                primary: primary_span,
                synchronous_standbys,
            },
        },
        counted: nodes.counted,
    })
}

fn network(
    header: &Span,
    reader: Reader<'_>,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<NetworkName> {
    let networks = context.networks;
    let Some(attribute) = reader.attribute("network") else {
        let mut only = networks.keys();
        if let (Some(only), None) = (only.next(), only.next()) {
            return Some(only.clone());
        }
        let detail = if networks.is_empty() {
            "A cluster needs a network. Declare one with this line: network \"lan\" {}".to_owned()
        } else {
            let all: Vec<String> = networks
                .keys()
                .map(|name| format!("network = network.{name}"))
                .collect();
            format!(
                "Several networks are declared, so the cluster must name its own: {}.",
                all.join(" or ")
            )
        };
        diagnostics.push(reader.error(header.clone(), "Missing network", detail));
        return None;
    };
    let span = reader.span(&attribute.value);
    let Some(given) = network_reference(&attribute.value) else {
        let detail = "The network of a cluster is a reference such as network.lan, without quotes.";
        diagnostics.push(reader.error(span, "Invalid network reference", detail));
        return None;
    };
    let found = networks.keys().find(|name| name.as_str() == given);
    if found.is_none() {
        let hint = did_you_mean(given, networks.keys().map(NetworkName::as_str));
        let detail =
            format!("No network \"{given}\" is declared. Declare it with a line: network \"{given}\" {{}}.{hint}");
        diagnostics.push(reader.error(span, "Reference to undeclared network", detail));
    }
    found.cloned()
}

/// Returns the name in `network.NAME`.
fn network_reference(expression: &Expression) -> Option<&str> {
    let Expression::Traversal(traversal) = expression else {
        return None;
    };
    match (&traversal.expr, traversal.operators.as_slice()) {
        (Expression::Variable(root), [only]) if root.as_str() == "network" => match only.value() {
            TraversalOperator::GetAttr(name) => Some(name.as_str()),
            _ => None,
        },
        _ => None,
    }
}

type Version = Option<(u16, Span)>;

fn engine(
    reader: Reader<'_>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Version, parameters::Parameters) {
    let Some((block, engine)) = reader.blocks("engine").next() else {
        return (None, parameters::Parameters::new());
    };
    if let Some(label) = block.labels.first().filter(|label| label.as_str() != "postgresql") {
        let hint = did_you_mean(label.as_str(), ["postgresql"]);
        let detail = format!(
            "The engine \"{}\" is not supported by this version; \"postgresql\" is.{hint}",
            label.as_str()
        );
        diagnostics.push(reader.error(reader.span(label), "Unsupported engine", detail));
    }
    let version = engine
        .text("version", names, diagnostics)
        .and_then(|read| match read.value.parse::<u16>() {
            // Before version 10 the first two numbers made the major version.
            Ok(version) if version >= 10 => Some((version, read.span)),
            _ => {
                let detail = format!(
                    "\"version\" is a major version, a whole number such as \"15\"; {:?} is not.",
                    read.value
                );
                diagnostics.push(reader.error(read.span, "Invalid version", detail));
                None
            }
        });
    (version, parameters::read(engine, names, diagnostics))
}

fn primary(
    reader: Reader<'_>,
    names: &Names<'_>,
    nodes: &nodes::Nodes,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(NodeName, Span)> {
    let read = reader.text("primary", names, diagnostics)?;
    if let Some(name) = nodes.specs.keys().find(|name| name.to_string() == read.value) {
        return Some((name.clone(), read.span));
    }
    // Where a node block is wrong, the name may well be right.
    if nodes.whole {
        let given = &read.value;
        let detail = if nodes.counted.contains(given) {
            format!("The node block \"{given}\" has a count, so name one of its nodes, such as \"{given}[0]\".")
        } else {
            let known: Vec<String> = nodes.specs.keys().take(100).map(ToString::to_string).collect();
            let hint = did_you_mean(given, known.iter().map(String::as_str));
            format!("\"primary\" must name a node of this cluster, and there is no node \"{given}\".{hint}")
        };
        diagnostics.push(reader.error(read.span, "Unknown node", detail));
    }
    None
}
