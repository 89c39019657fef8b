//! YAML 1.2, as far as it stands for values: one document, without tags but those of the core schema.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

use crate::convert;
use crate::number::Number;
use crate::value::json_text;
use crate::value::{Kind, MAX_DEPTH, Value};

use super::arguments::bounded;
use super::{Arguments, MAX_ELEMENTS, Result, Stop};

pub(super) fn yamldecode(a: &Arguments<'_>) -> Result {
    let text = a.text(0)?;
    let mut reader = Reader {
        parser: Parser::new_from_str(&text),
        anchors: BTreeMap::new(),
        size: 0,
    };
    reader.document().map_err(|why| {
        let why = if a.sensitive {
            "the text is no YAML".to_owned()
        } else {
            why
        };
        Stop::Argument(0, why)
    })
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// The values that have an anchor, and how many parts each has.
    anchors: BTreeMap<usize, (Value, usize)>,
    /// How many parts have been read, those behind an alias included.
    size: usize,
}

type Read<T> = std::result::Result<T, String>;

impl<'t> Reader<'t> {
    fn next(&mut self) -> Read<(Event<'t>, usize)> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => {
                let line = error.marker().line();
                Err(format!("the text is no YAML: in line {line}, {}", error.info()))
            }
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn document(&mut self) -> Read<Value> {
        let mut found = None;
        loop {
            let (event, line) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(found.unwrap_or_else(Value::null)),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                _ if found.is_some() => return Err(format!("a second document starts in line {line}")),
                event => found = Some(self.value(event, line, 0)?),
            }
        }
    }

    fn value(&mut self, event: Event<'t>, line: usize, depth: u16) -> Read<Value> {
        if depth > MAX_DEPTH {
            return Err(format!("line {line} is nested too deep"));
        }
        self.grow(1)?;
        let before = self.size;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let (value, size) = self
                    .anchors
                    .get(&anchor)
                    .cloned()
                    .ok_or_else(|| format!("the alias in line {line} stands before its anchor has a value"))?;
                self.grow(size)?;
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref(), line)?, anchor),
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => items.push(self.value(event, line, depth + 1)?),
                    }
                }
                (Value::tuple(items), anchor)
            }
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            _ => return Err(format!("the text is no YAML: in line {line}, a value is expected")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), self.size - before));
        }
        Ok(value)
    }

    fn mapping(&mut self, depth: u16) -> Read<Value> {
        let (mut own, mut merged) = (BTreeMap::new(), BTreeMap::new());
        loop {
            let (event, line) = self.next()?;
            if event == Event::MappingEnd {
                merged.append(&mut own);
                return Ok(Value::object(merged));
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<");
            let key = self.value(event, line, depth + 1)?;
            let (event, line) = self.next()?;
            let value = self.value(event, line, depth + 1)?;
            if is_merge {
                merge(&value, &mut merged)
                    .ok_or_else(|| format!("\"<<\" in line {line} needs a mapping, or a list of them"))?;
                continue;
            }
            let key = convert::to_text(&key).map_err(|why| format!("as the key in line {line} {why}"))?;
            own.insert(key, value);
        }
    }

    fn grow(&mut self, by: usize) -> Read<()> {
        self.size = self.size.saturating_add(by);
        if self.size > MAX_ELEMENTS {
            return Err(format!("the text stands for more than {MAX_ELEMENTS} values"));
        }
        Ok(())
    }
}

