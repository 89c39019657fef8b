//! Comma-separated values (RFC 4180).

use std::collections::{BTreeMap, BTreeSet};

use crate::value::Value;

use super::{Arguments, Result, Stop};

pub(super) fn csvdecode(a: &Arguments<'_>) -> Result {
    let text = a.text(0)?;
    let wrong = |why: String| Stop::Argument(0, why);
    let mut rows = rows(&text).map_err(wrong)?.into_iter();
    let names = rows
        .next()
        .ok_or_else(|| wrong("the first line must name the columns".to_owned()))?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(wrong(format!("two columns are called {twice:?}")));
    }
    let row = |(index, row): (usize, Vec<String>)| {
        if row.len() != names.len() {
            let why = format!("row {} has {} fields, not {}", index + 1, row.len(), names.len());
            return Err(wrong(why));
        }
        let fields = names.iter().cloned().zip(row.into_iter().map(Value::from));
        Ok(Value::object(fields.collect::<BTreeMap<_, _>>()))
    };
    Ok(Value::list(rows.enumerate().map(row).collect::<Result<_>>()?))
}

/// Cuts a text into rows of fields; empty lines are none.
fn rows(text: &str) -> std::result::Result<Vec<Vec<String>>, String> {
    let mut rows = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')) {
            rest = after;
            continue;
        }
        let mut row = Vec::new();
        loop {
            let (field, after) = field(rest)?;
            row.push(field);
            rest = after;
            if let Some(after) = rest.strip_prefix(',') {
                rest = after;
                continue;
            }
            rest = rest
                .strip_prefix("\r\n")
                .or_else(|| rest.strip_prefix('\n'))
                .unwrap_or(rest);
            break;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Takes a field off the start of a text that is followed by a comma, an end of line or nothing.
fn field(text: &str) -> std::result::Result<(String, &str), String> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let end = if text[end..].starts_with('\n') && text[..end].ends_with('\r') {
            end - 1
        } else {
            end
        };
        let field = &text[..end];
        if field.contains('"') {
            return Err(format!(
                "a quote stands within the field {field:?}, which is not in quotes"
            ));
        }
        return Ok((field.to_owned(), &text[end..]));
    };
    let mut field = String::new();
    loop {
        let end = rest.find('"').ok_or("a field in quotes does not end")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if let Some(after) = rest.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if rest.is_empty() || rest.starts_with([',', '\n']) || rest.starts_with("\r\n") {
            return Ok((field, rest));
        } else {
            return Err(format!("more text follows the field {field:?} in quotes"));
        }
    }
}
