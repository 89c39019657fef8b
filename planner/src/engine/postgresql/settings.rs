//! PostgreSQL's settings: which a major version has, what each accepts, when two values are the same, what a change costs.
//!
//! The facts come from a table that real servers wrote (`settings.tsv`, by `tests/support/settings.sh`); values are read
//! by the server's own rules (`guc.c`), so that `"64MB"` equals `8192` blocks and `"yes"` equals `on`.
//!
//! Texts are compared as they stand: what a server shows in other words than it was told (`DateStyle`) is observed as its
//! files say it.

pub mod limits;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use thiserror::Error;

use crate::plan::Impact;

pub use self::shown::shown;

#[cfg(test)]
mod tests;

/// The majors the table knows; others are taken for the nearest of them.
const VERSIONS: std::ops::RangeInclusive<u16> = 15..=18;

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    include_str!("settings.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| Row::parse(line).expect("a test reads every row of the table"))
        .collect()
});

/// Names that servers still take for another one.
const OLD_NAMES: [(&str, &str); 4] = [
    ("sort_mem", "work_mem"),
    ("vacuum_mem", "maintenance_work_mem"),
    ("force_parallel_mode", "debug_parallel_query"),
    ("ssl_ecdh_curve", "ssl_groups"),
];

/// Settings that are shown as a file mode.
const FILE_MODES: [&str; 2] = ["log_file_mode", "unix_socket_permissions"];

/// One setting as one major version has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name as the server spells it.
    pub name: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// What a bare number counts.
    pub unit: Option<Unit>,
    /// When it can be changed.
    pub context: Context,
}

/// What a setting accepts.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// On or off.
    Bool,
    /// A whole number within these bounds.
    Integer {
        /// The least.
        least: f64,
        /// The greatest.
        greatest: f64,
    },
    /// A number within these bounds.
    Real {
        /// The least.
        least: f64,
        /// The greatest.
        greatest: f64,
    },
    /// Any text.
    Text,
    /// One of these words.
    Choice(Vec<&'static str>),
}

/// What a bare number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// So many bytes.
    Memory(u32),
    /// So many microseconds.
    Time(u32),
}

/// When a setting can be changed; PostgreSQL's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// At the start of the server.
    Postmaster,
    /// When it reads its configuration again.
    Sighup,
    /// At the start of a superuser's session.
    SuperuserBackend,
    /// At the start of a session.
    Backend,
    /// By a superuser within a session.
    Superuser,
    /// By anyone within a session.
    User,
}

/// Why a value cannot be given to a setting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingProblem {
    /// No version has it.
    #[error("parameter {name:?} is none of PostgreSQL {version}")]
    Unknown {
        /// The name as given.
        name: String,
        /// The major version.
        version: u16,
        /// A name that looks like it.
        similar: Option<&'static str>,
    },
    /// Other versions have it.
    #[error("parameter {name:?} is none of PostgreSQL {version}: {}", known(*first, *last))]
    OtherVersion {
        /// The name as given.
        name: String,
        /// The major version.
        version: u16,
        /// The first version known to have it.
        first: u16,
        /// The last version known to have it.
        last: u16,
    },
    /// The name of an extension's parameter is no name.
    #[error("parameter {name:?} must be names joined by dots, each of letters, digits, \"_\" and \"$\"")]
    CustomName {
        /// The name as given.
        name: String,
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

fn known(first: u16, last: u16) -> String {
    if first == last {
        format!("only {first} has it")
    } else {
        format!("{first} to {last} have it")
    }
}

impl SettingProblem {
    /// Returns a sentence with a way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            SettingProblem::Unknown { similar, .. } => similar.map(|name| format!("Did you mean {name:?}?")),
            SettingProblem::OtherVersion { first, .. } => {
                Some(format!("Remove it, or set the engine's version to \"{first}\"."))
            }
            SettingProblem::CustomName { .. } | SettingProblem::Value { .. } => None,
        }
    }
}

/// Returns a setting of a major version; its name may be spelled in any case.
pub fn find(version: u16, name: &str) -> Option<Setting> {
    let exact = rows(version).find(|row| row.setting.name.eq_ignore_ascii_case(name));
    let row = exact.or_else(|| {
        let (_, new) = OLD_NAMES.iter().find(|(old, _)| old.eq_ignore_ascii_case(name))?;
        rows(version).find(|row| row.setting.name == *new)
    });
    row.map(|row| row.setting.clone())
}

/// Returns the name of a setting as the server spells it; a name that no table knows is returned as it is.
pub fn spelled(version: u16, name: &str) -> &str {
    find(version, name).map_or(name, |setting| setting.name)
}

