//! What becomes of databases and seeds.

use simdb_state::address::{DatabaseAddress, SeedAddress};
use simdb_state::delta::Edit;
use simdb_state::name::ClusterName;
use simdb_state::object::{Database, Seed};

use super::{Draft, Lowering, UNRECORDED};
use crate::desired::access::{database_address, user_address};
use crate::plan::{Action, Impact, OwnerLogin};
use crate::planner::diff;
use crate::planner::intended::IntendedSeed;
use crate::planner::pairs::pairs;

impl Lowering<'_> {
    pub(super) fn database(&mut self, address: &DatabaseAddress, old: Option<&Database>, new: Option<&Database>) {
        match (old, new) {
            (old, Some(new)) if old != Some(new) || !self.is_recorded_database(address, new) => {
                let Some(server) = self.primary_server(&address.cluster) else {
                    return;
                };
                let is_there = self
                    .primary_facts(&address.cluster)
                    .is_some_and(|server| server.databases.contains_key(address.database.as_str()));
                let reason = match old {
                    Some(old) => {
                        let recorded = self.recorded.databases.get(address).map(diff::database);
                        diff::reason(recorded, diff::database(old), diff::database(new))
                            .unwrap_or_else(|| UNRECORDED.to_owned())
                    }
                    None if is_there => "a database of that name exists already, and simdb adopts it".to_owned(),
                    None if self.recorded.databases.contains_key(address) => {
                        "drift: it is gone, with its data; an empty one is made".to_owned()
                    }
                    None => "the configuration declares it".to_owned(),
                };
                let action = Action::Database {
                    database: address.clone(),
                    attributes: Box::new(new.clone()),
                    server,
                };
                let delta = vec![Edit::Database(address.clone(), new.clone())];
                self.push(Draft::new(address.clone(), action, reason, delta));
            }
            (Some(_), None) if self.forget(address) => {}
            (Some(_), None) => self.drop_database(address),
            _ => {}
        }
    }

    /// Returns whether the record says what a database is, but for what is ignored of it.
    fn is_recorded_database(&self, address: &DatabaseAddress, new: &Database) -> bool {
        let recorded = self.recorded.databases.get(address);
        recorded == Some(new) || (recorded.is_some() && self.desired.ignores_of_database(address))
    }

    /// A database goes with its cluster, or by itself with all that is in it.
    fn drop_database(&mut self, address: &DatabaseAddress) {
        let stays = self.intended.clusters.contains_key(&address.cluster);
        let server = self.primary_server(&address.cluster);
        if stays && server.is_none() {
            return;
        }
        let is_gone = self
            .primary_facts(&address.cluster)
            .is_some_and(|server| !server.databases.contains_key(address.database.as_str()));
        let (reason, impact) = match (stays, is_gone) {
            (true, true) => ("it is gone, and the configuration no longer declares it", Impact::None),
            (true, false) => ("the configuration no longer declares it", Impact::DataLoss),
            (false, _) => ("it goes with its cluster", Impact::None),
        };
        let delta = vec![Edit::Drop(address.clone().into())];
        let action = Action::DropDatabase {
            database: address.clone(),
            server,
        };
        self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
    }

    /// Seeds run in the order in which they are declared.
    pub(super) fn seeds(&mut self) {
        let mut all: Vec<_> = pairs(&self.before.seeds, &self.intended.seeds).collect();
        all.sort_by_key(|(address, _, new)| (address.cluster.clone(), new.map(|new| new.position)));
        for (address, old, new) in all {
            self.seed(address, old, new);
        }
    }

    /// Owners of databases are among the declared logins.
    fn owner_login(&self, cluster: &ClusterName, owner: &str) -> OwnerLogin {
        let address = owner.parse().ok().map(|name| user_address(cluster, &name));
        let known = address.and_then(|address| self.intended.users.get_key_value(&address));
        let password = known.filter(|(_, user)| user.login);
        let password = password.map(|(address, user)| user.password(address));
        let attributes = known.map(|(_, user)| user.clone()).unwrap_or_default();
        match password {
            Some(password) if attributes.connection_limit != Some(0) => OwnerLogin::Password(password),
            password => OwnerLogin::Opened {
                attributes: Box::new(attributes),
                password,
            },
        }
    }

    fn seed(&mut self, address: &SeedAddress, old: Option<&Seed>, new: Option<&IntendedSeed>) {
        match (old, new) {
            (None, Some(new)) => {
                let Some(server) = self.primary_server(&address.cluster) else {
                    return;
                };
                let marked = self
                    .primary_facts(&address.cluster)
                    .and_then(|server| server.databases.get(new.seed.database.as_str()))
                    .is_some_and(|database| database.seeds.contains_key(address.seed.as_str()));
                let reason = if marked {
                    "its mark says that it has run, and the record lacks it"
                } else {
                    "it has yet to run"
                };
                let action = Action::Seed {
                    seed: address.clone(),
                    file: new.file.clone(),
                    digest: new.seed.digest.clone(),
                    database: new.seed.database.clone(),
                    owner: new.owner.clone(),
                    login: self.owner_login(&address.cluster, &new.owner),
                    server: Box::new(server),
                };
                let mut delta = vec![Edit::Seed(address.clone(), new.seed.clone())];
                let database = database_address(&address.cluster, &new.seed.database);
                delta.push(Edit::Session(database.into()));
                let owner = new.owner.parse().ok().map(|name| user_address(&address.cluster, &name));
                delta.extend(owner.map(|owner| Edit::Session(owner.into())));
                self.push(Draft::new(address.clone(), action, reason, delta));
            }
            (Some(_), None) if self.forget(address) => {}
            (Some(_), None) => {
                let delta = vec![Edit::Drop(address.clone().into())];
                let action = Action::DropSeed { seed: address.clone() };
                let reason = "the configuration no longer declares it; its changes stay";
                self.push(Draft::new(address.clone(), action, reason, delta));
            }
            _ => {}
        }
    }
}
