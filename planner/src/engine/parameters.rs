//! The parameters of a cluster's servers, each by the rules of the engine that it is for.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::object::{Cluster, EngineKind};

use super::parameters_of;
use crate::plan::Impact;

/// What a server runs: an engine in one of its major versions. One of two numbers is a hundred times the first, and the second: 10.11 is
/// 1011.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The engine.
    pub engine: EngineKind,
    /// Its major version.
    pub version: u16,
}

/// Why no configuration can set a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// simdb sets it; why, as a sentence.
    Reserved(&'static str),
    /// It makes no sense for a cluster; why, as a sentence.
    Senseless(&'static str),
}

/// Parameters that belong to simdb, or to no cluster, with the reason that they share, as a sentence.
pub(super) struct Group {
    pub(super) names: &'static [&'static str],
    pub(super) reason: &'static str,
}

/// Returns the reason that a parameter shares with others.
pub(super) fn reason(groups: &[Group], name: &str) -> Option<&'static str> {
    let group = groups.iter().find(|group| group.names.contains(&name));
    group.map(|group| group.reason)
}

/// What an engine knows of the parameters of its servers, by major version. A value is a text as a configuration gives it, or as a server
/// shows it.
pub(super) trait Parameters: Sync {
    /// Returns why no configuration can set a parameter, whatever the version.
    fn refusal(&self, name: &str) -> Option<Refusal>;
    /// Returns what is wrong with the parameters of one server, as sentences by parameter.
    fn problems<'a>(&self, version: u16, parameters: &'a BTreeMap<String, String>) -> BTreeMap<&'a str, String>;
    /// Returns the name as servers spell it; one that is not known is returned as it is.
    fn spelled<'a>(&self, version: u16, name: &'a str) -> &'a str;
    /// Returns what a change costs.
    fn impact(&self, version: u16, name: &str) -> Impact;
    /// Returns whether servers take two values for the same.
    fn equal(&self, version: u16, name: &str, a: &str, b: &str) -> bool;
    /// Returns a value as people write it.
    fn shown(&self, version: u16, name: &str, value: &str) -> String;
    /// Returns whether any text is a value, so that one that was set on a server may hold a secret.
    fn is_text(&self, version: u16, name: &str) -> bool;
}

/// Returns why no configuration can set a parameter of an engine.
pub(crate) fn refusal(engine: EngineKind, name: &str) -> Option<Refusal> {
    parameters_of(engine).refusal(name)
}

impl From<&Cluster> for Release {
    fn from(cluster: &Cluster) -> Self {
        Self {
            engine: cluster.engine,
            version: cluster.version,
        }
    }
}

impl Release {
    fn parameters(self) -> &'static dyn Parameters {
        parameters_of(self.engine)
    }

    /// Returns what is wrong with the parameters of one server, as sentences by parameter.
    pub(crate) fn problems(self, parameters: &BTreeMap<String, String>) -> BTreeMap<&str, String> {
        self.parameters().problems(self.version, parameters)
    }

    /// Returns the name of a parameter as servers spell it; one that is not known is returned as it is.
    pub(crate) fn spelled(self, name: &str) -> &str {
        self.parameters().spelled(self.version, name)
    }

    /// Returns what a change of a parameter costs.
    pub(crate) fn impact(self, name: &str) -> Impact {
        self.parameters().impact(self.version, name)
    }

    /// Returns whether servers take two values of a parameter for the same.
    pub(crate) fn equal(self, name: &str, a: &str, b: &str) -> bool {
        self.parameters().equal(self.version, name, a, b)
    }

    /// Returns a value of a parameter as people write it.
    pub(crate) fn shown(self, name: &str, value: &str) -> String {
        self.parameters().shown(self.version, name, value)
    }

    /// Returns whether any text is a value of a parameter, so that one that was set on a server may hold a secret.
    pub(crate) fn is_text(self, name: &str) -> bool {
        self.parameters().is_text(self.version, name)
    }

    /// Returns the names of the parameters that differ and take a restart to change.
    pub(crate) fn restarting(self, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> BTreeSet<String> {
        let names = old.keys().chain(new.keys());
        let differs = |name: &&String| old.get(*name) != new.get(*name) && self.impact(name) == Impact::Restart;
        names.filter(differs).cloned().collect()
    }
}
