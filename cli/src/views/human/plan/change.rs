//! One change as a block: attributes before and after, nested ones within braces, unchanged ones counted.

mod difference;

use anstream::adapter::strip_str;
use simdb_planner::plan::{AttributeChange, ChangeAction, Shown};

use self::difference::{Place, difference};
use crate::views::doc::{Cause, ChangeDoc, OutputChangeDoc, Sides};
use crate::views::fold::{Group, span};
use crate::views::human::style::{BAD, BOLD, CHANGED, paint, symbol};
use crate::views::human::text::{length, wrap};
use crate::views::human::value::{inline, shown};

/// What is written in a block: an attribute, or several under one name.
enum Entry<'a> {
    Single {
        name: &'a str,
        attribute: &'a AttributeChange,
        /// Both sides on one line, where alike things differ in them.
        varied: Option<String>,
    },
    Nested(&'a str, Vec<Entry<'a>>),
}

/// Writes the block of changes that are alike. What goes is one line.
pub(super) fn block(group: &Group<'_, ChangeDoc>, width: usize) -> String {
    let change = group.first();
    let outcome = match change.change.action {
        _ if change.change.importing.is_some() => "will be imported",
        ChangeAction::Create => "will be created",
        ChangeAction::Update => "will be updated in-place",
        ChangeAction::Delete => "will be destroyed",
        ChangeAction::Forget => "will be forgotten, and stays where it is",
    };
    let mut about = Vec::new();
    about.extend((group.all.len() > 1).then(|| format!("{} alike", group.all.len())));
    about.extend(told_cause(change).then(|| change.cause.words().to_owned()));
    let about = if about.is_empty() {
        String::new()
    } else {
        format!(" ({})", about.join("; "))
    };
    let subjects = group.subjects().text();
    if matches!(change.change.action, ChangeAction::Delete | ChangeAction::Forget) {
        let reason = change
            .reason
            .as_ref()
            .map(|reason| format!(", because {}", group.of_all(reason)));
        let line = format!("{subjects} {outcome}{about}{}", reason.unwrap_or_default());
        let lines = hanging(&line, width.saturating_sub(6)).replacen(&subjects, &paint(BOLD, &subjects), 1);
        let lines = lines.replacen("destroyed", &paint(BAD.bold(), "destroyed"), 1);
        return lines.replacen("    ", &format!("  {} ", symbol(change.change.action)), 1);
    }
    let mut text = title(&subjects, &format!("{outcome}{about}"), width);
    if let Some(id) = &change.change.importing {
        text += &remark(&format!("(imported from {id:?})"), width);
    }
    if let Some(reason) = &change.reason {
        text += &remark(&format!("(because {})", group.of_all(reason)), width);
    }
    for sentence in &change.drift {
        text += &remark(&format!("drift: {}", group.of_all(sentence)), width);
    }
    text + &sides(
        group.all.iter().map(|change| &change.change),
        change.kind,
        &group.subjects().names(),
        width,
    )
}

/// Returns whether people are told what a change is due to: not where the configuration simply asks for it.
fn told_cause(change: &ChangeDoc) -> bool {
    change.change.action == ChangeAction::Update && change.cause != Cause::Verification
}

/// Writes the line that names what a block is about.
pub(crate) fn title(subjects: &str, rest: &str, width: usize) -> String {
    let lines = hanging(&format!("# {subjects} {rest}"), width.saturating_sub(4));
    let lines = lines.replacen("    ", "  ", 1);
    let subject = format!("# {subjects}");
    lines.replacen(&subject, &paint(BOLD, &subject), 1)
}

/// Writes lines below a title.
pub(crate) fn remark(text: &str, width: usize) -> String {
    let lines = wrap(text, width.saturating_sub(4));
    lines.iter().map(|line| format!("  # {line}\n")).collect()
}

/// Writes a sentence indented, over several lines where it takes them.
fn hanging(text: &str, width: usize) -> String {
    let lines = wrap(text, width);
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

/// Writes what alike things were and will be, or were seen to be, below their title.
pub(crate) fn sides<'a>(all: impl Iterator<Item = &'a Sides>, kind: &str, name: &str, width: usize) -> String {
    let all: Vec<&Sides> = all.collect();
    let Some(first) = all.first() else {
        return String::new();
    };
    let action = first.action;
    let head = format!("  {} {kind} \"{name}\" {{", symbol(action));
    let inner = entries(&grouped(&all), action, Place { indent: 6, width });
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
fn grouped<'a>(all: &[&'a Sides]) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for (at, attribute) in all[0].attributes.iter().enumerate() {
        let varied = varied(all, at);
        let single = |name| Entry::Single {
            name,
            attribute,
            varied,
        };
        let Some((outer, inner)) = attribute.name.split_once('.') else {
            entries.push(single(&attribute.name));
            continue;
        };
        let found = entries.iter_mut().find_map(|entry| match entry {
            Entry::Nested(name, within) if *name == outer => Some(within),
            _ => None,
        });
        match found {
            Some(within) => within.push(single(inner)),
            None => entries.push(Entry::Nested(outer, vec![single(inner)])),
        }
    }
    entries
}

