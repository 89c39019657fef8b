//! The functions: one table with a row each, and what they have in common.
//!
//! An unknown argument makes the result unknown, a sensitive one sensitive, before a function is called. One that
//! looks into a collection and meets an unknown value there says so with [`Stop::Unknown`].

mod collection;
mod text;

use std::collections::BTreeMap;

use super::convert::{self, Mismatch, Type};
use super::number::Number;
use super::value::{Kind, Value};

/// How many values `range` makes at most.
const MAX_RANGE: usize = 65_536;

/// Why a function has no result.
enum Stop {
    /// It depends on what only an apply can tell.
    Unknown,
    /// An argument, by its place, is wrong.
    Argument(usize, String),
    /// The call as a whole is wrong.
    Call(String),
}

type Result<T = Value> = std::result::Result<T, Stop>;

/// A problem with a call.
pub(super) struct CallError {
    /// The argument it is about, where it is about one.
    pub(super) argument: Option<usize>,
    /// What is wrong, without a full stop.
    pub(super) message: String,
}

/// A function.
pub(super) struct Function {
    /// Its name and parameters, as a user would write them.
    pub(super) signature: &'static str,
    least: usize,
    /// Absent where the last parameter repeats.
    most: Option<usize>,
    body: fn(&Arguments<'_>) -> Result,
}

const fn function(
    signature: &'static str,
    least: usize,
    most: Option<usize>,
    body: fn(&Arguments<'_>) -> Result,
) -> Function {
    Function {
        signature,
        least,
        most,
        body,
    }
}

/// Every function but `try` and `can`, which evaluate their arguments themselves, by name.
static FUNCTIONS: &[Function] = &[
    function("abs(number)", 1, Some(1), |a| number(absolute(a.number(0)?))),
    function("alltrue(list)", 1, Some(1), |a| collection::all(a, true)),
    function("anytrue(list)", 1, Some(1), |a| collection::all(a, false)),
    function("ceil(number)", 1, Some(1), |a| Ok(a.number(0)?.ceil().into())),
    function("chomp(string)", 1, Some(1), |a| {
        Ok(a.text(0)?.trim_end_matches(['\n', '\r']).into())
    }),
    function("chunklist(list, size)", 2, Some(2), collection::chunklist),
    function("coalesce(values...)", 1, None, collection::coalesce),
    function("coalescelist(lists...)", 1, None, collection::coalescelist),
    function("compact(list)", 1, Some(1), collection::compact),
    function("concat(lists...)", 0, None, collection::concat),
    function("contains(list, value)", 2, Some(2), collection::contains),
    function("distinct(list)", 1, Some(1), collection::distinct),
    function("element(list, index)", 2, Some(2), collection::element),
    function("endswith(string, suffix)", 2, Some(2), |a| {
        Ok(a.text(0)?.ends_with(&a.text(1)?).into())
    }),
    function("flatten(list)", 1, Some(1), collection::flatten),
    function("floor(number)", 1, Some(1), |a| Ok(a.number(0)?.floor().into())),
    function("format(format, values...)", 1, None, text::format),
    function("formatlist(format, values...)", 1, None, text::formatlist),
    function("index(list, value)", 2, Some(2), collection::index),
    function("issensitive(value)", 1, Some(1), |_| Ok(false.into())),
    function("join(separator, lists...)", 2, None, text::join),
    function("jsonencode(value)", 1, Some(1), text::jsonencode),
    function("keys(map)", 1, Some(1), collection::keys),
    function("length(value)", 1, Some(1), collection::length),
    function("lookup(map, key, default)", 2, Some(3), collection::lookup),
    function("lower(string)", 1, Some(1), |a| Ok(a.text(0)?.to_lowercase().into())),
    function("matchkeys(values, keys, search)", 3, Some(3), collection::matchkeys),
    function("max(numbers...)", 1, None, |a| {
        Ok(a.numbers()?.into_iter().max().map_or_else(Value::null, Value::from))
    }),
    function("merge(maps...)", 0, None, collection::merge),
    function("min(numbers...)", 1, None, |a| {
        Ok(a.numbers()?.into_iter().min().map_or_else(Value::null, Value::from))
    }),
    function("nonsensitive(value)", 1, Some(1), |a| Ok(a.values[0].clone())),
    function("one(list)", 1, Some(1), collection::one),
    function("parseint(string, base)", 2, Some(2), text::parseint),
    function("range(start, limit, step)", 1, Some(3), range),
    function("replace(string, substring, replacement)", 3, Some(3), text::replace),
    function("reverse(list)", 1, Some(1), collection::reverse),
    function("sensitive(value)", 1, Some(1), |a| Ok(a.values[0].clone().marked(true))),
    function("setintersection(sets...)", 1, None, collection::setintersection),
    function("setproduct(lists...)", 1, None, collection::setproduct),
    function("setsubtract(set, set)", 2, Some(2), collection::setsubtract),
    function("setunion(sets...)", 1, None, collection::setunion),
    function("signum(number)", 1, Some(1), |a| {
        let n = a.number(0)?;
        Ok(Number::from(i128::from(!n.is_zero()) * if n.is_negative() { -1 } else { 1 }).into())
    }),
    function("slice(list, start, end)", 3, Some(3), collection::slice),
    function("sort(list)", 1, Some(1), collection::sort),
    function("split(separator, string)", 2, Some(2), text::split),
    function("startswith(string, prefix)", 2, Some(2), |a| {
        Ok(a.text(0)?.starts_with(&a.text(1)?).into())
    }),
    function("strcontains(string, substring)", 2, Some(2), |a| {
        Ok(a.text(0)?.contains(&a.text(1)?).into())
    }),
    function("strrev(string)", 1, Some(1), |a| {
        Ok(a.text(0)?.chars().rev().collect::<String>().into())
    }),
    function("substr(string, offset, length)", 3, Some(3), text::substr),
    function("sum(list)", 1, Some(1), sum),
    function("title(string)", 1, Some(1), text::title),
    function("tobool(value)", 1, Some(1), |a| a.converted(&Type::Bool)),
    function("tolist(value)", 1, Some(1), |a| {
        a.converted(&Type::List(Box::new(Type::Any)))
    }),
    function("tomap(value)", 1, Some(1), |a| {
        a.converted(&Type::Map(Box::new(Type::Any)))
    }),
    function("tonumber(value)", 1, Some(1), |a| a.converted(&Type::Number)),
    function("toset(value)", 1, Some(1), |a| {
        a.converted(&Type::Set(Box::new(Type::Any)))
    }),
    function("tostring(value)", 1, Some(1), |a| a.converted(&Type::String)),
    function("trim(string, characters)", 2, Some(2), text::trim),
    function("trimprefix(string, prefix)", 2, Some(2), |a| {
        let (text, prefix) = (a.text(0)?, a.text(1)?);
        Ok(text.strip_prefix(prefix.as_str()).unwrap_or(&text).into())
    }),
    function("trimspace(string)", 1, Some(1), |a| Ok(a.text(0)?.trim().into())),
    function("trimsuffix(string, suffix)", 2, Some(2), |a| {
        let (text, suffix) = (a.text(0)?, a.text(1)?);
        Ok(text.strip_suffix(suffix.as_str()).unwrap_or(&text).into())
    }),
    function("upper(string)", 1, Some(1), |a| Ok(a.text(0)?.to_uppercase().into())),
    function("urlencode(string)", 1, Some(1), text::urlencode),
    function("values(map)", 1, Some(1), collection::values),
    function("zipmap(keys, values)", 2, Some(2), collection::zipmap),
];

/// Returns the function of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name() == name)
}

/// Returns the names of all functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(Function::name).chain(["can", "try"])
}

