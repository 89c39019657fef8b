//! What becomes of a login.

use simdb_state::address::UserAddress;
use simdb_state::delta::Edit;
use simdb_state::object::User;
use simdb_state::sensitive::SecretName;

use super::{Draft, Lowering};
use crate::plan::Action;

impl Lowering<'_> {
    pub(super) fn user(&mut self, address: &UserAddress, old: Option<&User>, new: Option<&User>) {
        match (old, new) {
            (old, Some(new)) if old != Some(new) => {
                let Some(server) = self.primary_server(&address.cluster) else {
                    return;
                };
                let password = SecretName::password(address);
                let action = Action::ReplicationUser {
                    user: address.clone(),
                    attributes: new.clone(),
                    password: password.clone(),
                    server,
                };
                let delta = vec![Edit::User(address.clone(), new.clone())];
                let reason = "standbys stream with it, and with it alone";
                self.push(Draft::new(address.clone(), action, reason, delta).generating(password));
            }
            (Some(_), None) => {
                let delta = vec![Edit::Drop(address.clone().into())];
                let action = Action::DropUser { user: address.clone() };
                self.push(Draft::new(address.clone(), action, "it goes with its cluster", delta));
            }
            _ => {}
        }
    }
}
