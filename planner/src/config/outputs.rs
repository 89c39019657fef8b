//! `output` blocks: checked when a configuration is read, evaluated against a record.
//!
//! The check is an evaluation too, against clusters whose every attribute is unknown: a name that leads nowhere is
//! wrong before there is a record.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use hcl_edit::expr::Expression;
use hcl_edit::structure::Block;
use simdb_language::eval;
use simdb_language::files::Files;
use simdb_language::number::Number;
use simdb_language::reference::{Names, Objects, Table};
use simdb_language::source::Place;
use simdb_language::value::Value;
use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::name::{ClusterName, DatabaseName, NodeName, UserName};
use simdb_state::object::{Endpoint, EndpointTarget, Role, State};
use simdb_state::sensitive::{REDACTED, Secrets};

use crate::desired::access::{DatabaseSpec, UserSpec, user_address};
use crate::desired::{ClusterSpec, Desired};
use crate::diagnostic::{Diagnostic, Span};

use super::access;
use super::checks::Rule;
use super::clusters::Inner;
use super::dialect::{self, DIALECT};
use super::expand::{Groups, grouped};
use super::locals::{self, Deferred};
use super::read::Reader;

/// The value of an `output` block.
#[derive(Clone, PartialEq)]
pub struct OutputValue {
    /// The value; absent where only an apply can tell.
    pub value: Option<serde_json::Value>,
    /// Whether it may be shown.
    pub sensitive: bool,
    /// The `description` attribute.
    pub description: Option<String>,
}

impl fmt::Debug for OutputValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = self.sensitive.then_some(REDACTED);
        f.debug_struct("OutputValue")
            .field(
                "value",
                hidden.as_ref().map_or(&self.value as &dyn fmt::Debug, |hidden| hidden),
            )
            .field("sensitive", &self.sensitive)
            .field("description", &self.description)
            .finish()
    }
}

/// The `output` blocks, and what they are evaluated with.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    pub(super) blocks: Vec<Output>,
    pub(super) variables: Table,
    pub(super) locals: Table,
    /// The local values that depend on clusters.
    pub(super) deferred: Vec<Deferred>,
    /// What is judged together with the outputs.
    pub(super) rules: Vec<Rule>,
    /// Which blocks stand for several things.
    pub(super) groups: AllGroups,
    /// What functions read.
    pub(super) files: Arc<Files>,
    /// Whether values of variables may be missing.
    pub(super) is_lenient: bool,
}

/// The blocks that stand for several things.
#[derive(Clone, Debug, Default)]
pub(super) struct AllGroups {
    pub(super) networks: Groups,
    pub(super) clusters: Groups,
    pub(super) inner: BTreeMap<ClusterName, Inner>,
}

/// An `output` block.
#[derive(Clone, Debug)]
pub(super) struct Output {
    name: String,
    value: Expression,
    place: Place,
    span: Span,
    sensitive: bool,
    description: Option<String>,
}

/// Reads an `output` block.
pub(super) fn read(
    block: &Block,
    reader: Reader<'_>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Output> {
    let name = block.labels.first()?;
    if hcl_edit::Ident::try_new(name.as_str()).is_err() {
        let detail = "The name of an output starts with a letter and holds letters, digits, \"_\" and \"-\".";
        diagnostics.push(reader.error(reader.span(name), "Invalid output name", detail));
    }
    let value = reader.attribute("value")?;
    Some(Output {
        name: name.as_str().to_owned(),
        value: value.value.clone(),
        place: reader.place.clone(),
        span: reader.span(&value.value),
        sensitive: reader.flag("sensitive", names, diagnostics).unwrap_or(false),
        description: reader.text("description", names, diagnostics).map(|read| read.value),
    })
}

impl Outputs {
    /// Evaluates the blocks against a record.
    pub(super) fn values(
        &self,
        desired: &Desired,
        state: &State,
        secrets: &Secrets,
    ) -> (BTreeMap<String, OutputValue>, Vec<Diagnostic>) {
        // What the blocks may refer to is made whole, which is not for nothing where there are thousands of nodes.
        if self.blocks.is_empty() && self.rules.is_empty() && self.deferred.is_empty() {
            return (BTreeMap::new(), Vec::new());
        }
        let objects = self.objects(desired, state, secrets);
        let clusters: Vec<&ClusterName> = desired.clusters.keys().collect();
        self.evaluated(&objects, &clusters)
    }

    /// Returns what is wrong with the blocks whatever clusters there are.
    pub(super) fn check(&self) -> Vec<Diagnostic> {
        let objects = DIALECT.objects.iter().map(|name| (*name, Value::unknown())).collect();
        self.evaluated(&objects, &[]).1
    }

