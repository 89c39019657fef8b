//! The `simdb` block, and which versions of simdb may use a configuration.

use std::cmp::Ordering;

use simdb_language::parse::Piece;
use simdb_language::source::Source;

use crate::diagnostic::{Diagnostic, Span};

use super::dialect;
use super::monitor::{self, MonitorSettings};
use super::overrides;
use super::read::Reader;
use super::schema;
use super::state_backend::{self, StateBackend};

/// The `simdb` block: literals only, read even when the rest is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which versions of simdb may use the configuration, as written.
    pub required_version: Option<(String, Span)>,
    /// Where the state is kept.
    pub state: StateBackend,
    /// How a monitor runs.
    pub monitor: MonitorSettings,
}

/// The blocks that are read before anything is evaluated.
const LITERAL: [&str; 2] = ["simdb", "monitor"];

/// Reads the `simdb` block alone, and `monitor`, so that `state` and `force-unlock` work on a broken configuration.
pub fn settings(source: &Source) -> (Settings, Vec<Diagnostic>) {
    let mut pieces = overrides::parse_all(source).0;
    for piece in &mut pieces {
        let kept = LITERAL.iter().flat_map(|name| piece.body.remove_blocks(name)).collect();
        piece.body = kept;
    }
    let mut diagnostics = schema::check(&pieces, source);
    let settings = read(&pieces, &mut diagnostics);
    (settings, diagnostics)
}

/// Reads the `simdb` blocks of files that fit the schema.
pub(super) fn read(pieces: &[Piece], diagnostics: &mut Vec<Diagnostic>) -> Settings {
    let none = dialect::names();
    let mut settings = Settings::default();
    for piece in pieces {
        for block in piece.body.get_blocks("simdb") {
            let reader = Reader {
                body: &block.body,
                place: &piece.place,
                context: "simdb",
            };
            let version = reader.text("required_version", &none, diagnostics);
            settings.required_version = version.map(|read| (read.value, read.span));
            for (state, inner) in reader.blocks("state") {
                if let Some(read) = state_backend::read(state, inner, diagnostics) {
                    settings.state = read;
                }
            }
        }
    }
    for piece in pieces {
        for block in piece.body.get_blocks("monitor") {
            let reader = Reader {
                body: &block.body,
                place: &piece.place,
                context: "monitor",
            };
            settings.monitor = monitor::read(reader, &settings.state, diagnostics);
        }
    }
    settings
}

/// Checks whether a version of simdb may use the configuration; it is an error where it may not.
pub fn check_version(settings: &Settings, version: &str) -> Option<Diagnostic> {
    let (required, span) = settings.required_version.as_ref()?;
    let problem = |summary: &str, detail: String| Diagnostic::error(summary, detail).at(span.clone()).within("simdb");
    let Some(this) = Version::parse(version) else {
        return Some(problem(
            "Unsupported simdb version",
            format!("{version:?} is not a version."),
        ));
    };
    for constraint in required.split(',') {
        match holds(constraint.trim(), &this) {
            Some(true) => {}
            Some(false) => {
                let detail = format!(
                    "This configuration requires simdb {required}, and this is simdb {version}. Use another version of simdb, or \
                     change \"required_version\" where the configuration works with this one too."
                );
                return Some(problem("Unsupported simdb version", detail));
            }
            None => {
                let detail = format!(
                    "A version constraint is one of =, !=, >, >=, <, <= and ~> followed by a version such as 0.1 or 0.1.2; \
                     several are separated by commas. {:?} is none.",
                    constraint.trim()
                );
                return Some(problem("Invalid version constraint", detail));
            }
        }
    }
    None
}

/// The numbers of a version; missing ones are zero.
struct Version {
    numbers: [u64; 3],
    given: usize,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let release = text.split(['-', '+']).next()?;
        let mut version = Self {
            numbers: [0; 3],
            given: 0,
        };
        for part in release.split('.') {
            *version.numbers.get_mut(version.given)? = part.parse().ok()?;
            version.given += 1;
        }
        Some(version)
    }
}

fn holds(constraint: &str, this: &Version) -> Option<bool> {
    let operator = constraint
        .find(|c: char| !"=!<>~".contains(c))
        .unwrap_or(constraint.len());
    let (operator, version) = constraint.split_at(operator);
    let version = Version::parse(version.trim())?;
    let order = this.numbers.cmp(&version.numbers);
    Some(match operator {
        "" | "=" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        // Only the last number that is given may grow.
        "~>" => {
            let fixed = version.given.saturating_sub(1).max(1);
            order != Ordering::Less && this.numbers[..fixed] == version.numbers[..fixed]
        }
        _ => return None,
    })
}
