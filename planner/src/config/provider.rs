//! The `provider` block.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::structure::Block;
use simdb_language::reference::Names;
use simdb_language::suggest::did_you_mean;
use simdb_state::name::PlatformName;
use simdb_state::object::first_platform;

use crate::desired::{LocalSettings, PORT_RANGE, no_port_range, port_range};
use crate::diagnostic::{Diagnostic, Span};
use crate::observed::ProviderArgument;
use crate::platform::{PLATFORMS, Platform};

use super::read::Reader;

/// The arguments whose values only the machine can judge.
const ARGUMENTS: [(&str, ProviderArgument); 4] = [
    ("run_as", ProviderArgument::RunAs),
    ("data_root", ProviderArgument::DataRoot),
    ("binaries", ProviderArgument::Binaries),
    ("port_range", ProviderArgument::PortRange),
];

/// Returns the platform of that name, or says that this version has none.
pub(super) fn supported(name: &str) -> Result<PlatformName, String> {
    if PLATFORMS.contains(&name) {
        return Ok(name.parse().expect("platforms have names"));
    }
    let known: Vec<String> = PLATFORMS.iter().map(|name| format!("\"{name}\"")).collect();
    let hint = did_you_mean(name, PLATFORMS.iter().copied());
    Err(format!(
        "The provider \"{name}\" is not supported by this version; {} are.{hint}",
        known.join(" and ")
    ))
}

/// Returns the platforms that have a `provider` block.
pub(super) fn declared(blocks: &[(&Block, Reader<'_>)]) -> BTreeSet<PlatformName> {
    let labels = blocks.iter().filter_map(|(block, _)| block.labels.first());
    labels.filter_map(|label| supported(label.as_str()).ok()).collect()
}

/// Chooses the platform of a cluster: the one that it names, else the only one that is declared, else the embedded one.
pub(super) fn choose(
    given: Option<&str>,
    declared: &BTreeSet<PlatformName>,
) -> Result<PlatformName, (&'static str, String)> {
    if let Some(given) = given {
        return supported(given).map_err(|detail| ("Unsupported provider", detail));
    }
    let mut all = declared.iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(first_platform()),
        (Some(only), None) => Ok(only.clone()),
        (Some(_), Some(_)) => {
            let all: Vec<String> = declared.iter().map(|name| format!("provider = \"{name}\"")).collect();
            let detail = format!(
                "Several providers are declared, so the cluster must name its own: {}.",
                all.join(" or ")
            );
            Err(("Missing provider", detail))
        }
    }
}

/// Returns the platform that a cluster or a network is on. Nothing where what it names cannot be told.
pub(super) fn of(
    header: &Span,
    reader: Reader<'_>,
    names: &Names<'_>,
    declared: &BTreeSet<PlatformName>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<PlatformName> {
    let given = reader.text("provider", names, diagnostics);
    if given.is_none() && reader.attribute("provider").is_some() {
        return None;
    }
    let chosen = choose(given.as_ref().map(|given| given.value.as_str()), declared);
    let complain = |(summary, detail)| {
        let span = given.as_ref().map_or(header, |given| &given.span).clone();
        diagnostics.push(reader.error(span, summary, detail));
    };
    chosen.map_err(complain).ok()
}

/// Reads the `provider` blocks.
pub(super) fn read(
    blocks: &[(&Block, Reader<'_>)],
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> LocalSettings {
    let mut settings = LocalSettings::default();
    for (block, reader) in blocks {
        let Some(label) = block.labels.first() else { continue };
        if let Err(detail) = supported(label.as_str()) {
            diagnostics.push(reader.error(reader.span(label), "Unsupported provider", detail));
            continue;
        }
        let platform = label.as_str().parse().ok().and_then(|name| Platform::find(&name));
        let platform = platform.unwrap_or_default();
        foreign_arguments(platform, *reader, diagnostics);
        if platform != Platform::default() {
            let arguments = arguments(platform, *reader, names, diagnostics);
            if let Err(detail) = platform.check_arguments(&arguments) {
                diagnostics.push(reader.error(reader.span(label), "Arguments do not go together", detail));
            }
            settings.others.insert(label.as_str().to_owned(), arguments);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_runs_where_it_says_else_on_the_only_platform_else_on_the_embedded_one() {
        let declared = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<_>>();
        let chosen = |given: Option<&str>, names: &[&str]| {
            let chosen = choose(given, &declared(names));
            chosen.map_or_else(|(summary, _)| summary.to_owned(), |name| name.to_string())
        };
        assert_eq!(chosen(None, &[]), "local");
        assert_eq!(chosen(None, &["cloud"]), "cloud");
        assert_eq!(chosen(Some("local"), &["cloud", "local"]), "local");
        assert_eq!(chosen(None, &["cloud", "local"]), "Missing provider");
        assert_eq!(chosen(Some("lokal"), &[]), "Unsupported provider");
    }
}
