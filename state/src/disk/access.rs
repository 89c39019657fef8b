//! Logins, databases and seeds on disk.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::name::DatabaseName;
use crate::object::{self, Settings};

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
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, Settings>,
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
            settings,
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
            settings,
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
            settings,
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
            settings,
        }
    }
}

/// A database.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Database {
    owner: String,
    encoding: Option<String>,
    locale: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: Settings,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    prevent_destroy: bool,
}

impl From<&object::Database> for Database {
    fn from(database: &object::Database) -> Self {
        let object::Database {
            owner,
            encoding,
            locale,
            settings,
            prevent_destroy,
        } = database.clone();
        Self {
            owner,
            encoding,
            locale,
            settings,
            prevent_destroy,
        }
    }
}

impl From<Database> for object::Database {
    fn from(database: Database) -> Self {
        let Database {
            owner,
            encoding,
            locale,
            settings,
            prevent_destroy,
        } = database;
        Self {
            owner,
            encoding,
            locale,
            settings,
            prevent_destroy,
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
