//! A value before and after: on one line, or, where that tells more, line by line and element by element.

use simdb_planner::plan::{AttributeChange, ChangeAction, Shown};
use simdb_state::json::{Json, Members};
use similar::{ChangeTag, TextDiff};

use super::{Entry, entries};
use crate::views::human::style::{CHANGED, DIM, paint, symbol};
use crate::views::human::text::{count, length};
use crate::views::human::value::{inline, shown};

/// How many lines of a text are shown around each that changes.
const CONTEXT: usize = 3;

/// Where an attribute is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The column of its symbol.
    pub(super) indent: usize,
    /// How many columns there are.
    pub(super) width: usize,
}

impl Place {
    /// Returns the place of what is written within an attribute, on lines of its own.
    pub(super) fn within(self) -> Self {
        Self {
            indent: self.indent + 4,
            ..self
        }
    }
}

/// Writes both sides of an attribute whose first `taken` columns, symbol aside, are written already. What goes on over
/// several lines is indented for `place`; the end of the last line is left out.
pub(super) fn difference(attribute: &AttributeChange, taken: usize, place: Place) -> String {
    let arrow = paint(CHANGED, "->");
    let room = place.width.saturating_sub(place.indent + 2 + taken);
    match (&attribute.before, &attribute.after) {
        (Some(Shown::Value(before)), Some(Shown::Value(after))) => both(before, after, place),
        (Some(before), Some(after)) => format!("{} {arrow} {}", recorded(before), shown(after)),
        (Some(Shown::Value(before)), None) => {
            let room = room.saturating_sub(" -> null".len());
            format!("{} {arrow} null", whole(before, ChangeAction::Delete, room, place))
        }
        (Some(before), None) => format!("{} {arrow} null", recorded(before)),
        (None, Some(Shown::Value(after))) => whole(after, ChangeAction::Create, room, place),
        (None, after) => after.as_ref().map(shown).unwrap_or_default(),
    }
}

/// Writes what is there already: what an apply made up is a secret from then on.
fn recorded(before: &Shown) -> String {
    match before {
        Shown::GeneratedAtApply => shown(&Shown::Sensitive),
        Shown::Value(_) | Shown::KnownAfterApply | Shown::Sensitive => shown(before),
    }
}

fn both(before: &Json, after: &Json, place: Place) -> String {
    match (before, after) {
        (Json::String(old), Json::String(new)) if let (Some(old), Some(new)) = (structure(old), structure(new)) => {
            format!("jsonencode({})", both(&old, &new, place))
        }
        (Json::String(before), Json::String(after)) if before.contains('\n') || after.contains('\n') => {
            enclosed("<<-EOT", &unified(before, after, place.within()), "EOT", place)
        }
        (Json::Array(before), Json::Array(after)) => {
            let (before, after) = (elements(before), elements(after));
            let (old, new): (Vec<&str>, Vec<&str>) = (
                before.iter().map(String::as_str).collect(),
                after.iter().map(String::as_str).collect(),
            );
            let diff = TextDiff::from_slices(&old, &new);
            let elements = diff.iter_all_changes();
            let elements = elements.map(|change| (change.tag(), format!("{},", change.value())));
            let rows = rows(&elements.collect::<Vec<_>>(), place.within());
            enclosed("[", &rows, "]", place)
        }
        (Json::Object(before), Json::Object(after)) => {
            enclosed("{", &members(before, after, place.within()), "}", place)
        }
        _ => format!("{} {} {}", inline(before), paint(CHANGED, "->"), inline(after)),
    }
}

/// Reads a text that is a JSON object or list: what differs in it is told member by member.
fn structure(text: &str) -> Option<Json> {
    let value = Json::parse(text).ok()?;
    matches!(value, Json::Object(_) | Json::Array(_)).then_some(value)
}

/// Writes the lines of two texts as a unified diff.
fn unified(before: &str, after: &str, place: Place) -> String {
    let diff = TextDiff::from_lines(before, after);
    let indent = place.indent;
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        text += &format!("{:indent$}{}\n", "", paint(DIM, hunk.header()));
        for change in hunk.iter_changes() {
            text += &marked(change.tag(), change.value().trim_end_matches(['\r', '\n']), indent);
        }
    }
    text
}

/// Writes a line or an element with a mark where it comes or goes.
fn marked(tag: ChangeTag, row: &str, indent: usize) -> String {
    let mark = match tag {
        ChangeTag::Equal => " ".to_owned(),
        ChangeTag::Delete => symbol(ChangeAction::Delete),
        ChangeTag::Insert => symbol(ChangeAction::Create),
    };
    format!("{:indent$}{mark} {row}", "").trim_end_matches(' ').to_owned() + "\n"
}

fn elements(items: &[Json]) -> Vec<String> {
    items.iter().map(inline).collect()
}

/// Writes the members of an object that change, and how many do not.
fn members(before: &Members, after: &Members, place: Place) -> String {
    let side = |side: &Members, name: &str| side.get(name).cloned().map(Shown::Value);
    let added = after.keys().filter(|name| !before.contains_key(*name));
    let members: Vec<AttributeChange> = before
        .keys()
        .chain(added)
        .map(|name| AttributeChange {
            name: name.clone().into(),
            before: side(before, name),
            after: side(after, name),
        })
        .collect();
    let all: Vec<Entry<'_>> = members
        .iter()
        .map(|member| Entry::Single {
            name: &member.name,
            attribute: member,
            varied: None,
        })
        .collect();
    entries(&all, ChangeAction::Update, place)
}

/// Says how many things are not shown because they stay as they are.
pub(super) fn hide(number: usize, noun: &str, place: Place) -> String {
    let text = format!("# ({} hidden)", count(number, &format!("unchanged {noun}")));
    let fits = place.indent + 2 + length(&text) <= place.width;
    let text = if fits { text } else { format!("# ({number} unchanged)") };
    format!("{:1$}  {2}\n", "", place.indent, paint(DIM, text))
}

/// Writes elements with a mark for those that come and go; the others are counted.
fn rows(all: &[(ChangeTag, String)], place: Place) -> String {
    let indent = place.indent;
    let hide = |hidden: usize| match hidden {
        0 => String::new(),
        _ => hide(hidden, "element", place),
    };
    let (mut text, mut hidden) = (String::new(), 0);
    for (tag, row) in all {
        if *tag == ChangeTag::Equal {
            hidden += 1;
            continue;
        }
        text += &hide(std::mem::take(&mut hidden));
        text += &marked(*tag, row, indent);
    }
    text + &hide(hidden)
}

/// Writes a value that is there on one side only: on one line where it has one and fits, else over several.
fn whole(value: &Json, action: ChangeAction, room: usize, place: Place) -> String {
    let Place { indent, .. } = place.within();
    match value {
        Json::String(text) if text.contains('\n') => {
            let line = |line: &str| format!("{:indent$}  {line}", "").trim_end_matches(' ').to_owned() + "\n";
            enclosed("<<-EOT", &text.lines().map(line).collect::<String>(), "EOT", place)
        }
        Json::Array(items) if length(&inline(value)) > room => {
            let element = |item: &Json| format!("{:indent$}{} {},\n", "", symbol(action), inline(item));
            enclosed("[", &items.iter().map(element).collect::<String>(), "]", place)
        }
        _ => inline(value),
    }
}

fn enclosed(open: &str, rows: &str, close: &str, place: Place) -> String {
    format!("{open}\n{rows}{:indent$}  {close}", "", indent = place.indent)
}
