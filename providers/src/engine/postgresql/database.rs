//! Databases: made, given to somebody, and dropped.

use std::fmt::Write;

use postgres_protocol::escape::escape_identifier;
use simdb_state::name::DatabaseName;
use simdb_state::object::Database;

use super::connection::{Connection, literal};
use super::{PostgresqlError, session_settings};

/// Makes a database, or gives it to whom it should belong; lets sessions in it begin as they should.
pub(crate) async fn ensure(
    connection: &Connection,
    name: &DatabaseName,
    attributes: &Database,
) -> Result<(), PostgresqlError> {
    let doing = format!("set up database {:?}", name.as_str());
    connection.alone(&doing, &format!("database {name}")).await?;
    let exists = format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(name.as_str()));
    let (database, owner) = (escape_identifier(name.as_str()), escape_identifier(&attributes.owner));
    let sql = match connection.value(&doing, &exists).await? {
        Some(_) => format!("ALTER DATABASE {database} OWNER TO {owner}"),
        // Only from an empty template can a database have an encoding or a locale of its own.
        None => format!(
            "CREATE DATABASE {database} OWNER {owner} TEMPLATE template0{}",
            options(attributes)
        ),
    };
    connection.execute(&doing, &sql).await?;
    let has = session_settings::of_database(connection, &doing, name.as_str()).await?;
    let set = session_settings::statements(&format!("DATABASE {database}"), &has, &attributes.settings);
    match set.as_str() {
        "" => Ok(()),
        set => connection.execute(&doing, set).await,
    }
}

fn options(attributes: &Database) -> String {
    let mut options = String::new();
    for (name, value) in [("ENCODING", &attributes.encoding), ("LOCALE", &attributes.locale)] {
        if let Some(value) = value {
            write!(options, " {name} {}", literal(value)).expect("writing to a String cannot fail");
        }
    }
    options
}

/// Drops a database with all that is in it, where it is there. Who uses it is sent away.
pub(crate) async fn drop(connection: &Connection, name: &DatabaseName) -> Result<(), PostgresqlError> {
    let doing = format!("drop database {:?}", name.as_str());
    let sql = format!(
        "DROP DATABASE IF EXISTS {} WITH (FORCE)",
        escape_identifier(name.as_str())
    );
    connection.execute(&doing, &sql).await
}