/// Writes an attribute in which alike things differ: its first value and its last.
fn varied(all: &[&Sides], at: usize) -> Option<String> {
    let first = &all[0].attributes[at];
    // Alike things have the same attributes; what does not change may differ, and is not shown.
    let others = || all.iter().filter_map(|sides| sides.attributes.get(at));
    side(first)?;
    if others().all(|other| other == first) {
        return None;
    }
    let span_of = |of: fn(&AttributeChange) -> Option<&Shown>| {
        let values = others().filter_map(of).filter_map(|shown| match shown {
            Shown::Value(value) => Some(value),
            _ => None,
        });
        let text = span(values, inline);
        if text.is_empty() {
            of(first).map(shown)
        } else {
            Some(text)
        }
    };
    let (before, after) = (span_of(|one| one.before.as_ref()), span_of(|one| one.after.as_ref()));
    Some(match (before, after) {
        (Some(before), Some(after)) => format!("{before} {} {after}", paint(CHANGED, "->")),
        (Some(before), None) => format!("{before} {} null", paint(CHANGED, "->")),
        (None, after) => after.unwrap_or_default(),
    })
}

/// Writes entries that change, and how many do not.
fn entries(all: &[Entry<'_>], block: ChangeAction, place: Place) -> String {
    listed(all, block, place, |entry, column| write(entry, column, block, place))
}

fn listed(all: &[Entry<'_>], block: ChangeAction, place: Place, write: impl Fn(&Entry<'_>, usize) -> String) -> String {
    let changed: Vec<&Entry<'_>> = all.iter().filter(|entry| action(entry).is_some()).collect();
    let name = |entry: &&Entry<'_>| match entry {
        Entry::Single { name, .. } | Entry::Nested(name, _) => length(name),
    };
    let column = changed.iter().map(name).max().unwrap_or_default();
    let mut text: String = changed.iter().map(|entry| write(entry, column)).collect();
    let hidden = all.len() - changed.len();
    if hidden > 0 && block == ChangeAction::Update {
        text += &difference::hide(hidden, "attribute", place);
    }
    text
}

/// Writes settings that change as a unified diff does, and how many do not.
fn settings(all: &[Entry<'_>], block: ChangeAction, place: Place) -> String {
    if block != ChangeAction::Update {
        return entries(all, block, place);
    }
    listed(all, block, place, |entry, column| match entry {
        Entry::Single {
            name,
            attribute,
            varied: None,
        } => replaced(name, attribute, column, place),
        _ => write(entry, column, block, place),
    })
}

fn write(entry: &Entry<'_>, column: usize, block: ChangeAction, place: Place) -> String {
    match entry {
        Entry::Single {
            name,
            varied: Some(text),
            ..
        } => {
            let symbol = action(entry).map(symbol).unwrap_or_default();
            line(&symbol, name, text, column, place)
        }
        Entry::Single { name, attribute, .. } => single(name, attribute, column, place),
        Entry::Nested(name, within) => {
            let symbol = action(entry).map(symbol).unwrap_or_default();
            let within = settings(within, block, place.within());
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
    line(&symbol(action), name, &value, column, place)
}

/// Writes both sides of one of several settings as lines of a unified diff.
fn replaced(name: &str, attribute: &AttributeChange, column: usize, place: Place) -> String {
    let sides = [
        (ChangeAction::Delete, &attribute.before),
        (ChangeAction::Create, &attribute.after),
    ];
    let lines = sides.into_iter().filter_map(|(action, side)| {
        let value = shown(side.as_ref()?);
        Some(line(&symbol(action), name, &value, column, place))
    });
    lines.collect()
}

/// Writes one attribute. Where it does not fit, its value stands on a line of its own.
fn line(symbol: &str, name: &str, value: &str, column: usize, place: Place) -> String {
    let indent = place.indent;
    let first = strip_str(value.lines().next().unwrap_or_default()).to_string();
    let taken = indent + 2 + " = ".len() + length(&first);
    if taken + column <= place.width {
        return format!("{:indent$}{symbol} {name:column$} = {value}\n", "");
    }
    if taken + length(name) <= place.width || value.contains('\n') {
        return format!("{:indent$}{symbol} {name} = {value}\n", "");
    }
    let arrow = format!(" {} ", paint(CHANGED, "->"));
    let broken = format!("\n{:indent$}    {} ", "", arrow.trim());
    let value = if indent + 4 + length(&first) <= place.width {
        value.to_owned()
    } else {
        value.replacen(&arrow, &broken, 1)
    };
    format!("{:indent$}{symbol} {name} =\n{:indent$}    {value}\n", "", "")
}

/// Returns what happens to an entry; nothing where nothing does.
fn action(entry: &Entry<'_>) -> Option<ChangeAction> {
    match entry {
        Entry::Single { attribute, .. } => side(attribute),
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
