//! Functions of text.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::value::Value;

use super::arguments::bounded;
use super::regular;
use super::{Arguments, Function, MAX_LENGTH, Result, Stop, format, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "chomp(string: string) -> string",
        "Removes the ends of lines at the end of a text.",
        ("chomp(\"line\\n\\n\")", "\"line\""),
        |a| Ok(a.text(0)?.trim_end_matches(['\n', '\r']).into()),
    ),
    function(
        "endswith(string: string, suffix: string) -> bool",
        "Returns whether a text ends with another one.",
        ("endswith(\"standby\", \"by\")", "true"),
        |a| Ok(a.text(0)?.ends_with(&a.text(1)?).into()),
    ),
    function(
        "format(format: string, values: any...) -> string",
        "Fills in a format: %s a text, %d a whole number, %f a decimal, %q a quoted text, %v any value.",
        ("format(\"%s has %03d\", \"a\", 7)", "\"a has 007\""),
        format::format,
    ),
    function(
        "formatlist(format: string, values: any...) -> list(string)",
        "Fills in a format once for each element of lists of one length.",
        ("formatlist(\"%s-%d\", [\"a\", \"b\"], [1, 2])", "[\"a-1\",\"b-2\"]"),
        format::formatlist,
    ),
    function(
        "indent(spaces: number, string: string) -> string",
        "Puts spaces before every line of a text but the first.",
        ("indent(2, \"a\\nb\")", "\"a\\n  b\""),
        indent,
    ),
    function(
        "join(separator: string, lists: list(string)...) -> string",
        "Joins the texts of lists with a separator between them.",
        ("join(\", \", [\"a\", \"b\"])", "\"a, b\""),
        join,
    ),
    function(
        "lower(string: string) -> string",
        "Returns a text in lower case.",
        ("lower(\"HELLO\")", "\"hello\""),
        |a| Ok(a.text(0)?.to_lowercase().into()),
    ),
    function(
        "regex(pattern: string, string: string) -> any",
        "Returns what a regular expression matches first: a text, or its groups as a tuple or an object.",
        ("regex(\"(\\\\d+)([a-z]+)\", \"aaa111bbb222\")", "[\"111\",\"bbb\"]"),
        regular::regex,
    ),
    function(
        "regexall(pattern: string, string: string) -> list(any)",
        "Returns all that a regular expression matches, in the form of regex.",
        ("regexall(\"[a-z]+\", \"1234abcd5678efgh9\")", "[\"abcd\",\"efgh\"]"),
        regular::regexall,
    ),
    function(
        "replace(string: string, substring: string, replacement: string) -> string",
        "Replaces a text, or what a regular expression between slashes matches, at every place where it occurs.",
        (
            "replace(\"hello world\", \"/w.*d/\", \"everybody\")",
            "\"hello everybody\"",
        ),
        replace,
    ),
    function(
        "split(separator: string, string: string) -> list(string)",
        "Cuts a text where a separator occurs.",
        ("split(\",\", \"a,b\")", "[\"a\",\"b\"]"),
        split,
    ),
    function(
        "startswith(string: string, prefix: string) -> bool",
        "Returns whether a text starts with another one.",
        ("startswith(\"primary\", \"prim\")", "true"),
        |a| Ok(a.text(0)?.starts_with(&a.text(1)?).into()),
    ),
    function(
        "strcontains(string: string, substring: string) -> bool",
        "Returns whether a text contains another one.",
        ("strcontains(\"hello\", \"ell\")", "true"),
        |a| Ok(a.text(0)?.contains(&a.text(1)?).into()),
    ),
    function(
        "strrev(string: string) -> string",
        "Returns the characters of a text in reverse.",
        ("strrev(\"hello\")", "\"olleh\""),
        |a| Ok(a.text(0)?.graphemes(true).rev().collect::<String>().into()),
    ),
    function(
        "substr(string: string, offset: number, length: number) -> string",
        "Returns some characters of a text; an offset below zero counts from the end, a length of -1 means the rest.",
        ("substr(\"hello world\", 1, 4)", "\"ello\""),
        substr,
    ),
    function(
        "title(string: string) -> string",
        "Returns a text with the first letter of each word in upper case.",
        ("title(\"hello world\")", "\"Hello World\""),
        title,
    ),
    function(
        "trim(string: string, characters: string) -> string",
        "Removes the given characters from both ends of a text.",
        ("trim(\"?!hello?!\", \"!?\")", "\"hello\""),
        trim,
    ),
    function(
        "trimprefix(string: string, prefix: string) -> string",
        "Removes a text from the start of another one, where it starts with it.",
        ("trimprefix(\"helloworld\", \"hello\")", "\"world\""),
        |a| {
            let (text, prefix) = (a.text(0)?, a.text(1)?);
            Ok(text.strip_prefix(prefix.as_str()).unwrap_or(&text).into())
        },
    ),
    function(
        "trimspace(string: string) -> string",
        "Removes space from both ends of a text.",
        ("trimspace(\"  hello\\n\")", "\"hello\""),
        |a| Ok(a.text(0)?.trim().into()),
    ),
    function(
        "trimsuffix(string: string, suffix: string) -> string",
        "Removes a text from the end of another one, where it ends with it.",
        ("trimsuffix(\"helloworld\", \"world\")", "\"hello\""),
        |a| {
            let (text, suffix) = (a.text(0)?, a.text(1)?);
            Ok(text.strip_suffix(suffix.as_str()).unwrap_or(&text).into())
        },
    ),
    function(
        "upper(string: string) -> string",
        "Returns a text in upper case.",
        ("upper(\"hello\")", "\"HELLO\""),
        |a| Ok(a.text(0)?.to_uppercase().into()),
    ),
];

