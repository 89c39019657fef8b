//! `memory`, `cpus` and `storage`: how much of its machine a server may take. A node says it for itself, a cluster for all its nodes,
//! and a provider for all its servers.

use simdb_language::reference::Names;
use simdb_state::name::PlatformName;
use simdb_state::object::Resources;

use crate::desired::{LocalSettings, NodeSpec, resources};
use crate::diagnostic::{Diagnostic, Span};
use crate::platform::Platform;

use super::read::Reader;

/// Reads what a block says, and where the first of it stands.
pub(super) fn read(
    reader: Reader<'_>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Resources, Option<Span>) {
    let mut span = None;
    let memory = value(reader, "memory", resources::memory, &mut span, names, diagnostics);
    let cpus = value(reader, "cpus", resources::cpus, &mut span, names, diagnostics);
    let storage = value(reader, "storage", resources::storage, &mut span, names, diagnostics);
    let resources = Resources { memory, cpus, storage };
    (resources, span)
}

fn value<T>(
    reader: Reader<'_>,
    name: &str,
    parse: fn(&str) -> Result<T, String>,
    span: &mut Option<Span>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    let read = reader.text(name, names, diagnostics)?;
    span.get_or_insert_with(|| read.span.clone());
    let parsed = parse(&read.value);
    let complain = |detail| diagnostics.push(reader.error(read.span, "Invalid value", detail));
    parsed.map_err(complain).ok()
}

/// Gives nodes what their cluster and its provider say where they say nothing themselves, and refuses what their platform cannot.
pub(super) fn share<'a>(
    cluster: Reader<'_>,
    platform: &PlatformName,
    local: &LocalSettings,
    nodes: impl Iterator<Item = &'a mut NodeSpec>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (shared, shared_span) = read(cluster, names, diagnostics);
    let mut told = false;
    for node in nodes {
        let platform = node.platform.as_ref().unwrap_or(platform);
        let usual = of_provider(local, platform);
        let kind = Platform::find(platform).unwrap_or_default();
        node.resources = node.resources.or(shared).or(usual).or(kind.usual_resources());
        node.resources_span = node.resources_span.take().or_else(|| shared_span.clone().map(Box::new));
        if let (Err(detail), Some(span), false) = (kind.check_resources(&node.resources), &node.resources_span, told) {
            diagnostics.push(cluster.error((**span).clone(), "Servers cannot be limited there", detail));
            told = true;
        }
    }
}

/// Returns what a provider says, which was checked.
fn of_provider(local: &LocalSettings, platform: &PlatformName) -> Resources {
    let arguments = local.others.get(platform.as_str());
    let given = |name| arguments?.get(name).map(String::as_str);
    Resources {
        memory: given("memory").and_then(|text| resources::memory(text).ok()),
        cpus: given("cpus").and_then(|text| resources::cpus(text).ok()),
        storage: given("storage").and_then(|text| resources::storage(text).ok()),
    }
}
