//! Alike things told once: fifty nodes with the same change are one block and one row, `r[0..49]`.
//!
//! Two changes are alike where everything that a reader is shown of them is the same, but for what belongs to each by itself:
//! its own name and index, its cluster, and its place in the network. Nothing that could matter to a reviewer is folded away.

mod subjects;

use std::borrow::Cow;
use std::collections::BTreeMap;

use simdb_planner::plan::{AttributeChange, ChangeAction, Shown};
use simdb_state::address::Address;
use simdb_state::json::Json;
use simdb_state::name::ClusterName;

pub(crate) use self::subjects::Subjects;
use self::subjects::{base, own_names};
use super::doc::{ChangeDoc, DriftedDoc, StepDoc};

/// Attributes that say where something is: no two nodes have the same.
const PLACE: [&str; 3] = ["host", "port", "hosts"];

/// What stands in place of the own name, and of the own cluster's.
const OWN: char = '\u{1}';
const CLUSTER: char = '\u{2}';

/// Things that are alike, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Group<'a, T> {
    /// All of them; there is at least one.
    pub(crate) all: Vec<&'a T>,
}

impl<'a, T> Group<'a, T> {
    /// Returns the first one, which stands for all.
    pub(crate) fn first(&self) -> &'a T {
        self.all[0]
    }
}

/// What groups of things are made of.
pub(crate) trait Alike {
    /// Returns what it is about.
    fn address(&self) -> &Address;

    /// Returns a text that is the same for all that are alike.
    fn key(&self) -> String;
}

/// Brings together what is alike, or leaves everything by itself.
pub(crate) fn groups<T: Alike>(all: &[T], expand: bool) -> Vec<Group<'_, T>> {
    let mut groups: Vec<Group<'_, T>> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for one in all {
        if expand {
            groups.push(Group { all: vec![one] });
            continue;
        }
        let at = *known.entry(one.key()).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.all.push(one),
            None => groups.push(Group { all: vec![one] }),
        }
    }
    groups
}

impl<T: Alike> Group<'_, T> {
    /// Returns whom it is about.
    pub(crate) fn subjects(&self) -> Subjects {
        Subjects::new(self.all.iter().map(|one| one.address()))
    }

    /// Writes a sentence of the first one so that it is about all.
    pub(crate) fn of_all(&self, sentence: &str) -> String {
        if self.all.len() == 1 {
            return sentence.to_owned();
        }
        let subjects = self.subjects();
        Own::of(self.first().address())
            .taken_out(sentence)
            .replace(OWN, &subjects.names())
            .replace(CLUSTER, &subjects.clusters())
    }
}

impl Alike for ChangeDoc {
    fn address(&self) -> &Address {
        &self.address
    }

    fn key(&self) -> String {
        let own = Own::of(&self.address);
        let reason = self.reason.as_deref().unwrap_or_default();
        let attributes = match self.change.action {
            // What goes is told in one line.
            ChangeAction::Delete | ChangeAction::Forget => String::new(),
            ChangeAction::Create | ChangeAction::Update => attributes_key(&self.change.attributes, &own),
        };
        let reasons = [reason].into_iter().chain(self.drift.iter().map(String::as_str));
        let reasons: Vec<Cow<'_, str>> = reasons.map(|text| own.taken_out(text)).collect();
        format!(
            "{}\n{:?}\n{:?}\n{:?}\n{attributes}\n{}",
            base(&self.address),
            self.change.action,
            self.change.importing,
            self.cause,
            reasons.join("\n")
        )
    }
}

impl Alike for StepDoc {
    fn address(&self) -> &Address {
        &self.address
    }

    fn key(&self) -> String {
        let reason = Own::of(&self.address).taken_out(&self.reason).into_owned();
        format!("{}\n{}\n{}\n{reason}", base(&self.address), self.name, self.impact)
    }
}

impl Alike for DriftedDoc {
    fn address(&self) -> &Address {
        &self.address
    }

    fn key(&self) -> String {
        let own = Own::of(&self.address);
        let causes: Vec<Cow<'_, str>> = self.causes.iter().map(|cause| own.taken_out(cause)).collect();
        let remedies = self.by_hand.iter();
        let remedies: Vec<Cow<'_, str>> = remedies.map(|one| own.taken_out(&one.remedy)).collect();
        format!(
            "{}\n{:?}\n{}\n{}\n{}",
            base(&self.address),
            self.change.action,
            attributes_key(&self.change.attributes, &own),
            causes.join("\n"),
            remedies.join("\n")
        )
    }
}

/// Writes what attributes alike things have in common.
fn attributes_key(attributes: &[AttributeChange], own: &Own<'_>) -> String {
    let mut key = String::new();
    for AttributeChange { name, before, after } in attributes {
        key += name;
        if before == after && *after != Some(Shown::KnownAfterApply) {
            // It is counted, and not shown.
            key += "=\n";
            continue;
        }
        // What was there before the apply makes up something new is of no account.
        let is_renewed = *after == Some(Shown::KnownAfterApply) && before.is_some();
        let before = if is_renewed {
            "…".to_owned()
        } else {
            side(name, before.as_ref(), own)
        };
        key += &format!("\t{before}\t{}\n", side(name, after.as_ref(), own));
    }
    key
}

fn side(name: &str, shown: Option<&Shown>, own: &Own<'_>) -> String {
    match shown {
        None => String::new(),
        Some(Shown::Value(_)) if PLACE.contains(&name) => "place".to_owned(),
        Some(Shown::Value(value)) => own.taken_out(&value.to_string()).into_owned(),
        Some(unknown) => format!("{unknown:?}"),
    }
}

/// What belongs to one thing by itself: its own name, in each spelling, and its cluster's.
struct Own<'a> {
    names: Vec<String>,
    cluster: Option<&'a str>,
}

impl<'a> Own<'a> {
    fn of(address: &'a Address) -> Self {
        Self {
            names: own_names(address),
            cluster: address.cluster().map(ClusterName::as_str),
        }
    }

    /// Takes it out of a text.
    fn taken_out<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for name in &self.names {
            text = without(text, name, OWN);
        }
        if let Some(cluster) = self.cluster {
            text = without(text, cluster, CLUSTER);
        }
        text
    }
}

/// Puts a mark in place of a word.
fn without<'a>(text: Cow<'a, str>, word: &str, mark: char) -> Cow<'a, str> {
    if !text.contains(word) {
        return text;
    }
    let is_boundary = |neighbour: Option<char>| !neighbour.is_some_and(char::is_alphanumeric);
    let (mut written, mut rest, mut last) = (String::new(), &*text, None);
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let neighbour = before.chars().next_back().or(last);
        written.push_str(before);
        if is_boundary(neighbour) && is_boundary(after.chars().next()) {
            written.push(mark);
        } else {
            written.push_str(word);
        }
        (rest, last) = (after, word.chars().next_back());
    }
    Cow::Owned(written + rest)
}

/// Writes the values that one attribute has in things that are alike: one, or the first and the last of them.
pub(crate) fn span<'a>(values: impl Iterator<Item = &'a Json>, write: impl Fn(&Json) -> String) -> String {
    let mut values = values.peekable();
    let Some(first) = values.peek().map(|first| write(first)) else {
        return String::new();
    };
    match values.last().map(write) {
        Some(last) if last != first => format!("{first} … {last}"),
        _ => first,
    }
}

#[cfg(test)]
mod tests;
