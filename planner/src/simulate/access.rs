//! What steps do to logins, databases and seeds.

use std::collections::BTreeMap;

use simdb_state::address::{SeedAddress, UserAddress};
use simdb_state::instance::FilePart;
use simdb_state::object::User;
use simdb_state::sensitive::{SecretName, Sensitive};

use super::effect::write_files;
use super::{InstanceDirectory, PASSWORD, World};
use crate::engine;
use crate::engine::instance::{self, PASSFILE, REPLICATION_USER};
use crate::observed::{PasswordFacts, UserFacts};
use crate::plan::{Action, Server, Stream};

impl World {
    pub(crate) fn access(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::ReplicationUser {
                user,
                attributes,
                password,
                server,
                streams,
            } => {
                self.set_user(user, attributes, Some(password), server)?;
                for stream in streams {
                    self.rotate(stream, password)?;
                }
            }
            Action::User {
                user,
                attributes,
                leaves: _,
                password,
                server,
            } => self.set_user(user, attributes, password.as_ref(), server)?,
            Action::Database {
                database,
                attributes,
                server,
            } => {
                let owned = self.serving(server)?.users.contains_key(&attributes.owner);
                self.expect(owned, server, || {
                    format!("{database} is given to a role that does not exist")
                })?;
                let directory = self.serving(server)?;
                let facts = directory.databases.entry(database.database.to_string());
                let facts = facts.or_default();
                facts.owner.clone_from(&attributes.owner);
                facts.settings.clone_from(&attributes.settings);
            }
            Action::Seed {
                seed,
                digest,
                database,
                server,
                ..
            } => {
                let there = self.serving(server)?.databases.contains_key(database.as_str());
                self.expect(there, server, || format!("{seed} runs in a database that is not there"))?;
                let facts = self.facts(&server.node, &self.directories[&server.node]);
                if instance::keeps_clients_out(&facts, &server.place) {
                    return Err(format!("{seed} logs in as a client does, and clients are kept out"));
                }
                run_seed(self.serving(server)?, seed, database.as_str(), digest);
            }
            Action::DropUser {
                user,
                server: Some(server),
            } => {
                let databases = &self.serving(server)?.databases;
                let owns = databases.values().any(|facts| facts.owner == user.user.as_str());
                self.expect(!owns, server, || format!("{user} goes, and owns a database"))?;
                self.serving(server)?.users.remove(user.user.as_str());
            }
            Action::DropDatabase {
                database,
                server: Some(server),
            } => drop(self.serving(server)?.databases.remove(database.database.as_str())),
            // The rest is in the record alone.
            _ => {}
        }
        Ok(())
    }

    fn set_user(
        &mut self,
        address: &UserAddress,
        user: &User,
        password: Option<&SecretName>,
        server: &Server,
    ) -> Result<(), String> {
        let password = password.map(|password| self.secret(password));
        let name = address.user.to_string();
        for role in user.member_of.iter().filter(|role| !engine::is_predefined(role)) {
            let there = self.serving(server)?.users.contains_key(role);
            self.expect(there, server, || {
                format!("{address} becomes a member of {role}, which does not exist")
            })?;
        }
        let directory = self.serving(server)?;
        directory
            .passwords
            .extend(password.map(|password| (name.clone(), password)));
        let facts = UserFacts {
            login: user.login,
            replication: user.replication,
            superuser: user.superuser,
            createdb: user.createdb,
            createrole: user.createrole,
            inherit: user.inherit,
            connection_limit: user.connection_limit.map_or(-1, i64::from),
            member_of: user.member_of.clone(),
            // Compared when it is looked at.
            password: PasswordFacts::Unknown,
            holds: BTreeMap::new(),
            settings: user.settings.clone(),
        };
        directory.users.insert(name, facts);
        Ok(())
    }

    /// What a step needs of a catalog is there, or the plan is wrong; unless the server could not be asked when it was made.
    fn expect(&self, met: bool, server: &Server, unmet: impl Fn() -> String) -> Result<(), String> {
        if met {
            return Ok(());
        }
        assert!(self.unasked.contains(&server.node), "{}", unmet());
        Err(unmet())
    }

    /// Returns a password. One that nobody has given is made up, and stays.
    fn secret(&mut self, name: &SecretName) -> Sensitive<String> {
        self.made += 1;
        let made = || Sensitive::new(format!("{PASSWORD}-{}", self.made));
        self.secrets.entry(name.clone()).or_insert_with(made).clone()
    }

    /// Streams that broke come back only while their login has the password on record.
    pub(crate) fn streams_log_in(&self, primary: &Server) -> Result<(), String> {
        let directory = self.directories.get(&primary.node);
        let password = directory.map(|directory| self.password(&primary.node, directory, REPLICATION_USER));
        if password == Some(PasswordFacts::Other) {
            return Err("password authentication failed".to_owned());
        }
        Ok(())
    }

    /// A stream begins anew only with the password that its role has.
    fn rotate(&mut self, stream: &Stream, password: &SecretName) -> Result<(), String> {
        let directory = self.serving(&stream.server)?;
        write_files(directory, &stream.instance);
        let passfile = stream.instance.files.get(PASSFILE).expect("a standby has one");
        let has = passfile
            .0
            .iter()
            .any(|part| *part == FilePart::Secret(password.clone()));
        assert!(has, "{} is given another password than its role", stream.server.node);
        Ok(())
    }
}

fn run_seed(directory: &mut InstanceDirectory, seed: &SeedAddress, database: &str, digest: &str) {
    let facts = directory
        .databases
        .get_mut(database)
        .expect("the database of a seed is there");
    let name = seed.seed.to_string();
    if facts.seeds.insert(name, digest.to_owned()).is_none() {
        directory.ran.push(seed.clone());
    }
}
