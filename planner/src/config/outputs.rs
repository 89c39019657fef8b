//! `output` blocks: checked when a configuration is read, evaluated against a record.
//!
//! The check is an evaluation too, against clusters whose every attribute is unknown: a name that leads nowhere is
//! wrong before there is a record.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use hcl_edit::Decorated;
use hcl_edit::expr::{Expression, TraversalOperator};
use hcl_edit::structure::Block;
use simdb_language::convert::{self, Type};
use simdb_language::eval;
use simdb_language::files::Files;

use simdb_language::reference::{self, Each, Names, Objects, Table};
use simdb_language::source::Place;
use simdb_language::value::json_text::{self, Unwritable};
use simdb_language::value::{Marks, Value};
use simdb_state::json::Json;
use simdb_state::name::{ClusterName, NetworkName};
use simdb_state::object::State;
use simdb_state::sensitive::{REDACTED, Secrets};

use crate::desired::Desired;
use crate::diagnostic::{Diagnostic, Span};

use super::checks::Rule;
use super::clusters::Inner;
use super::dialect::{self, DIALECT};
use super::expand::{Groups, Key, grouped, together};
use super::locals::Deferred;
use super::objects;
use super::read::Reader;
use super::variables;

/// The value of an `output` block.
#[derive(Clone, PartialEq)]
pub struct OutputValue {
    /// The value; absent where only an apply can tell.
    pub value: Option<Json>,
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

/// The `output` blocks of a module, and what they are evaluated with.
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
    /// What stands before the names of what the module declares.
    pub(super) prefix: String,
    /// Where the module is.
    pub(super) directory: String,
    /// What the module declares.
    pub(super) clusters: Vec<ClusterName>,
    pub(super) networks: Vec<NetworkName>,
    /// The modules that it uses, by name.
    pub(super) children: BTreeMap<String, Children>,
    /// What functions read, in all modules.
    pub(super) files: Arc<Files>,
    /// Whether values of variables may be missing, in all modules.
    pub(super) is_lenient: bool,
}

/// The instances of a `module` block.
#[derive(Clone, Debug, Default)]
pub(super) struct Children {
    /// Whether they are a list; else they are a map. Absent where the block stands for one module.
    pub(super) is_counted: Option<bool>,
    /// The values of variables that depend on clusters.
    pub(super) inputs: Vec<Input>,
    pub(super) members: Vec<Member>,
    /// Whether all could be read.
    pub(super) is_whole: bool,
}

/// A value of a module's variable that depends on clusters.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) value: Expression,
    pub(super) place: Place,
    pub(super) of: Type,
    pub(super) marks: Marks,
}

/// An instance of a `module` block.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) key: Option<Key>,
    pub(super) index: Option<usize>,
    pub(super) each: Option<Each>,
    pub(super) outputs: Outputs,
}

/// What outputs are evaluated against.
pub(super) struct With<'a> {
    pub(super) desired: &'a Desired,
    pub(super) state: &'a State,
    pub(super) secrets: &'a Secrets,
    /// Whether clusters are whatever they may be.
    pub(super) is_open: bool,
    pub(super) files: &'a Files,
    pub(super) is_lenient: bool,
}

/// What the expressions of a module may refer to.
pub(super) struct Known {
    variables: Option<Table>,
    locals: Option<Table>,
    objects: Objects,
}

/// What is evaluated before the outputs: each after those that it refers to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    /// A local value that depends on clusters, by its place.
    Local(usize),
    /// A module that is used.
    Module(&'a str),
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
    marks: Marks,
    description: Option<String>,
}

