//! Logins, databases and seeds: what is owned comes after its owner, and goes before it.

use simdb_state::address::{DatabaseAddress, UserAddress};
use simdb_state::name::ClusterName;

use super::Rules;
use crate::desired::access::{database_address, user_address};
use crate::plan::{Action, Server};

impl Rules<'_> {
    /// Roles come before those who are members of them and before what they own, and a database before what runs in it.
    pub(super) fn access(&self, action: &Action) -> Vec<usize> {
        let index = &self.index;
        let user = |cluster: &ClusterName, name: &str| {
            let address = user_address(cluster, &name.parse().ok()?);
            index.user.get(&address).copied()
        };
        let (server, more): (_, Vec<usize>) = match action {
            Action::User {
                user: address,
                attributes,
                server,
                ..
            } => {
                let roles = attributes.member_of.iter();
                (server, roles.filter_map(|role| user(&address.cluster, role)).collect())
            }
            Action::Database {
                database,
                attributes,
                server,
            } => (server, user(&database.cluster, &attributes.owner).into_iter().collect()),
            Action::Seed {
                seed,
                database,
                owner,
                server,
                ..
            } => {
                let database = database_address(&seed.cluster, database);
                let earlier = index.seeds.get(&database).into_iter().flatten();
                let earlier = earlier.take_while(|(other, _)| other != seed).map(|(_, at)| *at);
                let made = index.database.get(&database).copied();
                let owner = user(&seed.cluster, owner);
                // It runs as a client does, and clients may be kept out until then.
                let opened = index.open.get(&seed.cluster).map(|(_, at)| *at);
                let waits = earlier.last().into_iter().chain(made).chain(owner).chain(opened);
                (server, waits.collect())
            }
            _ => return Vec::new(),
        };
        index
            .serves
            .get(&server.node)
            .copied()
            .into_iter()
            .chain(more)
            .collect()
    }

    /// A login goes with the servers, or last of all that is dropped on them: a database it owns would keep it.
    pub(super) fn drop_user(&self, user: &UserAddress, server: Option<&Server>) -> Vec<usize> {
        if server.is_none() {
            return self.node_drops(&user.cluster).map(|(_, at)| at).collect();
        }
        let databases = self.index.drop_databases.get(&user.cluster).into_iter().flatten();
        self.built(&user.cluster)
            .into_iter()
            .chain(databases.copied())
            .collect()
    }

    pub(super) fn drop_database(&self, database: &DatabaseAddress, server: Option<&Server>) -> Vec<usize> {
        match server {
            Some(_) => self.built(&database.cluster),
            None => self.node_drops(&database.cluster).map(|(_, at)| at).collect(),
        }
    }
}