impl Function {
    fn name(&self) -> &'static str {
        self.signature.split('(').next().unwrap_or_default()
    }

    /// Calls the function.
    pub(super) fn call(&self, values: &[Value]) -> std::result::Result<Value, CallError> {
        self.check_count(values.len())?;
        let sensitive = values.iter().any(Value::has_sensitive);
        match self.name() {
            "issensitive" => return Ok(sensitive.into()),
            "nonsensitive" => return Ok(values[0].revealed()),
            _ => {}
        }
        if values.iter().any(Value::is_unknown) {
            return Ok(Value::unknown().marked(sensitive));
        }
        let revealed: Vec<Value> = if sensitive {
            values.iter().map(Value::revealed).collect()
        } else {
            values.to_vec()
        };
        let arguments = Arguments {
            values: &revealed,
            sensitive,
        };
        match (self.body)(&arguments) {
            Ok(value) => Ok(value.marked(sensitive)),
            Err(Stop::Unknown) => Ok(Value::unknown().marked(sensitive)),
            Err(Stop::Argument(index, message)) => Err(CallError {
                argument: Some(index),
                message,
            }),
            Err(Stop::Call(message)) => Err(CallError {
                argument: None,
                message,
            }),
        }
    }

    fn check_count(&self, count: usize) -> std::result::Result<(), CallError> {
        let message = if count < self.least {
            format!(
                "{} needs at least {} arguments, not {count}",
                self.signature, self.least
            )
        } else if self.most.is_some_and(|most| count > most) {
            format!(
                "{} takes at most {} arguments, not {count}",
                self.signature,
                self.most.unwrap_or_default()
            )
        } else {
            return Ok(());
        };
        let message = message.replace(" 1 arguments", " 1 argument");
        Err(CallError {
            argument: None,
            message,
        })
    }
}