/// Reads an `output` block. Only that of a module may be ephemeral.
pub(super) fn read(
    block: &Block,
    reader: Reader<'_>,
    is_module: bool,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Output> {
    let name = block.labels.first()?;
    if hcl_edit::Ident::try_new(name.as_str()).is_err() {
        let detail = "The name of an output starts with a letter and holds letters, digits, \"_\" and \"-\".";
        diagnostics.push(reader.error(reader.span(name), "Invalid output name", detail));
    }
    let ephemeral = reader.flag("ephemeral", names, diagnostics).unwrap_or(false);
    if let Some(attribute) = reader.attribute("ephemeral").filter(|_| ephemeral && !is_module) {
        let detail = "The outputs of a configuration are kept in the record, so none can be ephemeral; those of a module can. Remove \
                      it, or use sensitive = true.";
        diagnostics.push(reader.error(reader.span(&attribute.value), "Ephemeral output not allowed", detail));
    }
    let value = reader.attribute("value")?;
    Some(Output {
        name: name.as_str().to_owned(),
        value: value.value.clone(),
        place: reader.place.clone(),
        span: reader.span(&value.value),
        marks: Marks {
            sensitive: reader.flag("sensitive", names, diagnostics).unwrap_or(false),
            ephemeral,
        },
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
        if self.blocks.is_empty() && self.rules.is_empty() && self.deferred.is_empty() && self.children.is_empty() {
            return (BTreeMap::new(), Vec::new());
        }
        let with = self.with(desired, state, secrets);
        let mut diagnostics = Vec::new();
        let known = self.known(&with, None, &mut diagnostics);
        let mut values = BTreeMap::new();
        for (output, value) in self.evaluated(&known, &with, &mut diagnostics) {
            let Some(value) = value else { continue };
            match output.shown(&value) {
                Ok(shown) => drop(values.insert(output.name.clone(), shown)),
                Err(problem) => diagnostics.push(problem),
            }
        }
        (values, diagnostics)
    }

    /// Returns what is wrong with the blocks whatever clusters there are.
    pub(super) fn check(&self) -> Vec<Diagnostic> {
        let (desired, state, secrets) = (Desired::default(), State::default(), Secrets::new());
        let with = With {
            is_open: true,
            ..self.with(&desired, &state, &secrets)
        };
        let mut diagnostics = Vec::new();
        let known = self.known(&with, None, &mut diagnostics);
        self.evaluated(&known, &with, &mut diagnostics);
        diagnostics
    }

    pub(super) fn with<'a>(&'a self, desired: &'a Desired, state: &'a State, secrets: &'a Secrets) -> With<'a> {
        With {
            desired,
            state,
            secrets,
            is_open: false,
            files: &self.files,
            is_lenient: self.is_lenient,
        }
    }

    /// Evaluates what outputs may refer to: local values and modules. Variables may have other values than were known when
    /// the configuration was read.
    pub(super) fn known(&self, with: &With<'_>, variables: Option<Table>, diagnostics: &mut Vec<Diagnostic>) -> Known {
        let mut known = Known {
            variables,
            locals: None,
            objects: self.objects(with),
        };
        let mut modules = BTreeMap::new();
        for item in self.order(diagnostics) {
            match item {
                Item::Local(place) => {
                    let local = &self.deferred[place];
                    let before = diagnostics.len();
                    let value = eval::evaluate(&local.value, &self.names(&known, with), &local.place, diagnostics);
                    for diagnostic in &mut diagnostics[before..] {
                        diagnostic.context = Some("locals".to_owned());
                    }
                    let locals = known.locals.get_or_insert_with(|| self.locals.clone());
                    locals.insert(local.name.clone(), value);
                }
                Item::Module(label) => {
                    let value = self.children[label].value(label, &self.names(&known, with), with, diagnostics);
                    modules.insert(label.to_owned(), value);
                    known.objects.insert("module", Value::object(modules.clone()));
                }
            }
        }
        known
    }

    /// Evaluates the blocks, and judges the rules. There is no value where something is wrong with it.
    fn evaluated<'a>(
        &'a self,
        known: &Known,
        with: &With<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<(&'a Output, Option<Value>)> {
        let names = self.names(known, with);
        let mut values = Vec::new();
        for output in &self.blocks {
            let before = diagnostics.len();
            let value = eval::evaluate(&output.value, &names, &output.place, diagnostics);
            if let Some(value) = &value {
                for (summary, detail) in output.undeclared_marks(value) {
                    let mut diagnostic = Diagnostic::error(summary, detail).at(output.span.clone());
                    diagnostic.values = eval::values(&output.value, &names, &output.place);
                    diagnostics.push(diagnostic);
                }
            }
            values.push((output, value));
            for diagnostic in &mut diagnostics[before..] {
                diagnostic.context = Some(format!("output \"{}\"", output.name));
            }
        }
        let clusters: Vec<&str> = self.clusters.iter().map(|name| self.local(name.as_str())).collect();
        for rule in &self.rules {
            rule.judge(&names, &clusters, diagnostics);
        }
        values
    }

    /// Returns what an output may refer to.
    pub(super) fn names<'a>(&'a self, known: &'a Known, with: &'a With<'_>) -> Names<'a> {
        Names {
            variables: Some(known.variables.as_ref().unwrap_or(&self.variables)),
            locals: Some(known.locals.as_ref().unwrap_or(&self.locals)),
            objects: Some(&known.objects),
            files: Some(with.files),
            is_lenient: with.is_lenient,
            module: &self.directory,
            ..dialect::names()
        }
    }

    /// Returns the clusters of the module, and of the modules that it uses.
    pub(super) fn all_clusters(&self) -> Vec<ClusterName> {
        let members = self.children.values().flat_map(|children| &children.members);
        let inner = members.flat_map(|member| member.outputs.all_clusters());
        self.clusters.iter().cloned().chain(inner).collect()
    }

    /// Returns what a name is called within the module.
    pub(super) fn local<'n>(&self, name: &'n str) -> &'n str {
        name.strip_prefix(self.prefix.as_str()).unwrap_or(name)
    }

    /// Returns local values and modules so that each comes after those it refers to.
    fn order(&self, diagnostics: &mut Vec<Diagnostic>) -> Vec<Item<'_>> {
        let locals = (0..self.deferred.len()).map(Item::Local);
        // The local values are in order already.
        if self.children.is_empty() {
            return locals.collect();
        }
        let places: BTreeMap<&str, usize> = (0..)
            .zip(&self.deferred)
            .map(|(place, local)| (local.name.as_str(), place))
            .collect();
        let mut left: BTreeMap<Item<'_>, BTreeSet<Item<'_>>> = locals
            .map(|item| (item, BTreeSet::new()))
            .chain(self.children.keys().map(|label| (Item::Module(label), BTreeSet::new())))
            .collect();
        for (item, needs) in &mut left {
            let expressions: Vec<&Expression> = match item {
                Item::Local(place) => vec![&self.deferred[*place].value],
                Item::Module(label) => self.children[*label].inputs.iter().map(|input| &input.value).collect(),
            };
            for expression in expressions {
                reference::for_each(expression, |root, operators| {
                    let Some(TraversalOperator::GetAttr(name)) = operators.first().map(Decorated::value) else {
                        return;
                    };
                    match root.as_str() {
                        "local" => needs.extend(places.get(name.as_str()).map(|place| Item::Local(*place))),
                        "module" => {
                            let used = self.children.get_key_value(name.as_str());
                            needs.extend(used.map(|(label, _)| Item::Module(label)));
                        }
                        _ => {}
                    }
                });
            }
        }
        let mut order = Vec::new();
        while !left.is_empty() {
            let ready: Vec<Item<'_>> = left
                .iter()
                .filter(|(_, needs)| needs.iter().all(|need| !left.contains_key(need)))
                .map(|(item, _)| *item)
                .collect();
            if ready.is_empty() {
                diagnostics.push(self.cycle(left.keys()));
                break;
            }
            for item in ready {
                left.remove(&item);
                order.push(item);
            }
        }
        order
    }

    fn cycle<'a>(&self, items: impl Iterator<Item = &'a Item<'a>>) -> Diagnostic {
        let name = |item: &Item<'_>| match item {
            Item::Local(place) => format!("local.{}", self.deferred[*place].name),
            Item::Module(label) => format!("module.{label}"),
        };
        let names: Vec<String> = items.map(name).collect();
        let detail = format!(
            "Modules and local values refer to each other in a circle, among these: {}.",
            names.join(", ")
        );
        Diagnostic::error("Cycle of modules", detail)
    }

    /// Makes what references to objects lead to: as far as it is recorded, else unknown.
    fn objects(&self, with: &With<'_>) -> Objects {
        if with.is_open {
            return DIALECT.objects.iter().map(|name| (*name, Value::unknown())).collect();
        }
        let clusters = self.clusters.iter().filter_map(|name| {
            let spec = with.desired.clusters.get(name)?;
            let inner = self.groups.inner.get(name);
            let value = objects::cluster(name, spec, inner, with.state, with.secrets);
            Some((self.local(name.as_str()).to_owned(), value))
        });
        Objects::from([
            ("cluster", grouped(clusters.collect(), Some(&self.groups.clusters))),
            ("network", self.network_values(with.desired, Some(with.state))),
            ("module", Value::object(BTreeMap::new())),
        ])
    }

    /// Makes what `network` refers to; without a record, as it is declared.
    pub(super) fn network_values(&self, desired: &Desired, state: Option<&State>) -> Value {
        let networks = self.networks.iter().map(|name| {
            let subnet = if let Some(state) = state {
                state.networks.get(name).map(|network| network.subnet.clone())
            } else {
                let declared = desired.networks.get(name);
                declared.map(|network| network.subnet.map(|subnet| subnet.to_string()))
            };
            let value = objects::network(name, subnet.map(|subnet| subnet.map_or_else(Value::null, Value::from)));
            (self.local(name.as_str()).to_owned(), value)
        });
        grouped(networks.collect(), Some(&self.groups.networks))
    }
}

