//! Changes of what is imported: before them stands what was seen of the server.

use std::borrow::Cow;
use std::collections::BTreeMap;

use simdb_state::address::{Address, DatabaseAddress};
use simdb_state::name::ClusterName;
use simdb_state::object::{Database, User};

use super::{Attributes, cluster_after, database, merge, node_before, user};
use crate::observed::{DatabaseFacts, UserFacts};
use crate::plan::{AttributeChange, Change, ChangeAction, Shown};
use crate::planner::before::{correct_database, correct_user};
use crate::planner::intended::Intended;

/// Shows what is imported as what it is, which is changed and not made.
pub(super) fn imported(changes: &mut BTreeMap<Address, Change>, intended: &Intended) {
    let mut is = |address: Address, id: &str, has: Attributes| {
        let Some(change) = changes
            .get_mut(&address)
            .filter(|change| change.action == ChangeAction::Create)
        else {
            return;
        };
        change.action = ChangeAction::Update;
        change.importing = Some(id.to_owned());
        let after = change.attributes.iter().cloned();
        let known: BTreeMap<Cow<'static, str>, Shown> = has.iter().cloned().collect();
        let stays = |attribute: AttributeChange| {
            let after = attribute.after?;
            let is_known = attribute.name == "system_identifier" && after == Shown::KnownAfterApply;
            let after = known
                .get(&attribute.name)
                .filter(|_| is_known)
                .cloned()
                .unwrap_or(after);
            Some((attribute.name, after))
        };
        let after = after.filter_map(stays).collect();
        change.attributes = merge(has, after).into();
    };
    for (address, import) in &intended.imports {
        let (Some(node), Some(cluster)) = (intended.nodes.get(address), intended.clusters.get(&address.cluster)) else {
            continue;
        };
        let as_is = import.as_is(&cluster.election, node.role.follows(), node.data.generation());
        is(address.clone().into(), &import.id, node_before(&as_is));
        if node.role.writes().is_none() {
            continue;
        }
        let known = ["engine", "version", "primary"];
        let mut has = cluster_after(cluster);
        has.retain(|(name, _)| known.contains(&name.as_ref()));
        is(
            Address::Cluster(address.cluster.clone()),
            &import.identity.to_string(),
            has,
        );
        let server = import.server.iter();
        for (name, facts) in server.clone().flat_map(|server| &server.users) {
            let address = intended
                .users
                .keys()
                .find(|user| user.cluster == address.cluster && user.user.as_str() == name);
            if let Some(address) = address {
                let before = role_before(facts, intended, &address.cluster);
                is(address.clone().into(), name, before);
            }
        }
        for (name, facts) in server.flat_map(|server| &server.databases) {
            let own =
                |database: &&DatabaseAddress| database.cluster == address.cluster && database.database.as_str() == name;
            if let Some(address) = intended.databases.keys().find(own) {
                is(address.clone().into(), name, database_before(facts));
            }
        }
    }
}

/// Returns the attributes of a role that is imported. Its password is another one afterwards, or the same; nobody can say.
fn role_before(facts: &UserFacts, intended: &Intended, cluster: &ClusterName) -> Attributes {
    let mut role = User::default();
    let is_declared = |name: &str| {
        let mut users = intended.users.keys().filter(|user| user.cluster == *cluster);
        users.any(|user| user.user.as_str() == name)
    };
    correct_user(&mut role, facts, is_declared);
    let mut attributes = user(&role);
    attributes.retain(|(name, _)| !name.starts_with("password"));
    attributes
}

/// Returns the attributes of a database that is imported.
fn database_before(facts: &DatabaseFacts) -> Attributes {
    let mut before = Database::default();
    correct_database(&mut before, facts);
    database(&before)
}
