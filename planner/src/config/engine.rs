//! The `engine` block: what the servers of a cluster run, and with which parameters.

use simdb_language::reference::Names;
use simdb_language::suggest::did_you_mean;
use simdb_state::object::EngineKind;

use crate::diagnostic::{Diagnostic, Span};

use super::parameters::{self, Parameters};
use super::read::Reader;

/// What an `engine` block says.
pub(super) struct Engine {
    pub(super) kind: EngineKind,
    /// The major version, and where it stands; absent where the newest will do.
    pub(super) version: Option<(u16, Span)>,
    pub(super) parameters: Parameters,
}

/// Reads the `engine` block of a cluster; without one it runs PostgreSQL.
pub(super) fn read(cluster: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Engine {
    let kind = EngineKind::Postgresql;
    let Some((block, reader)) = cluster.blocks("engine").next() else {
        return Engine {
            kind,
            version: None,
            parameters: Parameters::new(),
        };
    };
    if let Some(label) = block.labels.first().filter(|label| label.as_str() != "postgresql") {
        let hint = did_you_mean(label.as_str(), ["postgresql"]);
        let detail = format!(
            "The engine \"{}\" is not supported by this version; \"postgresql\" is.{hint}",
            label.as_str()
        );
        diagnostics.push(cluster.error(cluster.span(label), "Unsupported engine", detail));
    }
    Engine {
        kind,
        version: version(reader, names, diagnostics),
        parameters: parameters::read(reader, kind, names, diagnostics),
    }
}

fn version(engine: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<(u16, Span)> {
    let read = engine.text("version", names, diagnostics)?;
    match read.value.parse::<u16>() {
        // Before version 10 the first two numbers made the major version.
        Ok(version) if version >= 10 => Some((version, read.span)),
        _ => {
            let detail = format!(
                "\"version\" is a major version, a whole number such as \"15\"; {:?} is not.",
                read.value
            );
            diagnostics.push(engine.error(read.span, "Invalid version", detail));
            None
        }
    }
}