/// Returns what a change of a setting costs: a restart or a reload.
pub fn impact(version: u16, name: &str) -> Impact {
    match find(version, name) {
        Some(Setting {
            context: Context::Postmaster,
            ..
        }) => Impact::Restart,
        _ => Impact::Reload,
    }
}

/// Checks that a major version has a setting and that it accepts the value. A name with a dot belongs to an extension,
/// and any value is accepted.
pub fn check(version: u16, name: &str, value: &str) -> Result<(), SettingProblem> {
    if name.contains('.') {
        return if name.split('.').all(is_identifier) {
            Ok(())
        } else {
            Err(SettingProblem::CustomName { name: name.to_owned() })
        };
    }
    let setting = find(version, name).ok_or_else(|| missing(version, name))?;
    match setting.read(value) {
        Some(_) => limits::check(version, setting.name, value),
        None => Err(SettingProblem::Value {
            name: setting.name,
            rule: setting.rule(),
            value: value.to_owned(),
        }),
    }
}

/// Returns whether a setting is free text, such as a command: what was set on a server may hold a secret. One that the
/// version does not have counts as such.
pub fn is_text(version: u16, name: &str) -> bool {
    find(version, name).is_none_or(|setting| setting.kind == Kind::Text)
}

/// Returns whether the server takes two values of a setting for the same.
pub fn equal(version: u16, name: &str, a: &str, b: &str) -> bool {
    a == b || canonical(version, name, a) == canonical(version, name, b)
}

/// Returns a value as `pg_settings.setting` shows it: numbers in the setting's unit, `on` and `off`. A value that the
/// setting does not accept is returned as it is.
pub fn canonical(version: u16, name: &str, value: &str) -> String {
    find(version, name)
        .and_then(|setting| setting.read(value))
        .unwrap_or_else(|| value.to_owned())
}

/// Returns the names of the parameters that differ and take a restart to change.
pub fn restarting(version: u16, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> BTreeSet<String> {
    let names = old.keys().chain(new.keys());
    let differs = |name: &&String| old.get(*name) != new.get(*name) && impact(version, name) == Impact::Restart;
    names.filter(differs).cloned().collect()
}

fn rows(version: u16) -> impl Iterator<Item = &'static Row> {
    let version = version.clamp(*VERSIONS.start(), *VERSIONS.end());
    TABLE
        .iter()
        .filter(move |row| row.first <= version && version <= row.last)
}

fn missing(version: u16, name: &str) -> SettingProblem {
    let named = || TABLE.iter().filter(|row| row.setting.name.eq_ignore_ascii_case(name));
    let versions = named()
        .map(|row| row.first)
        .min()
        .zip(named().map(|row| row.last).max());
    let name = name.to_owned();
    if let Some((first, last)) = versions {
        return SettingProblem::OtherVersion {
            name,
            version,
            first,
            last,
        };
    }
    let lower = name.to_ascii_lowercase();
    let similar = rows(version)
        .map(|row| {
            (
                strsim::damerau_levenshtein(&lower, &row.setting.name.to_ascii_lowercase()),
                row.setting.name,
            )
        })
        .min()
        .filter(|(distance, _)| *distance <= name.len() / 3)
        .map(|(_, name)| name);
    SettingProblem::Unknown { name, version, similar }
}

fn is_identifier(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii())
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii())
}

impl Setting {
    /// Returns whether a value turns the setting on.
    pub(super) fn is_on(&self, value: &str) -> bool {
        self.read(value).as_deref() == Some("on")
    }

    /// Returns the value as the server shows it; nothing where it refuses it.
    fn read(&self, value: &str) -> Option<String> {
        match &self.kind {
            Kind::Bool => read_bool(value).map(|on| on_off(on).to_owned()),
            Kind::Integer { least, greatest } => {
                let number = read_number(value, split_integer, self.unit)?.round_ties_even();
                let inside = *least <= number && number <= *greatest;
                inside.then(|| self.show_integer(number))
            }
            Kind::Real { least, greatest } => {
                let number = read_number(value, split_real, self.unit)?;
                (*least <= number && number <= *greatest).then(|| show_real(number))
            }
            Kind::Text => Some(value.to_owned()),
            Kind::Choice(choices) => read_choice(self.name, choices, value).map(str::to_owned),
        }
    }

