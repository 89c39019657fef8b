//! What a running server's configuration differs in from what it should be.
//!
//! Two things are compared: the files, with what was last written (edited by hand, or written by another version of
//! simdb), and the settings that the server took from files, with those it should have. The second catches what the
//! first cannot: a file that was edited, read and put back, `ALTER SYSTEM`, and a restart that is still due.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::name::NodeName;

use crate::engine::conf;
use crate::engine::parameters::Release;
use crate::engine::{NodeContext, instance};
use crate::observed::{NodeFacts, Observation, ProcessFacts};
use crate::plan::Impact;
use crate::planner::cause::Causes;
use crate::planner::pairs::pairs;

/// What differs. It is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drift {
    /// Settings by name: what the server has, and what it should have.
    pub(crate) settings: BTreeMap<String, (Option<String>, Option<String>)>,
    /// Files that do not hold what they should, by name.
    pub(crate) files: BTreeMap<String, FileDifference>,
    /// Whether the server was started without simdb.
    pub(crate) foreign: bool,
    /// Whether it takes a restart to mend it.
    pub(crate) restart: bool,
}

/// How a file came to differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileDifference {
    /// It does not hold what simdb wrote last.
    Edited,
    /// It holds what simdb wrote last, and something else is due by now.
    Outdated,
}

/// The parameters that a node was given, as the record and the configuration tell.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    /// What the node's server runs.
    pub(crate) release: Release,
    /// Those on record, by name.
    pub(crate) recorded: &'a BTreeMap<String, String>,
    /// Those declared, by name.
    pub(crate) declared: &'a BTreeMap<String, String>,
}

impl Drift {
    /// Returns whether one file differs, and nothing else.
    pub(crate) fn is_of(&self, file: &str) -> bool {
        self.settings.is_empty() && !self.foreign && self.files.len() == 1 && self.files.contains_key(file)
    }

    /// Returns what else differs than files whose settings the server has anyway: the record accepted what was set in a
    /// session, so that the file that simdb wrote last says less than it.
    pub(super) fn settled(mut self) -> Option<Self> {
        if self.settings.is_empty() && self.files.get(conf::CONF) == Some(&FileDifference::Outdated) {
            self.files
                .retain(|name, _| name != conf::CONF && !instance::is_altered(name));
        }
        (self != Self::default()).then_some(self)
    }

    /// Returns what else differs than settings that are ignored, and the file in which they were set in a session.
    pub(super) fn ignoring(mut self, release: Release, is_ignored: impl Fn(&str) -> bool) -> Option<Self> {
        let before = self.settings.len();
        self.settings.retain(|setting, _| !is_ignored(setting));
        if self.settings.is_empty() && before > 0 {
            self.files.retain(|name, _| !instance::is_altered(name));
        }
        self.restart = self.foreign || takes_a_restart(release, &self.settings);
        (self != Self::default()).then_some(self)
    }

    /// Returns what else differs than these settings.
    pub(super) fn without(mut self, release: Release, name: fn(&str) -> bool) -> Option<Self> {
        self.settings.retain(|setting, _| !name(setting));
        self.restart = self.foreign || takes_a_restart(release, &self.settings);
        (self != Self::default()).then_some(self)
    }

