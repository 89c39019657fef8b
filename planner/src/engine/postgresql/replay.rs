//! Settings that a standby must not have below those of the server whose log it replays.
//!
//! The control data of a standby say how much the log that it has replayed asks for. A standby that has less does not
//! start, and one that runs pauses its replay. Every standby is therefore started with what its file and its control data
//! ask for, whichever is more, and is restarted as its file says once its control data ask for no more than that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use simdb_state::instance::{Argument, ArgumentPart, InstanceSpec};

use super::{conf, settings};

/// The settings, each with the value that a server has where nothing sets it, as in 15 to 18.
pub const SETTINGS: [(&str, u32); 5] = [
    ("max_connections", 100),
    ("max_worker_processes", 8),
    ("max_wal_senders", 10),
    ("max_prepared_transactions", 0),
    ("max_locks_per_transaction", 64),
];

/// The values of [`SETTINGS`], in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplayLimits([u32; SETTINGS.len()]);

/// Returns how many streams of the log a server has room for.
pub(crate) fn streams() -> usize {
    let senders = conf::fixed("max_wal_senders").and_then(|value| value.parse().ok());
    senders.expect("every server has this setting, a number")
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self(SETTINGS.map(|(_, default)| default))
    }
}

impl ReplayLimits {
    /// Takes each value from a reader, which is given the position in [`SETTINGS`] and the name.
    pub fn try_from_each<E>(mut read: impl FnMut(usize, &'static str) -> Result<u32, E>) -> Result<Self, E> {
        let mut limits = Self::default();
        for (at, (name, _)) in SETTINGS.iter().enumerate() {
            limits.0[at] = read(at, name)?;
        }
        Ok(limits)
    }

    /// Returns the values among the settings of a server, by name as its file or `pg_settings` spells them.
    pub fn of(version: u16, all: &BTreeMap<String, String>) -> Self {
        Self(SETTINGS.map(|(name, default)| {
            let given = all.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
            let value = given.and_then(|(_, value)| read(version, name, value));
            value.unwrap_or(default)
        }))
    }

    /// Returns the values of a server that is given these parameters, by name as the configuration spells them.
    pub(crate) fn with_parameters(version: u16, parameters: &BTreeMap<String, String>) -> Self {
        let mut limits = Self::of(version, parameters);
        for (value, (name, _)) in limits.0.iter_mut().zip(SETTINGS) {
            if let Some(fixed) = conf::fixed(name).and_then(|fixed| read(version, name, fixed)) {
                *value = fixed;
            }
        }
        limits
    }

    /// Returns the values that a server is started with: those of its arguments, else those of its file.
    pub fn of_instance(instance: &InstanceSpec) -> Self {
        let mut all = conf::read(instance);
        all.extend(instance.command.arguments.iter().filter_map(given));
        Self::of(instance.command.version, &all)
    }

    /// Returns the greater one of each value.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        let mut greater = self;
        for (value, other) in greater.0.iter_mut().zip(other.0) {
            *value = other.max(*value);
        }
        greater
    }

    /// Returns the names of the settings that are above those of another server.
    pub fn above(&self, other: &Self) -> Vec<&'static str> {
        let each = SETTINGS.iter().zip(self.0.iter().zip(other.0));
        let above = each.filter(|(_, (own, other))| **own > *other);
        above.map(|((name, _), _)| *name).collect()
    }

    /// Returns whether any setting is above that of another server.
    pub fn exceeds(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(own, other)| *own > other)
    }

    /// Returns the value of a setting by its name.
    pub fn value(&self, name: &str) -> Option<u32> {
        let at = SETTINGS.iter().position(|(other, _)| *other == name)?;
        Some(self.0[at])
    }
}

fn read(version: u16, name: &str, value: &str) -> Option<u32> {
    let plain = value.parse().ok();
    plain.or_else(|| settings::canonical(version, name, value).parse().ok())
}

/// Returns whether replay depends on a setting.
pub fn is_limit(name: &str) -> bool {
    SETTINGS.iter().any(|(limit, _)| name.eq_ignore_ascii_case(limit))
}

