//! Databases: made, given their characters, and dropped.

use std::fmt::Write;

use super::MariadbError;
use super::connection::{Connection, identifier, literal};

/// How the texts of a database are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Texts<'a> {
    /// Their characters; absent, those that the server gives.
    pub character_set: Option<&'a str>,
    /// Their order; absent, the usual one of their characters.
    pub collation: Option<&'a str>,
}

/// Makes a database. One that is there keeps its characters, for its tables have theirs.
pub async fn ensure(connection: &mut Connection, name: &str, texts: Texts<'_>) -> Result<(), MariadbError> {
    let doing = format!("set up database {name:?}");
    let mut create = format!("CREATE DATABASE IF NOT EXISTS {}", identifier(name));
    for (option, value) in [("CHARACTER SET", texts.character_set), ("COLLATE", texts.collation)] {
        if let Some(value) = value {
            write!(create, " {option} {}", literal(value)).expect("writing to a String cannot fail");
        }
    }
    connection.execute(&doing, &create).await
}

/// Drops a database with all that is in it, where it is there.
pub async fn drop(connection: &mut Connection, name: &str) -> Result<(), MariadbError> {
    let doing = format!("drop database {name:?}");
    let drop = format!("DROP DATABASE IF EXISTS {}", identifier(name));
    connection.execute(&doing, &drop).await
}
