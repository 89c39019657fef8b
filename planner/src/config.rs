//! The configuration language: text in, [`Desired`] and diagnostics out.
//!
//! ```text
//! text ─ parse ─► trees ─ schema ─► variables ─► locals ─► provider, networks, clusters ─► outputs
//! ```
//!
//! [`load`] shows the stages in their order. Each takes what the one before made out and adds its diagnostics; what is
//! said once is not said again by a later stage. Expressions are those of `simdb_language`, which
//! knows no block; the blocks are here.

mod access;
mod checks;
mod clusters;
mod console;
mod depends;
mod dialect;
mod drift;
mod endpoints;
mod engine;
mod expand;
mod failover;
mod follows;
mod foreign;
pub mod generated;
mod imports;
mod instance_name;
mod json_syntax;
mod library;
mod lifecycle;
mod locals;
mod module;
mod monitor;
mod moved;
mod networks;
mod nodes;
mod objects;
mod outputs;
mod overrides;
mod parameters;
mod pin;
mod provider;
mod provider_choice;
mod read;
mod removed;
mod replication;
mod repository;
mod resources;
pub mod schema;
mod server_names;
mod settings;
mod spread;
mod state_backend;
#[cfg(test)]
mod tests;
mod toml_syntax;
mod triggers;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::name::{ClusterName, EndpointName, NodeName};
use simdb_state::object::State;
use simdb_state::sensitive::{REDACTED, Secrets};

use crate::desired::{ClusterSpec, Desired, EndpointSpec, ImportSpec, LocalSettings, NodeSpec};
use crate::diagnostic::{Diagnostic, Span};
use crate::platform::Platform;

use self::dialect::DIALECT;
use self::library::Library;
use self::module::Tree;
use self::outputs::Outputs;

pub use simdb_language::files::{Files, Found, Wanted};
pub use simdb_language::functions::{FunctionSignature, Parameter, function_signatures};
pub use simdb_language::parse::is_unfinished;
pub use simdb_language::source::{Position, Source};

pub use self::console::CONSOLE;
#[cfg(test)]
pub(crate) use self::drift::problem as drift_problem;
pub use self::json_syntax::variable_file_json;
pub use self::monitor::{Hook, HookWay, MONITOR_EVENTS, MonitorSettings, TlsFiles, refuse_listening, refuse_url};
pub use self::moved::check as check_move;
pub use self::outputs::OutputValue;
pub use self::overrides::is_configuration;
pub use self::pin::{PinError, set_primary};
pub use self::repository::{LOCK_FILE, Lock, Repository};
pub use self::settings::{Settings, check_version, settings};
pub use self::state_backend::StateBackend;
pub use self::variables::{ENVIRONMENT, ephemeral_variables, variable_file};

/// A value for a variable, as it came; the last one given for a name counts.
#[derive(Clone)]
pub struct VariableInput {
    /// The variable.
    pub name: String,
    /// The value: an expression for a variable that is not a string, else the string itself.
    pub text: String,
    /// Where it came from, for messages: `environment variable SIMDB_VAR_x` (see [`ENVIRONMENT`]), `the command line`.
    pub origin: String,
    /// Where it stands, for values from files, whose `text` is always an expression.
    pub span: Option<Span>,
}

impl fmt::Debug for VariableInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whether it is a secret is known only once its variable is.
        f.debug_struct("VariableInput")
            .field("name", &self.name)
            .field("text", &REDACTED)
            .field("origin", &self.origin)
            .field("span", &self.span)
            .finish()
    }
}

/// A configuration that was read without an error.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The `simdb` block.
    pub settings: Settings,
    /// What is declared.
    pub desired: Desired,
    outputs: Outputs,
    /// Whether the record stands for a configuration that is not there: outputs then stay as they are recorded.
    is_recorded: bool,
}

