//! Modules: what the blocks of one declare, and those of the modules that it uses, each with variables of its own.
//!
//! What a module declares is called after the module, its key, and itself: `team-eu-orders`. Values that depend on what
//! clusters become reach a module where outputs are evaluated ([`super::outputs`]); a plan does not know them.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::Decorated;
use hcl_edit::expr::{Expression, TraversalOperator};
use hcl_edit::structure::{Attribute, Block};
use simdb_language::reference::{self, Names, Objects, Table};
use simdb_language::value::Value;
use simdb_state::name::ClusterName;

use crate::desired::{Desired, NetworkSpec};
use crate::diagnostic::Diagnostic;
use crate::platform::Platform;

use super::Options;
use super::checks;
use super::clusters;
use super::depends::{self, Entries};
use super::dialect;
use super::drift;
use super::expand::{self, Instance};
use super::imports;
use super::instance_name;
use super::library::{self, Blocks, Library};
use super::locals;
use super::moved;
use super::networks::{self, Visible};
use super::outputs::{self, AllGroups, Children, Input, Member, Outputs};
use super::provider;
use super::provider_choice::Known;
use super::read::Reader;
use super::removed;
use super::spread;
use super::triggers;
use super::variables::{self, Argument};

/// The attributes of a `module` block that are no values for its variables.
const OWN: [&str; 5] = ["source", "count", "for_each", "depends_on", "providers"];

/// The modules of a configuration.
pub(super) struct Tree<'a> {
    library: &'a Library<'a>,
    blocks: BTreeMap<&'a str, Blocks<'a>>,
    options: &'a Options<'a>,
}

/// A module that is read: the configuration itself, or an instance of a `module` block.
struct Level<'a> {
    directory: &'a str,
    /// What stands before the names of what it declares.
    prefix: String,
    variables: Table,
    /// The variables whose values depend on what clusters become.
    unknown: BTreeSet<String>,
    /// The networks of the modules around.
    outer: Visible,
    /// The directories of the modules around.
    around: Vec<&'a str>,
    /// The providers that it knows.
    providers: Known,
}

/// What a `module` block uses.
struct Used<'a> {
    directory: &'a str,
    /// The values it gives that depend on what clusters become.
    unknown: BTreeSet<String>,
    /// The providers that it passes on.
    providers: Known,
}

