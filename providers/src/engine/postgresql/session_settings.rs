//! What sessions of a role, or in a database, begin with: brought to what it should be, one setting at a time. Those of
//! extensions and applications, whose names have a dot, are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use postgres_protocol::escape::escape_identifier;
use simdb_state::delta::SeededSettings;
use simdb_state::object::Settings;

use super::PostgresqlError;
use super::connection::{Connection, literal};

/// The rows of what sessions begin with: database and role (empty for all of them), name, value.
const ALL: &str = "
SELECT coalesce(datname, ''), coalesce(rolname, ''), split_part(setting, '=', 1),
  substr(setting, position('=' IN setting) + 1)
FROM pg_db_role_setting LEFT JOIN pg_database AS database ON database.oid = setdatabase
  LEFT JOIN pg_roles AS role ON role.oid = setrole, unnest(setconfig) AS setting
WHERE position('.' IN split_part(setting, '=', 1)) = 0";

/// Returns what the sessions of a role begin with, by database.
pub(super) async fn of_role(
    connection: &Connection,
    doing: &str,
    role: &str,
) -> Result<BTreeMap<String, Settings>, PostgresqlError> {
    let rows = connection
        .rows(doing, &format!("{ALL} AND rolname = {}", literal(role)))
        .await?;
    let mut settings: BTreeMap<String, Settings> = BTreeMap::new();
    for mut row in rows {
        if let [Some(database), _, Some(name), Some(value)] = row.as_mut_slice() {
            let of = settings.entry(std::mem::take(database)).or_default();
            of.insert(std::mem::take(name), std::mem::take(value));
        }
    }
    Ok(settings)
}

/// Returns what sessions in a database begin with, whoever logs in.
pub(super) async fn of_database(
    connection: &Connection,
    doing: &str,
    database: &str,
) -> Result<Settings, PostgresqlError> {
    let condition = format!("{ALL} AND setrole = 0 AND datname = {}", literal(database));
    let rows = connection.rows(doing, &condition).await?;
    let pair = |row: Vec<Option<String>>| {
        let mut columns = row.into_iter().skip(2);
        Some((columns.next()??, columns.next()??))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// Writes the statements that bring the sessions of a role to what they should begin with.
pub(super) fn role_statements(
    role: &str,
    has: &BTreeMap<String, Settings>,
    wanted: &BTreeMap<String, Settings>,
) -> String {
    let none = Settings::new();
    let mut sql = String::new();
    let databases: BTreeSet<&String> = has.keys().chain(wanted.keys()).collect();
    for database in databases {
        let mut target = format!("ROLE {}", escape_identifier(role));
        if !database.is_empty() {
            write!(target, " IN DATABASE {}", escape_identifier(database)).expect("writing to a String cannot fail");
        }
        let (has, wanted) = (
            has.get(database).unwrap_or(&none),
            wanted.get(database).unwrap_or(&none),
        );
        sql += &statements(&target, has, wanted);
    }
    sql
}

/// Writes the statements that bring sessions to what they should begin with, each after a semicolon. A value is set for the
/// transaction first and taken from there: lists need no quoting then.
pub(super) fn statements(target: &str, has: &Settings, wanted: &Settings) -> String {
    let mut sql = String::new();
    for name in has.keys().filter(|name| !wanted.contains_key(*name)) {
        write!(sql, "; ALTER {target} RESET {}", escape_identifier(name)).expect("writing to a String cannot fail");
    }
    for (name, value) in wanted.iter().filter(|(name, value)| has.get(*name) != Some(*value)) {
        write!(
            sql,
            "; SELECT pg_catalog.set_config({}, {}, true); ALTER {target} SET {} FROM CURRENT",
            literal(name),
            literal(value),
            escape_identifier(name)
        )
        .expect("writing to a String cannot fail");
    }
    sql
}

/// What sessions begin with that a seed may change: those in its database, and those of the database's owner.
#[derive(Debug)]
pub(super) struct Reach {
    database: Settings,
    owner: BTreeMap<String, Settings>,
}

impl Reach {
    /// Looks at what there is.
    pub(super) async fn look(
        connection: &Connection,
        doing: &str,
        database: &str,
        owner: &str,
    ) -> Result<Self, PostgresqlError> {
        Ok(Self {
            database: of_database(connection, doing, database).await?,
            owner: of_role(connection, doing, owner).await?,
        })
    }

    /// Returns what has changed since an earlier look; all of it where there was none.
    pub(super) fn since(self, earlier: Option<&Reach>) -> SeededSettings {
        let none = Settings::new();
        let before = |database: &String| earlier.and_then(|earlier| earlier.owner.get(database)).unwrap_or(&none);
        let owner = self.owner.into_iter().map(|(database, settings)| {
            let changed = changed(before(&database), settings);
            (database, changed)
        });
        SeededSettings {
            owner: owner.filter(|(_, settings)| !settings.is_empty()).collect(),
            database: changed(earlier.map_or(&none, |earlier| &earlier.database), self.database),
        }
    }
}

fn changed(before: &Settings, mut after: Settings) -> Settings {
    after.retain(|name, value| before.get(name) != Some(value));
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_what_differs_is_set_or_reset() {
        let has = settings(&[("work_mem", "1GB"), ("TimeZone", "UTC"), ("jit", "off")]);
        let wanted = settings(&[("search_path", "\"$user\", app"), ("TimeZone", "UTC"), ("jit", "on")]);
        assert_eq!(
            statements("DATABASE \"app\"", &has, &wanted),
            "; ALTER DATABASE \"app\" RESET \"work_mem\"\
             ; SELECT pg_catalog.set_config('jit', 'on', true); ALTER DATABASE \"app\" SET \"jit\" FROM CURRENT\
             ; SELECT pg_catalog.set_config('search_path', '\"$user\", app', true); ALTER DATABASE \"app\" SET \"search_path\" FROM \
             CURRENT"
        );
        let of = |settings: &Settings| BTreeMap::from([("app".to_owned(), settings.clone())]);
        assert_eq!(
            role_statements("owner", &of(&has), &BTreeMap::new()),
            "; ALTER ROLE \"owner\" IN DATABASE \"app\" RESET \"TimeZone\"; ALTER ROLE \"owner\" IN DATABASE \"app\" RESET \
             \"jit\"; ALTER ROLE \"owner\" IN DATABASE \"app\" RESET \"work_mem\""
        );
    }

    #[test]
    fn a_seed_has_set_what_is_another_thing_after_it() {
        let before = Reach {
            database: settings(&[("jit", "off")]),
            owner: BTreeMap::from([(String::new(), settings(&[("work_mem", "1GB")]))]),
        };
        let after = || Reach {
            database: settings(&[("jit", "off"), ("search_path", "app")]),
            owner: BTreeMap::from([(String::new(), settings(&[("work_mem", "1GB")]))]),
        };
        let seeded = after().since(Some(&before));
        assert_eq!(seeded.database, settings(&[("search_path", "app")]));
        assert_eq!(seeded.owner, BTreeMap::new());
        assert_eq!(
            after().since(None).database.len(),
            2,
            "nobody saw what was there before"
        );
    }
}
