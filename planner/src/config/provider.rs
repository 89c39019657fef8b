//! The `provider` block.

use std::collections::BTreeMap;

use hcl_edit::structure::Block;
use simdb_language::reference::Names;
use simdb_language::source::Source;
use simdb_language::suggest::did_you_mean;
use simdb_state::name::{MAX_LENGTH, PlatformName};

use crate::desired::{LocalSettings, PORT_RANGE, no_port_range, port_range};
use crate::diagnostic::{Diagnostic, Span};
use crate::observed::ProviderArgument;
use crate::platform::{PLATFORMS, Platform};

use super::dialect;
use super::read::Reader;

/// The arguments whose values only the machine can judge.
const ARGUMENTS: [(&str, ProviderArgument); 4] = [
    ("run_as", ProviderArgument::RunAs),
    ("data_root", ProviderArgument::DataRoot),
    ("binaries", ProviderArgument::Binaries),
    ("port_range", ProviderArgument::PortRange),
];

/// The argument that tells one of several providers of a platform from the others.
const ALIAS: &str = "alias";

/// Returns the platform of that name, which may have an alias, or says that this version has none.
pub(super) fn supported(name: &str) -> Result<PlatformName, String> {
    let (kind, alias) = name
        .split_once('.')
        .map_or((name, None), |(kind, alias)| (kind, Some(alias)));
    if !PLATFORMS.contains(&kind) {
        let known: Vec<String> = PLATFORMS.iter().map(|name| format!("\"{name}\"")).collect();
        let (last, others) = known.split_last().expect("there are platforms");
        let hint = did_you_mean(kind, PLATFORMS.iter().copied());
        return Err(format!(
            "The provider \"{kind}\" is not supported by this version; {} and {last} are.{hint}",
            others.join(", ")
        ));
    }
    name.parse().map_err(|_| {
        let alias = alias.unwrap_or_default();
        format!(
            "{alias:?} is no alias: one starts with a lower-case letter and holds at most {MAX_LENGTH} lower-case letters, digits, \
             underscores and hyphens."
        )
    })
}