/// What is made of the modules.
struct Work<'w> {
    desired: &'w mut Desired,
    depends: Entries,
    diagnostics: &'w mut Vec<Diagnostic>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(library: &'a Library<'a>, options: &'a Options<'a>) -> Self {
        let blocks = library.modules.iter();
        Self {
            library,
            blocks: blocks
                .map(|(name, pieces)| (name.as_str(), Blocks::new(pieces)))
                .collect(),
            options,
        }
    }

    /// Returns the blocks of the configuration itself.
    pub(super) fn root(&self) -> &Blocks<'a> {
        &self.blocks[""]
    }

    /// Makes what is desired out of the blocks of all modules.
    pub(super) fn resolve(
        &self,
        variables: Table,
        desired: &mut Desired,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Outputs {
        let level = Level {
            directory: "",
            prefix: String::new(),
            variables,
            unknown: BTreeSet::new(),
            outer: Visible::default(),
            around: Vec::new(),
            providers: Known::declared(&self.root().of("provider")),
        };
        let mut work = Work {
            desired,
            depends: Entries::new(),
            diagnostics,
        };
        let outputs = self.module(level, &mut work);
        work.diagnostics.extend(depends::cycle(&work.depends));
        work.diagnostics.extend(triggers::check(work.desired));
        for (name, (depends_on, _)) in work.depends {
            if let Some(cluster) = work.desired.clusters.get_mut(&name) {
                cluster.depends_on = depends_on;
            }
        }
        outputs
    }

    fn module(&self, level: Level<'a>, work: &mut Work<'_>) -> Outputs {
        let blocks = &self.blocks[level.directory];
        let base = Names {
            variables: Some(&level.variables),
            files: Some(self.options.files),
            is_lenient: self.options.is_lenient,
            module: level.directory,
            ..dialect::names()
        };
        let readers: Vec<Reader<'_>> = blocks.of("locals").into_iter().map(|(_, reader)| reader).collect();
        let source = &self.library.source;
        let (locals, deferred) = locals::values(&readers, &level.unknown, &base, source, work.diagnostics);
        let names = Names {
            locals: Some(&locals),
            ..base.clone()
        };
        if level.around.is_empty() {
            let source = &self.library.source;
            work.desired.local = provider::read(&blocks.of("provider"), source, &names, work.diagnostics);
        }
        for (_, block) in blocks.of("drift") {
            let patterns = drift::of_block(block, None, &names, work.diagnostics);
            work.desired.ignored_drift.extend(patterns);
        }
        let mut groups = AllGroups::default();
        let declared = expand::top(&blocks.of("network"), &level.prefix, &names, work.diagnostics);
        groups.networks = declared.groups;
        let mut visible = Visible::within(&level.outer);
        let networks = networks::read(
            &declared.all,
            &level.providers,
            &mut groups.networks,
            &mut work.desired.networks,
            &mut visible,
            work.diagnostics,
        );
        let clusters = self.clusters(&level, &names, &visible, &mut groups, work);
        let is_module = !level.around.is_empty();
        let read = |(block, reader)| outputs::read(block, reader, is_module, &names, work.diagnostics);
        let declared = blocks.of("output").into_iter().filter_map(read).collect();
        let mut outputs = Outputs {
            blocks: declared,
            rules: checks::read(blocks),
            deferred,
            groups,
            prefix: level.prefix.clone(),
            directory: level.directory.to_owned(),
            clusters,
            networks,
            ..Outputs::default()
        };
        outputs.children = self.children(&level, &names, &visible, &outputs, work);
        let (clusters, modules) = (blocks.of("cluster"), blocks.of("module"));
        depends::read(&clusters, &modules, &outputs, &mut work.depends, work.diagnostics);
        if level.around.is_empty() {
            let desired = &mut *work.desired;
            desired.imports = imports::read(&blocks.of("import"), &desired.clusters, &names, work.diagnostics);
            desired.forgotten = removed::read(&blocks.of("removed"), desired, &names, work.diagnostics);
            desired.moved = moved::read(&blocks.of("moved"), desired, &names, work.diagnostics);
        }
        outputs.variables = level.variables;
        outputs.locals = locals;
        outputs
    }

    fn clusters(
        &self,
        level: &Level<'_>,
        names: &Names<'_>,
        visible: &Visible,
        groups: &mut AllGroups,
        work: &mut Work<'_>,
    ) -> Vec<ClusterName> {
        let blocks = &self.blocks[level.directory];
        let declared = expand::top(&blocks.of("cluster"), &level.prefix, names, work.diagnostics);
        groups.clusters = declared.groups;
        let local = work.desired.local.clone();
        let context = clusters::Context {
            module: &level.prefix,
            local: &local,
            source: &self.library.source,
            names,
            networks: visible,
            providers: &level.providers,
        };
        let mut found = Vec::new();
        for instance in &declared.all {
            let Some(cluster) = clusters::read(instance, &context, work.diagnostics) else {
                continue;
            };
            instance.note(&instance.local_name(), &mut groups.clusters);
            groups.inner.insert(cluster.name.clone(), cluster.inner);
            found.push(cluster.name.clone());
            if cluster.spec.network.as_str() == networks::DEFAULT {
                let platform = Platform::find(&cluster.spec.platform).unwrap_or_default();
                if let (Err(detail), false) = (
                    platform.check_no_subnet(),
                    work.desired.networks.contains_key(&cluster.spec.network),
                ) {
                    let detail = format!("The cluster is in no network that is declared. {detail}");
                    let header = instance.header.clone();
                    work.diagnostics
                        .push(instance.reader.error(header, "Missing network", detail));
                }
                let networks = work.desired.networks.entry(cluster.spec.network.clone());
                networks.or_insert_with(|| NetworkSpec {
                    platform: cluster.spec.platform.clone(),
                    subnet: None,
                    reachable: false,
                    span: instance.header.clone(),
                });
            }
            let network = work.desired.networks.get(&cluster.spec.network);
            let problems = spread::problems(instance.reader, (&cluster.name, &cluster.spec), network, &local);
            work.diagnostics.extend(problems);
            let is_composed = instance.key.is_some() || !instance.prefix.is_empty();
            let name = cluster.name.clone();
            if work.desired.clusters.insert(cluster.name, cluster.spec).is_some() && is_composed {
                let problem = instance_name::same_name(instance, "cluster", name.as_str());
                work.diagnostics.push(problem);
            }
        }
        found
    }

    /// Reads the modules that a module uses.
    fn children(
        &self,
        level: &Level<'a>,
        names: &Names<'_>,
        visible: &Visible,
        outputs: &Outputs,
        work: &mut Work<'_>,
    ) -> BTreeMap<String, Children> {
        let calls = self.blocks[level.directory].of("module");
        if calls.is_empty() {
            return BTreeMap::new();
        }
        let mut children: BTreeMap<String, Children> = BTreeMap::new();
        let mut by_label = BTreeMap::new();
        for (block, reader) in &calls {
            let label = block.labels.first().map_or("", |label| label.as_str());
            let unknown = unknown_inputs(reader, level, outputs);
            children.entry(label.to_owned()).or_default();
            let providers = level.providers.within(*reader, work.diagnostics);
            if let Some(directory) = self.used(block, *reader, level, work.diagnostics) {
                let call = Used {
                    directory,
                    unknown,
                    providers,
                };
                by_label.insert(label.to_owned(), call);
            }
        }
        let instances = expand::top(&calls, "", names, work.diagnostics);
        for (label, group) in &instances.groups {
            children.entry(label.clone()).or_default().is_counted = Some(group.is_counted);
        }
        let networks = Objects::from([("network", outputs.network_values(work.desired, None))]);
        for instance in &instances.all {
            let Some(call) = by_label.get(&instance.label) else {
                continue;
            };
            let children = children.entry(instance.label.clone()).or_default();
            let member = self.member(instance, call, (level, visible, &networks), children, work);
            children.members.push(member);
        }
        for (label, children) in &mut children {
            children.is_whole = by_label.contains_key(label) && instances.complete;
        }
        children
    }

    /// Reads one instance of a `module` block.
    fn member(
        &self,
        instance: &Instance<'_, '_>,
        call: &Used<'a>,
        (level, visible, networks): (&Level<'a>, &Visible, &Objects),
        children: &mut Children,
        work: &mut Work<'_>,
    ) -> Member {
        let Used {
            directory,
            unknown,
            providers,
        } = call;
        let reader = instance.reader;
        let names = Names {
            objects: Some(networks),
            ..instance.names.clone()
        };
        let mut given = BTreeMap::new();
        for attribute in inputs(reader) {
            let name = attribute.key.as_str();
            let value = if unknown.contains(name) {
                Some(Value::unknown())
            } else {
                reader.evaluate(&attribute.value, &names, work.diagnostics)
            };
            let key = reader.span(&attribute.key);
            let span = reader.span(&attribute.value);
            given.insert(name, Argument { value, key, span });
        }
        let passed = variables::Call {
            reader,
            header: instance.header.clone(),
            directory,
            given,
            files: self.options.files,
            is_lenient: self.options.is_lenient,
        };
        let (variables, types) = variables::passed(&self.blocks[directory].of("variable"), &passed, work.diagnostics);
        if children.inputs.is_empty() {
            let input = |attribute: &Attribute| {
                let (of, marks) = types.get(attribute.key.as_str())?.clone();
                Some(Input {
                    name: attribute.key.to_string(),
                    value: attribute.value.clone(),
                    place: reader.place.clone(),
                    of,
                    marks,
                })
            };
            let deferred = inputs(reader).filter(|attribute| unknown.contains(attribute.key.as_str()));
            children.inputs = deferred.filter_map(input).collect();
        }
        let mut around = level.around.clone();
        around.push(level.directory);
        let outputs = self.module(
            Level {
                directory,
                prefix: format!("{}{}-", level.prefix, instance.local_name()),
                variables,
                unknown: unknown.clone(),
                outer: visible.clone(),
                around,
                providers: providers.clone(),
            },
            work,
        );
        Member {
            key: instance.key.clone(),
            index: instance.names.index,
            each: instance.names.each.clone(),
            outputs,
        }
    }

    /// Returns the directory of the module that a block uses, where that can be read.
    fn used(
        &self,
        block: &Block,
        reader: Reader<'_>,
        level: &Level<'a>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<&'a str> {
        // What is wrong with the source has been told.
        let target = library::target(reader, level.directory, self.options.files, &mut Vec::new())?;
        let (directory, _) = self.blocks.get_key_value(target.as_str())?;
        if *directory == level.directory || level.around.contains(directory) {
            let detail = format!("The module in {directory:?} uses itself, and that would never end.");
            diagnostics.push(reader.error(reader.header(block), "Module uses itself", detail));
            return None;
        }
        Some(directory)
    }
}

/// Returns the values that a `module` block gives.
fn inputs(reader: Reader<'_>) -> impl Iterator<Item = &Attribute> {
    let attributes = reader.body.attributes();
    attributes.filter(|attribute| !OWN.contains(&attribute.key.as_str()))
}

/// Returns the names of the values that depend on what clusters become.
fn unknown_inputs(reader: &Reader<'_>, level: &Level<'_>, outputs: &Outputs) -> BTreeSet<String> {
    let is_unknown = |value: &Expression| {
        let mut found = false;
        reference::for_each(value, |root, operators| {
            let name = match operators.first().map(Decorated::value) {
                Some(TraversalOperator::GetAttr(name)) => name.as_str(),
                _ => "",
            };
            found |= match root.as_str() {
                "cluster" | "module" => true,
                "local" => outputs.deferred.iter().any(|deferred| deferred.name == name),
                "var" => level.unknown.contains(name),
                _ => false,
            };
        });
        found
    };
    let unknown = inputs(*reader).filter(|attribute| is_unknown(&attribute.value));
    unknown.map(|attribute| attribute.key.to_string()).collect()
}
