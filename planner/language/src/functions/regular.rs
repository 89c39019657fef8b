//! Functions that match regular expressions.

use std::collections::BTreeMap;

use regex::{Captures, Regex, RegexBuilder};

use crate::value::Value;

use super::arguments::bounded;
use super::{Arguments, MAX_ELEMENTS, MAX_LENGTH, Result, Stop};

/// How large a compiled pattern may be, in bytes.
const MAX_PATTERN: usize = 1 << 20;

fn compiled(pattern: &str, argument: usize) -> Result<Regex> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_PATTERN)
        .build()
        .map_err(|error| {
            let why = match error {
                regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
                // The last line says what is wrong; those before draw where.
                other => {
                    let text = other.to_string();
                    let line = text.lines().last().unwrap_or_default();
                    let reason = line.strip_prefix("error: ").unwrap_or(line);
                    format!("it is no regular expression: {reason}")
                }
            };
            Stop::Argument(argument, why)
        })
}

/// Writes a match: the text, or where the pattern has groups, what they match.
fn matched(regex: &Regex, captures: &Captures<'_>) -> Result {
    let text = |index: usize| {
        captures
            .get(index)
            .map_or_else(Value::null, |found| found.as_str().into())
    };
    let names: Vec<Option<&str>> = regex.capture_names().skip(1).collect();
    let count = names.iter().flatten().count();
    if names.is_empty() {
        Ok(text(0))
    } else if count == 0 {
        Ok(Value::tuple((1..=names.len()).map(text).collect()))
    } else if count == names.len() {
        let groups = names.into_iter().flatten().enumerate();
        let groups: BTreeMap<String, Value> = groups.map(|(index, name)| (name.to_owned(), text(index + 1))).collect();
        Ok(Value::object(groups))
    } else {
        let why = "a pattern has named groups or unnamed ones, not both";
        Err(Stop::Argument(0, why.to_owned()))
    }
}

pub(super) fn regex(a: &Arguments<'_>) -> Result {
    let (regex, text) = (compiled(&a.text(0)?, 0)?, a.text(1)?);
    let captures = regex.captures(&text).ok_or_else(|| {
        let why = "the pattern matches no part of the text. Where it need not match, use try or regexall";
        Stop::Call(why.to_owned())
    })?;
    matched(&regex, &captures)
}

pub(super) fn regexall(a: &Arguments<'_>) -> Result {
    let (regex, text) = (compiled(&a.text(0)?, 0)?, a.text(1)?);
    let all = regex
        .captures_iter(&text)
        .take(MAX_ELEMENTS)
        .map(|captures| matched(&regex, &captures));
    Ok(Value::list(all.collect::<Result<_>>()?))
}

/// Replaces what a pattern matches; `$1` and `${name}` in the replacement stand for groups.
pub(super) fn replace(text: &str, pattern: &str, replacement: &str) -> Result {
    let regex = compiled(pattern, 1)?;
    let mut replaced = String::new();
    let mut after = 0;
    for captures in regex.captures_iter(text) {
        let whole = captures.get_match();
        replaced.push_str(&text[after..whole.start()]);
        captures.expand(replacement, &mut replaced);
        after = whole.end();
        if replaced.len() > MAX_LENGTH {
            return Err(Stop::Argument(2, "the result would be too long".to_owned()));
        }
    }
    replaced.push_str(&text[after..]);
    bounded(replaced)
}
