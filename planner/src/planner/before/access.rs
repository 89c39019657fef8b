//! Logins, databases and seeds as they are, as far as the primary could be asked.

use std::collections::BTreeSet;

use simdb_state::address::NodeAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::{Database, State, User};

use super::server;
use crate::engine;
use crate::observed::{DatabaseFacts, Observed, ServerFacts, UserFacts};

/// Returns what the server of a cluster's primary says of itself.
pub(crate) fn primary_server<'a>(
    state: &State,
    observed: &'a Observed,
    cluster: &ClusterName,
) -> Option<&'a ServerFacts> {
    let primary = NodeAddress {
        cluster: cluster.clone(),
        node: state.elections.get(cluster)?.primary.clone(),
    };
    server(observed, &primary)
}

/// Corrects the record of logins, databases and seeds by what the primaries have.
///
/// A seed that has run has run: its mark may be reset by hand, and running it twice would be worse than not at all. Only
/// where its database is gone, the seed is to run again.
pub(crate) fn correct(state: &mut State, observed: &Observed) -> Vec<String> {
    let mut notes = Vec::new();
    let clusters: Vec<ClusterName> = state.clusters.keys().cloned().collect();
    for cluster in clusters {
        if let Some(server) = primary_server(state, observed, &cluster) {
            correct_users(state, &cluster, server);
            correct_databases(state, &cluster, server);
            notes.extend(correct_seeds(state, &cluster, server));
        }
    }
    notes
}

fn correct_users(state: &mut State, cluster: &ClusterName, server: &ServerFacts) {
    // A role of another cluster's is not ours because one here bears its name.
    let own = state.users.keys().filter(|address| address.cluster == *cluster);
    let recorded: BTreeSet<String> = own.map(|address| address.user.to_string()).collect();
    state.users.retain(|address, user| {
        if address.cluster != *cluster {
            return true;
        }
        let Some(facts) = server.users.get(address.user.as_str()) else {
            return false;
        };
        correct_user(user, facts, |role| recorded.contains(role));
        true
    });
}

/// Brings a login to what its role was seen to be. Memberships in roles that nobody declared are left alone, such as those
/// that come with making a role.
pub(crate) fn correct_user(user: &mut User, facts: &UserFacts, is_declared: impl Fn(&str) -> bool) {
    let UserFacts {
        login,
        replication,
        superuser,
        createdb,
        createrole,
        inherit,
        connection_limit,
        member_of,
        password: _,
        holds: _,
        settings,
    } = facts;
    user.login = *login;
    user.replication = *replication;
    user.superuser = *superuser;
    user.createdb = *createdb;
    user.createrole = *createrole;
    user.inherit = *inherit;
    user.connection_limit = u32::try_from(*connection_limit).ok();
    user.settings.clone_from(settings);
    let counts = |role: &&String| engine::is_predefined(role) || is_declared(role) || user.member_of.contains(*role);
    user.member_of = member_of.iter().filter(counts).cloned().collect();
}

fn correct_databases(state: &mut State, cluster: &ClusterName, server: &ServerFacts) {
    state.databases.retain(|address, database| {
        if address.cluster != *cluster {
            return true;
        }
        let Some(facts) = server.databases.get(address.database.as_str()) else {
            return false;
        };
        correct_database(database, facts);
        true
    });
}

/// Brings a database to what it was seen to be.
pub(crate) fn correct_database(database: &mut Database, facts: &DatabaseFacts) {
    database.owner.clone_from(&facts.owner);
    database.settings.clone_from(&facts.settings);
}

fn correct_seeds(state: &mut State, cluster: &ClusterName, server: &ServerFacts) -> Vec<String> {
    let mut notes = Vec::new();
    state.seeds.retain(|address, seed| {
        if address.cluster != *cluster {
            return true;
        }
        let Some(database) = server.databases.get(seed.database.as_str()) else {
            return false;
        };
        if !database.seeds.contains_key(address.seed.as_str()) {
            notes.push(format!(
                "{address} has run, and its mark on database \"{}\" is gone: the database's settings were reset, or it was made \
                 anew. It is not run again; to have it run, give it another name.",
                seed.database
            ));
        }
        true
    });
    notes
}
