//! What stands in the servers of a cluster: logins, databases and seeds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::address::UserAddress;
use crate::name::DatabaseName;
use crate::sensitive::SecretName;

/// A login: `cluster.NAME.user.USER`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the attributes that a server has for a role"
)]
pub struct User {
    /// Whether it may connect.
    pub login: bool,
    /// Whether it may stream the log.
    pub replication: bool,
    /// Counts its passwords.
    pub password_version: u32,
    /// A keyed digest of the password that the configuration gives it, so that another one is seen; absent where the
    /// password was made up.
    #[serde(default)]
    pub password_digest: Option<String>,
    /// Whether it may do anything.
    #[serde(default)]
    pub superuser: bool,
    /// Whether it may make databases.
    #[serde(default)]
    pub createdb: bool,
    /// Whether it may make roles.
    #[serde(default)]
    pub createrole: bool,
    /// Whether it has the privileges of the roles it is a member of.
    #[serde(default = "yes")]
    pub inherit: bool,
    /// How many sessions it may have at once; absent, any number.
    #[serde(default)]
    pub connection_limit: Option<u32>,
    /// The roles it is a member of.
    #[serde(default)]
    pub member_of: BTreeSet<String>,
    /// What its sessions begin with, by database; the empty name is for every database.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Settings>,
}

/// Settings by name that sessions begin with: those of a role, of a database, or of a role in a database.
pub type Settings = BTreeMap<String, String>;

fn yes() -> bool {
    true
}

impl Default for User {
    /// Returns a login that may connect and nothing else.
    fn default() -> Self {
        Self {
            login: true,
            replication: false,
            password_version: 1,
            password_digest: None,
            superuser: false,
            createdb: false,
            createrole: false,
            inherit: true,
            connection_limit: None,
            member_of: BTreeSet::new(),
            settings: BTreeMap::new(),
        }
    }
}

impl User {
    /// Returns the name of its password. Each version has a name of its own, so that a new one is stored before the
    /// server is told of it, and the old one is still there if it never is.
    pub fn password(&self, address: &UserAddress) -> SecretName {
        SecretName::password_version(address, self.password_version, self.password_digest.as_deref())
    }
}

/// A database: `cluster.NAME.database.DATABASE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// The role that owns it.
    pub owner: String,
    /// Its encoding; absent, the cluster's.
    pub encoding: Option<String>,
    /// Its locale; absent, the cluster's.
    pub locale: Option<String>,
    /// What sessions in it begin with, whoever logs in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: Settings,
    /// Whether it may not be destroyed. Held here, so that deleting its block does not lift it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prevent_destroy: bool,
}

/// A file of SQL that has run once: `cluster.NAME.seed.SEED`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// The database it ran in.
    pub database: DatabaseName,
    /// The digest of the file as it was then.
    pub digest: String,
}
