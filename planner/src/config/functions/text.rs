//! Functions of text.

use std::fmt::Write as _;

use super::super::convert;
use super::super::number::Number;
use super::super::value::{Kind, Value};
use super::{Arguments, Result, Stop};

/// How long a text may become.
const MAX_LENGTH: usize = 16 << 20;

fn bounded(text: String) -> Result {
    if text.len() > MAX_LENGTH {
        return Err(Stop::Call(format!(
            "the result would be longer than {} MB",
            MAX_LENGTH >> 20
        )));
    }
    Ok(text.into())
}

pub(super) fn replace(a: &Arguments<'_>) -> Result {
    let (text, from, to) = (a.text(0)?, a.text(1)?, a.text(2)?);
    if from.len() > 1 && from.starts_with('/') && from.ends_with('/') {
        return Err(Stop::Argument(1, "regular expressions are not supported".to_owned()));
    }
    if text.len().saturating_add(1).saturating_mul(to.len()) > MAX_LENGTH {
        return Err(Stop::Argument(2, "the result could become too long".to_owned()));
    }
    bounded(text.replace(&from, &to))
}

pub(super) fn split(a: &Arguments<'_>) -> Result {
    let (separator, text) = (a.text(0)?, a.text(1)?);
    let parts: Vec<Value> = if separator.is_empty() {
        text.chars().map(|c| c.to_string().into()).collect()
    } else {
        text.split(&separator).map(Value::from).collect()
    };
    Ok(Value::list(parts))
}

pub(super) fn join(a: &Arguments<'_>) -> Result {
    let separator = a.text(0)?;
    let mut parts = Vec::new();
    for index in 1..a.values.len() {
        for item in a.known_items(index)? {
            parts.push(convert::to_text(item).map_err(Arguments::wrong(index))?);
        }
    }
    bounded(parts.join(&separator))
}

pub(super) fn trim(a: &Arguments<'_>) -> Result {
    let characters = a.text(1)?;
    Ok(a.text(0)?.trim_matches(|c| characters.contains(c)).into())
}

pub(super) fn title(a: &Arguments<'_>) -> Result {
    let mut starts = true;
    let mut titled = String::new();
    for c in a.text(0)?.chars() {
        if starts {
            titled.extend(c.to_uppercase());
        } else {
            titled.push(c);
        }
        starts = !c.is_alphanumeric() && c != '_' && c != '\'';
    }
    Ok(titled.into())
}

pub(super) fn substr(a: &Arguments<'_>) -> Result {
    let characters: Vec<char> = a.text(0)?.chars().collect();
    let offset = a.whole(1)?;
    let start = if offset < 0 {
        usize::try_from(offset.unsigned_abs()).map_or(0, |back| characters.len().saturating_sub(back))
    } else {
        usize::try_from(offset).map_or(characters.len(), |start| start.min(characters.len()))
    };
    let rest = characters.len() - start;
    // A length of -1 means the rest.
    let length = usize::try_from(a.whole(2)?).map_or(rest, |length| length.min(rest));
    Ok(characters[start..start + length].iter().collect::<String>().into())
}

pub(super) fn parseint(a: &Arguments<'_>) -> Result {
    let base = a.whole(1)?;
    let radix = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    let radix = radix.ok_or_else(|| Stop::Argument(1, "a base from 2 to 36 is required".to_owned()))?;
    let number = i128::from_str_radix(&a.text(0)?, radix);
    let number = number.map_err(|_| Stop::Argument(0, format!("a whole number in base {base} is required")))?;
    Ok(Number::from(number).into())
}

pub(super) fn urlencode(a: &Arguments<'_>) -> Result {
    let mut encoded = String::new();
    for byte in a.text(0)?.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    Ok(encoded.into())
}

pub(super) fn jsonencode(a: &Arguments<'_>) -> Result {
    let mut json = String::new();
    write_json(&a.values[0], &mut json)?;
    bounded(json)
}

/// Writes JSON with numbers as they are, and with `<`, `>` and `&` escaped as Terraform does.
fn write_json(value: &Value, out: &mut String) -> Result<()> {
    match &value.kind {
        Kind::Unknown => return Err(Stop::Unknown),
        Kind::Null => out.push_str("null"),
        Kind::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Kind::Number(number) => out.push_str(&number.to_string()),
        Kind::String(text) => write_json_text(text, out),
        Kind::List(parts) | Kind::Set(parts) => {
            out.push('[');
            for (index, item) in parts.items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_json(item, out)?;
            }
            out.push(']');
        }
        Kind::Object(parts) => {
            out.push('{');
            for (index, (key, item)) in parts.items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_json_text(key, out);
                out.push(':');
                write_json(item, out)?;
            }
            out.push('}');
        }
    }
    if out.len() > MAX_LENGTH {
        return Err(Stop::Call("the result would be too long".to_owned()));
    }
    Ok(())
}

fn write_json_text(text: &str, out: &mut String) {
    let quoted = serde_json::Value::from(text).to_string();
    out.push_str(
        &quoted
            .replace('&', "\\u0026")
            .replace('<', "\\u003c")
            .replace('>', "\\u003e"),
    );
}

pub(super) fn format(a: &Arguments<'_>) -> Result {
    bounded(formatted(&a.text(0)?, &a.values[1..])?)
}

