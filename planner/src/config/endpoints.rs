//! `endpoint` blocks: where each leads, and through what.

use std::collections::BTreeMap;

use simdb_language::reference::Names;
use simdb_language::suggest::{choice, did_you_mean};
use simdb_state::name::EndpointName;
use simdb_state::object::{EndpointTarget, EngineKind, PoolMode};

use super::clusters::Inner;
use super::expand;
use super::instance_name;
use super::nodes::LOWEST_PORT;
use super::read::Reader;
use crate::desired::{EndpointSpec, PoolerSpec};
use crate::diagnostic::Diagnostic;

/// Reads the endpoints of a cluster.
pub(super) fn read(
    cluster: Reader<'_>,
    names: &Names<'_>,
    inner: &mut Inner,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<EndpointName, EndpointSpec> {
    let mut endpoints = BTreeMap::new();
    let instances = expand::within(cluster, "endpoint", names, diagnostics);
    inner.endpoints = instances.groups;
    for instance in &instances.all {
        let (endpoint, names) = (instance.reader, &instance.names);
        let name: Option<EndpointName> = instance_name::name(instance, diagnostics);
        let targets = [EndpointTarget::Primary, EndpointTarget::Standby];
        let target = one_of("target", &targets, endpoint, names, diagnostics);
        let via = one_of("via", &[EngineKind::Pgbouncer], endpoint, names, diagnostics);
        let before = diagnostics.len();
        let pooler = pooler(endpoint, names, diagnostics);
        let whole = diagnostics.len() == before;
        if endpoint.attribute("via").is_none() {
            without_via(endpoint, diagnostics);
        }
        if let (Some(_), Some(EndpointTarget::Standby), Some(attribute)) = (via, target, endpoint.attribute("via")) {
            let detail = "PgBouncer leads to one server, so an endpoint that goes through it has target = \"primary\". \
                          Without \"via\", clients choose among the standbys themselves.";
            let span = endpoint.span(&attribute.value);
            diagnostics.push(endpoint.error(span, "Pooler with several servers", detail));
            continue;
        }
        let (Some(name), Some(target), true) = (name, target, whole) else {
            continue;
        };
        let spec = EndpointSpec {
            target,
            pooler: via.map(|_| pooler),
            span: instance.header.clone(),
        };
        instance.note(name.as_str(), &mut inner.endpoints);
        if endpoints.insert(name.clone(), spec).is_some() && instance.key.is_some() {
            diagnostics.push(instance_name::same_name(instance, "endpoint", name.as_str()));
        }
    }
    endpoints
}

fn pooler(endpoint: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> PoolerSpec {
    let port = endpoint.whole("port", (LOWEST_PORT, u16::MAX), names, diagnostics);
    let modes = [PoolMode::Transaction, PoolMode::Session, PoolMode::Statement];
    PoolerSpec {
        port: port.as_ref().map(|port| port.value),
        pool_mode: one_of("pool_mode", &modes, endpoint, names, diagnostics).unwrap_or_default(),
        port_span: port.map(|port| port.span),
    }
}

fn without_via(endpoint: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for name in ["port", "pool_mode"] {
        let Some(attribute) = endpoint.attribute(name) else {
            continue;
        };
        let detail = format!(
            "\"{name}\" is a setting of the pooler, and clients of this endpoint reach the nodes themselves. Add via = \
             \"pgbouncer\", or remove it."
        );
        let span = endpoint.span(&attribute.value);
        diagnostics.push(endpoint.error(span, "Setting without a pooler", detail));
    }
}

/// Reads an attribute that has one of a few values.
fn one_of<T: Copy + ToString>(
    name: &str,
    values: &[T],
    endpoint: Reader<'_>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    let read = endpoint.text(name, names, diagnostics)?;
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    let known = || texts.iter().map(String::as_str);
    if let Some(at) = texts.iter().position(|text| *text == read.value) {
        return Some(values[at]);
    }
    let detail = format!(
        "\"{name}\" must be {}, not \"{}\".{}",
        choice(known()),
        read.value,
        did_you_mean(&read.value, known())
    );
    diagnostics.push(endpoint.error(read.span, format!("Unknown {name}"), detail));
    None
}
