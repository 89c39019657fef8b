//! What becomes of a login: it is made or changed, given another password, or dropped.

use std::collections::BTreeSet;

use simdb_state::address::{NodeAddress, UserAddress};
use simdb_state::delta::Edit;
use simdb_state::name::ClusterName;
use simdb_state::object::{Power, Role, User};

use super::{Draft, Lowering, UNRECORDED, server};
use crate::engine;
use crate::engine::instance::{self, REPLICATION_USER};
use crate::observed::{PasswordFacts, UserFacts};
use crate::plan::{Action, Impact, Server, Stream};
use crate::planner::before;
use crate::planner::diff;
use crate::planner::intended::{DataGoal, IntendedNode};

impl Lowering<'_> {
    pub(crate) fn user(&mut self, address: &UserAddress, old: Option<&User>, new: Option<&User>) {
        match (old, new) {
            (old, Some(new))
                if old == Some(new)
                    && self.is_recorded_user(address, new)
                    && self.lost_password(address, new).is_none() => {}
            (old, Some(new)) if address.user.as_str() == REPLICATION_USER => {
                self.replication_user(address, old, new);
            }
            (old, Some(new)) => self.make_user(address, old, new),
            (Some(_), None) if self.forget(address) => {}
            (Some(_), None) => self.drop_user(address),
            (None, None) => {}
        }
    }

    /// Returns whether the record says what a login is, but for what is ignored of it.
    fn is_recorded_user(&self, address: &UserAddress, new: &User) -> bool {
        let recorded = self.recorded.users.get(address);
        recorded == Some(new) || (recorded.is_some() && self.desired.ignores_of_user(address, None))
    }

    /// Says why a login of whom the record knows the password cannot log in with it.
    fn lost_password(&self, address: &UserAddress, new: &User) -> Option<&'static str> {
        if self.desired.ignores_of_user(address, Some("password")) {
            return None;
        }
        let server = self.primary_facts(&address.cluster)?;
        match server.users.get(address.user.as_str()).filter(|_| new.login)?.password {
            PasswordFacts::Unknown | PasswordFacts::Recorded => None,
            PasswordFacts::Other => Some("drift: the role has another password than the one on record"),
            PasswordFacts::Expired => Some("drift: the role's password has expired"),
        }
    }

    fn make_user(&mut self, address: &UserAddress, old: Option<&User>, new: &User) {
        let Some(server) = self.primary_server(&address.cluster) else {
            return;
        };
        let password = new.login.then(|| new.password(address));
        let role = self
            .primary_facts(&address.cluster)
            .and_then(|server| server.users.get(address.user.as_str()));
        let reason = match old {
            Some(old) if old.password(address) != new.password(address) => {
                "configuration: it is given another password".to_owned()
            }
            Some(old) if old == new => self.lost_password(address, new).unwrap_or(UNRECORDED).to_owned(),
            Some(old) => {
                let recorded = self.recorded.users.get(address).map(diff::user);
                diff::reason(recorded, diff::user(old), diff::user(new)).unwrap_or_default()
            }
            None if role.is_some() => "a role of that name exists already, and simdb adopts it".to_owned(),
            None if self.recorded.users.contains_key(address) => "drift: the role is gone".to_owned(),
            None => engine::purpose(&address.user)
                .unwrap_or("the configuration declares it")
                .to_owned(),
        };
        let has = old.map_or_else(|| self.memberships(address, role), |old| old.member_of.clone());
        let action = Action::User {
            user: address.clone(),
            attributes: Box::new(new.clone()),
            leaves: has.difference(&new.member_of).cloned().collect(),
            password: password.clone(),
            server,
        };
        let delta = vec![Edit::User(address.clone(), new.clone())];
        let mut draft = Draft::new(address.clone(), action, reason, delta);
        draft.generates.extend(password);
        self.push(draft);
    }

    /// Returns the memberships of a role that is adopted. Those in roles that nobody declared are left alone.
    fn memberships(&self, address: &UserAddress, role: Option<&UserFacts>) -> BTreeSet<String> {
        let is_declared = |role: &str| {
            let mut users = self.intended.users.keys();
            users.any(|user| user.cluster == address.cluster && user.user.as_str() == role)
        };
        let has = role.into_iter().flat_map(|role| &role.member_of);
        has.filter(|role| engine::is_predefined(role) || is_declared(role))
            .cloned()
            .collect()
    }

    /// A role has one password, so the one that standbys stream with is changed in one step: on the primary, in the files
    /// of all nodes, and by letting each stream begin anew, one after the other.
    fn replication_user(&mut self, address: &UserAddress, old: Option<&User>, new: &User) {
        let Some(server) = self.primary_server(&address.cluster) else {
            return;
        };
        let password = new.password(address);
        let rotated = old.is_some_and(|old| old.password(address) != password);
        let streams = if rotated {
            self.streams(&address.cluster)
        } else {
            Vec::new()
        };
        let server = if streams.is_empty() {
            server
        } else {
            self.present(server)
        };
        let waits = self
            .intended
            .clusters
            .get(&address.cluster)
            .is_some_and(|cluster| !streams.is_empty() && !cluster.cluster.sync_rule.is_empty());
        let lost = self.lost_password(address, new);
        let mut delta = vec![Edit::User(address.clone(), new.clone())];
        if !streams.is_empty() || lost.is_some() {
            delta.push(Edit::Unverified(address.cluster.clone()));
        }
        let reason = match (rotated, lost) {
            (true, _) => "configuration: standbys stream with another password".to_owned(),
            (false, Some(lost)) => lost.to_owned(),
            (false, None) => self
                .other_settings(address, old, new)
                .unwrap_or_else(|| "standbys stream with it, and with it alone".to_owned()),
        };
        let action = Action::ReplicationUser {
            user: address.clone(),
            attributes: Box::new(new.clone()),
            password: password.clone(),
            server,
            streams,
        };
        let impact = if waits { Impact::WritePause } else { Impact::None };
        let draft = Draft::new(address.clone(), action, reason, delta).generating(password);
        self.push(draft.costing(impact));
    }

    /// Says what sessions of a login begin with that they should not, where nothing else of it differs.
    fn other_settings(&self, address: &UserAddress, old: Option<&User>, new: &User) -> Option<String> {
        let old = old.filter(|old| old.settings != new.settings)?;
        let recorded = self.recorded.users.get(address).map(diff::user);
        let alike = User {
            settings: old.settings.clone(),
            ..new.clone()
        };
        (*old == alike).then(|| diff::reason(recorded, diff::user(old), diff::user(new)))?
    }

    /// Returns the servers that run and go on: they have the old password in their files.
    fn streams(&self, cluster: &ClusterName) -> Vec<Stream> {
        let Some(intended) = self.intended.clusters.get(cluster) else {
            return Vec::new();
        };
        // Who is to follow another node reads all its files again when it does.
        let stays = |address: &NodeAddress, node: &IntendedNode| {
            let before = self.before.nodes.get(address);
            let kept = matches!(node.data, DataGoal::Keep(_));
            kept && before.is_some_and(|old| old.role.as_ref() == Some(&node.role) && old.power == Power::Running)
        };
        let nodes = self.intended.nodes_of(cluster);
        let nodes = nodes.filter(|(address, node)| stays(address, node) && node.power == Power::Running);
        let stream = |(address, node): (&_, &IntendedNode)| {
            let mut context = self.intended.context(address, node, intended);
            context.place = *self.present(server(address, node)).place;
            let upstream = context.upstream.as_mut().and_then(|upstream| {
                let other = self.intended.nodes.get(&upstream.address)?;
                let mut server = self.present(server(&upstream.address, other));
                *server.place = node.sees(other, *server.place.clone());
                upstream.at = server.place.peers.clone();
                Some(server)
            });
            Stream {
                instance: instance::server(&context),
                server: self.present(server(address, node)),
                upstream: upstream.filter(|_| matches!(node.role, Role::Standby { .. })),
                application_name: address.node.identifier(),
            }
        };
        nodes.map(stream).collect()
    }

    /// Returns how a server is reached now: one that is to listen elsewhere moves once all streams have the password, for
    /// until then nobody could follow it.
    pub(crate) fn present(&self, server: Server) -> Server {
        let node = self.before.nodes.get(&server.node);
        let runs = node.is_some_and(|node| node.power == Power::Running);
        let place = before::place(self.before, self.observed, &server.node).filter(|_| runs);
        Server {
            place: place.map_or(server.place, Box::new),
            ..server
        }
    }

    fn drop_user(&mut self, address: &UserAddress) {
        let stays = self.intended.clusters.contains_key(&address.cluster);
        let server = self.primary_server(&address.cluster);
        if stays && server.is_none() {
            return;
        }
        let reason = if stays {
            "the configuration no longer declares it"
        } else {
            "it goes with its cluster"
        };
        let delta = vec![Edit::Drop(address.clone().into())];
        let action = Action::DropUser {
            user: address.clone(),
            server,
        };
        self.push(Draft::new(address.clone(), action, reason, delta));
    }
}