pub(super) fn formatlist(a: &Arguments<'_>) -> Result {
    let format = a.text(0)?;
    let rest = &a.values[1..];
    let lists: Vec<usize> = rest.iter().filter_map(list_length).collect();
    let length = lists.first().copied().unwrap_or(1);
    if lists.iter().any(|other| *other != length) {
        return Err(Stop::Call("all lists must have the same length".to_owned()));
    }
    let row = |index: usize| {
        let pick = |value: &Value| match &value.kind {
            Kind::List(parts) | Kind::Set(parts) => parts.items[index].clone(),
            _ => value.clone(),
        };
        Ok(formatted(&format, &rest.iter().map(pick).collect::<Vec<_>>())?.into())
    };
    Ok(Value::list((0..length).map(row).collect::<Result<_>>()?))
}

fn list_length(value: &Value) -> Option<usize> {
    match &value.kind {
        Kind::List(parts) | Kind::Set(parts) => Some(parts.items.len()),
        _ => None,
    }
}

/// A verb of a format: `%-5s`, `%03d`, `%.2f`, `%[2]v`.
#[derive(Default)]
struct Verb {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    argument: Option<usize>,
}

fn formatted(format: &str, values: &[Value]) -> Result<String> {
    let mut out = String::new();
    let mut rest = format;
    let mut next = 0;
    let mut highest = 0;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (verb, letter, after) = read_verb(rest)?;
        rest = after;
        if letter == '%' {
            out.push('%');
            continue;
        }
        let index = verb.argument.map_or(next, |explicit| explicit.wrapping_sub(1));
        let value = values.get(index).ok_or_else(|| {
            Stop::Argument(
                0,
                format!("not enough arguments for \"%{letter}\": {} given", values.len()),
            )
        })?;
        next = index + 1;
        highest = highest.max(next);
        if value.has_unknown() {
            return Err(Stop::Unknown);
        }
        let text = written(&verb, letter, value).map_err(|why| Stop::Argument(index + 1, why))?;
        pad(&verb, &text, &mut out);
    }
    out.push_str(rest);
    if highest < values.len() {
        return Err(Stop::Argument(
            highest + 1,
            "too many arguments; none is used by the format".to_owned(),
        ));
    }
    Ok(out)
}

fn read_verb(text: &str) -> Result<(Verb, char, &str)> {
    let mut verb = Verb::default();
    let mut rest = text;
    while let Some(flag) = rest.chars().next().filter(|c| "-0+ #".contains(*c)) {
        verb.left |= flag == '-';
        verb.zero |= flag == '0';
        verb.plus |= flag == '+';
        rest = &rest[1..];
    }
    verb.width = take_number(&mut rest).unwrap_or(0);
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        verb.precision = Some(take_number(&mut rest).unwrap_or(0));
    }
    if let Some(after) = rest.strip_prefix('[') {
        rest = after;
        verb.argument = take_number(&mut rest);
        rest = rest.strip_prefix(']').unwrap_or(rest);
    }
    if verb.width > 1000 || verb.precision.is_some_and(|precision| precision > 1000) {
        return Err(Stop::Argument(
            0,
            "a width and a precision may be 1000 at most".to_owned(),
        ));
    }
    let letter = rest.chars().next();
    let letter = letter.ok_or_else(|| Stop::Argument(0, "the format ends after \"%\"; write \"%%\"".to_owned()))?;
    Ok((verb, letter, &rest[letter.len_utf8()..]))
}

fn take_number(rest: &mut &str) -> Option<usize> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    digits.parse().ok()
}

fn written(verb: &Verb, letter: char, value: &Value) -> std::result::Result<String, String> {
    let number = || convert::to_number(value);
    let whole = || number()?.whole().ok_or_else(|| "a whole number is required".to_owned());
    let sign = |text: String| {
        if verb.plus && !text.starts_with('-') {
            format!("+{text}")
        } else {
            text
        }
    };
    Ok(match letter {
        's' | 'v' => {
            let text = match &value.kind {
                Kind::Null => "null".to_owned(),
                Kind::List(_) | Kind::Set(_) | Kind::Object(_) if letter == 'v' => json(value),
                _ => convert::to_text(value)?,
            };
            verb.precision
                .map_or(text.clone(), |most| text.chars().take(most).collect())
        }
        'd' => sign(
            if let Some(whole) = number()?.whole() {
                whole
            } else {
                number()?.floor().whole().unwrap_or(0)
            }
            .to_string(),
        ),
        'f' => sign(fixed(number()?, verb.precision.unwrap_or(6))),
        'g' => sign(number()?.to_string()),
        'b' => format!("{:b}", whole()?),
        'o' => format!("{:o}", whole()?),
        'x' => format!("{:x}", whole()?),
        'X' => format!("{:X}", whole()?),
        't' => convert::to_bool(value)?.to_string(),
        'q' => json(&convert::to_text(value)?.into()),
        other => return Err(format!("there is no verb \"%{other}\"")),
    })
}

fn json(value: &Value) -> String {
    value.to_json().map_or_else(String::new, |json| json.to_string())
}

/// Writes a number with a fixed count of digits behind the point, rounding half away from zero.
fn fixed(number: Number, digits: usize) -> String {
    let digits = digits.min(30);
    let half = Number::parse(&format!("5e-{}", digits + 1)).expect("a decimal number");
    let half = if number.is_negative() {
        half.checked_neg()
    } else {
        Some(half)
    };
    let rounded = half
        .and_then(|half| number.checked_add(half))
        .unwrap_or(number)
        .to_string();
    let (whole, fraction) = rounded.split_once('.').unwrap_or((&rounded, ""));
    let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(digits).collect();
    if digits == 0 {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

fn pad(verb: &Verb, text: &str, out: &mut String) {
    let missing = verb.width.saturating_sub(text.chars().count());
    if verb.left {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if verb.zero {
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}