/// Returns what a `provider` block is called: its platform, with the alias where it has one.
pub(super) fn name(block: &Block, reader: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<PlatformName> {
    let label = block.labels.first()?;
    let kind = match supported(label.as_str()) {
        Ok(kind) if kind.alias().is_none() => kind,
        Ok(kind) => {
            let detail = format!(
                "The label of a provider is its platform, and what tells it from others is an argument: provider \"{}\" {{ alias = \
                 \"{}\" }}.",
                kind.kind(),
                kind.alias().unwrap_or_default()
            );
            diagnostics.push(reader.error(reader.span(label), "Invalid provider name", detail));
            return None;
        }
        Err(detail) => {
            diagnostics.push(reader.error(reader.span(label), "Unsupported provider", detail));
            return None;
        }
    };
    let Some(attribute) = reader.attribute(ALIAS) else {
        return Some(kind);
    };
    let wrong = |detail: String| reader.error(reader.span(&attribute.value), "Invalid provider alias", detail);
    let alias = reader.text(ALIAS, &dialect::names(), diagnostics)?;
    if !Platform::find(&kind).unwrap_or_default().has_aliases() {
        let detail = format!(
            "There is one provider \"{kind}\", as all that it runs shares what it has. Leave \"{ALIAS}\" out, or write a provider that \
             can be elsewhere."
        );
        diagnostics.push(wrong(detail));
        return None;
    }
    let name = supported(&format!("{kind}.{}", alias.value));
    name.map_err(|detail| diagnostics.push(wrong(detail))).ok()
}

/// Reads the `provider` blocks.
pub(super) fn read(
    blocks: &[(&Block, Reader<'_>)],
    source: &Source,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> LocalSettings {
    let mut settings = LocalSettings::default();
    let mut seen: BTreeMap<PlatformName, Span> = BTreeMap::new();
    for (block, reader) in blocks {
        let Some(name) = name(block, *reader, diagnostics) else {
            continue;
        };
        let header = reader.header(block);
        if let Some(first) = seen.insert(name.clone(), header.clone()) {
            diagnostics.push(reader.error(
                header,
                format!("Duplicate provider \"{}\"", name.kind()),
                twice(&name, &source.place(&first)),
            ));
            continue;
        }
        let platform = Platform::find(&name).unwrap_or_default();
        foreign_arguments(platform, *reader, diagnostics);
        if platform != Platform::default() {
            let arguments = arguments(platform, *reader, names, diagnostics);
            if let Err(detail) = platform.check_arguments(&arguments) {
                diagnostics.push(reader.error(header, "Arguments do not go together", detail));
            }
            settings.others.insert(name.to_string(), arguments);
            continue;
        }
        let mut text = |name| {
            let read = reader.text(name, names, diagnostics)?;
            if read.value.is_empty() {
                let detail = format!("\"{name}\" must not be empty. Leave it out for the default.");
                diagnostics.push(reader.error(read.span, "Empty value", detail));
                return None;
            }
            Some(read.value)
        };
        settings.run_as = text("run_as");
        settings.data_root = text("data_root");
        settings.ports = ports(*reader, names, diagnostics);
        settings.binaries = binaries(*reader, names, diagnostics);
        let span = |(name, argument)| Some((argument, reader.span(&reader.attribute(name)?.value)));
        settings.spans.extend(ARGUMENTS.into_iter().filter_map(span));
    }
    settings
}

/// Says that a provider is declared a second time, given where it was declared first.
fn twice(name: &PlatformName, first: &str) -> String {
    let kind = name.kind();
    match name.alias() {
        Some(alias) => format!(
            "provider \"{kind}\" with alias = \"{alias}\" was already declared at {first}. Give one of them another alias."
        ),
        None if Platform::find(name).is_some_and(Platform::has_aliases) => format!(
            "provider \"{kind}\" was already declared at {first}. Several are told apart by an alias: alias = \"NAME\"."
        ),
        None => format!("provider \"{kind}\" was already declared at {first}. There can be only one."),
    }
}

/// Says which arguments belong to another platform.
fn foreign_arguments(platform: Platform, reader: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let others = Platform::ALL.into_iter().filter(|other| *other != platform);
    let others = others.flat_map(|other| other.arguments().iter().map(move |name| (other, *name)));
    let others = others.filter(|(_, name)| !platform.arguments().contains(name));
    for (other, name) in others {
        if let Some(attribute) = reader.attribute(name) {
            let detail = format!(
                "\"{name}\" is an argument of provider \"{}\"; provider \"{}\" has: {}.",
                other.name(),
                platform.name(),
                platform.arguments().join(", ")
            );
            diagnostics.push(reader.error(reader.span(&attribute.value), "Unsupported argument", detail));
        }
    }
}

/// Reads the arguments of a platform that are plain texts.
fn arguments(
    platform: Platform,
    reader: Reader<'_>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    for name in platform.arguments() {
        let Some(given) = reader.text(name, names, diagnostics) else {
            continue;
        };
        match platform.check_argument(name, &given.value) {
            Ok(()) => drop(read.insert((*name).to_owned(), given.value)),
            Err(detail) => diagnostics.push(reader.error(given.span, "Invalid value", detail)),
        }
    }
    read
}

fn binaries(reader: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<String> {
    let directories = reader.texts("binaries", names, diagnostics);
    let attribute = reader.attribute("binaries");
    if let Some(attribute) = attribute.filter(|_| directories.iter().any(String::is_empty)) {
        let detail = "\"binaries\" has an empty directory. Name one with the programs of an engine, or remove it.";
        diagnostics.push(reader.error(reader.span(&attribute.value), "Empty value", detail));
    }
    directories
}

fn ports(reader: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<(u16, u16)> {
    let read = reader.text(PORT_RANGE, names, diagnostics)?;
    let parsed = port_range(&read.value);
    if parsed.is_none() {
        diagnostics.push(reader.error(read.span, "Invalid port range", no_port_range(&read.value)));
    }
    parsed
}
