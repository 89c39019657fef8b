//! `cluster` blocks to what is desired.

use std::collections::BTreeSet;

use hcl_edit::expr::{Expression, TraversalOperator};
use hcl_edit::structure::Attribute;
use hcl_edit::template::Element;
use simdb_language::convert::{self, Type};
use simdb_language::reference::Names;
use simdb_language::source::Source;
use simdb_language::suggest::did_you_mean;
use simdb_language::value::Kind;
use simdb_state::name::{ClusterName, NetworkName, NodeName};

use crate::desired::{ClusterSpans, ClusterSpec, LocalSettings};
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::parameters::Release;

use super::drift;
use super::endpoints;
use super::engine::{self, Engine};
use super::expand::{Groups, Instance};
use super::failover;
use super::instance_name;
use super::lifecycle;
use super::networks::{DEFAULT, Visible};
use super::nodes;
use super::parameters;
use super::provider_choice::{self, Known};
use super::read::Reader;
use super::replication;
use super::resources;

/// What the clusters are read with.
pub(super) struct Context<'a> {
    pub(super) source: &'a Source,
    /// What stands before the names of what the module declares.
    pub(super) module: &'a str,
    pub(super) names: &'a Names<'a>,
    pub(super) networks: &'a Visible,
    pub(super) providers: &'a Known,
    /// What the providers' blocks say.
    pub(super) local: &'a LocalSettings,
}

/// The instances of the blocks within a cluster, by kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Inner {
    pub(super) nodes: Groups,
    pub(super) users: Groups,
    pub(super) databases: Groups,
    pub(super) endpoints: Groups,
}

/// A cluster, and which of its blocks stand for several things.
pub(super) struct Cluster {
    pub(super) name: ClusterName,
    pub(super) spec: ClusterSpec,
    pub(super) inner: Inner,
}

/// Reads a `cluster` block. It is whole only where no diagnostic was added.
pub(super) fn read(
    instance: &Instance<'_, '_>,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Cluster> {
    let cluster: Option<ClusterName> = instance_name::name(instance, diagnostics);
    let (reader, header) = (instance.reader, instance.header.clone());
    let context = &Context {
        names: &instance.names,
        ..*context
    };
    let platform = provider_choice::of(&header, reader, context.names, context.providers, diagnostics);
    let network = network(&header, reader, context, diagnostics);
    let Engine {
        kind,
        version,
        parameters: shared,
    } = engine::read(reader, context.names, diagnostics);
    let mut nodes = nodes::read(reader, &header, (kind, &shared), context, diagnostics);
    if let Some(platform) = &platform {
        for node in nodes.specs.values_mut() {
            node.platform = node.platform.take().filter(|own| own != platform);
        }
        let all = nodes.specs.values_mut();
        resources::share(reader, platform, context.local, all, context.names, diagnostics);
    }
    if let (&Some((version, _)), true) = (&version, context.names.is_lenient) {
        let release = Release { engine: kind, version };
        parameters::check(reader, release, &nodes.specs, diagnostics);
    }
    let (replication, synchronous_standbys) = replication::read(reader, &nodes, context.names, diagnostics);
    let failover = failover::read(reader, &nodes, &replication, context.names, diagnostics);
    let primary = primary(reader, context.names, &nodes, diagnostics);
    let mut inner = Inner::default();
    let access = super::access::read(reader, context.names, &mut inner, diagnostics);
    let endpoints = endpoints::read(reader, context.names, &mut inner, diagnostics);
    let prevent_destroy = lifecycle::prevents_destroy(reader, context.names, diagnostics);
    inner.nodes = nodes.groups;
    let (version, version_span) = version.map_or((None, None), |(version, span)| (Some(version), Some(span)));
    let (primary, primary_span) = primary.map_or((None, None), |(primary, span)| (Some(primary), Some(span)));
    let name = cluster?;
    Some(Cluster {
        spec: ClusterSpec {
            platform: platform?,
            network: network?,
            engine: kind,
            version,
            replication,
            failover,
            first: nodes.first?,
            nodes: nodes.specs,
            primary,
            access,
            endpoints,
            prevent_destroy,
            ignored_drift: drift::ignored(reader, Some(&name), context.names, diagnostics),
            ignored: lifecycle::ignored(reader, lifecycle::CLUSTER, diagnostics),
            depends_on: BTreeSet::new(),
            spans: ClusterSpans {
                cluster: header,
                provider: reader.attribute("provider").map(|given| reader.span(&given.value)),
                version: version_span,
                primary: primary_span,
                synchronous_standbys,
            },
        },
        name,
        inner,
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
        let mut only = networks.own().values();
        if let (Some(only), None) = (only.next(), only.next()) {
            return Some(only.clone());
        }
        if networks.own().is_empty() {
            return Some(DEFAULT.parse().expect("the default network has a name"));
        }
        let names = networks.own().keys();
        let all: Vec<String> = names.map(|name| format!("network = network.{name}")).collect();
        let detail = format!(
            "Several networks are declared, so the cluster must name its own: {}.",
            all.join(" or ")
        );
        diagnostics.push(reader.error(header.clone(), "Missing network", detail));
        return None;
    };
    let span = reader.span(&attribute.value);
    let given = match network_reference(&attribute.value) {
        Some(given) => given.to_owned(),
        None => network_value(attribute, reader, context.names, diagnostics)?,
    };
    let found = networks.find(&given);
    if found.is_none() {
        let hint = did_you_mean(&given, networks.own().keys().map(String::as_str));
        let detail =
            format!("No network \"{given}\" is declared. Declare it with a line: network \"{given}\" {{}}.{hint}");
        diagnostics.push(reader.error(span, "Reference to undeclared network", detail));
    }
    found.cloned()
}

/// Returns the name of a network that is not referred to as `network.NAME`, but with its name as a value.
fn network_value(
    attribute: &Attribute,
    reader: Reader<'_>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    // Text in quotes would look like a name, and would not be one that a reader can follow.
    if !matches!(attribute.value, Expression::String(_)) {
        let read = reader.setting("network", &Type::Any, names, diagnostics)?;
        let name = match &read.value.kind {
            Kind::Object(parts) => parts.items.get("name"),
            _ => Some(&read.value),
        };
        let text = name.and_then(|name| convert::to_text(name).ok());
        if text.is_none() {
            let detail = "The network of a cluster is network.NAME, a value of it, or its name.";
            diagnostics.push(reader.error(read.span, "Invalid network reference", detail));
        }
        return text;
    }
    let detail = "The network of a cluster is a reference such as network.lan, without quotes.";
    let span = reader.span(&attribute.value);
    diagnostics.push(reader.error(span, "Invalid network reference", detail));
    None
}

/// Returns the name in `network.NAME`.
fn network_reference(expression: &Expression) -> Option<&str> {
    // A configuration in JSON has no other way to write a reference.
    if let Expression::StringTemplate(template) = expression
        && let Some(Element::Interpolation(only)) = template.as_single_element()
    {
        return network_reference(&only.expr);
    }
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
        let detail = if nodes.groups.contains_key(given) {
            nodes.several(given)
        } else {
            let known: Vec<String> = nodes.specs.keys().take(100).map(ToString::to_string).collect();
            let hint = did_you_mean(given, known.iter().map(String::as_str));
            format!("\"primary\" must name a node of this cluster, and there is no node \"{given}\".{hint}")
        };
        diagnostics.push(reader.error(read.span, "Unknown node", detail));
    }
    None
}