/// Returns a standby that can replay log which asks for this much: arguments outrank what its file has less of.
#[must_use]
pub fn fit(instance: &InstanceSpec, needed: &ReplayLimits) -> InstanceSpec {
    let has = ReplayLimits::of_instance(instance);
    let mut fitted = instance.clone();
    for name in needed.above(&has) {
        let value = needed.value(name).unwrap_or_default();
        let arguments = [Argument::text("-c"), Argument::text(format!("{name}={value}"))];
        fitted.command.arguments.extend(arguments);
    }
    fitted
}

fn given(argument: &Argument) -> Option<(String, String)> {
    let [ArgumentPart::Text(text)] = argument.0.as_slice() else {
        return None;
    };
    let (name, value) = text.split_once('=')?;
    Some((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use simdb_state::instance::LOOPBACK;
    use simdb_state::object::{EngineKind, Resources};
    use simdb_state::place::{Bind, Place};
    use simdb_state::sync::SyncRule;

    use super::*;
    use crate::engine::NodeContext;
    use crate::engine::parameters::Release;
    use crate::engine::postgresql::instance;

    fn pairs(values: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        values.iter().map(pair).collect()
    }

    fn instance(parameters: &[(&str, &str)]) -> InstanceSpec {
        let address = "cluster.orders.node.a".parse().unwrap();
        instance::server(&NodeContext {
            address: &address,
            made_as: address.clone(),
            release: Release {
                engine: EngineKind::Postgresql,
                version: 15,
            },
            image: None,
            resources: Resources::default(),
            place: Place::shared(Bind {
                host: LOOPBACK,
                port: 5432,
            }),
            parameters: &pairs(parameters),
            generation: 1,
            outside: false,
            has_peers_elsewhere: false,
            upstream: None,
            sync_rule: SyncRule::default(),
            replication_password: instance::replication_password(&address.cluster),
        })
    }

    fn needed(values: &[(&str, &str)]) -> ReplayLimits {
        ReplayLimits::of(15, &pairs(values))
    }

    #[test]
    fn a_standby_is_started_with_no_less_than_its_data_ask_for() {
        let standby = instance(&[("max_connections", "50"), ("max_worker_processes", "16")]);
        let fitted = fit(
            &standby,
            &needed(&[("max_connections", "100"), ("max_worker_processes", "8")]),
        );
        let added = &fitted.command.arguments[standby.command.arguments.len()..];
        let added: Vec<String> = added
            .iter()
            .map(|argument| argument.render("instance directory"))
            .collect();
        expect!["-c max_connections=100"].assert_eq(&added.join(" "));
        assert!(!ReplayLimits::default().exceeds(&ReplayLimits::of_instance(&fitted)));
        assert_eq!(fit(&fitted, &ReplayLimits::default()), fitted);
        assert_eq!(fit(&standby, &needed(&[("max_connections", "40")])), standby);
    }

    #[test]
    fn lowering_what_standbys_must_have_is_told_from_raising_it() {
        let lowers = |old: &[(&str, &str)], new: &[(&str, &str)]| needed(old).exceeds(&needed(new));
        assert!(lowers(&[("max_connections", "50")], &[("max_connections", "40")]));
        assert!(lowers(&[("max_connections", "200")], &[]), "the default is 100");
        assert!(lowers(&[], &[("MAX_WAL_SENDERS", "5")]));
        assert!(!lowers(&[("max_connections", "50")], &[("max_connections", "0x32")]));
        assert!(!lowers(&[("max_connections", "50")], &[]));
        assert!(!lowers(&[("work_mem", "8MB")], &[("work_mem", "4MB")]));
    }

    #[test]
    fn a_setting_that_nothing_sets_has_its_default() {
        let parameters = [("Max_Connections", "120"), ("work_mem", "8MB")];
        let limits = ReplayLimits::of_instance(&instance(&parameters));
        assert_eq!(ReplayLimits::with_parameters(15, &pairs(&parameters)), limits);
        assert_eq!(limits.value("max_connections"), Some(120));
        assert_eq!(limits.value("max_locks_per_transaction"), Some(64));
        assert_eq!(
            limits.above(&ReplayLimits::default()),
            ["max_connections", "max_wal_senders"]
        );
        assert_eq!(limits.value("work_mem"), None);
    }
}
