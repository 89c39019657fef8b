//! MariaDB's settings: which a major version has, what each accepts, when two values are the same, what a change costs.
//!
//! The facts come from a table that real servers wrote (`settings.tsv`, by `tests/support/mariadb-settings.sh`). A server clamps numbers
//! that are out of range and rounds those between two steps, and says so in its log alone: here they are refused.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use thiserror::Error;

use crate::plan::Impact;

#[cfg(test)]
mod tests;

/// The majors that the table knows; others are taken for the nearest of them.
const VERSIONS: std::ops::RangeInclusive<u16> = 1011..=1011;

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    include_str!("settings.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| Row::parse(line).expect("a test reads every row of the table"))
        .collect()
});

/// Words of `sql_mode` that stand for several others.
const COMBINATIONS: [&str; 9] = [
    "ANSI",
    "DB2",
    "MAXDB",
    "MSSQL",
    "MYSQL323",
    "MYSQL40",
    "ORACLE",
    "POSTGRESQL",
    "TRADITIONAL",
];

/// One setting as some major versions have it.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    first: u16,
    last: u16,
    name: &'static str,
    kind: Kind,
    /// Whether it changes only where the server starts.
    restarts: bool,
}

/// What a setting accepts.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// On or off.
    Bool,
    /// A whole number within these bounds that is a multiple of a step.
    Integer { least: i128, greatest: i128, step: i128 },
    /// A number within these bounds.
    Real { least: f64, greatest: f64 },
    /// Any text.
    Text,
    /// One of these words, or its place among them.
    Choice(Vec<&'static str>),
    /// Some of these words, joined by commas.
    Set(Vec<&'static str>),
    /// Some of these words, each with `=on`, `=off` or `=default`, joined by commas. What is not named stays as it is.
    Flags(Vec<&'static str>),
}

/// Why a value cannot be given to a setting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum SettingProblem {
    /// No version has it.
    #[error("parameter {name:?} is none of MariaDB {}", two_numbers(*version))]
    Unknown {
        /// The name as given.
        name: String,
        /// The major version.
        version: u16,
        /// A name that looks like it.
        similar: Option<&'static str>,
    },
    /// The value does not fit.
    #[error("parameter {name:?} must be {rule}, not {value:?}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What it accepts.
        rule: String,
        /// The value as given.
        value: String,
    },
}

impl SettingProblem {
    /// Returns a sentence with a way out, where there is one.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            SettingProblem::Unknown { similar, .. } => similar.map(|name| format!("Did you mean {name:?}?")),
            SettingProblem::Value { .. } => None,
        }
    }
}

/// Returns a major version as people write it: 10.11 for 1011.
fn two_numbers(version: u16) -> String {
    format!("{}.{}", version / 100, version % 100)
}

/// Checks that a major version has a setting and that it takes the value as it is.
pub(super) fn check(version: u16, name: &str, value: &str) -> Result<(), SettingProblem> {
    let row = find(version, name).ok_or_else(|| missing(version, name))?;
    let rule = match row.kind.read(value) {
        None => row.kind.rule(),
        Some(shown) if row.name == "sql_mode" && shown.split(',').any(|mode| COMBINATIONS.contains(&mode)) => {
            format!(
                "modes of one meaning each: servers show what {} stand for beside them",
                COMBINATIONS.join(", ")
            )
        }
        Some(_) => return Ok(()),
    };
    Err(SettingProblem::Value {
        name: row.name,
        rule,
        value: value.to_owned(),
    })
}

/// Returns the name of a setting as the server spells it; a name that no table knows is returned as it is.
pub(super) fn spelled(version: u16, name: &str) -> &str {
    find(version, name).map_or(name, |row| row.name)
}

/// Returns what a change of a setting costs. A server that runs takes all others by statements, at once.
pub(super) fn impact(version: u16, name: &str) -> Impact {
    if find(version, name).is_some_and(|row| row.restarts) {
        Impact::Restart
    } else {
        Impact::Reload
    }
}

/// Returns whether the server takes two values of a setting for the same.
pub(super) fn equal(version: u16, name: &str, a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let Some(row) = find(version, name) else { return false };
    if let Kind::Flags(words) = &row.kind {
        let (Some(a), Some(b)) = (read_flags(words, a), read_flags(words, b)) else {
            return false;
        };
        // A server shows all of them, and a configuration names some.
        let agree = |(word, set): (&&str, &bool)| b.get(word).is_none_or(|other| other == set);
        return a.iter().all(agree);
    }
    let (a, b) = (row.kind.read(a), row.kind.read(b));
    a.is_some() && a == b
}

/// Returns whether a setting is free text: what was set on a server may hold a secret. One that the version does not have counts as such.
pub(super) fn is_text(version: u16, name: &str) -> bool {
    find(version, name).is_none_or(|row| row.kind == Kind::Text)
}

fn rows(version: u16) -> impl Iterator<Item = &'static Row> {
    let version = version.clamp(*VERSIONS.start(), *VERSIONS.end());
    TABLE
        .iter()
        .filter(move |row| row.first <= version && version <= row.last)
}

fn find(version: u16, name: &str) -> Option<&'static Row> {
    // A server takes a dash for an underscore.
    let name = name.replace('-', "_");
    rows(version).find(|row| row.name.eq_ignore_ascii_case(&name))
}

