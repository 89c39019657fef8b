//! Why a value changes, in words: the configuration declares another one than is recorded, or a server drifted.

use std::fmt::Display;

/// What differs, told apart by where it comes from.
#[derive(Default)]
pub(crate) struct Causes {
    configuration: Vec<String>,
    drift: Vec<String>,
}

impl Causes {
    /// Adds a value that the configuration changes.
    pub(crate) fn configured(&mut self, name: &str, old: Option<impl Display>, new: Option<impl Display>) {
        self.configuration.push(match (old, new) {
            (Some(old), Some(new)) => format!("{name} {old} -> {new}"),
            (None, Some(new)) => format!("{name} = {new}"),
            (_, None) => format!("no {name} any more"),
        });
    }

    /// Adds a value that is another one than simdb made it.
    pub(crate) fn drifted(&mut self, name: &str, has: Option<impl Display>, wanted: Option<impl Display>) {
        self.drift.push(match (has, wanted) {
            (Some(has), Some(wanted)) => format!("{name} is {has} in place of {wanted}"),
            (Some(has), None) => format!("{name} is {has} in place of its default"),
            (None, Some(wanted)) => format!("{name} is not set to {wanted}"),
            (None, None) => format!("{name} is not the one that simdb made"),
        });
    }

    /// Returns all of it as a fragment that follows "because", or nothing where nothing was added:
    /// `configuration: work_mem 4MB -> 8MB; drift: owner is ro in place of app`.
    pub(crate) fn reason(&self) -> Option<String> {
        let parts = [("configuration", &self.configuration), ("drift", &self.drift)].into_iter();
        let parts = parts.filter(|(_, found)| !found.is_empty());
        let parts: Vec<String> = parts
            .map(|(cause, found)| format!("{cause}: {}", found.join(", ")))
            .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}
