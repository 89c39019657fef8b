//! The functions: one table with a row each, by subject, and what they have in common.
//!
//! An unknown argument makes the result unknown, a sensitive one sensitive, before a function is called. One that
//! looks into a collection and meets an unknown value there says so with [`Stop::Unknown`].

mod arguments;
mod bytes;
mod collection;
mod conversion;
mod csv;
mod encoding;
mod filesystem;
mod format;
mod hash;
mod network;
mod numeric;
mod regular;
mod sets;
mod signature;
mod string;
mod text_encoding;
mod time;
mod yaml;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::files::Files;
use crate::value::{Marks, Value};

use self::arguments::Arguments;

pub use self::signature::{FunctionSignature, Parameter, function_signatures};

/// How long a text may become.
const MAX_LENGTH: usize = 16 << 20;

/// How many elements a function makes at most.
const MAX_ELEMENTS: usize = 1 << 20;

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
pub(crate) struct CallError {
    /// The argument it is about, where it is about one.
    pub(crate) argument: Option<usize>,
    /// What is wrong, without a full stop.
    pub(crate) message: String,
}

/// What a function does with the sensitive marks of its arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnMarks {
    /// The result is sensitive where any part of an argument is.
    Spread,
    /// Parts keep their own marks; the result is sensitive where an argument itself is.
    Keep,
    /// The function sees the marks and sets those of its result.
    See,
}

/// A function.
pub(crate) struct Function {
    /// Its name, parameters and result: `lookup(map: map(any), key: string, default?: any) -> any`.
    declaration: &'static str,
    /// What it returns, as a sentence.
    doc: &'static str,
    /// A call, and the JSON of its result.
    example: (&'static str, &'static str),
    marks: OnMarks,
    body: fn(&Arguments<'_>) -> Result,
}

/// Makes a row of a table.
const fn function(
    declaration: &'static str,
    doc: &'static str,
    example: (&'static str, &'static str),
    body: fn(&Arguments<'_>) -> Result,
) -> Function {
    Function {
        declaration,
        doc,
        example,
        marks: OnMarks::Spread,
        body,
    }
}

/// Makes a row for a function that arranges parts without looking at them.
const fn arranging(
    declaration: &'static str,
    doc: &'static str,
    example: (&'static str, &'static str),
    body: fn(&Arguments<'_>) -> Result,
) -> Function {
    Function {
        marks: OnMarks::Keep,
        ..function(declaration, doc, example, body)
    }
}

/// The tables, by subject.
const TABLES: [&[Function]; 11] = [
    numeric::FUNCTIONS,
    string::FUNCTIONS,
    collection::FUNCTIONS,
    sets::FUNCTIONS,
    encoding::FUNCTIONS,
    hash::FUNCTIONS,
    time::FUNCTIONS,
    network::FUNCTIONS,
    conversion::FUNCTIONS,
    filesystem::FUNCTIONS,
    EVALUATED,
];

/// The functions that the evaluator runs itself, since they look at expressions and not at values.
const EVALUATED: &[Function] = &[
    function(
        "can(expression: any) -> bool",
        "Returns whether an expression can be evaluated without an error.",
        ("can(1 / 0)", "false"),
        |_| Ok(true.into()),
    ),
    function(
        "try(expressions: any...) -> any",
        "Returns the value of the first expression that can be evaluated without an error.",
        ("try({ a = 1 }.b, \"none\")", "\"none\""),
        |a| Ok(a.values[0].clone()),
    ),
    function(
        "templatestring(template: string, variables: map(any)) -> string",
        "Renders a template that a reference leads to, with the given variables.",
        (
            "[for t in [\"Hello, $${name}\"] : templatestring(t, { name = \"simdb\" })]",
            "[\"Hello, simdb\"]",
        ),
        |_| Err(Stop::Unknown),
    ),
    function(
        "templatefile(path: string, variables: map(any)) -> string",
        "Renders the template in a file with the given variables.",
        ("can(templatefile(\"no.tmpl\", {}))", "false"),
        |_| Err(Stop::Unknown),
    ),
];

/// Returns the functions by name.
fn all() -> &'static BTreeMap<&'static str, &'static Function> {
    static ALL: OnceLock<BTreeMap<&'static str, &'static Function>> = OnceLock::new();
    ALL.get_or_init(|| {
        let rows = TABLES.into_iter().flatten();
        rows.map(|function| (function.name(), function)).collect()
    })
}

/// Returns the function of a name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    all().get(name).copied()
}

/// Returns the names of all functions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    all().keys().copied()
}

/// Returns what to use in place of a function that Terraform has, or once had, and simdb does not.
pub(crate) fn replacement(name: &str) -> Option<&'static str> {
    Some(match name {
        "list" => "Write a list in brackets: [\"a\", \"b\"].",
        "map" => "Write a map in braces: { a = 1 }.",
        "rsadecrypt" => "simdb does not decrypt values. Pass the value in with a sensitive variable.",
        "urldecode" | "base64gunzip" | "cidrcontains" => "Neither simdb nor Terraform 1.11 has it.",
        _ => return None,
    })
}

impl Function {
    pub(crate) fn name(&self) -> &'static str {
        self.declaration.split('(').next().unwrap_or_default()
    }

    /// Calls the function.
    pub(crate) fn call(&self, values: &[Value], files: Option<&Files>) -> std::result::Result<Value, CallError> {
        self.check_count(values.len())?;
        let all = Marks::of(values.iter().map(Value::all_marks));
        let marks = match self.marks {
            OnMarks::Spread => all,
            OnMarks::Keep => Marks::of(values.iter().map(|value| value.marks)),
            OnMarks::See => Marks::default(),
        };
        if self.marks != OnMarks::See && values.iter().any(Value::is_unknown) {
            return Ok(Value::unknown().marked(all));
        }
        let seen: Vec<Value> = match self.marks {
            OnMarks::Spread if marks != Marks::default() => values.iter().map(Value::revealed).collect(),
            OnMarks::Keep => values.iter().map(Value::unmarked).collect(),
            OnMarks::Spread | OnMarks::See => values.to_vec(),
        };
        let arguments = Arguments {
            values: &seen,
            sensitive: all.sensitive,
            files,
        };
        match (self.body)(&arguments) {
            Ok(value) => Ok(value.marked(marks)),
            Err(Stop::Unknown) => Ok(Value::unknown().marked(all)),
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
        let (least, most) = self.counts();
        let signature = self.signature();
        let message = if count < least {
            format!("{signature} needs at least {least} arguments, not {count}")
        } else if let Some(most) = most.filter(|most| count > *most) {
            format!("{signature} takes at most {most} arguments, not {count}")
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