    /// Says what differs and where that comes from: `configuration: work_mem 4MB -> 8MB; drift: …`.
    pub(crate) fn reason(&self, node: &NodeName, given: Given<'_>) -> String {
        if self.foreign {
            return format!("drift: {node}'s server was started without simdb, with settings of its own");
        }
        if self.settings.is_empty() {
            let edited = |(_, difference): &(&String, &FileDifference)| **difference == FileDifference::Edited;
            let (edited, outdated): (Vec<_>, Vec<_>) = self.files.iter().partition(edited);
            let names = |files: &[(&String, _)]| {
                files
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            return if edited.is_empty() {
                format!("configuration: {} of {node} changes", names(&outdated))
            } else {
                format!("drift: {} of {node} does not hold what simdb wrote", names(&edited))
            };
        }
        let mut causes = Causes::default();
        for (name, (has, wanted)) in &self.settings {
            let shown = |value: &Option<String>| {
                let value = value.as_ref()?;
                Some(given.release.shown(name, value))
            };
            let of_node = format!("{name} of {node}");
            if given.changes(name, has.as_deref()) {
                causes.configured(name, shown(has), shown(wanted));
            } else if given.release.is_text(name) {
                // What somebody set may hold a secret, so it is only named.
                causes.drifted(&of_node, None::<&str>, None::<&str>);
            } else {
                causes.drifted(&of_node, shown(has), shown(wanted));
            }
        }
        causes.reason().unwrap_or_default()
    }
}

impl Given<'_> {
    /// Returns whether the configuration changes a parameter, and the server has the recorded one.
    fn changes(&self, name: &str, has: Option<&str>) -> bool {
        let (recorded, declared) = (self.recorded.get(name), self.declared.get(name));
        let as_recorded = match (has, recorded) {
            (Some(has), Some(recorded)) => self.release.equal(name, has, recorded),
            (None, None) => true,
            _ => false,
        };
        recorded != declared && as_recorded
    }

    /// Says what the configuration changes: `configuration: work_mem 4MB -> 8MB`.
    pub(crate) fn reason(&self) -> String {
        let mut causes = Causes::default();
        for (name, old, new) in pairs(self.recorded, self.declared).filter(|(_, old, new)| old != new) {
            causes.configured(name, old, new);
        }
        causes.reason().unwrap_or_default()
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
        drift.settings = different_settings(node.release, &conf::settings(node), &server.configured);
        drift.restart = takes_a_restart(node.release, &drift.settings);
    }
    if !drift.foreign {
        drift.files = different_files(node, facts);
        if rotated {
            drift.files.remove(instance::PASSFILE);
        }
    }
    (drift != Drift::default()).then_some(drift)
}

fn takes_a_restart(release: Release, settings: &BTreeMap<String, (Option<String>, Option<String>)>) -> bool {
    settings.keys().any(|name| release.impact(name) == Impact::Restart)
}

fn different_settings(
    release: Release,
    wanted: &BTreeMap<String, String>,
    has: &BTreeMap<String, String>,
) -> BTreeMap<String, (Option<String>, Option<String>)> {
    // One name may be spelled in several ways, and older ones still count.
    let spelled = |values: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let pair = |(name, value): (&String, &String)| (release.spelled(name).to_owned(), value.clone());
        values.iter().map(pair).collect()
    };
    let (wanted, has) = (spelled(wanted), spelled(has));
    let names: BTreeSet<&String> = wanted.keys().chain(has.keys()).collect();
    let differ = |name: &&String| match (has.get(*name), wanted.get(*name)) {
        (Some(has), Some(wanted)) => !release.equal(name, has, wanted),
        // A file may set a value that the server does not count as set, such as an empty one that is the default.
        (None, Some(wanted)) => !wanted.is_empty(),
        (Some(_), None) => true,
        (None, None) => false,
    };
    let pair = |name: &String| (name.clone(), (has.get(name).cloned(), wanted.get(name).cloned()));
    names.into_iter().filter(differ).map(pair).collect()
}

fn different_files(node: &NodeContext<'_>, facts: &NodeFacts) -> BTreeMap<String, FileDifference> {
    let instance = instance::server(node);
    let difference = |name: &String, digest: &str| match facts.files.get(name) {
        Some(file) if !file.edited && file.digest == digest => None,
        Some(file) if !file.edited => Some(FileDifference::Outdated),
        _ => Some(FileDifference::Edited),
    };
    let files = instance.written();
    files
        .filter_map(|(name, text)| Some((name.clone(), difference(name, &text.digest())?)))
        .collect()
}
