//! The arguments of a call, read as the kinds of values a function needs.

use std::collections::BTreeMap;

use crate::convert::{self, Mismatch, Type};
use crate::files::Files;
use crate::number::Number;
use crate::value::{Kind, Value};

use super::{MAX_LENGTH, Result, Stop};

/// The arguments of a call: known at the top.
pub(super) struct Arguments<'a> {
    pub(super) values: &'a [Value],
    /// Whether there were marks, so that no message may show an argument.
    pub(super) sensitive: bool,
    /// What files hold; absent where no function may read one.
    pub(super) files: Option<&'a Files>,
}

impl Arguments<'_> {
    pub(super) fn wrong(index: usize) -> impl Fn(Mismatch) -> Stop {
        move |why| Stop::Argument(index, why)
    }

    pub(super) fn text(&self, index: usize) -> Result<String> {
        convert::to_text(&self.values[index]).map_err(Self::wrong(index))
    }

    pub(super) fn number(&self, index: usize) -> Result<Number> {
        convert::to_number(&self.values[index]).map_err(Self::wrong(index))
    }

    pub(super) fn whole(&self, index: usize) -> Result<i128> {
        let whole = self.number(index)?.whole();
        whole.ok_or_else(|| Stop::Argument(index, "a whole number is required".to_owned()))
    }

    /// Returns a number that counts something.
    pub(super) fn size(&self, index: usize) -> Result<usize> {
        let why = || Stop::Argument(index, "a whole number that is not negative is required".to_owned());
        usize::try_from(self.whole(index)?).map_err(|_| why())
    }

    pub(super) fn numbers(&self) -> Result<Vec<Number>> {
        (0..self.values.len()).map(|index| self.number(index)).collect()
    }

    /// Returns the items of a list or a set.
    pub(super) fn items(&self, index: usize) -> Result<&[Value]> {
        match &self.values[index].kind {
            Kind::List(parts) | Kind::Set(parts) => Ok(&parts.items),
            _ => Err(self.not(index, "a list")),
        }
    }

    /// Returns the items of a list or a set whose items matter: all of them are known.
    pub(super) fn known_items(&self, index: usize) -> Result<&[Value]> {
        let items = self.items(index)?;
        if self.values[index].has_unknown() {
            Err(Stop::Unknown)
        } else {
            Ok(items)
        }
    }

    /// Returns the items of a list or a set as texts.
    pub(super) fn texts(&self, index: usize) -> Result<Vec<String>> {
        let items = self.known_items(index)?.iter().map(convert::to_text);
        items.collect::<std::result::Result<_, _>>().map_err(Self::wrong(index))
    }

    pub(super) fn object(&self, index: usize) -> Result<&BTreeMap<String, Value>> {
        match &self.values[index].kind {
            Kind::Object(parts) => Ok(&parts.items),
            _ => Err(self.not(index, "a map")),
        }
    }

    /// Returns whether an argument is a list, a set or a map, whose elements are of one type.
    pub(super) fn is_uniform(&self, index: usize) -> bool {
        match &self.values[index].kind {
            Kind::List(parts) | Kind::Set(parts) => parts.uniform,
            Kind::Object(parts) => parts.uniform,
            _ => false,
        }
    }

    /// Makes a list of items that come from an argument: a tuple where that is one.
    pub(super) fn like(&self, index: usize, items: Vec<Value>) -> Value {
        if self.is_uniform(index) {
            Value::list(items)
        } else {
            Value::tuple(items)
        }
    }

    pub(super) fn not(&self, index: usize, required: &str) -> Stop {
        let given = self.values[index].kind_name();
        Stop::Argument(index, format!("{required} is required, not {given}"))
    }

    pub(super) fn converted(&self, to: &Type) -> Result {
        convert::convert(&self.values[0], to).map_err(Self::wrong(0))
    }
}

/// Makes a list whose items are brought to one type; a tuple where they have none in common.
pub(super) fn list_or_tuple(items: Vec<Value>) -> Value {
    let tuple = Value::tuple(items);
    convert::convert(&tuple, &Type::List(Box::new(Type::Any))).unwrap_or(tuple)
}

/// Makes a text, which may not be longer than memory allows.
pub(super) fn bounded(text: String) -> Result {
    if text.len() > MAX_LENGTH {
        let most = MAX_LENGTH >> 20;
        return Err(Stop::Call(format!("the result would be longer than {most} MB")));
    }
    Ok(text.into())
}
