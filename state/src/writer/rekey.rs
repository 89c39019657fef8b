//! Locks the secrets of a record by another key.

use std::collections::{BTreeMap, BTreeSet};

use super::{Commit, Writer};
use crate::address::Address;
use crate::backend::Write;
use crate::format::{encode, object_rows};
use crate::object::State;
use crate::record::blocking;
use crate::secret::{self, Key, KeySource};
use crate::sensitive::{SecretName, Secrets};
use crate::store::StoreError;

impl Writer {
    /// Locks all secrets by another key, in one commit: the passphrase of `keys`, or else a key file made for it. Whoever
    /// had the record open before must open it again, so this ends the writer and gives the lock back.
    pub async fn rekey(mut self, keys: &KeySource) -> Result<(), StoreError> {
        let done = self.lock_anew(keys).await;
        let unlocked = self.unlock().await;
        done.and(unlocked)
    }

    async fn lock_anew(&mut self, keys: &KeySource) -> Result<(), StoreError> {
        let secrets = self.record.secrets().await?;
        let (lineage, source) = (self.record.lineage.clone(), keys.clone());
        let made = blocking(move || secret::make_next(&lineage, &source)).await;
        let (key, row) = made.map_err(|error| self.record.secret_failed(error))?;
        let mut writes = vec![Write::put(secret::key_row(), encode(&row))];
        writes.extend(sealed(self.state(), &secrets, &key));
        let commit = Commit {
            writes,
            ..Commit::default()
        };
        self.write(&commit).await?;
        let (lineage, source) = (self.record.lineage.clone(), keys.clone());
        let settled = blocking(move || secret::settle(&lineage, &source, &row)).await;
        settled.map_err(|error| self.record.secret_failed(error))
    }
}

/// Seals all secrets by a key. The passwords that the configuration gives are known by their digests under the key, which
/// are part of their names.
fn sealed(state: &State, secrets: &Secrets, key: &Key) -> Vec<Write> {
    let mut users = BTreeMap::new();
    let mut names: BTreeMap<SecretName, SecretName> = BTreeMap::new();
    for (address, user) in &state.users {
        let name = user.password(address);
        let given = user.password_digest.as_ref().and_then(|_| secrets.get(&name));
        if let Some(password) = given {
            let mut user = user.clone();
            user.password_digest = Some(key.digest(password.expose()));
            names.insert(name, user.password(address));
            users.insert(address.clone(), user);
        }
    }
    let mut writes: Vec<Write> = names
        .keys()
        .map(|name| Write::delete(secret::secret_key(name)))
        .collect();
    let renamed = |name| names.get(name).unwrap_or(name);
    writes.extend(secrets.iter().map(|(name, value)| key.seal_row(renamed(name), value)));
    let addresses: BTreeSet<Address> = users.keys().cloned().map(Address::from).collect();
    let digested = State {
        users,
        ..State::default()
    };
    writes.extend(object_rows(&digested, &addresses));
    writes
}