fn replace(a: &Arguments<'_>) -> Result {
    let (text, from, to) = (a.text(0)?, a.text(1)?, a.text(2)?);
    if from.len() > 1 && from.starts_with('/') && from.ends_with('/') {
        return regular::replace(&text, &from[1..from.len() - 1], &to);
    }
    if text.len().saturating_add(1).saturating_mul(to.len()) > MAX_LENGTH {
        return Err(Stop::Argument(2, "the result could become too long".to_owned()));
    }
    bounded(text.replace(&from, &to))
}

fn split(a: &Arguments<'_>) -> Result {
    let (separator, text) = (a.text(0)?, a.text(1)?);
    let parts: Vec<Value> = if separator.is_empty() {
        text.chars().map(|c| c.to_string().into()).collect()
    } else {
        text.split(&separator).map(Value::from).collect()
    };
    Ok(Value::list(parts))
}

fn join(a: &Arguments<'_>) -> Result {
    let separator = a.text(0)?;
    let mut parts = Vec::new();
    for index in 1..a.values.len() {
        parts.extend(a.texts(index)?);
    }
    bounded(parts.join(&separator))
}

fn indent(a: &Arguments<'_>) -> Result {
    let (spaces, text) = (a.size(0)?, a.text(1)?);
    if spaces.saturating_mul(text.matches('\n').count()) > MAX_LENGTH {
        return Err(Stop::Argument(0, "the result would be too long".to_owned()));
    }
    let spaces = " ".repeat(spaces.min(MAX_LENGTH));
    bounded(text.replace('\n', &format!("\n{spaces}")))
}

fn trim(a: &Arguments<'_>) -> Result {
    let characters = a.text(1)?;
    Ok(a.text(0)?.trim_matches(|c| characters.contains(c)).into())
}

fn title(a: &Arguments<'_>) -> Result {
    let mut starts = true;
    let mut titled = String::new();
    for c in a.text(0)?.chars() {
        if starts {
            titled.extend(c.to_uppercase());
        } else {
            titled.push(c);
        }
        starts = !c.is_alphanumeric() && c != '_';
    }
    Ok(titled.into())
}

fn substr(a: &Arguments<'_>) -> Result {
    let text = a.text(0)?;
    let characters: Vec<&str> = text.graphemes(true).collect();
    let offset = a.whole(1)?;
    let start = if offset < 0 {
        usize::try_from(offset.unsigned_abs()).map_or(0, |back| characters.len().saturating_sub(back))
    } else {
        usize::try_from(offset).map_or(characters.len(), |start| start.min(characters.len()))
    };
    let rest = characters.len() - start;
    // A length of -1 means the rest.
    let length = usize::try_from(a.whole(2)?).map_or(rest, |length| length.min(rest));
    Ok(characters[start..start + length].concat().into())
}

/// Returns how many characters a text has, as people count them.
pub(super) fn characters(text: &str) -> usize {
    if text.is_ascii() && !text.contains('\r') {
        return text.len();
    }
    text.graphemes(true).count()
}
