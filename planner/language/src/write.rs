//! Values as text: what an expression would have to be to have them.

use crate::convert;
use crate::value::{Kind, Value};

/// Writes a value as a configuration does, over several lines where it has parts.
pub fn write(value: &Value) -> String {
    shown(value, 0)
}

fn shown(value: &Value, indent: usize) -> String {
    if let Some(hidden) = value.marks.hidden() {
        return hidden.to_owned();
    }
    let line = |text: String| format!("{}{text},\n", " ".repeat(indent + 2));
    let end = " ".repeat(indent);
    match &value.kind {
        Kind::Null => "null".to_owned(),
        Kind::Unknown => "(known after apply)".to_owned(),
        Kind::Bool(_) | Kind::Number(_) => convert::to_text(value).unwrap_or_default(),
        Kind::String(text) => string(text, indent),
        Kind::List(parts) | Kind::Set(parts) => {
            let items: String = parts.items.iter().map(|item| line(shown(item, indent + 2))).collect();
            let list = if items.is_empty() {
                "[]".to_owned()
            } else {
                format!("[\n{items}{end}]")
            };
            match &value.kind {
                Kind::Set(_) => format!("toset({list})"),
                _ if parts.uniform => format!("tolist({list})"),
                _ => list,
            }
        }
        Kind::Object(parts) => {
            let item = |(key, item): (&String, &Value)| {
                let key = quoted(key);
                format!("{}{key} = {}\n", " ".repeat(indent + 2), shown(item, indent + 2))
            };
            let items: String = parts.items.iter().map(item).collect();
            let object = if items.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{\n{items}{end}}}")
            };
            if parts.uniform {
                format!("tomap({object})")
            } else {
                object
            }
        }
    }
}

/// Writes text in quotes, or as a heredoc where it has lines.
fn string(text: &str, indent: usize) -> String {
    let is_plain = |c: char| c == '\n' || !c.is_control();
    if indent > 0 || !text.trim_end_matches('\n').contains('\n') || !text.chars().all(is_plain) {
        return quoted(text);
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    let mut marker = "EOT".to_owned();
    while body.lines().any(|line| line.trim() == marker) {
        marker.push('_');
    }
    format!(
        "<<{marker}\n{}\n{marker}",
        body.replace("${", "$${").replace("%{", "%%{")
    )
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out.replace("${", "$${").replace("%{", "%%{")
}
