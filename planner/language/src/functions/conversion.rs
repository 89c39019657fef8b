//! Conversions between types, and marks.

use crate::convert::Type;
use crate::value::{Marks, Value};

use super::{Function, OnMarks, arranging, function};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        marks: OnMarks::See,
        ..function(
            "ephemeralasnull(value: any) -> any",
            "Returns a value with null in place of what is ephemeral.",
            ("ephemeralasnull(\"a\")", "\"a\""),
            |a| Ok(a.values[0].without_ephemeral()),
        )
    },
    Function {
        marks: OnMarks::See,
        ..function(
            "issensitive(value: any) -> bool",
            "Returns whether a value is sensitive.",
            ("issensitive(sensitive(\"a\"))", "true"),
            |a| Ok(a.values[0].marks.sensitive.into()),
        )
    },
    Function {
        marks: OnMarks::See,
        ..function(
            "nonsensitive(value: any) -> any",
            "Returns a value that may be shown.",
            ("nonsensitive(sensitive(\"a\"))", "\"a\""),
            |a| Ok(shown(&a.values[0])),
        )
    },
    Function {
        marks: OnMarks::See,
        ..function(
            "sensitive(value: any) -> any",
            "Returns a value that must not be shown.",
            ("issensitive(sensitive(1))", "true"),
            |a| Ok(a.values[0].clone().marked(Marks::SENSITIVE)),
        )
    },
    arranging(
        "tobool(value: any) -> bool",
        "Converts a value to a bool.",
        ("tobool(\"true\")", "true"),
        |a| a.converted(&Type::Bool),
    ),
    arranging(
        "tolist(value: any) -> list(any)",
        "Converts a value to a list, whose elements are of one type.",
        ("tolist([\"a\", 1])", "[\"a\",\"1\"]"),
        |a| a.converted(&Type::List(Box::new(Type::Any))),
    ),
    arranging(
        "tomap(value: any) -> map(any)",
        "Converts a value to a map, whose elements are of one type.",
        ("tomap({ a = 1, b = \"x\" })", "{\"a\":\"1\",\"b\":\"x\"}"),
        |a| a.converted(&Type::Map(Box::new(Type::Any))),
    ),
    arranging(
        "tonumber(value: any) -> number",
        "Converts a value to a number.",
        ("tonumber(\"42\")", "42"),
        |a| a.converted(&Type::Number),
    ),
    arranging(
        "toset(value: any) -> set(any)",
        "Converts a value to a set, whose elements are of one type, in order and each there once.",
        ("toset([\"b\", \"a\", \"b\"])", "[\"a\",\"b\"]"),
        |a| a.converted(&Type::Set(Box::new(Type::Any))),
    ),
    arranging(
        "tostring(value: any) -> string",
        "Converts a value to a text.",
        ("tostring(42)", "\"42\""),
        |a| a.converted(&Type::String),
    ),
];

/// Returns the value without the mark of its own that hides it.
fn shown(value: &Value) -> Value {
    let marks = Marks {
        sensitive: false,
        ..value.marks
    };
    value.unmarked().marked(marks)
}
