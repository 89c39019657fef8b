//! Logins, databases and seeds on disk.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::name::DatabaseName;
use crate::object;

/// A login.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are the attributes of a role")]
pub(crate) struct User {
    login: bool,
    replication: bool,
    password_version: u32,
    password_digest: Option<String>,
    superuser: bool,
    createdb: bool,
    createrole: bool,
    inherit: bool,
    connection_limit: Option<u32>,
    member_of: BTreeSet<String>,
}

impl From<&object::User> for User {
    fn from(user: &object::User) -> Self {
        let object::User {
            login,
            replication,
            password_version,
            password_digest,
            superuser,
            createdb,
            createrole,
            inherit,
            connection_limit,
            member_of,
        } = user.clone();
        Self {
            login,
            replication,
            password_version,
            password_digest,
            superuser,
            createdb,
            createrole,
            inherit,
            connection_limit,
            member_of,
        }
    }
}

impl From<User> for object::User {
    fn from(user: User) -> Self {
        let User {
            login,
            replication,
            password_version,
            password_digest,
            superuser,
            createdb,
            createrole,
            inherit,
            connection_limit,
            member_of,
        } = user;
        Self {
            login,
            replication,
            password_version,
            password_digest,
            superuser,
            createdb,
            createrole,
            inherit,
            connection_limit,
            member_of,
        }
    }
}

/// A database.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Database {
    owner: String,
    encoding: Option<String>,
    locale: Option<String>,
}

impl From<&object::Database> for Database {
    fn from(database: &object::Database) -> Self {
        let object::Database {
            owner,
            encoding,
            locale,
        } = database.clone();
        Self {
            owner,
            encoding,
            locale,
        }
    }
}

impl From<Database> for object::Database {
    fn from(database: Database) -> Self {
        let Database {
            owner,
            encoding,
            locale,
        } = database;
        Self {
            owner,
            encoding,
            locale,
        }
    }
}

/// A seed that has run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seed {
    database: DatabaseName,
    digest: String,
}

impl From<&object::Seed> for Seed {
    fn from(seed: &object::Seed) -> Self {
        let object::Seed { database, digest } = seed.clone();
        Self { database, digest }
    }
}

impl From<Seed> for object::Seed {
    fn from(seed: Seed) -> Self {
        let Seed { database, digest } = seed;
        Self { database, digest }
    }
}
