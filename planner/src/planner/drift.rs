//! What a running server's configuration differs in from what it should be.
//!
//! Two things are compared: the files, with what was last written (edited by hand, or written by another version of
//! simdb), and the settings that the server took from files, with those it should have. The second catches what the
//! first cannot: a file that was edited, read and put back, `ALTER SYSTEM`, and a restart that is still due.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::name::NodeName;

use crate::engine::conf;
use crate::engine::settings;
use crate::engine::{NodeContext, instance};
use crate::observed::{NodeFacts, Observation, ProcessFacts};
use crate::plan::Impact;

/// What differs. It is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drift {
    /// Settings by name: what the server has, and what it should have.
    pub(crate) settings: BTreeMap<String, (Option<String>, Option<String>)>,
    /// Files that do not hold what they should.
    pub(crate) files: BTreeSet<String>,
    /// Whether the server was started by somebody else.
    pub(crate) foreign: bool,
    /// Whether it takes a restart to mend it.
    pub(crate) restart: bool,
}

impl Drift {
    /// Returns whether one file differs, and nothing else.
    pub(crate) fn is_of(&self, file: &str) -> bool {
        self.settings.is_empty() && !self.foreign && self.files.len() == 1 && self.files.contains(file)
    }

    /// Returns what else differs than these settings.
    pub(super) fn without(mut self, version: u16, name: fn(&str) -> bool) -> Option<Self> {
        self.settings.retain(|setting, _| !name(setting));
        self.restart = self.foreign || takes_a_restart(version, &self.settings);
        (self != Self::default()).then_some(self)
    }

    /// Says what differs, as a fragment that follows "because".
    pub(crate) fn reason(&self, node: &NodeName) -> String {
        if self.foreign {
            return format!("somebody started {node}'s server without simdb, with settings of its own");
        }
        let settings: Vec<&str> = self.settings.keys().map(String::as_str).collect();
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        match (settings.is_empty(), files.is_empty()) {
            (false, _) => format!("{node} runs with another {}", settings.join(", ")),
            (true, _) => format!("{} of {node} does not hold what simdb wrote", files.join(", ")),
        }
    }
}

/// Returns what differs on a node that runs; nothing where that is not known. While the password changes that nodes
/// stream with, their passfiles do not count.
pub(crate) fn drift(node: &NodeContext<'_>, facts: &NodeFacts, rotated: bool) -> Option<Drift> {
    let mut drift = match facts.process {
        ProcessFacts::Running { .. } => Drift::default(),
        ProcessFacts::Foreign { .. } => Drift {
            foreign: true,
            restart: true,
            ..Drift::default()
        },
        ProcessFacts::Down | ProcessFacts::Frozen { .. } | ProcessFacts::Stopping { .. } => return None,
    };
    if let (Some(Observation::Seen(server)), false) = (&facts.server, drift.foreign) {
        drift.settings = different_settings(node.version, &conf::settings(node), &server.configured);
        drift.restart = takes_a_restart(node.version, &drift.settings);
    }
    if !drift.foreign {
        drift.files = different_files(node, facts);
        if rotated {
            drift.files.remove(instance::PASSFILE);
        }
    }
    (drift != Drift::default()).then_some(drift)
}

fn takes_a_restart(version: u16, settings: &BTreeMap<String, (Option<String>, Option<String>)>) -> bool {
    let impact = |name| settings::impact(version, name);
    settings.keys().any(|name| impact(name) == Impact::Restart)
}

fn different_settings(
    version: u16,
    wanted: &BTreeMap<String, String>,
    has: &BTreeMap<String, String>,
) -> BTreeMap<String, (Option<String>, Option<String>)> {
    // One name may be spelled in several ways, and older ones still count.
    let spelled = |values: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let pair = |(name, value): (&String, &String)| (settings::spelled(version, name).to_owned(), value.clone());
        values.iter().map(pair).collect()
    };
    let (wanted, has) = (spelled(wanted), spelled(has));
    let names: BTreeSet<&String> = wanted.keys().chain(has.keys()).collect();
    let differ = |name: &&String| match (has.get(*name), wanted.get(*name)) {
        (Some(has), Some(wanted)) => !settings::equal(version, name, has, wanted),
        // A file may set a value that the server does not count as set, such as an empty one that is the default.
        (None, Some(wanted)) => !wanted.is_empty(),
        (Some(_), None) => true,
        (None, None) => false,
    };
    let pair = |name: &String| (name.clone(), (has.get(name).cloned(), wanted.get(name).cloned()));
    names.into_iter().filter(differ).map(pair).collect()
}

fn different_files(node: &NodeContext<'_>, facts: &NodeFacts) -> BTreeSet<String> {
    let instance = instance::server(node);
    let differs = |name: &String, digest: &str| {
        facts
            .files
            .get(name)
            .is_none_or(|file| file.edited || file.digest != digest)
    };
    let files = instance.written().filter(|(name, text)| differs(name, &text.digest()));
    files.map(|(name, _)| name.clone()).collect()
}
