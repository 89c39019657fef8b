//! What files hold, as far as functions and modules ask for it. The planner reads none: what is missing is asked for, the
//! caller hands it in, and the configuration is read once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use regex::Regex;

/// What a configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// What a path leads to.
    File(String),
    /// The paths of all files below a directory, from there on, with `/` between their parts.
    Names(String),
    /// The names of the files right in a directory.
    Entries(String),
    /// The directory into which a repository was checked out, given its source.
    Checkout(String),
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file, and what it holds.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// Neither.
    Nothing,
    /// Something that cannot be read, and why.
    Unreadable(String),
}

/// The files that a configuration refers to. Paths count from its directory.
#[derive(Debug, Default)]
pub struct Files {
    /// The directory of the configuration, from the root of the file system.
    pub(crate) directory: String,
    /// The home directory of the user.
    pub(crate) home: Option<String>,
    /// The workspace that the configuration is read in.
    pub(crate) workspace: Option<String>,
    found: BTreeMap<String, Found>,
    names: BTreeMap<String, Result<Vec<String>, String>>,
    entries: BTreeMap<String, Result<Vec<String>, String>>,
    checkouts: BTreeMap<String, Result<String, String>>,
    wanted: Mutex<BTreeSet<Wanted>>,
}

impl Files {
    /// Makes files of which none is known yet.
    pub fn new(directory: impl Into<String>, home: Option<String>) -> Self {
        Self {
            directory: directory.into(),
            home,
            ..Self::default()
        }
    }

    /// Sets the workspace that the configuration is read in.
    #[must_use]
    pub fn in_workspace(self, name: impl Into<String>) -> Self {
        Self {
            workspace: Some(name.into()),
            ..self
        }
    }

    /// Hands in what a path leads to.
    pub fn add(&mut self, path: impl Into<String>, found: Found) {
        self.found.insert(path.into(), found);
    }

    /// Hands in the files below a directory, or why they cannot be listed.
    pub fn add_names(&mut self, directory: impl Into<String>, names: Result<Vec<String>, String>) {
        self.names.insert(directory.into(), names);
    }

    /// Hands in the names of the files in a directory, or why they cannot be listed.
    pub fn add_entries(&mut self, directory: impl Into<String>, names: Result<Vec<String>, String>) {
        self.entries.insert(directory.into(), names);
    }

    /// Hands in the directory into which a repository was checked out, or why there is none.
    pub fn add_checkout(&mut self, source: impl Into<String>, directory: Result<String, String>) {
        self.checkouts.insert(source.into(), directory);
    }

    /// Returns the texts among what was handed in, by path.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.found.iter().filter_map(|(path, found)| match found {
            Found::File(bytes) => Some((path.as_str(), std::str::from_utf8(bytes).ok()?)),
            Found::Directory | Found::Nothing | Found::Unreadable(_) => None,
        })
    }

    /// Returns the sources of all repositories that were asked for and handed in.
    pub fn repositories(&self) -> impl Iterator<Item = &str> {
        self.checkouts.keys().map(String::as_str)
    }

    /// Takes what was asked for and is not there.
    pub fn take_wanted(&self) -> BTreeSet<Wanted> {
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ask(&self, wanted: Wanted) {
        self.wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(wanted);
    }

    /// Returns what a path leads to; nothing where that must be handed in first.
    pub fn read(&self, path: &str) -> Option<&Found> {
        let found = self.found.get(path);
        if found.is_none() {
            self.ask(Wanted::File(path.to_owned()));
        }
        found
    }

    /// Returns the files below a directory; nothing where they must be handed in first.
    pub(crate) fn names(&self, directory: &str) -> Option<&Result<Vec<String>, String>> {
        let names = self.names.get(directory);
        if names.is_none() {
            self.ask(Wanted::Names(directory.to_owned()));
        }
        names
    }

    /// Returns the directory into which a repository was checked out; nothing where it must be handed in first.
    pub fn checkout(&self, source: &str) -> Option<&Result<String, String>> {
        let directory = self.checkouts.get(source);
        if directory.is_none() {
            self.ask(Wanted::Checkout(source.to_owned()));
        }
        directory
    }

    /// Returns the names of the files in a directory; nothing where they must be handed in first.
    pub fn entries(&self, directory: &str) -> Option<&Result<Vec<String>, String>> {
        let names = self.entries.get(directory);
        if names.is_none() {
            self.ask(Wanted::Entries(directory.to_owned()));
        }
        names
    }
}

/// Returns the shortest path of the same meaning.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let is_absolute = path.starts_with('/');
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    match (is_absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Reads a pattern of paths: `*` and `?` stand for parts of a name, `**` for directories, `{a,b}` for either.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    let mut regex = String::from("^");
    let mut rest = text;
    let mut in_braces = false;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' if rest.starts_with("*/") => {
                regex.push_str("(?:[^/]+/)*");
                rest = &rest[2..];
            }
            '*' if rest.starts_with('*') => {
                regex.push_str(".*");
                rest = &rest[1..];
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => {
                let end = rest.find(']').ok_or("the pattern has a \"[\" that is not closed")?;
                let class = rest[..end].replace('\\', "\\\\").replace('[', "\\[");
                let class = class
                    .strip_prefix('!')
                    .map_or(class.clone(), |class| format!("^{class}"));
                regex.extend(["[", class.as_str(), "]"]);
                rest = &rest[end + 1..];
            }
            '{' if !in_braces => {
                in_braces = true;
                regex.push_str("(?:");
            }
            ',' if in_braces => regex.push('|'),
            '}' if in_braces => {
                in_braces = false;
                regex.push(')');
            }
            '\\' => {
                let next = rest.chars().next().ok_or("the pattern ends after a backslash")?;
                regex.push_str(&regex::escape(&next.to_string()));
                rest = &rest[next.len_utf8()..];
            }
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    if in_braces {
        return Err("the pattern has a \"{\" that is not closed".to_owned());
    }
    regex.push('$');
    Regex::new(&regex).map_err(|_| "it is no pattern of paths".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_paths() {
        let matches = |text: &str, path: &str| pattern(text).unwrap().is_match(path);
        assert!(matches("*.sql", "a.sql"));
        assert!(!matches("*.sql", "b/a.sql"));
        assert!(matches("**/*.sql", "a.sql"));
        assert!(matches("**/*.sql", "b/c/a.sql"));
        assert!(matches("{a,b}/?.[st]ql", "b/x.sql"));
        assert!(!matches("a.b", "axb"));
        assert!(matches("[!x]", "y"));
        for wrong in ["[a", "{a", "a\\"] {
            assert!(pattern(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_is_asked_for_once() {
        let mut files = Files::default();
        assert_eq!((files.read("a"), files.read("a")), (None, None));
        assert_eq!(files.take_wanted(), BTreeSet::from([Wanted::File("a".to_owned())]));
        files.add("a", Found::Nothing);
        assert_eq!(files.read("a"), Some(&Found::Nothing));
        assert_eq!(files.take_wanted(), BTreeSet::new());
    }
}