    fn show_integer(&self, number: f64) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the bounds of every integer setting fit 32 bits"
        )]
        let number = number as i64;
        if FILE_MODES.contains(&self.name) {
            format!("{number:04o}")
        } else {
            number.to_string()
        }
    }

    /// Returns what the setting accepts, as a fragment that follows "must be".
    fn rule(&self) -> String {
        let bounds = |kind: &str, least: f64, greatest: f64| {
            let unit = self.unit.map_or_else(String::new, |unit| format!(" ({unit})"));
            let (least, greatest) = (show_bound(least), show_bound(greatest));
            format!("{kind} from {least} to {greatest}{unit}")
        };
        match &self.kind {
            Kind::Bool => "on or off".to_owned(),
            Kind::Integer { least, greatest } => bounds("a whole number", *least, *greatest),
            Kind::Real { least, greatest } => bounds("a number", *least, *greatest),
            Kind::Text => "a text".to_owned(),
            Kind::Choice(choices) => {
                let shown: Vec<_> = choices.iter().map(|choice| format!("{choice:?}")).collect();
                format!("one of {}", shown.join(", "))
            }
        }
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Follows `parse_bool`: any unique beginning of a word will do.
fn read_bool(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    if begins("true", 1) || begins("yes", 1) || value == "on" || value == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || value == "0" {
        Some(false)
    } else {
        None
    }
}

/// Follows `config_enum_lookup_by_name`, with the spellings that servers accept and do not list.
fn read_choice(name: &str, choices: &[&'static str], value: &str) -> Option<&'static str> {
    let find = |word: &str| choices.iter().copied().find(|choice| choice.eq_ignore_ascii_case(word));
    let lower = value.to_ascii_lowercase();
    let chosen = find(value).or_else(|| match lower.as_str() {
        "true" | "yes" | "1" => find("on"),
        "false" | "no" | "0" => find("off"),
        "debug" => find("debug2"),
        "archive" | "hot_standby" if name == "wal_level" => find("replica"),
        _ => None,
    })?;
    // The server shows the first of two words that mean the same.
    Some(if name == "wal_compression" && chosen == "on" {
        "pglz"
    } else {
        chosen
    })
}

/// Follows `parse_int` and `parse_real`: a number, and a unit where the setting counts something.
fn read_number(value: &str, split: fn(&str) -> Option<(f64, &str)>, unit: Option<Unit>) -> Option<f64> {
    let (number, rest) = split(value.trim_start_matches(is_space))?;
    let word = rest.trim_matches(is_space);
    if word.is_empty() {
        return Some(number);
    }
    unit?.convert(number, word)
}

/// Returns how many bytes a size is, written as a server reads one: a bare number counts bytes.
pub fn read_bytes(text: &str) -> Option<u64> {
    let bytes = read_number(text, split_integer, Some(Unit::Memory(1)))?;
    let whole = bytes.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&bytes);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and within bounds"
    )]
    whole.then_some(bytes as u64)
}

/// Returns how many milliseconds a time is, written as a server reads one: a bare number counts milliseconds.
pub fn read_milliseconds(text: &str) -> Option<u32> {
    let time = read_number(text, split_integer, Some(Unit::Time(1000)))?.round_ties_even();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and within bounds"
    )]
    (0.0..=f64::from(i32::MAX)).contains(&time).then_some(time as u32)
}

/// Returns a size as people write it, in the greatest unit that leaves no rest.
pub fn show_bytes(bytes: u64) -> String {
    let units = [(40, "TB"), (30, "GB"), (20, "MB"), (10, "kB")];
    let fits = |(shift, _): &&(u32, &str)| bytes > 0 && bytes.trailing_zeros() >= *shift;
    match units.iter().find(fits) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// C's `isspace`.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// Splits a text into the number it begins with and the rest, as `strtol` with base 0 and then `strtod` do: `0x` is
/// hexadecimal, a leading 0 octal, unless a fraction or an exponent follows.
fn split_integer(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, radix) = match unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        Some(hexadecimal) if hexadecimal.starts_with(|c: char| c.is_ascii_hexdigit()) => (hexadecimal, 16),
        _ if unsigned.starts_with('0') => (unsigned, 8),
        _ => (unsigned, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    match i64::from_str_radix(digits, radix) {
        Ok(number) if !rest.starts_with(['.', 'e', 'E']) => {
            #[expect(clippy::cast_precision_loss, reason = "the server computes in doubles, too")]
            let number = number as f64;
            Some((if text.starts_with('-') { -number } else { number }, rest))
        }
        _ => split_decimal(text),
    }
}

/// Splits a text as `strtod` does: `0x` is hexadecimal, a leading 0 is nothing special.
fn split_real(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        split_integer(text)
    } else {
        split_decimal(text)
    }
}