fn missing(version: u16, name: &str) -> SettingProblem {
    let lower = name.to_ascii_lowercase();
    let similar = rows(version)
        .map(|row| (strsim::damerau_levenshtein(&lower, row.name), row.name))
        .min()
        .filter(|(distance, _)| *distance <= name.len() / 3)
        .map(|(_, name)| name);
    SettingProblem::Unknown {
        name: name.to_owned(),
        version,
        similar,
    }
}

impl Kind {
    /// Returns the value as the server shows it; nothing where the server refuses it, or would take another one in its place.
    fn read(&self, value: &str) -> Option<String> {
        match self {
            Kind::Bool => read_bool(value).map(|on| if on { "ON" } else { "OFF" }.to_owned()),
            Kind::Integer { least, greatest, step } => {
                let number = read_integer(value)?;
                let inside = (*least..=*greatest).contains(&number);
                (inside && number % step == 0).then(|| number.to_string())
            }
            Kind::Real { least, greatest } => {
                let number: f64 = value.parse().ok()?;
                (*least <= number && number <= *greatest).then(|| number.to_string())
            }
            Kind::Text => Some(value.to_owned()),
            Kind::Choice(words) => {
                let by_place = || words.get(value.parse::<usize>().ok()?).copied();
                find_word(words, value).or_else(by_place).map(str::to_owned)
            }
            Kind::Set(words) => read_set(words, value),
            Kind::Flags(words) => read_flags(words, value).map(|_| value.to_owned()),
        }
    }

    /// Returns what the setting accepts, as a fragment that follows "must be".
    fn rule(&self) -> String {
        let list = |words: &[&str]| words.join(", ");
        match self {
            Kind::Bool => "on or off".to_owned(),
            Kind::Integer { least, greatest, step } => {
                let steps = match step {
                    1 => String::new(),
                    step => format!(" that is a multiple of {step}"),
                };
                format!("a whole number from {least} to {greatest}{steps}; K, M, G, T, P and E multiply by 1024")
            }
            Kind::Real { least, greatest } => format!("a number from {least} to {greatest}"),
            Kind::Text => "a text".to_owned(),
            Kind::Choice(words) => format!("one of {}", list(words)),
            Kind::Set(words) => format!("some of {}, joined by commas", list(words)),
            Kind::Flags(words) => format!(
                "names with =on, =off or =default, joined by commas; the names are {}",
                list(words)
            ),
        }
    }
}

fn read_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "1" => Some(true),
        "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// Reads a whole number with one of the suffixes that option files take.
fn read_integer(value: &str) -> Option<i128> {
    let shift = match value.bytes().last()?.to_ascii_uppercase() {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        b'P' => 50,
        b'E' => 60,
        _ => 0,
    };
    let digits = if shift > 0 { &value[..value.len() - 1] } else { value };
    let number: i64 = match digits.parse() {
        Ok(number) => number,
        Err(_) => return digits.parse::<u64>().ok().filter(|_| shift == 0).map(i128::from),
    };
    Some(i128::from(number) << shift)
}

fn find_word(words: &[&'static str], value: &str) -> Option<&'static str> {
    words.iter().copied().find(|word| word.eq_ignore_ascii_case(value))
}

/// Reads a set, whose words the server shows in its own order.
fn read_set(words: &[&'static str], value: &str) -> Option<String> {
    let given = value.split(',').filter(|word| !word.is_empty());
    let chosen: Option<Vec<&str>> = given.map(|word| find_word(words, word)).collect();
    let chosen = chosen?;
    let shown = words.iter().copied().filter(|word| chosen.contains(word));
    Some(shown.collect::<Vec<_>>().join(","))
}

/// Reads which flags are set to what; one that is set to its default is left out.
fn read_flags(words: &[&'static str], value: &str) -> Option<BTreeMap<&'static str, bool>> {
    let mut flags = BTreeMap::new();
    for part in value.split(',').filter(|part| !part.is_empty()) {
        let Some((word, set)) = part.split_once('=') else {
            // Alone it sets all that are not named to their defaults.
            if part.eq_ignore_ascii_case("default") {
                continue;
            }
            return None;
        };
        let word = find_word(words, word)?;
        match set.to_ascii_lowercase().as_str() {
            "on" => drop(flags.insert(word, true)),
            "off" => drop(flags.insert(word, false)),
            "default" => {}
            _ => return None,
        }
    }
    Some(flags)
}

impl Row {
    fn parse(line: &'static str) -> Option<Self> {
        let [first, last, name, kind, restart, minimum, maximum, step, choices] =
            line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let words = || choices.split(',').collect();
        let kind = match kind {
            "bool" => Kind::Bool,
            "integer" => Kind::Integer {
                least: minimum.parse().ok()?,
                greatest: maximum.parse().ok()?,
                // Where the server names no step it takes every number.
                step: step.parse::<i128>().ok()?.max(1),
            },
            "real" => Kind::Real {
                least: minimum.parse().ok()?,
                greatest: maximum.parse().ok()?,
            },
            "string" => Kind::Text,
            "enum" => Kind::Choice(words()),
            "set" => Kind::Set(words()),
            "flags" => Kind::Flags(words()),
            _ => return None,
        };
        Some(Row {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            name,
            kind,
            restarts: match restart {
                "yes" => true,
                "no" => false,
                _ => return None,
            },
        })
    }
}
