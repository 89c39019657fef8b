//! What the configuration declares of logins, databases and seeds.

use std::collections::BTreeMap;

use simdb_state::address::{DatabaseAddress, SeedAddress, UserAddress};
use simdb_state::name::{ClusterName, DatabaseName, SeedName, UserName};
use simdb_state::object::{Database, User};
use simdb_state::sensitive::{Secrets, Sensitive};

use super::{Desired, Ignored};
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::script;

/// The logins, databases and seeds of one cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessSpec {
    /// The logins by name.
    pub users: BTreeMap<UserName, UserSpec>,
    /// The databases by name; their owners are among the logins.
    pub databases: BTreeMap<DatabaseName, DatabaseSpec>,
    /// The seeds in the order in which they are declared; their databases are declared too.
    pub seeds: Vec<SeedSpec>,
    /// The version of the password that standbys stream with; absent, the first.
    pub replication_password_version: Option<u32>,
}

/// A `user` block.
#[derive(Clone, Debug, PartialEq)]
pub struct UserSpec {
    /// What it should be. The digest of a given password is there once [`Desired::digest_passwords`] has been called.
    pub attributes: User,
    /// The password that the configuration gives it; absent, one is made up.
    pub password: Option<Sensitive<String>>,
    /// Where it is declared.
    pub span: Span,
    /// What stays as it is on record.
    pub ignored: Ignored,
}

/// A `database` block.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseSpec {
    /// What it should be.
    pub attributes: Database,
    /// Where it is declared.
    pub span: Span,
    /// What stays as it is on record.
    pub ignored: Ignored,
}

/// A `seed` block.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedSpec {
    /// Its name.
    pub name: SeedName,
    /// The database it runs in.
    pub database: DatabaseName,
    /// The file it runs, relative to the configuration's directory.
    pub file: String,
    /// The digest of that file; empty until [`Desired::read_seed`] has been called.
    pub digest: String,
    /// Where it is declared.
    pub span: Span,
    /// Where the file is named.
    pub file_span: Span,
    /// What stays as it is on record.
    pub ignored: Ignored,
}

impl Desired {
    /// Returns the passwords that the configuration gives.
    pub fn passwords(&self) -> impl Iterator<Item = (UserAddress, &Sensitive<String>)> {
        let given = self.users().map(|(address, user)| (address, user.password.as_ref()));
        given.filter_map(|(address, password)| Some((address, password?)))
    }

    /// Notes digests of given passwords, made with the key of the record: only with them can a change be seen.
    pub fn digest_passwords(&mut self, digests: &BTreeMap<UserAddress, String>) {
        for (cluster, spec) in &mut self.clusters {
            for (user, spec) in &mut spec.access.users {
                spec.attributes.password_digest = digests.get(&user_address(cluster, user)).cloned();
            }
        }
    }

    /// Returns the given passwords under the names that the record knows them by.
    pub fn given_secrets(&self) -> Secrets {
        let named = self.users().filter_map(|(address, user)| {
            let password = user.password.clone()?;
            Some((user.attributes.password(&address), password))
        });
        named.collect()
    }

    /// Returns the files that seeds run, each with where it is named.
    pub fn seed_files(&self) -> BTreeMap<String, Span> {
        let seeds = self.clusters.values().flat_map(|spec| &spec.access.seeds);
        seeds.map(|seed| (seed.file.clone(), seed.file_span.clone())).collect()
    }

    /// Takes note of a file that seeds run, and returns what is wrong with it.
    pub fn read_seed(&mut self, file: &str, text: &str) -> Option<Diagnostic> {
        let seeds = self.clusters.values_mut().flat_map(|spec| &mut spec.access.seeds);
        for seed in seeds.filter(|seed| seed.file == file) {
            seed.digest = script::digest(text);
        }
        let problem = script::statements(text).err()?;
        let span = Span {
            file: file.to_owned(),
            start: problem.range.start,
            end: problem.range.end,
        };
        Some(Diagnostic::error("Statement cannot be part of a seed", problem.detail).at(span))
    }

    fn users(&self) -> impl Iterator<Item = (UserAddress, &UserSpec)> {
        self.clusters.iter().flat_map(|(cluster, spec)| {
            let users = spec.access.users.iter();
            users.map(|(user, spec)| (user_address(cluster, user), spec))
        })
    }
}

/// Names a login.
pub(crate) fn user_address(cluster: &ClusterName, user: &UserName) -> UserAddress {
    UserAddress {
        cluster: cluster.clone(),
        user: user.clone(),
    }
}

/// Names a database.
pub(crate) fn database_address(cluster: &ClusterName, database: &DatabaseName) -> DatabaseAddress {
    DatabaseAddress {
        cluster: cluster.clone(),
        database: database.clone(),
    }
}

/// Names a seed.
pub(crate) fn seed_address(cluster: &ClusterName, seed: &SeedName) -> SeedAddress {
    SeedAddress {
        cluster: cluster.clone(),
        seed: seed.clone(),
    }
}
