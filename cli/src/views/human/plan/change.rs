//! One change as a block: attributes before and after, nested ones within braces, unchanged ones counted.

mod difference;

use simdb_planner::plan::{AttributeChange, ChangeAction, Shown};

use self::difference::{Place, difference};
use crate::views::doc::{ChangeDoc, OutputChangeDoc, Sides};
use crate::views::human::style::{BAD, BOLD, DIM, paint, symbol};
use crate::views::human::text::{count, length, wrap};
use crate::views::human::value::shown;

/// What is written in a block: an attribute, or several under one name.
enum Entry<'a> {
    Single(&'a str, &'a AttributeChange),
    Nested(&'a str, Vec<Entry<'a>>),
}

/// Writes the block of a change.
pub(super) fn block(change: &ChangeDoc, width: usize) -> String {
    let action = change.change.action;
    let outcome = match action {
        ChangeAction::Create => "will be created".to_owned(),
        ChangeAction::Update => "will be updated in-place".to_owned(),
        ChangeAction::Delete => format!("will be {}", paint(BAD.bold(), "destroyed")),
    };
    let mut text = format!("  {} {outcome}\n", paint(BOLD, format!("# {}", change.address)));
    if let Some(reason) = &change.action_reason {
        let lines = wrap(&format!("(because {reason})"), width.saturating_sub(4));
        text.extend(lines.iter().map(|line| format!("  # {line}\n")));
    }
    text + &sides(change.kind, &change.name, &change.change, width)
}

/// Writes what something was and will be, or was seen to be, below its title.
pub(crate) fn sides(kind: &str, name: &str, sides: &Sides, width: usize) -> String {
    let action = sides.action;
    let head = format!("  {} {kind} \"{name}\" {{", symbol(action));
    let inner = entries(&grouped(&sides.attributes), action, Place { indent: 6, width });
    if inner.is_empty() {
        head + "}\n"
    } else {
        head + "\n" + &inner + "    }\n"
    }
}

/// Writes the changes of outputs.
pub(super) fn outputs(changes: &[OutputChangeDoc], width: usize) -> String {
    let column = changes
        .iter()
        .map(|output| length(&output.change.name))
        .max()
        .unwrap_or_default();
    changes
        .iter()
        .map(|output| match (&output.change.before, &output.change.after) {
            // It changes, and neither value may be shown.
            (Some(before), Some(after)) if before == after => {
                format!(
                    "  {} {:column$} = {}\n",
                    symbol(output.action),
                    output.change.name,
                    shown(after)
                )
            }
            _ => single(&output.change.name, &output.change, column, Place { indent: 2, width }),
        })
        .collect()
}

/// Brings attributes with the same first part of their names together, where the first of them stands.
fn grouped(attributes: &[AttributeChange]) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for attribute in attributes {
        let Some((outer, inner)) = attribute.name.split_once('.') else {
            entries.push(Entry::Single(&attribute.name, attribute));
            continue;
        };
        let found = entries.iter_mut().find_map(|entry| match entry {
            Entry::Nested(name, within) if *name == outer => Some(within),
            _ => None,
        });
        match found {
            Some(within) => within.push(Entry::Single(inner, attribute)),
            None => entries.push(Entry::Nested(outer, vec![Entry::Single(inner, attribute)])),
        }
    }
    entries
}

/// Writes entries that change, and how many do not.
fn entries(all: &[Entry<'_>], block: ChangeAction, place: Place) -> String {
    let changed: Vec<&Entry<'_>> = all.iter().filter(|entry| action(entry).is_some()).collect();
    let name = |entry: &&Entry<'_>| match entry {
        Entry::Single(name, _) | Entry::Nested(name, _) => length(name),
    };
    let column = changed.iter().map(name).max().unwrap_or_default();
    let mut text: String = changed.iter().map(|entry| write(entry, column, block, place)).collect();
    let hidden = all.len() - changed.len();
    if hidden > 0 && block == ChangeAction::Update {
        let hidden = paint(DIM, format!("# ({} hidden)", count(hidden, "unchanged attribute")));
        text += &format!("{:indent$}  {hidden}\n", "", indent = place.indent);
    }
    text
}

fn write(entry: &Entry<'_>, column: usize, block: ChangeAction, place: Place) -> String {
    match entry {
        Entry::Single(name, attribute) => single(name, attribute, column, place),
        Entry::Nested(name, within) => {
            let symbol = action(entry).map(symbol).unwrap_or_default();
            let within = entries(within, block, place.within());
            let indent = place.indent;
            format!(
                "{:indent$}{symbol} {name:column$} = {{\n{within}{:indent$}  }}\n",
                "", ""
            )
        }
    }
}

fn single(name: &str, attribute: &AttributeChange, column: usize, place: Place) -> String {
    let Some(action) = side(attribute) else {
        return String::new();
    };
    let value = difference(attribute, column + " = ".len(), place);
    format!(
        "{:indent$}{} {name:column$} = {value}\n",
        "",
        symbol(action),
        indent = place.indent
    )
}

/// Returns what happens to an entry; nothing where nothing does.
fn action(entry: &Entry<'_>) -> Option<ChangeAction> {
    match entry {
        Entry::Single(_, attribute) => side(attribute),
        Entry::Nested(_, within) => {
            let mut actions = within.iter().map(action);
            let first = actions.next().flatten();
            let same = actions.all(|action| action == first);
            match (first, same) {
                (first, true) => first,
                (_, false) => Some(ChangeAction::Update),
            }
        }
    }
}

fn side(attribute: &AttributeChange) -> Option<ChangeAction> {
    match (&attribute.before, &attribute.after) {
        (None, None) => None,
        (None, Some(_)) => Some(ChangeAction::Create),
        (Some(_), None) => Some(ChangeAction::Delete),
        // What only the apply will tell may turn out different even where it was unknown before.
        (Some(before), Some(after)) if before == after && *after != Shown::KnownAfterApply => None,
        (Some(_), Some(_)) => Some(ChangeAction::Update),
    }
}
