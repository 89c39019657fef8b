//! What an observer would see of a server and of its data.

use std::collections::BTreeMap;

use simdb_state::address::NodeAddress;

use super::{Log, is_seal};
use crate::engine::postgresql::facts::{Control, ControlData, ReceiverFacts, SenderFacts, SlotFacts};
use crate::engine::postgresql::replay::{self, ReplayLimits};
use crate::observed::{ServerFacts, UserFacts};
use crate::simulate::{InstanceDirectory, Running, World};

impl World {
    /// Returns what the data of a node says by itself.
    pub(crate) fn control(&self, address: &NodeAddress, directory: &InstanceDirectory) -> Control {
        let Some((generation, identity)) = directory.data.last_key_value() else {
            return Control::Absent;
        };
        let log = self.logs.get(&(address.clone(), *generation));
        let log = log.cloned().unwrap_or_default();
        Control::Seen(ControlData {
            system_identifier: identity.clone(),
            state: control_state(directory, log.shut_down).to_owned(),
            timeline: log.timeline(),
            checkpoint: log.position(),
            consistent: None,
            limits: log.limits,
        })
    }

    /// Returns what a server says of itself.
    pub(crate) fn server_facts(
        &self,
        address: &NodeAddress,
        directory: &InstanceDirectory,
        server: &Running,
    ) -> ServerFacts {
        let listed = directory.sync_rule().standbys;
        let sender = |other: NodeAddress| {
            let name = other.node.identifier();
            let has = self.log(&other).map(Log::position);
            let facts = SenderFacts {
                state: "streaming".to_owned(),
                sync_state: if listed.contains(&name) { "sync" } else { "async" }.to_owned(),
                flushed: has,
                replayed: has,
            };
            (name, facts)
        };
        let log = self.log(address).cloned().unwrap_or_default();
        ServerFacts {
            in_recovery: server.replays,
            system_identifier: directory.data[&server.generation].clone(),
            timeline: log.timeline(),
            position: log.position(),
            replayed: log.position(),
            replay_paused: server.paused || server.lacking.is_some(),
            needs: server.lacking.or_else(|| server.paused.then_some(server.limits)),
            replay_lag_seconds: None,
            senders: self.streams_from(address).into_iter().map(sender).collect(),
            slots: directory
                .slots
                .iter()
                .map(|name| (name.clone(), slot(directory, name)))
                .collect(),
            receiver: server.replays.then(|| ReceiverFacts {
                status: "streaming".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: 0,
                slot: Some(address.node.identifier()),
            }),
            oldest: Some(Log::end_of(directory.forgotten)),
            exhausted: server.replays,
            fork: None,
            configured: configured(directory, server),
            users: directory
                .users
                .iter()
                .map(|(name, facts)| {
                    let password = self.password(address, directory, name);
                    (
                        name.clone(),
                        UserFacts {
                            password,
                            ..facts.clone()
                        },
                    )
                })
                .collect(),
            databases: directory.databases.clone(),
            settings_of_all: BTreeMap::new(),
        }
    }
}

/// What a server shows of its settings: those that replay depends on are the ones it was started with.
fn configured(directory: &InstanceDirectory, server: &Running) -> BTreeMap<String, String> {
    let mut configured = directory.configured.clone();
    let default = ReplayLimits::default();
    for (name, _) in replay::SETTINGS {
        let has = server.limits.value(name);
        if let Some(value) = has.filter(|_| configured.contains_key(name) || has != default.value(name)) {
            configured.insert(name.to_owned(), value.to_string());
        }
    }
    configured
}

/// What `pg_controldata` says of the data that a server was last started on.
fn control_state(directory: &InstanceDirectory, shut_down: bool) -> &'static str {
    let replays = directory.files.keys().any(|file| is_seal(file));
    match (replays, shut_down) {
        (true, true) => "shut down in recovery",
        (true, false) => "in archive recovery",
        (false, true) => "shut down",
        (false, false) => "in production",
    }
}

fn slot(directory: &InstanceDirectory, name: &String) -> SlotFacts {
    let status = if directory.lost.contains(name) {
        "lost"
    } else {
        "reserved"
    };
    SlotFacts {
        active: status == "reserved",
        wal_status: Some(status.to_owned()),
        restart: None,
        database: None,
        transient: false,
    }
}
