//! Logins, databases and seeds: what each should be, and what keeps it from being so.

use std::collections::BTreeMap;

use simdb_state::address::{DatabaseAddress, NodeAddress, SeedAddress, UserAddress};
use simdb_state::name::UserName;
use simdb_state::object::{Database, Election, Seed, Settings, User};

use super::cluster::Declaration;
use crate::desired::access::{DatabaseSpec, SeedSpec, database_address, seed_address, user_address};
use crate::diagnostic::Diagnostic;
use crate::engine::instance::{REPLICATION_USER, user};
use crate::observed::ServerFacts;
use crate::planner::before;
use crate::planner::imports;
use crate::planner::intended::{Intended, IntendedSeed};

impl Declaration<'_> {
    /// Says what the logins, databases and seeds of the cluster should be.
    pub(super) fn access(&self, election: &Election, intended: &mut Intended) -> Vec<Diagnostic> {
        let access = &self.spec.access;
        let primary = NodeAddress {
            cluster: self.name.clone(),
            node: election.primary.clone(),
        };
        let imported = imports::pending(self.inputs, &primary).and_then(|import| import.server);
        let server = before::primary_server(self.before, self.inputs.observed, self.name);
        let server = server.or(imported.as_ref());
        // Also where nobody streams yet: adding a standby then changes nothing but its own.
        let replication_user = user(self.name, REPLICATION_USER);
        let replication = User {
            replication: true,
            password_version: self.replication_password_version(election),
            settings: self.settings_of_user(server, &replication_user),
            ..User::default()
        };
        intended.users.insert(replication_user, replication);
        let mut diagnostics = Vec::new();
        for (name, spec) in &access.users {
            let address = user_address(self.name, name);
            let attributes = User {
                settings: self.settings_of_user(server, &address),
                ..spec.attributes.clone()
            };
            intended.users.insert(address, attributes);
        }
        for (name, spec) in &access.databases {
            let address = database_address(self.name, name);
            diagnostics.extend(self.fixed(name.as_str(), spec));
            let attributes = Database {
                settings: self.settings_of_database(server, &address),
                ..spec.attributes.clone()
            };
            intended.databases.insert(address, attributes);
        }
        for (position, spec) in access.seeds.iter().enumerate() {
            let address = seed_address(self.name, &spec.name);
            diagnostics.extend(self.ran_before(&address, spec));
            let owner = access
                .databases
                .get(&spec.database)
                .map(|database| database.attributes.owner.clone());
            let seed = IntendedSeed {
                seed: self.seed(&address, spec),
                file: spec.file.clone(),
                owner: owner.unwrap_or_default(),
                position,
            };
            intended.seeds.insert(address, seed);
        }
        diagnostics.extend(self.held_users(intended));
        diagnostics
    }

    /// What a login's sessions begin with is declared nowhere: it stays as it is recorded, and as it is where the role is
    /// adopted. What it was in a database that is gone is gone with that.
    fn settings_of_user(&self, server: Option<&ServerFacts>, address: &UserAddress) -> BTreeMap<String, Settings> {
        let Some(recorded) = self.inputs.recorded.users.get(address) else {
            let role = server.and_then(|server| server.users.get(address.user.as_str()));
            return role.map(|role| role.settings.clone()).unwrap_or_default();
        };
        let mut settings = recorded.settings.clone();
        settings.retain(|database, settings| {
            let is_there = |server: &ServerFacts| database.is_empty() || server.databases.contains_key(database);
            !settings.is_empty() && server.is_none_or(is_there)
        });
        settings
    }

    /// What sessions in a database begin with is declared nowhere: it stays as it is recorded, and as it is where the database
    /// is adopted. One that is made anew has none.
    fn settings_of_database(&self, server: Option<&ServerFacts>, address: &DatabaseAddress) -> Settings {
        let facts = server.and_then(|server| server.databases.get(address.database.as_str()));
        match self.inputs.recorded.databases.get(address) {
            Some(_) if server.is_some() && facts.is_none() => Settings::new(),
            Some(recorded) => recorded.settings.clone(),
            None => facts.map(|facts| facts.settings.clone()).unwrap_or_default(),
        }
    }

    /// The password that standbys stream with stays while another node comes to lead: one thing at a time.
    fn replication_password_version(&self, election: &Election) -> u32 {
        let declared = self.spec.access.replication_password_version.unwrap_or(1);
        let moves = self.moves(election);
        let recorded = self.before.users.get(&user(self.name, REPLICATION_USER));
        recorded
            .filter(|_| moves)
            .map_or(declared, |recorded| recorded.password_version)
    }

    /// What a database was made with stays.
    fn fixed(&self, name: &str, spec: &DatabaseSpec) -> Option<Diagnostic> {
        let address = database_address(self.name, &name.parse().ok()?);
        let before = self.before.databases.get(&address)?;
        let changed = [
            ("encoding", &before.encoding, &spec.attributes.encoding),
            ("locale", &before.locale, &spec.attributes.locale),
        ];
        let (attribute, was, _) = changed.into_iter().find(|(_, was, is)| was != is)?;
        let was = match was {
            Some(was) => format!("{attribute} = \"{was}\""),
            None => format!("no {attribute}"),
        };
        let detail = format!(
            "{address} was made with {was}, which cannot be changed while its data is there. Put it back as it was; or declare \
             another database, and move the data there."
        );
        Some(Diagnostic::error("Database cannot be changed", detail).at(spec.span.clone()))
    }

    /// A seed that has run stays as it ran.
    fn seed(&self, address: &SeedAddress, spec: &SeedSpec) -> Seed {
        if let Some(ran) = self.before.seeds.get(address) {
            return ran.clone();
        }
        let marked = before::primary_server(self.before, self.inputs.observed, self.name)
            .and_then(|server| server.databases.get(spec.database.as_str()))
            .and_then(|database| database.seeds.get(spec.name.as_str()));
        Seed {
            database: spec.database.clone(),
            digest: marked.unwrap_or(&spec.digest).clone(),
        }
    }

    fn ran_before(&self, address: &SeedAddress, spec: &SeedSpec) -> Option<Diagnostic> {
        let ran = self.before.seeds.get(address)?;
        if ran.database != spec.database {
            let detail = format!(
                "{address} has run in database \"{}\", and a seed runs once. To run the file in database \"{}\", give the seed \
                 another name.",
                ran.database, spec.database
            );
            return Some(Diagnostic::error("Seed has run elsewhere", detail).at(spec.span.clone()));
        }
        (ran.digest != spec.digest).then(|| {
            let detail = format!(
                "{address} has run, and {:?} is another file since. A seed runs once, so the change has no effect. To run the \
                 file again, give the seed another name.",
                spec.file
            );
            Diagnostic::warning("Seed was changed after it ran", detail).at(spec.file_span.clone())
        })
    }

    /// A login goes only when nothing is left that could not be without it: what it owns is somebody's data.
    fn held_users(&self, intended: &Intended) -> Vec<Diagnostic> {
        let Some(server) = before::primary_server(self.before, self.inputs.observed, self.name) else {
            return Vec::new();
        };
        let going = self
            .before
            .users
            .keys()
            .filter(|address| address.cluster == *self.name && !intended.users.contains_key(*address))
            .filter(|address| !self.inputs.desired.forgets(&(*address).clone().into()));
        let refusal = |address: &UserAddress| {
            let held = self.held(&address.user, server, intended);
            let detail = format!(
                "{address} is no longer declared, and the role cannot be dropped: {}. Give them to another role in each of these \
                 databases (REASSIGN OWNED BY {} TO ...; DROP OWNED BY {}), or declare the user again.",
                held.join(", "),
                address.user,
                address.user
            );
            (!held.is_empty())
                .then(|| Diagnostic::error("User still owns objects", detail).at(self.spec.spans.cluster.clone()))
        };
        going.filter_map(refusal).collect()
    }

    /// Returns what keeps a role from being dropped once the plan has dropped databases and changed owners.
    fn held(&self, name: &UserName, server: &ServerFacts, intended: &Intended) -> Vec<String> {
        let managed = |database: &str| {
            let database = database.parse().ok()?;
            let address = database_address(self.name, &database);
            let stays = self.inputs.desired.forgets(&address.clone().into());
            (self.before.databases.contains_key(&address) && !stays).then_some(address)
        };
        let goes = |database: &str| managed(database).is_some_and(|address| !intended.databases.contains_key(&address));
        let owned = server
            .databases
            .iter()
            .filter(|(database, facts)| facts.owner == name.as_str() && managed(database).is_none());
        let mut held: Vec<String> = owned
            .map(|(database, _)| format!("it owns database \"{database}\""))
            .collect();
        let objects = server.users.get(name.as_str()).map(|facts| &facts.holds);
        for (database, count) in objects.into_iter().flatten().filter(|(database, _)| !goes(database)) {
            let objects = if *count == 1 {
                "1 object"
            } else {
                &format!("{count} objects")
            };
            held.push(match database.as_str() {
                "" => format!("it owns {objects} outside of databases, or has privileges on them"),
                database => format!("it owns {objects} in database \"{database}\", or has privileges on them"),
            });
        }
        held
    }
}
