//! Changes of what is imported: before them stands what was seen of the server.

use std::borrow::Cow;
use std::collections::BTreeMap;

use simdb_state::address::{Address, DatabaseAddress};
use simdb_state::object::User;

use super::{Attributes, cluster_after, merge, node_before, user, value};
use crate::observed::UserFacts;
use crate::plan::{AttributeChange, Change, ChangeAction, Shown};
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
        let after = std::mem::take(&mut change.attributes).into_iter();
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
        change.attributes = merge(has, after);
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
            &import.system_identifier.to_string(),
            has,
        );
        let server = import.server.iter();
        for (name, facts) in server.clone().flat_map(|server| &server.users) {
            let address = intended
                .users
                .keys()
                .find(|user| user.cluster == address.cluster && user.user.as_str() == name);
            if let Some(address) = address {
                is(address.clone().into(), name, role_before(facts));
            }
        }
        for (name, facts) in server.flat_map(|server| &server.databases) {
            let own =
                |database: &&DatabaseAddress| database.cluster == address.cluster && database.database.as_str() == name;
            if let Some(address) = intended.databases.keys().find(own) {
                is(address.clone().into(), name, vec![value("owner", facts.owner.clone())]);
            }
        }
    }
}

/// Returns the attributes of a role that is imported. Its password is another one afterwards, or the same; nobody can say.
fn role_before(
    UserFacts {
        login,
        replication,
        superuser,
        createdb,
        createrole,
        inherit,
        connection_limit,
        member_of: _,
        password: _,
        holds: _,
        settings: _,
    }: &UserFacts,
) -> Attributes {
    let mut attributes = user(&User {
        login: *login,
        replication: *replication,
        superuser: *superuser,
        createdb: *createdb,
        createrole: *createrole,
        inherit: *inherit,
        connection_limit: u32::try_from(*connection_limit).ok(),
        ..User::default()
    });
    attributes.retain(|(name, _)| !name.starts_with("password"));
    attributes
}
