//! `node` blocks, `count` expanded.

use std::collections::{BTreeMap, BTreeSet};

use simdb_language::reference::Names;
use simdb_state::name::{NodeBlock, NodeName};
use simdb_state::object::EngineKind;

use crate::desired::NodeSpec;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::settings;

use super::clusters::Context;
use super::expand::{self, Groups, Instance, Key};
use super::instance_name;
use super::lifecycle;
use super::parameters::{self, Parameters};
use super::provider_choice;
use super::read::Reader;
use super::resources;
use super::triggers;

/// The lowest port that a server may listen on: those below it belong to root, and servers run as another user.
pub(super) const LOWEST_PORT: u16 = 1024;

/// The nodes of a cluster.
#[derive(Default)]
pub(super) struct Nodes {
    pub(super) specs: BTreeMap<NodeName, NodeSpec>,
    /// The one declared first.
    pub(super) first: Option<NodeName>,
    /// The blocks that stand for several nodes.
    pub(super) groups: Groups,
    /// The `follows` attributes, before it is known whether they name nodes.
    pub(super) follows: BTreeMap<NodeName, String>,
    /// Which of several nodes that are as good takes over, where a node says so.
    pub(super) priorities: BTreeMap<NodeName, u32>,
    /// Whether every block could be read.
    pub(super) whole: bool,
}

/// Reads the `node` blocks of a cluster.
pub(super) fn read(
    reader: Reader<'_>,
    header: &Span,
    shared: (EngineKind, &Parameters),
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Nodes {
    let before = diagnostics.len();
    let instances = expand::within(reader, "node", context.names, diagnostics);
    let mut nodes = Nodes {
        groups: instances.groups,
        ..Nodes::default()
    };
    let mut wrong: BTreeSet<&str> = BTreeSet::new();
    for instance in &instances.all {
        let told = diagnostics.len();
        // What is wrong with one instance is wrong with all.
        if !wrong.contains(instance.label.as_str()) {
            nodes.add(instance, shared, context, diagnostics);
        }
        if diagnostics.len() > told {
            wrong.insert(&instance.label);
        }
    }
    nodes.whole = diagnostics.len() == before && instances.complete;
    if nodes.whole {
        nodes.resolve(reader, diagnostics);
    }
    if nodes.whole && nodes.specs.is_empty() {
        let detail = "A cluster needs at least one node. Declare one within it: node \"a\" {}";
        diagnostics.push(reader.error(header.clone(), "Cluster without nodes", detail));
    }
    nodes.collisions(reader, context, diagnostics);
    nodes
}

/// Returns the name of the node that an instance is.
fn node_name(instance: &Instance<'_, '_>, diagnostics: &mut Vec<Diagnostic>) -> Option<NodeName> {
    match instance.key {
        Some(Key::Index(index)) => {
            let block: NodeBlock = instance_name::parsed(&instance.label, instance, diagnostics)?;
            Some(NodeName::indexed(block, index))
        }
        _ => instance_name::name(instance, diagnostics).map(NodeName::single),
    }
}

impl Nodes {
    fn add(
        &mut self,
        instance: &Instance<'_, '_>,
        shared: (EngineKind, &Parameters),
        context: &Context<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let Some(name) = node_name(instance, diagnostics) else {
            return;
        };
        let before = diagnostics.len();
        let (mut spec, upstream) = spec(
            instance.reader,
            instance.header.clone(),
            shared,
            &instance.names,
            diagnostics,
        );
        let priority = priority(instance.reader, &instance.names, diagnostics);
        spec.triggers = triggers::read(instance.reader, context.module, &instance.names, diagnostics);
        if let Some(attribute) = instance.reader.attribute("provider") {
            let (header, providers) = (&instance.header, context.providers);
            spec.platform = provider_choice::of(header, instance.reader, &instance.names, providers, diagnostics);
            spec.provider_span = Some(Box::new(instance.reader.span(&attribute.value)));
        }
        if diagnostics.len() > before {
            return;
        }
        if self.specs.contains_key(&name) {
            let mut members = self.groups.values().flat_map(|group| &group.members);
            // Two blocks of one label have been told.
            if instance.key.is_none() && !members.any(|(_, member)| *member == name.to_string()) {
                return;
            }
            let problem = instance_name::same_name(instance, "node", &name.to_string());
            diagnostics.push(problem);
            return;
        }
        instance.note(&name.to_string(), &mut self.groups);
        self.follows.extend(upstream.map(|upstream| (name.clone(), upstream)));
        self.priorities
            .extend(priority.map(|priority| (name.clone(), priority)));
        self.first.get_or_insert_with(|| name.clone());
        self.specs.insert(name, spec);
    }

    /// `r[0]` and `r-0` would be one host, one slot and one directory.
    fn collisions(&self, reader: Reader<'_>, context: &Context<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let mut hosts: BTreeMap<String, &NodeName> = BTreeMap::new();
        for (name, spec) in &self.specs {
            if let Some(other) = hosts.insert(name.host(), name) {
                let place = context.source.place(&self.specs[other].span);
                let detail = format!(
                    "The nodes {name} and {other} (declared at {place}) would both be called \"{}\" as a host, and \"{}\" as a \
                     replication slot. Rename one of the blocks.",
                    name.host(),
                    name.identifier()
                );
                diagnostics.push(reader.error(spec.span.clone(), "Colliding node names", detail));
            }
        }
    }
}

fn spec(
    node: Reader<'_>,
    span: Span,
    (engine, shared): (EngineKind, &Parameters),
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (NodeSpec, Option<String>) {
    let follows = node.text("follows", names, diagnostics);
    let port = node.whole("port", (LOWEST_PORT, u16::MAX), names, diagnostics);
    let own = parameters::read(node, engine, names, diagnostics);
    let (resources, resources_span) = resources::read(node, names, diagnostics);
    let mut spec = NodeSpec {
        platform: None,
        port: port.as_ref().map(|port| port.value),
        follows: None,
        apply_delay: apply_delay(node, names, diagnostics),
        parameters: BTreeMap::new(),
        image: None,
        resources,
        resources_span: resources_span.map(Box::new),
        parameter_spans: BTreeMap::new(),
        span,
        provider_span: None,
        port_span: port.map(|port| port.span),
        follows_span: follows.as_ref().map(|follows| follows.span.clone()),
        prevent_destroy: lifecycle::prevents_destroy(node, names, diagnostics),
        ignored: lifecycle::ignored(node, lifecycle::NODE, diagnostics),
        triggers: Vec::new(),
    };
    for (name, (value, span)) in shared.iter().filter(|(name, _)| !own.contains_key(*name)).chain(&own) {
        if let Some(value) = value {
            spec.parameters.insert(name.clone(), value.clone());
            spec.parameter_spans.insert(name.clone(), span.clone());
        }
    }
    (spec, follows.map(|follows| follows.value))
}

/// Reads how long a standby lags on purpose; no time at all is as good as none.
fn apply_delay(node: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let read = node.text("apply_delay", names, diagnostics)?;
    match settings::read_milliseconds(&read.value) {
        Some(0) => None,
        Some(_) => Some(read.value),
        None => {
            let detail = format!(
                "\"apply_delay\" is a time of at most 24 days such as \"5s\", \"10min\" or \"1h\", not {:?}.",
                read.value
            );
            diagnostics.push(node.error(read.span, "Invalid time", detail));
            None
        }
    }
}

/// Reads which of several nodes that are as good takes over.
fn priority(node: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<u32> {
    let read = node.whole("failover_priority", (0, 1000), names, diagnostics);
    read.map(|read| read.value)
}
