//! What differs on servers and shows in no attribute of the record, under names by which it can be ignored.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::Address;
use simdb_state::object::State;

use super::Inputs;
use super::before;
use super::intended::Intended;
use crate::engine::instance;
use crate::observed::PasswordFacts;

/// By object: `parameters.NAME` and `files.NAME` of a running server, `password` of a login.
pub type Differing = BTreeMap<Address, BTreeSet<String>>;

/// Returns what differs.
pub(super) fn differing(inputs: Inputs<'_>, before: &State, intended: &Intended) -> Differing {
    let mut differing = Differing::new();
    for (address, drift) in &intended.drift {
        let settings = drift.settings.keys().map(|name| format!("parameters.{name}"));
        // The file in which settings were set in a session is no more than they are.
        let is_more = |name: &&String| drift.settings.is_empty() || !instance::is_altered(name);
        let files = drift.files.keys().filter(is_more);
        let files = files.map(|name| format!("files.{name}"));
        differing.insert(address.clone().into(), settings.chain(files).collect());
    }
    for address in intended.users.keys() {
        let server = before::primary_server(before, inputs.observed, &address.cluster);
        let role = server.and_then(|server| server.users.get(address.user.as_str()));
        let is_lost = |password| matches!(password, PasswordFacts::Other | PasswordFacts::Expired);
        if role.is_some_and(|role| is_lost(role.password)) {
            let password = BTreeSet::from(["password".to_owned()]);
            differing.insert(address.clone().into(), password);
        }
    }
    differing
}