    fn evaluated(
        &self,
        objects: &Objects,
        clusters: &[&ClusterName],
    ) -> (BTreeMap<String, OutputValue>, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let locals = locals::evaluate(&self.deferred, &self.names(objects), &mut diagnostics);
        let names = Names {
            locals: Some(locals.as_ref().unwrap_or(&self.locals)),
            ..self.names(objects)
        };
        let mut values = BTreeMap::new();
        for output in &self.blocks {
            let before = diagnostics.len();
            let value = eval::evaluate(&output.value, &names, &output.place, &mut diagnostics);
            if let Some(value) = value {
                if value.has_sensitive() && !output.sensitive {
                    let detail = "The value depends on a sensitive one, so the output must say so: sensitive = true. Where it is no \
                                  secret, use nonsensitive().";
                    let mut diagnostic =
                        Diagnostic::error("Output refers to sensitive values", detail).at(output.span.clone());
                    diagnostic.values = eval::values(&output.value, &names, &output.place);
                    diagnostics.push(diagnostic);
                }
                let value = OutputValue {
                    value: value.to_json(),
                    sensitive: output.sensitive,
                    description: output.description.clone(),
                };
                values.insert(output.name.clone(), value);
            }
            for diagnostic in &mut diagnostics[before..] {
                diagnostic.context = Some(format!("output \"{}\"", output.name));
            }
        }
        for rule in &self.rules {
            rule.judge(&names, clusters, &mut diagnostics);
        }
        (values, diagnostics)
    }

    /// Returns what an output may refer to.
    pub(super) fn names<'a>(&'a self, objects: &'a Objects) -> Names<'a> {
        Names {
            variables: Some(&self.variables),
            locals: Some(&self.locals),
            objects: Some(objects),
            files: Some(&self.files),
            is_lenient: self.is_lenient,
            ..dialect::names()
        }
    }

    /// Makes what `cluster` and `network` refer to: as far as it is recorded, else unknown.
    pub(super) fn objects(&self, desired: &Desired, state: &State, secrets: &Secrets) -> Objects {
        let clusters = desired.clusters.iter().map(|(name, spec)| {
            let inner = self.groups.inner.get(name);
            (name.to_string(), cluster(name, spec, inner, state, secrets))
        });
        let networks = desired.networks.keys().map(|name| {
            let subnet = state
                .networks
                .get(name)
                .map(|network| optional(network.subnet.as_deref().map(Value::from)));
            (
                name.to_string(),
                object([("name", name.as_str().into()), ("subnet", known(subnet))]),
            )
        });
        Objects::from([
            ("cluster", grouped(clusters.collect(), Some(&self.groups.clusters))),
            ("network", grouped(networks.collect(), Some(&self.groups.networks))),
            ("module", Value::object(BTreeMap::new())),
        ])
    }
}

fn known(value: Option<Value>) -> Value {
    value.unwrap_or_else(Value::unknown)
}

fn optional(value: Option<Value>) -> Value {
    value.unwrap_or_else(Value::null)
}

