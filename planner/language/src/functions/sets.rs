//! Functions of sets.

use std::collections::BTreeSet;

use crate::convert::{self, Type};
use crate::value::{Kind, Value};

use super::arguments::list_or_tuple;
use super::{Arguments, Function, MAX_ELEMENTS, Result, Stop, arranging, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "setintersection(sets: set(any)...) -> set(any)",
        "Returns the elements that all sets have.",
        ("setintersection([\"a\", \"b\"], [\"b\", \"c\"])", "[\"b\"]"),
        setintersection,
    ),
    arranging(
        "setproduct(sets: list(any)...) -> list(list(any))",
        "Returns all combinations of an element of each list or set.",
        (
            "setproduct([\"a\", \"b\"], [1, 2])",
            "[[\"a\",1],[\"a\",2],[\"b\",1],[\"b\",2]]",
        ),
        setproduct,
    ),
    function(
        "setsubtract(set: set(any), without: set(any)) -> set(any)",
        "Returns the elements of one set that another one does not have.",
        ("setsubtract([\"a\", \"b\", \"c\"], [\"a\", \"c\"])", "[\"b\"]"),
        setsubtract,
    ),
    function(
        "setsymmetricdifference(sets: set(any)...) -> set(any)",
        "Returns the elements that are in one of two sets, and not in both.",
        (
            "setsymmetricdifference([\"a\", \"b\"], [\"b\", \"c\"])",
            "[\"a\",\"c\"]",
        ),
        setsymmetricdifference,
    ),
    function(
        "setunion(sets: set(any)...) -> set(any)",
        "Returns the elements that any of the sets has.",
        ("setunion([\"a\", \"b\"], [\"b\", \"c\"])", "[\"a\",\"b\",\"c\"]"),
        setunion,
    ),
];

/// Returns the arguments as sets whose elements are all of one type.
fn sets(a: &Arguments<'_>) -> Result<Vec<Vec<Value>>> {
    let mut shared = Type::Any;
    for index in 0..a.values.len() {
        for item in a.known_items(index)? {
            shared = convert::unify(shared, convert::type_of(item))
                .ok_or_else(|| Stop::Argument(index, "all elements must be of one type".to_owned()))?;
        }
    }
    let to = Type::Set(Box::new(shared));
    let set = |(index, value)| {
        let set = convert::convert(value, &to).map_err(Arguments::wrong(index))?;
        Ok(convert::items(&set).unwrap_or_default())
    };
    a.values.iter().enumerate().map(set).collect()
}

/// Returns texts that are equal where the items are.
pub(super) fn keys(items: &[Value]) -> BTreeSet<String> {
    items.iter().map(Value::sort_key).collect()
}

fn setunion(a: &Arguments<'_>) -> Result {
    Ok(Value::set(&sets(a)?.concat()))
}

fn setintersection(a: &Arguments<'_>) -> Result {
    let sets = sets(a)?;
    let (first, others) = sets
        .split_first()
        .ok_or_else(|| Stop::Call("it needs at least one set".to_owned()))?;
    let others: Vec<BTreeSet<String>> = others.iter().map(|set| keys(set)).collect();
    let is_everywhere = |item: &&Value| others.iter().all(|other| other.contains(&item.sort_key()));
    Ok(Value::set(
        &first.iter().filter(is_everywhere).cloned().collect::<Vec<_>>(),
    ))
}

fn setsubtract(a: &Arguments<'_>) -> Result {
    let sets = sets(a)?;
    let without = keys(&sets[1]);
    let kept = sets[0].iter().filter(|item| !without.contains(&item.sort_key()));
    Ok(Value::set(&kept.cloned().collect::<Vec<_>>()))
}

fn setsymmetricdifference(a: &Arguments<'_>) -> Result {
    let mut kept: Vec<Value> = Vec::new();
    for set in sets(a)? {
        let (known, next) = (keys(&kept), keys(&set));
        kept.retain(|item| !next.contains(&item.sort_key()));
        kept.extend(set.into_iter().filter(|item| !known.contains(&item.sort_key())));
    }
    Ok(Value::set(&kept))
}

fn setproduct(a: &Arguments<'_>) -> Result {
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for index in 0..a.values.len() {
        let items = a.items(index)?;
        if rows.len().saturating_mul(items.len()).saturating_mul(a.values.len()) > MAX_ELEMENTS {
            let why = format!("the result would have more than {MAX_ELEMENTS} elements");
            return Err(Stop::Call(why));
        }
        let longer = |row: &Vec<Value>, item: &Value| row.iter().chain([item]).cloned().collect();
        rows = rows
            .iter()
            .flat_map(|row| items.iter().map(move |item| longer(row, item)))
            .collect();
    }
    let rows: Vec<Value> = rows.into_iter().map(Value::tuple).collect();
    let all_sets = a.values.iter().all(|value| matches!(value.kind, Kind::Set(_)));
    Ok(if all_sets {
        Value::set(&rows)
    } else {
        list_or_tuple(rows)
    })
}