impl Config {
    /// Makes the configuration that stands for one that is not there: it declares what is recorded, and no outputs.
    pub fn recorded(state: &State, local: LocalSettings) -> Self {
        Self {
            settings: Settings::default(),
            desired: Desired::recorded(state, local),
            outputs: Outputs::default(),
            is_recorded: true,
        }
    }

    /// Lets servers that were made without simdb become nodes, whatever is declared of that, or says why they cannot. Of what is
    /// declared, only what is on record stays beside them.
    pub fn import(&mut self, to: &Address, id: &str, recorded: &State) -> Result<(), String> {
        let desired = &mut self.desired;
        let nodes = imports::expand(to, id, &desired.clusters)?;
        let span = |node: &NodeAddress| desired.declaration(&node.clone().into()).cloned();
        let spec = |(node, id): (NodeAddress, String)| Some((node.clone(), ImportSpec { id, span: span(&node)? }));
        let imports: BTreeMap<_, _> = nodes.into_iter().filter_map(spec).collect();
        if let Some(node) = imports.keys().find(|node| recorded.nodes.contains_key(*node)) {
            return Err(format!("{node} is on record already, and is imported no more."));
        }
        if let Some(cluster) = to.cluster() {
            let address = |node: &NodeName| NodeAddress {
                cluster: cluster.clone(),
                node: node.clone(),
            };
            let stays = |node: &NodeAddress| imports.contains_key(node) || recorded.nodes.contains_key(node);
            desired.keep_nodes(cluster, |node| stays(&address(node)));
        }
        desired.imports = imports;
        Ok(())
    }

    /// Returns whether the outputs that are recorded are those of this configuration, and go with their blocks.
    pub fn declares_outputs(&self) -> bool {
        !self.is_recorded
    }

    /// Evaluates the `output` blocks against a record and its secrets.
    pub fn outputs(&self, state: &State, secrets: &Secrets) -> (BTreeMap<String, OutputValue>, Vec<Diagnostic>) {
        self.outputs.values(&self.desired, state, secrets)
    }
}

/// What a configuration is read with.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Values of variables.
    pub variables: &'a [VariableInput],
    /// The files that it refers to.
    pub files: &'a Arc<Files>,
    /// Whether values of variables may be missing: what depends on them is not judged.
    pub is_lenient: bool,
}

/// Returns a file in canonical style, or what keeps it from being read.
pub fn format(name: &str, text: &str) -> Result<String, Vec<Diagnostic>> {
    simdb_language::format::format(name, text, &DIALECT)
}

/// Reads a configuration that refers to no files; see [`load_with`].
pub fn load(source: &Source, variables: &[VariableInput]) -> (Option<Config>, Vec<Diagnostic>) {
    let options = Options {
        variables,
        files: &Arc::default(),
        is_lenient: false,
    };
    load_with(source, &options)
}

