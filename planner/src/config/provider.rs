//! The `provider` block.

use hcl_edit::structure::Block;

use crate::desired::LocalSettings;
use crate::diagnostic::Diagnostic;
use crate::observed::ProviderArgument;

use super::read::Reader;
use super::reference::Names;
use super::suggest::did_you_mean;

/// The arguments whose values only the machine can judge.
const ARGUMENTS: [(&str, ProviderArgument); 4] = [
    ("run_as", ProviderArgument::RunAs),
    ("data_root", ProviderArgument::DataRoot),
    ("binaries", ProviderArgument::Binaries),
    ("port_range", ProviderArgument::PortRange),
];

/// Reads the `provider` blocks.
pub(super) fn read(
    blocks: &[(&Block, Reader<'_>)],
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> LocalSettings {
    let mut settings = LocalSettings::default();
    for (block, reader) in blocks {
        let Some(label) = block.labels.first() else { continue };
        if label.as_str() != "local" {
            let hint = did_you_mean(label.as_str(), ["local"]);
            let detail = format!(
                "The provider \"{}\" is not supported by this version; \"local\" is.{hint}",
                label.as_str()
            );
            diagnostics.push(reader.error(reader.span(label), "Unsupported provider", detail));
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
    let read = reader.text("port_range", names, diagnostics)?;
    let parsed = read.value.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (1 <= first && first <= last).then_some((first, last))
    });
    if parsed.is_none() {
        let detail = format!(
            "\"port_range\" is the first and the last port, as in \"15432-15532\", each from 1 to 65535; {:?} is not.",
            read.value
        );
        diagnostics.push(reader.error(read.span, "Invalid port range", detail));
    }
    parsed
}
