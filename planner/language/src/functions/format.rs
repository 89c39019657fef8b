//! `format` and `formatlist`.

use crate::convert;
use crate::number::Number;
use crate::value::json_text;
use crate::value::{Kind, Value};

use super::arguments::{Arguments, bounded};
use super::{MAX_ELEMENTS, Result, Stop};

pub(super) fn format(a: &Arguments<'_>) -> Result {
    bounded(formatted(&a.text(0)?, &a.values[1..])?)
}

pub(super) fn formatlist(a: &Arguments<'_>) -> Result {
    let format = a.text(0)?;
    let rest = &a.values[1..];
    let lists: Vec<usize> = rest.iter().filter_map(list_length).collect();
    let length = lists.first().copied().unwrap_or(1);
    if length > MAX_ELEMENTS {
        return Err(Stop::Call("the lists are too long".to_owned()));
    }
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
    let sign = |text: String| {
        if verb.plus && !text.starts_with('-') {
            format!("+{text}")
        } else {
            text
        }
    };
    let radix = |radix: u32| {
        let whole = number()?.big().ok_or_else(|| "a whole number is required".to_owned())?;
        Ok::<_, String>(sign(whole.to_str_radix(radix)))
    };
    if value.is_null() && letter != 'v' {
        return Err("null cannot be formatted; only \"%v\" writes it".to_owned());
    }
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
        'd' => sign(truncated(&number()?).to_string()),
        'f' | 'F' => sign(fixed(&number()?, verb.precision.unwrap_or(6))),
        'e' => sign(scientific(number()?.to_f64(), verb.precision)),
        'E' => sign(scientific(number()?.to_f64(), verb.precision).to_uppercase()),
        'g' | 'G' => sign(number()?.to_string()),
        'b' => radix(2)?,
        'o' => radix(8)?,
        'x' => radix(16)?,
        'X' => radix(16)?.to_uppercase(),
        't' => convert::to_bool(value)?.to_string(),
        'q' => json(&convert::to_text(value)?.into()),
        other => return Err(format!("there is no verb \"%{other}\"")),
    })
}

fn json(value: &Value) -> String {
    // What is formatted is known.
    json_text::write(value).unwrap_or_default()
}

fn truncated(number: &Number) -> Number {
    if number.is_negative() {
        number.ceil()
    } else {
        number.floor()
    }
}

/// Writes a number as one digit, a fraction and a power of ten, as in `1.500000e+03`.
fn scientific(number: f64, precision: Option<usize>) -> String {
    let text = format!("{number:.*e}", precision.unwrap_or(6));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Writes a number with a fixed count of digits behind the point, rounding half away from zero.
fn fixed(number: &Number, digits: usize) -> String {
    let scale = Number::parse(&format!("1e{digits}"));
    let half = Number::parse("0.5");
    let units = scale.zip(half).and_then(|(scale, half)| {
        let scaled = number.absolute().checked_mul(&scale)?.checked_add(&half)?;
        Some(scaled.floor().to_string())
    });
    // What is too large for that has no digits behind the point to round.
    let units = units.unwrap_or_else(|| format!("{}{}", truncated(&number.absolute()), "0".repeat(digits)));
    let units = format!("{units:0>width$}", width = digits + 1);
    let (whole, fraction) = units.split_at(units.len() - digits);
    let is_zero = units.bytes().all(|digit| digit == b'0');
    let sign = if number.is_negative() && !is_zero { "-" } else { "" };
    if digits == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
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

/// Returns the elements that an argument of `formatlist` has, where it is a list.
fn list_length(value: &Value) -> Option<usize> {
    match &value.kind {
        Kind::List(parts) | Kind::Set(parts) => Some(parts.items.len()),
        _ => None,
    }
}
