//! Lets a server that runs have what its file says, where that takes no restart, and looks whether it has it.
//!
//! A server has no way to read its file again, and in its file what is out of range becomes what is not, without a word. The sessions of simdb
//! are strict, so that it is refused there; what is only rounded is not, and so every value that was set is compared with what came of it.

use std::collections::BTreeMap;

use simdb_state::instance::{FilePart, FileText};

use super::connection::{Connection, literal};
use super::{Cause, MariadbError};

/// What changes with the role of a server, and is none of this step's.
const OF_ROLES: [&str; 8] = [
    "read_only",
    "event_scheduler",
    "rpl_semi_sync_master_enabled",
    "rpl_semi_sync_master_timeout",
    "rpl_semi_sync_master_wait_no_slave",
    "rpl_semi_sync_master_wait_point",
    "rpl_semi_sync_slave_enabled",
    "gtid_slave_pos",
];

/// The error of a value that is not of the kind that the parameter has.
const WRONG_KIND: u16 = 1232;

/// Returns the parameters of an option file that are none of a role's, by the names that servers show.
pub fn declared(file: &FileText) -> BTreeMap<String, String> {
    let mut declared = all(file);
    declared.retain(|name, _| !OF_ROLES.contains(&name.as_str()));
    declared
}

/// Returns the parameters of an option file, by the names that servers show. A word without a value is none.
pub fn all(file: &FileText) -> BTreeMap<String, String> {
    let texts = file.0.iter().map(|part| match part {
        FilePart::Text(text) => text.as_str(),
        _ => "",
    });
    let text: String = texts.collect();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.trim().replace('-', "_"), value.trim().to_owned()));
    pairs.collect()
}

/// Sets the parameters of a server that it can change while it runs, and returns what it has otherwise than declared, each as a sentence.
pub async fn apply(
    connection: &mut Connection,
    declared: &BTreeMap<String, String>,
) -> Result<Vec<String>, MariadbError> {
    const DOING: &str = "set parameters";
    const DYNAMIC: &str = "SELECT LOWER(VARIABLE_NAME), COALESCE(GLOBAL_VALUE, '') \
        FROM information_schema.SYSTEM_VARIABLES WHERE READ_ONLY = 'NO' AND VARIABLE_SCOPE <> 'SESSION ONLY'";
    let mut problems = Vec::new();
    let before = shown(connection.rows(DOING, DYNAMIC).await?);
    let dynamic = declared.iter().filter(|(name, _)| before.contains_key(*name));
    let mut set = Vec::new();
    for (name, value) in dynamic {
        if !same(&before[name], value) {
            give(connection, DOING, name, value).await?;
            set.push((name, value));
        }
    }
    if set.is_empty() {
        return Ok(problems);
    }
    let after = shown(connection.rows(DOING, DYNAMIC).await?);
    for (name, value) in set {
        let has = after.get(name).map_or("", String::as_str);
        if !same(has, value) {
            problems.push(format!("{name} is {has}, and {value} was declared"));
        }
    }
    Ok(problems)
}

/// Sets a parameter: as a number where it is one, for those take no quotes, and as a text otherwise.
async fn give(connection: &mut Connection, doing: &str, name: &str, value: &str) -> Result<(), MariadbError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !plain {
        let reason = format!("{name:?} is no name of a parameter");
        return Err(connection.failure(doing, Cause::Answer(reason)));
    }
    let doing = format!("set {name}");
    let text = format!("SET GLOBAL {name} = {}", literal(value));
    let Some(number) = number(value) else {
        return connection.execute(&doing, &text).await;
    };
    match connection
        .execute(&doing, &format!("SET GLOBAL {name} = {number}"))
        .await
    {
        Err(error) if error.code() == Some(WRONG_KIND) => connection.execute(&doing, &text).await,
        done => done,
    }
}

fn shown(rows: Vec<Vec<Option<String>>>) -> BTreeMap<String, String> {
    let pairs = rows.into_iter().filter_map(|row| {
        let mut columns = row.into_iter().flatten();
        Some((columns.next()?, columns.next()?))
    });
    pairs.collect()
}

/// Returns whether a server that shows one value has what a file says.
fn same(shown: &str, declared: &str) -> bool {
    let switch = |value: &str| match value.to_ascii_uppercase().as_str() {
        "ON" | "1" | "TRUE" | "YES" => Some(true),
        "OFF" | "0" | "FALSE" | "NO" => Some(false),
        _ => None,
    };
    let numbers = || Some(shown.parse::<f64>().ok()? - declared.parse::<f64>().ok()?);
    shown.eq_ignore_ascii_case(declared)
        || (switch(shown).is_some() && switch(shown) == switch(declared))
        || number(declared).is_some_and(|number| shown == number.to_string())
        || numbers().is_some_and(|difference: f64| difference.abs() < f64::EPSILON)
}

/// Reads a number as files have them: `64M`.
fn number(value: &str) -> Option<u64> {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match value[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        "P" => 1 << 50,
        "E" => 1 << 60,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_equal_where_a_server_reads_the_same() {
        for (shown, declared, expected) in [
            ("67108864", "64M", true),
            ("ON", "1", true),
            ("OFF", "off", true),
            ("0.800000", "0.8", true),
            ("10", "1", false),
            ("utf8mb4", "UTF8MB4", true),
            ("128", "128m", false),
        ] {
            assert_eq!(same(shown, declared), expected, "{shown} {declared}");
        }
    }

    #[test]
    fn a_file_says_what_is_declared_and_what_is_of_roles_is_left_out() {
        let file = FileText::text("[mariadbd]\nmax-connections=20\nread-only=ON\nskip-slave-start\n");
        assert_eq!(
            declared(&file),
            BTreeMap::from([("max_connections".to_owned(), "20".to_owned())])
        );
    }
}
