//! Functions of numbers.

use num_bigint::BigInt;

use crate::convert;
use crate::number::Number;
use crate::value::Value;

use super::{Arguments, Function, Result, Stop, function};

/// How many values `range` makes at most.
const MAX_RANGE: usize = 65_536;

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "abs(number: number) -> number",
        "Returns a number without its sign.",
        ("abs(-12.5)", "12.5"),
        |a| Ok(a.number(0)?.absolute().into()),
    ),
    function(
        "ceil(number: number) -> number",
        "Returns the smallest whole number that is not smaller.",
        ("ceil(4.01)", "5"),
        |a| Ok(a.number(0)?.ceil().into()),
    ),
    function(
        "floor(number: number) -> number",
        "Returns the largest whole number that is not larger.",
        ("floor(4.99)", "4"),
        |a| Ok(a.number(0)?.floor().into()),
    ),
    function(
        "log(number: number, base: number) -> number",
        "Returns the logarithm of a number to a base.",
        ("log(16, 2)", "4"),
        log,
    ),
    function(
        "max(numbers: number...) -> number",
        "Returns the largest of its arguments.",
        ("max(12, 54, 3)", "54"),
        |a| extreme(a.numbers()?.into_iter().max()),
    ),
    function(
        "min(numbers: number...) -> number",
        "Returns the smallest of its arguments.",
        ("min(12, 54, 3)", "3"),
        |a| extreme(a.numbers()?.into_iter().min()),
    ),
    function(
        "parseint(string: string, base: number) -> number",
        "Reads a whole number that is written in a base from 2 to 62.",
        ("parseint(\"ff\", 16)", "255"),
        parseint,
    ),
    function(
        "pow(number: number, power: number) -> number",
        "Returns a number raised to a power.",
        ("pow(3, 2)", "9"),
        |a| float(a.number(0)?.to_f64().powf(a.number(1)?.to_f64())),
    ),
    function(
        "range(start: number, limit?: number, step?: number) -> list(number)",
        "Returns the numbers from the start up to, but without, the limit; with one argument, from zero up to it.",
        ("range(1, 8, 2)", "[1,3,5,7]"),
        range,
    ),
    function(
        "signum(number: number) -> number",
        "Returns -1, 0 or 1: the sign of a number.",
        ("signum(-7)", "-1"),
        |a| {
            let n = a.number(0)?;
            Ok(Number::from(i128::from(!n.is_zero()) * if n.is_negative() { -1 } else { 1 }).into())
        },
    ),
    function(
        "sum(list: list(number)) -> number",
        "Returns the sum of the numbers in a list or a set.",
        ("sum([10, 13, 6, 4.5])", "33.5"),
        sum,
    ),
];

fn extreme(found: Option<Number>) -> Result {
    found
        .map(Value::from)
        .ok_or_else(|| Stop::Call("it needs at least one number".to_owned()))
}

fn float(float: f64) -> Result {
    let number = Number::from_f64(float).map(Value::from);
    number.ok_or_else(|| Stop::Call("the result is no number, or too large for one".to_owned()))
}

fn log(a: &Arguments<'_>) -> Result {
    let (number, base) = (a.number(0)?.to_f64(), a.number(1)?.to_f64());
    float(number.ln() / base.ln())
}

fn parseint(a: &Arguments<'_>) -> Result {
    let (text, base) = (a.text(0)?, a.whole(1)?);
    let radix = u8::try_from(base).ok().filter(|base| (2..=62).contains(base));
    let radix = radix.ok_or_else(|| Stop::Argument(1, "a base from 2 to 62 is required".to_owned()))?;
    let wrong = || Stop::Argument(0, format!("a whole number in base {base} is required"));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    if digits.is_empty() || digits.len() > 1000 {
        return Err(wrong());
    }
    let mut number = BigInt::ZERO;
    for digit in digits.bytes() {
        let digit = digit_value(digit, radix)
            .filter(|value| *value < radix)
            .ok_or_else(wrong)?;
        number = number * radix + digit;
    }
    Ok(Number::from(if negative { -number } else { number }).into())
}

/// Returns what a digit stands for: up to base 36 the case of letters makes no difference, above it does.
fn digit_value(digit: u8, radix: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'z' => Some(digit - b'a' + 10),
        b'A'..=b'Z' if radix <= 36 => Some(digit - b'A' + 10),
        b'A'..=b'Z' => Some(digit - b'A' + 36),
        _ => None,
    }
}

fn sum(a: &Arguments<'_>) -> Result {
    let items = a.known_items(0)?;
    if items.is_empty() {
        return Err(Stop::Argument(0, "an empty list has no sum".to_owned()));
    }
    let mut total = Number::from(0_usize);
    for item in items {
        let item = convert::to_number(item).map_err(Arguments::wrong(0))?;
        total = total
            .checked_add(&item)
            .ok_or_else(|| Stop::Call("the sum is out of range".to_owned()))?;
    }
    Ok(total.into())
}

fn range(a: &Arguments<'_>) -> Result {
    let zero = Number::from(0_usize);
    let (start, limit) = match a.values.len() {
        1 => (zero, a.number(0)?),
        _ => (a.number(0)?, a.number(1)?),
    };
    let downwards = limit < start;
    let step = match a.values.len() {
        3 => a.number(2)?,
        _ => Number::from(if downwards { -1_i128 } else { 1 }),
    };
    if step.is_zero() || (start != limit && step.is_negative() != downwards) {
        return Err(Stop::Argument(
            2,
            "the step must lead from the start to the limit".to_owned(),
        ));
    }
    let mut items = Vec::new();
    let mut next = start;
    while if downwards { next > limit } else { next < limit } {
        if items.len() == MAX_RANGE {
            return Err(Stop::Call(format!("it would make more than {MAX_RANGE} numbers")));
        }
        let after = next.checked_add(&step);
        items.push(Value::from(next));
        next = after.ok_or_else(|| Stop::Call("the numbers grow out of range".to_owned()))?;
    }
    Ok(Value::list(items))
}