/// Reads a configuration. There is a [`Config`] exactly where no diagnostic is an error.
///
/// Where the files have been asked for something that they lack, the answer counts for nothing: hand in what is wanted,
/// and load again.
pub fn load_with(source: &Source, options: &Options<'_>) -> (Option<Config>, Vec<Diagnostic>) {
    let (pieces, mut diagnostics) = overrides::parse_all(source);
    let has_syntax_errors = !diagnostics.is_empty();
    diagnostics.extend(schema::check(&pieces, source));
    // Where a block cannot be read, every reference to it would look wrong.
    if has_syntax_errors {
        diagnostics.sort_by(|a, b| a.span.cmp(&b.span));
        return (None, diagnostics);
    }
    let settings = settings::read(&pieces, &mut diagnostics);
    let library = Library::read(pieces, source, options.files, &mut diagnostics);
    if !library.is_readable {
        diagnostics.sort_by(|a, b| a.span.cmp(&b.span));
        return (None, diagnostics);
    }
    let tree = Tree::new(&library, options);
    let inputs = variables::Inputs {
        given: options.variables,
        files: options.files,
        is_lenient: options.is_lenient,
    };
    let variables = variables::values(&tree.root().of("variable"), &inputs, &mut diagnostics);
    let mut desired = Desired::default();
    let mut outputs = tree.resolve(variables, &mut desired, &mut diagnostics);
    outputs.files = Arc::clone(options.files);
    outputs.is_lenient = options.is_lenient;
    check_ports(&desired, &library.source, &mut diagnostics);
    server_names::check(&desired, &library.source, &mut diagnostics);
    // What an output refers to may be missing only because it is wrong.
    let problems = if diagnostics.iter().any(Diagnostic::is_error) {
        outputs.check()
    } else {
        outputs.values(&desired, &State::default(), &Secrets::new()).1
    };
    diagnostics.extend(problems);
    diagnostics.sort_by(|a, b| a.span.cmp(&b.span));
    // A module that is used several times has the same problems every time.
    if library.modules.len() > 1 {
        let mut said = BTreeSet::new();
        diagnostics.retain(|problem| said.insert((problem.span.clone(), problem.detail.clone())));
    }
    let config = Config {
        settings,
        desired,
        outputs,
        is_recorded: false,
    };
    let is_wrong = diagnostics.iter().any(Diagnostic::is_error);
    ((!is_wrong).then_some(config), diagnostics)
}

/// No two servers, of nodes or of poolers, may have the same port, unless each has an address of its own.
fn check_ports(desired: &Desired, source: &Source, diagnostics: &mut Vec<Diagnostic>) {
    let mut taken: BTreeMap<u16, (Address, &Span)> = BTreeMap::new();
    let is_found_by_name = |spec: &ClusterSpec| {
        let platform = Platform::find(&spec.platform).unwrap_or_default();
        platform.longest_name().is_some()
    };
    let shares = |(_, spec): &(&ClusterName, &ClusterSpec)| desired.subnet(spec).is_none() && !is_found_by_name(spec);
    for (cluster, spec) in desired.clusters.iter().filter(shares) {
        for (address, port, span) in declared_ports(cluster, spec) {
            let Some((other, at)) = taken.get(&port) else {
                taken.insert(port, (address, span));
                continue;
            };
            let detail = if *at == span {
                format!(
                    "{other} and {address} would both have port {port}. With a count each node needs its own: port = {port} + \
                     count.index. Or leave the port out, and a free one is chosen."
                )
            } else {
                format!(
                    "{address} has port {port}, which {other} has already ({}). Leave the port out, and a free one is chosen.",
                    source.place(at)
                )
            };
            let diagnostic = Diagnostic::error("Port used twice", detail);
            let diagnostic = diagnostic.at(span.clone()).within(format!("cluster \"{cluster}\""));
            // One message for a block with a count, not one for each of its nodes.
            if diagnostics.last().and_then(|last| last.span.as_ref()) != Some(span) {
                diagnostics.push(diagnostic);
            }
        }
    }
}

/// Returns the ports that are declared in a cluster, each with whose it is and where it stands.
fn declared_ports<'a>(
    cluster: &'a ClusterName,
    spec: &'a ClusterSpec,
) -> impl Iterator<Item = (Address, u16, &'a Span)> {
    let node = |(node, spec): (&NodeName, &'a NodeSpec)| {
        let address = NodeAddress {
            cluster: cluster.clone(),
            node: node.clone(),
        };
        Some((address.into(), spec.port?, spec.port_span.as_ref()?))
    };
    let pooler = |(endpoint, spec): (&EndpointName, &'a EndpointSpec)| {
        let address = EndpointAddress {
            cluster: cluster.clone(),
            endpoint: endpoint.clone(),
        };
        let pooler = spec.pooler.as_ref()?;
        Some((address.into(), pooler.port?, pooler.port_span.as_ref()?))
    };
    let nodes = spec.nodes.iter().filter_map(node);
    nodes.chain(spec.endpoints.iter().filter_map(pooler))
}