/// The arguments of a call: known at the top, without marks.
struct Arguments<'a> {
    values: &'a [Value],
    /// Whether there were marks, so that no message may show an argument.
    sensitive: bool,
}

impl Arguments<'_> {
    fn wrong(index: usize) -> impl Fn(Mismatch) -> Stop {
        move |why| Stop::Argument(index, why)
    }

    fn text(&self, index: usize) -> Result<String> {
        convert::to_text(&self.values[index]).map_err(Self::wrong(index))
    }

    fn number(&self, index: usize) -> Result<Number> {
        convert::to_number(&self.values[index]).map_err(Self::wrong(index))
    }

    fn whole(&self, index: usize) -> Result<i128> {
        let whole = self.number(index)?.whole();
        whole.ok_or_else(|| Stop::Argument(index, "a whole number is required".to_owned()))
    }

    /// Returns a number that counts something.
    fn size(&self, index: usize) -> Result<usize> {
        let why = || Stop::Argument(index, "a whole number that is not negative is required".to_owned());
        usize::try_from(self.whole(index)?).map_err(|_| why())
    }

    fn numbers(&self) -> Result<Vec<Number>> {
        (0..self.values.len()).map(|index| self.number(index)).collect()
    }

    /// Returns the items of a list or a set.
    fn items(&self, index: usize) -> Result<&[Value]> {
        match &self.values[index].kind {
            Kind::List(parts) | Kind::Set(parts) => Ok(&parts.items),
            _ => Err(self.not(index, "a list")),
        }
    }

    /// Returns the items of a list or a set whose items matter: all of them are known.
    fn known_items(&self, index: usize) -> Result<&[Value]> {
        let items = self.items(index)?;
        if self.values[index].has_unknown() {
            Err(Stop::Unknown)
        } else {
            Ok(items)
        }
    }

    fn object(&self, index: usize) -> Result<&BTreeMap<String, Value>> {
        match &self.values[index].kind {
            Kind::Object(parts) => Ok(&parts.items),
            _ => Err(self.not(index, "a map")),
        }
    }

    fn not(&self, index: usize, required: &str) -> Stop {
        Stop::Argument(
            index,
            format!("{required} is required, not {}", self.values[index].kind_name()),
        )
    }

    fn converted(&self, to: &Type) -> Result {
        let value = &self.values[0];
        if matches!(to, Type::Set(_)) && value.has_unknown() {
            return Err(Stop::Unknown);
        }
        convert::convert(value, to).map_err(Self::wrong(0))
    }
}

fn number(result: Option<Number>) -> Result {
    result
        .map(Value::from)
        .ok_or_else(|| Stop::Call("the result has more than 38 digits".to_owned()))
}

fn absolute(value: Number) -> Option<Number> {
    if value.is_negative() {
        value.checked_neg()
    } else {
        Some(value)
    }
}

fn sum(a: &Arguments<'_>) -> Result {
    let items = a.known_items(0)?;
    let Some((first, rest)) = items.split_first() else {
        return Err(Stop::Argument(0, "an empty list has no sum".to_owned()));
    };
    let mut total = convert::to_number(first).map_err(Arguments::wrong(0))?;
    for item in rest {
        let item = convert::to_number(item).map_err(Arguments::wrong(0))?;
        total = total
            .checked_add(item)
            .ok_or_else(|| Stop::Call("the sum has more than 38 digits".to_owned()))?;
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
        items.push(Value::from(next));
        next = next
            .checked_add(step)
            .ok_or_else(|| Stop::Call("the numbers grow out of range".to_owned()))?;
    }
    Ok(Value::list(items))
}