fn object<const N: usize>(attributes: [(&str, Value); N]) -> Value {
    Value::object(
        attributes
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn cluster(name: &ClusterName, spec: &ClusterSpec, inner: Option<&Inner>, state: &State, secrets: &Secrets) -> Value {
    let version = state.clusters.get(name).map(|cluster| cluster.version).or(spec.version);
    let primary = state
        .elections
        .get(name)
        .map(|election| election.primary.to_string().into());
    let endpoints = spec.endpoints.iter().map(|(endpoint, declared)| {
        let address = EndpointAddress {
            cluster: name.clone(),
            endpoint: endpoint.clone(),
        };
        (
            endpoint.to_string(),
            endpoint_value(&address, declared.target, state.endpoints.get(&address)),
        )
    });
    object([
        ("name", name.as_str().into()),
        (
            "version",
            known(version.map(|version| Number::from(usize::from(version)).into())),
        ),
        ("primary", known(primary)),
        ("network", spec.network.as_str().into()),
        (
            "node",
            grouped(nodes(name, spec, state), inner.map(|inner| &inner.nodes)),
        ),
        (
            "user",
            grouped(users(name, spec, state, secrets), inner.map(|inner| &inner.users)),
        ),
        (
            "database",
            grouped(databases(spec), inner.map(|inner| &inner.databases)),
        ),
        (
            "endpoint",
            grouped(endpoints.collect(), inner.map(|inner| &inner.endpoints)),
        ),
    ])
}

/// Makes what `cluster.*.user` leads to. What only the login may know is sensitive, also before it is known.
fn users(cluster: &ClusterName, spec: &ClusterSpec, state: &State, secrets: &Secrets) -> BTreeMap<String, Value> {
    let user = |(name, declared): (&UserName, &UserSpec)| {
        let address = user_address(cluster, name);
        let recorded = state.users.get(&address);
        let password = recorded.and_then(|user| secrets.get(&user.password(&address)));
        let hosts = hosts(cluster, spec, state);
        let url = password.filter(|_| !hosts.is_empty()).map(|password| {
            let database = access::home_of(name, &spec.access.databases).unwrap_or("postgres");
            let (password, hosts) = (percent_encode(password.expose()), hosts.join(","));
            format!("postgresql://{name}:{password}@{hosts}/{database}?target_session_attrs=read-write").into()
        });
        let secret = |value: Option<Value>| {
            let value = if declared.attributes.login {
                known(value)
            } else {
                Value::null()
            };
            value.marked(true)
        };
        let value = object([
            ("name", name.as_str().into()),
            (
                "password",
                secret(password.map(|password| password.expose().as_str().into())),
            ),
            ("url", secret(url)),
        ]);
        (name.to_string(), value)
    };
    spec.access.users.iter().map(user).collect()
}

/// Returns where a cluster's nodes listen, the primary first.
fn hosts(cluster: &ClusterName, spec: &ClusterSpec, state: &State) -> Vec<String> {
    let leads = |node: &NodeName| {
        let election = state.elections.get(cluster);
        election.is_some_and(|election| election.primary == *node)
    };
    let nodes = state.nodes_of(cluster).map(|(address, node)| (&address.node, node));
    let mut nodes: Vec<_> = nodes.filter(|(name, _)| spec.nodes.contains_key(*name)).collect();
    nodes.sort_by_key(|(name, _)| !leads(name));
    let hosts = nodes
        .iter()
        .filter_map(|(_, node)| node.place.as_ref()?.clients.as_ref());
    hosts.map(ToString::to_string).collect()
}

fn databases(spec: &ClusterSpec) -> BTreeMap<String, Value> {
    let database = |(name, declared): (&DatabaseName, &DatabaseSpec)| {
        let value = object([
            ("name", name.as_str().into()),
            ("owner", declared.attributes.owner.as_str().into()),
        ]);
        (name.to_string(), value)
    };
    spec.access.databases.iter().map(database).collect()
}

/// Writes a text so that it can be part of a URL (RFC 3986).
fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    encoded
}

fn nodes(cluster: &ClusterName, spec: &ClusterSpec, state: &State) -> BTreeMap<String, Value> {
    let value = |node: &NodeName| (node.to_string(), node_value(cluster, node, state));
    spec.nodes.keys().map(value).collect()
}

fn node_value(cluster: &ClusterName, name: &NodeName, state: &State) -> Value {
    let address = NodeAddress {
        cluster: cluster.clone(),
        node: name.clone(),
    };
    let node = state.nodes.get(&address);
    let at = node.and_then(|node| node.place.as_ref()?.clients.as_ref());
    let role = node.and_then(|node| node.role.as_ref()).map(Role::to_string);
    object([
        ("name", name.to_string().into()),
        ("host", known(at.map(|at| at.host.to_string().into()))),
        ("port", known(at.map(|at| Number::from(usize::from(at.port)).into()))),
        ("role", known(role.map(Value::from))),
    ])
}

fn endpoint_value(address: &EndpointAddress, target: EndpointTarget, recorded: Option<&Endpoint>) -> Value {
    let first = recorded.and_then(|endpoint| endpoint.hosts.first());
    let url = recorded.filter(|endpoint| !endpoint.hosts.is_empty()).map(|endpoint| {
        let hosts: Vec<String> = endpoint.hosts.iter().map(ToString::to_string).collect();
        let session = match target {
            EndpointTarget::Primary => "read-write",
            EndpointTarget::Standby => "prefer-standby",
        };
        format!(
            "postgresql://{}/postgres?target_session_attrs={session}",
            hosts.join(",")
        )
        .into()
    });
    object([
        ("url", known(url)),
        ("host", known(first.map(|at| at.host.to_string().into()))),
        ("port", known(first.map(|at| Number::from(usize::from(at.port)).into()))),
        ("service", format!("{}-{}", address.cluster, address.endpoint).into()),
        ("target", target.to_string().into()),
    ])
}
