//! The `state` block: where the state is kept.

use std::collections::BTreeMap;

use hcl_edit::structure::Block;
use simdb_language::suggest::did_you_mean;

use crate::diagnostic::Diagnostic;

use super::dialect;
use super::read::Reader;

const FILE: &str = "sqlite";
const SECRETS: &str = "kubernetes";

/// What a backend is called, what it may be told, and what it must be told.
struct Backend {
    name: &'static str,
    arguments: &'static [&'static str],
    required: &'static [&'static str],
}

const BACKENDS: &[Backend] = &[
    Backend {
        name: FILE,
        arguments: &["path"],
        required: &[],
    },
    Backend {
        name: SECRETS,
        arguments: &["namespace", "name", "kubeconfig", "context"],
        // A default would be another place as soon as another context is the current one.
        required: &["namespace", "name"],
    },
];

/// The longest name of an object that labels hold, too.
const LONGEST_NAME: usize = 63;

/// Where the state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateBackend {
    /// In a file, relative to the configuration's directory; absent, in the default one.
    File(Option<String>),
    /// Elsewhere.
    Remote {
        /// What keeps it.
        backend: String,
        /// What the block says, checked.
        arguments: BTreeMap<String, String>,
    },
}

impl Default for StateBackend {
    fn default() -> Self {
        Self::File(None)
    }
}

/// Reads a `state` block; nothing where it cannot be used.
pub(super) fn read(block: &Block, reader: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<StateBackend> {
    let label = block.labels.first()?;
    let names = || BACKENDS.iter().map(|backend| backend.name);
    let Some(backend) = names().zip(BACKENDS).find(|(name, _)| *name == label.as_str()) else {
        let known: Vec<String> = names().map(|name| format!("\"{name}\"")).collect();
        let hint = did_you_mean(label.as_str(), names());
        let detail = format!(
            "State can be kept in {} only, not in \"{}\".{hint}",
            known.join(" and in "),
            label.as_str()
        );
        diagnostics.push(reader.error(reader.span(label), "Unsupported state backend", detail));
        return None;
    };
    let backend = backend.1;
    foreign_arguments(backend, reader, diagnostics);
    let mut arguments = BTreeMap::new();
    for name in backend.arguments {
        let Some(given) = reader.text(name, &dialect::names(), diagnostics) else {
            if backend.required.contains(name) && !reader.body.has_attribute(name) {
                let detail = format!("The argument \"{name}\" is required, but no value is given for it.");
                diagnostics.push(reader.error(reader.header(block), "Missing required argument", detail));
            }
            continue;
        };
        match check(name, &given.value) {
            Ok(()) => drop(arguments.insert((*name).to_owned(), given.value)),
            Err((summary, detail)) => diagnostics.push(reader.error(given.span, summary, detail)),
        }
    }
    if backend.name == FILE {
        return Some(StateBackend::File(arguments.remove("path")));
    }
    let is_told = backend.required.iter().all(|name| arguments.contains_key(*name));
    is_told.then(|| StateBackend::Remote {
        backend: backend.name.to_owned(),
        arguments,
    })
}

/// Says which arguments belong to another backend.
fn foreign_arguments(backend: &Backend, reader: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) {
    for other in BACKENDS.iter().filter(|other| other.name != backend.name) {
        let foreign = other.arguments.iter().filter(|name| !backend.arguments.contains(name));
        for name in foreign {
            if let Some(attribute) = reader.attribute(name) {
                let detail = format!(
                    "\"{name}\" is an argument of state \"{}\"; state \"{}\" has: {}.",
                    other.name,
                    backend.name,
                    backend.arguments.join(", ")
                );
                diagnostics.push(reader.error(reader.span(&attribute.key), "Unsupported argument", detail));
            }
        }
    }
}

fn check(name: &str, value: &str) -> Result<(), (&'static str, String)> {
    let empty = |default: &str| {
        Err((
            "Empty value",
            format!("\"{name}\" must not be empty. Leave it out for {default}."),
        ))
    };
    match name {
        "path" if value.is_empty() => empty("the default, .simdb/state.db"),
        "kubeconfig" | "context" if value.is_empty() => empty("the one that kubectl uses"),
        "namespace" if !is_object_name(value, false) => Err((
            "Invalid value",
            format!(
                "\"namespace\" is the name of a namespace that is there: at most {LONGEST_NAME} lower-case letters, digits and hyphens, and \
                 no hyphen at either end; {value:?} is not."
            ),
        )),
        "name" if !is_object_name(value, true) => Err((
            "Invalid value",
            format!(
                "\"name\" tells the state from others in its namespace: at most {LONGEST_NAME} lower-case letters, digits, hyphens and dots, \
                 with a letter or digit at either end and beside each dot; {value:?} is not."
            ),
        )),
        _ => Ok(()),
    }
}

fn is_object_name(text: &str, dots: bool) -> bool {
    let is_part = |part: &str| {
        let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        !part.is_empty() && part.bytes().all(letters) && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= LONGEST_NAME && (dots || !text.contains('.')) && text.split('.').all(is_part)
}