/// Adds what `<<` merges in; what is there already counts more.
fn merge(value: &Value, into: &mut BTreeMap<String, Value>) -> Option<()> {
    match &value.kind {
        Kind::Object(parts) => {
            for (key, item) in &parts.items {
                into.entry(key.clone()).or_insert_with(|| item.clone());
            }
            Some(())
        }
        Kind::List(parts) => parts.items.iter().try_for_each(|item| match item.kind {
            Kind::Object(_) => merge(item, into),
            _ => None,
        }),
        _ => None,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Read<Value> {
    let wrong = |what: &str| format!("{text:?} in line {line} is no {what}");
    match tag {
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None => Ok(text.into()),
        Some(tag) if tag.handle == "!" && tag.suffix.is_empty() => Ok(text.into()),
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" | "timestamp" => Ok(text.into()),
            "null" => Ok(Value::null()),
            "bool" => boolean(text).map(Value::from).ok_or_else(|| wrong("bool")),
            "int" | "float" => number(text).map(Value::from).ok_or_else(|| wrong("number")),
            "binary" => Ok(text.replace(char::is_whitespace, "").into()),
            other => Err(format!("the tag !!{other} in line {line} is not supported")),
        },
        Some(tag) => Err(format!("the tag {tag} in line {line} is not supported")),
    }
}

/// Returns what a text without quotes stands for.
fn plain(text: &str) -> Value {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::null();
    }
    boolean(text)
        .map(Value::from)
        .or_else(|| number(text).map(Value::from))
        .unwrap_or_else(|| text.into())
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<Number> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text),
    };
    let radix = |prefix: &str, radix: u32| {
        let digits = digits.strip_prefix(prefix)?;
        let number = i128::from_str_radix(digits, radix).ok()?;
        digits.chars().all(|c| c.is_digit(radix)).then(|| Number::from(number))
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)) {
        return Some(if sign == "-" { number.negated() } else { number });
    }
    // YAML allows a point at either end of the digits.
    let digits = if digits.starts_with('.') {
        format!("0{digits}")
    } else {
        digits.to_owned()
    };
    let digits = digits.strip_suffix('.').map_or(digits.clone(), str::to_owned);
    Number::parse(&format!("{sign}{}", digits.replace("e+", "e").replace("E+", "e")))
}

pub(super) fn yamlencode(a: &Arguments<'_>) -> Result {
    if a.values[0].has_unknown() {
        return Err(Stop::Unknown);
    }
    let mut out = String::new();
    write(&a.values[0], 0, &mut out)?;
    out.push('\n');
    // A document that is nothing but a plain scalar is closed, since more text could follow it.
    if !out.starts_with(['"', '|', '-', '[', '{']) || matches!(a.values[0].kind, Kind::Number(_)) {
        out.push_str("...\n");
    }
    bounded(out)
}

/// Writes a value after what stands before it on its line; lines after that are indented.
fn write(value: &Value, indent: usize, out: &mut String) -> Result<()> {
    match &value.kind {
        Kind::String(text) => write_text(text, indent, out),
        Kind::List(parts) | Kind::Set(parts) if !parts.items.is_empty() => {
            for (index, item) in parts.items.iter().enumerate() {
                new_line(index, indent, out);
                out.push_str("- ");
                write(item, indent + 2, out)?;
            }
        }
        Kind::Object(parts) if !parts.items.is_empty() => {
            for (index, (key, item)) in parts.items.iter().enumerate() {
                new_line(index, indent, out);
                quote(key, out);
                out.push(':');
                match &item.kind {
                    Kind::List(parts) | Kind::Set(parts) if !parts.items.is_empty() => {
                        new_line(1, indent, out);
                        write(item, indent, out)?;
                    }
                    Kind::Object(parts) if !parts.items.is_empty() => {
                        new_line(1, indent + 2, out);
                        write(item, indent + 2, out)?;
                    }
                    _ => {
                        out.push(' ');
                        write(item, indent + 2, out)?;
                    }
                }
            }
        }
        _ => {
            let text = json_text::write(value).map_err(|_| Stop::Call("the result would be too long".to_owned()))?;
            out.push_str(&text);
        }
    }
    Ok(())
}

fn new_line(index: usize, indent: usize, out: &mut String) {
    if index > 0 {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// Writes text of several lines as a block, where a block can hold it, and else in quotes.
fn write_text(text: &str, indent: usize, out: &mut String) {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let fits = text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && !text.contains(" \n")
        && text.chars().all(|c| c == '\n' || !c.is_control());
    if !fits {
        return quote(text, out);
    }
    out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent.max(2)));
            out.push_str(line);
        }
    }
}