fn split_decimal(text: &str) -> Option<(f64, &str)> {
    let digits = |from: usize| from + text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(usize::from(text.starts_with(['+', '-'])));
    if text[end..].starts_with('.') {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let exponent = end + 1 + usize::from(text[end + 1..].starts_with(['+', '-']));
        end = if digits(exponent) > exponent {
            digits(exponent)
        } else {
            end
        };
    }
    let number: f64 = text[..end].parse().ok()?;
    number.is_finite().then_some((number, &text[end..]))
}

impl Unit {
    /// The words for it, greatest first, each with how many of the smallest it is.
    fn words(self) -> &'static [(&'static str, f64)] {
        const MEMORY: [(&str, f64); 5] = [
            ("TB", 1_099_511_627_776.0),
            ("GB", 1_073_741_824.0),
            ("MB", 1_048_576.0),
            ("kB", 1024.0),
            ("B", 1.0),
        ];
        const TIME: [(&str, f64); 6] = [
            ("d", 86_400_000_000.0),
            ("h", 3_600_000_000.0),
            ("min", 60_000_000.0),
            ("s", 1_000_000.0),
            ("ms", 1000.0),
            ("us", 1.0),
        ];
        match self {
            Unit::Memory(_) => &MEMORY,
            Unit::Time(_) => &TIME,
        }
    }

    /// Follows `convert_to_base_unit`: a fraction is rounded to a multiple of the next smaller unit.
    fn convert(self, number: f64, word: &str) -> Option<f64> {
        let (Unit::Memory(base) | Unit::Time(base)) = self;
        let base = f64::from(base);
        let words = self.words();
        let place = words.iter().position(|(name, _)| *name == word)?;
        let converted = number * (words[place].1 / base);
        Some(match words.get(place + 1) {
            Some((_, smaller)) => (converted / (smaller / base)).round_ties_even() * (smaller / base),
            None => converted,
        })
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Unit::Memory(base) | Unit::Time(base)) = *self;
        let words = self.words();
        let own = words.iter().rev().rfind(|(_, size)| f64::from(base) % size == 0.0);
        let (name, size) = own.unwrap_or(&words[words.len() - 1]);
        match f64::from(base) / size {
            1.0 => write!(f, "in {name} where no unit is given; units: ")?,
            count => write!(f, "in blocks of {count} {name} where no unit is given; units: ")?,
        }
        let names: Vec<_> = words.iter().rev().map(|(name, _)| *name).collect();
        f.write_str(&names.join(" "))
    }
}

/// A bound as people write it; the table's `1.79769e+308` is the greatest of all doubles.
fn show_bound(bound: f64) -> String {
    if bound.abs() >= 1e15 {
        format!("{bound:e}")
    } else {
        bound.to_string()
    }
}

/// Follows C's `%g`, in which the server shows numbers: six digits, without trailing zeros.
fn show_real(number: f64) -> String {
    let scientific = format!("{number:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a whole exponent");
    let trim = |text: &str| match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text.to_owned(),
    };
    match usize::try_from(5 - exponent) {
        Ok(decimals) if exponent >= -4 => trim(&format!("{number:.decimals$}")),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
        }
    }
}

/// One row of the table.
struct Row {
    first: u16,
    last: u16,
    setting: Setting,
}

impl Row {
    fn parse(line: &'static str) -> Option<Self> {
        let [first, last, name, kind, unit, context, minimum, maximum, choices] =
            line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let bounds = || Some((minimum.parse().ok()?, maximum.parse().ok()?));
        let kind = match kind {
            "bool" => Kind::Bool,
            "integer" => bounds().map(|(least, greatest)| Kind::Integer { least, greatest })?,
            "real" => bounds().map(|(least, greatest)| Kind::Real { least, greatest })?,
            "string" => Kind::Text,
            "enum" => Kind::Choice(choices.split(',').collect()),
            _ => return None,
        };
        let unit = if unit.is_empty() {
            None
        } else {
            Some(Unit::parse(unit)?)
        };
        let setting = Setting {
            name,
            kind,
            unit,
            context: Context::parse(context)?,
        };
        Some(Row {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            setting,
        })
    }
}

impl Unit {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "B" => Unit::Memory(1),
            "kB" => Unit::Memory(1024),
            "8kB" => Unit::Memory(8192),
            "MB" => Unit::Memory(1024 * 1024),
            "ms" => Unit::Time(1000),
            "s" => Unit::Time(1_000_000),
            "min" => Unit::Time(60_000_000),
            _ => return None,
        })
    }
}

impl Context {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "postmaster" => Context::Postmaster,
            "sighup" => Context::Sighup,
            "superuser-backend" => Context::SuperuserBackend,
            "backend" => Context::Backend,
            "superuser" => Context::Superuser,
            "user" => Context::User,
            _ => return None,
        })
    }
}