impl Output {
    /// Returns a value as it is recorded, or says why it cannot be.
    fn shown(&self, value: &Value) -> Result<OutputValue, Diagnostic> {
        let long = |why: &str| {
            let detail = format!("The value of output \"{}\" cannot be recorded: {why}.", self.name);
            Diagnostic::error("Invalid output value", detail)
                .at(self.span.clone())
                .within("output")
        };
        let value = match json_text::write(value) {
            Ok(text) => Some(Json::parse(&text).map_err(|why| long(&why.to_string()))?),
            Err(Unwritable::Unknown) => None,
            Err(Unwritable::TooLong) => return Err(long("it is longer than 16 MiB")),
        };
        Ok(OutputValue {
            value,
            sensitive: self.marks.sensitive,
            description: self.description.clone(),
        })
    }

    /// Says which marks of a value the block must have, and has not.
    fn undeclared_marks(&self, value: &Value) -> Vec<(&'static str, &'static str)> {
        let mut missing = Vec::new();
        if value.has_sensitive() && !self.marks.sensitive {
            missing.push((
                "Output refers to sensitive values",
                "The value depends on a sensitive one, so the output must say so: sensitive = true. Where it is no secret, use \
                 nonsensitive().",
            ));
        }
        if value.has_ephemeral() && !self.marks.ephemeral {
            missing.push((
                "Output refers to ephemeral values",
                "The value depends on an ephemeral one, which is not kept, and the outputs of a configuration are. Use \
                 ephemeralasnull(), or, for an output of a module, ephemeral = true.",
            ));
        }
        missing
    }
}

impl Children {
    /// Evaluates the outputs of the modules.
    fn value(&self, label: &str, names: &Names<'_>, with: &With<'_>, diagnostics: &mut Vec<Diagnostic>) -> Value {
        if !self.is_whole {
            return Value::unknown();
        }
        let mut values = Vec::new();
        for member in &self.members {
            let value = member.value(label, &self.inputs, names, with, diagnostics);
            values.push((member.key.as_ref(), value));
        }
        match self.is_counted {
            None => values.pop().map_or_else(Value::unknown, |(_, value)| value),
            Some(is_counted) => {
                let keyed = values.into_iter().filter_map(|(key, value)| Some((key?, value)));
                together(is_counted, keyed.collect())
            }
        }
    }
}

impl Member {
    fn value(
        &self,
        label: &str,
        inputs: &[Input],
        names: &Names<'_>,
        with: &With<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Value {
        let names = Names {
            index: self.index,
            each: self.each.clone(),
            ..names.clone()
        };
        let mut variables = (!inputs.is_empty()).then(|| self.outputs.variables.clone());
        for input in inputs {
            let before = diagnostics.len();
            let value = eval::evaluate(&input.value, &names, &input.place, diagnostics);
            let accepted = value.filter(|value| {
                let problem = variables::not_ephemeral(&input.name, value, input.marks).map(|mut problem| {
                    problem.span = input.place.of(&input.value);
                    problem
                });
                let is_accepted = problem.is_none();
                diagnostics.extend(problem);
                is_accepted
            });
            let value = accepted.and_then(|value| match convert::convert(&value, &input.of) {
                Ok(value) => Some(value.marked(input.marks)),
                Err(why) => {
                    let detail = format!("The value for \"{}\" is not suitable: {why}.", input.name);
                    let mut diagnostic = Diagnostic::error("Invalid value for variable", detail);
                    diagnostic.span = input.place.of(&input.value);
                    diagnostics.push(diagnostic);
                    None
                }
            });
            for diagnostic in &mut diagnostics[before..] {
                diagnostic.context = Some(format!("module \"{label}\""));
            }
            variables.get_or_insert_default().insert(input.name.clone(), value);
        }
        let known = self.outputs.known(with, variables, diagnostics);
        let values = self.outputs.evaluated(&known, with, diagnostics);
        // What is wrong with an output has been told.
        let value = |(output, value): (&Output, Option<Value>)| {
            (
                output.name.clone(),
                value.unwrap_or_else(Value::unknown).marked(output.marks),
            )
        };
        Value::object(values.into_iter().map(value).collect())
    }
}
