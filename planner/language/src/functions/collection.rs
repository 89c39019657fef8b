//! Functions of lists and maps.

use std::collections::BTreeMap;

use crate::convert::{self, Type};
use crate::eval;
use crate::number::Number;
use crate::value::{Kind, Marks, Value};

use super::arguments::list_or_tuple;
use super::sets;
use super::string::characters;
use super::{Arguments, Function, MAX_ELEMENTS, Result, Stop, arranging, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "alltrue(list: list(bool)) -> bool",
        "Returns whether all elements are true; those of an empty list are.",
        ("alltrue([true, \"true\"])", "true"),
        |a| all(a, true),
    ),
    function(
        "anytrue(list: list(bool)) -> bool",
        "Returns whether any element is true.",
        ("anytrue([false, true])", "true"),
        |a| all(a, false),
    ),
    arranging(
        "chunklist(list: list(any), size: number) -> list(any)",
        "Cuts a list into lists of a size; the last one may be shorter.",
        ("chunklist([\"a\", \"b\", \"c\"], 2)", "[[\"a\",\"b\"],[\"c\"]]"),
        chunklist,
    ),
    function(
        "coalesce(values: any...) -> any",
        "Returns the first of its arguments that is neither null nor an empty text.",
        ("coalesce(null, \"\", \"b\")", "\"b\""),
        coalesce,
    ),
    arranging(
        "coalescelist(lists: list(any)...) -> list(any)",
        "Returns the first of its arguments that has an element.",
        ("coalescelist([], [1])", "[1]"),
        coalescelist,
    ),
    function(
        "compact(list: list(string)) -> list(string)",
        "Returns a list without its elements that are null or empty texts.",
        ("compact([\"a\", \"\", null, \"b\"])", "[\"a\",\"b\"]"),
        compact,
    ),
    arranging(
        "concat(lists: list(any)...) -> list(any)",
        "Joins lists.",
        ("concat([\"a\"], [\"b\", \"c\"])", "[\"a\",\"b\",\"c\"]"),
        concat,
    ),
    function(
        "contains(list: list(any), value: any) -> bool",
        "Returns whether a list or a set has an element.",
        ("contains([\"a\", \"b\"], \"b\")", "true"),
        |a| Ok(a.known_items(0)?.contains(&a.values[1]).into()),
    ),
    function(
        "distinct(list: list(any)) -> list(any)",
        "Returns a list with each of its elements once.",
        ("distinct([\"b\", \"a\", \"b\"])", "[\"b\",\"a\"]"),
        distinct,
    ),
    arranging(
        "element(list: list(any), index: number) -> any",
        "Returns an element of a list; past the end it starts again.",
        ("element([\"a\", \"b\", \"c\"], 4)", "\"b\""),
        element,
    ),
    arranging(
        "flatten(list: list(any)) -> list(any)",
        "Returns a list in which lists within it are replaced by their elements.",
        ("flatten([1, [2, [3, []]]])", "[1,2,3]"),
        flatten,
    ),
    function(
        "index(list: list(any), value: any) -> number",
        "Returns the place of an element in a list.",
        ("index([\"x\", \"y\"], \"y\")", "1"),
        index,
    ),
    arranging(
        "keys(map: map(any)) -> list(string)",
        "Returns the keys of a map or an object, in order.",
        ("keys({ z = 1, a = 2 })", "[\"a\",\"z\"]"),
        |a| {
            Ok(Value::list(
                a.object(0)?.keys().map(|key| key.as_str().into()).collect(),
            ))
        },
    ),
    arranging(
        "length(value: any) -> number",
        "Returns how many elements a list, a set or a map has, or characters a text.",
        ("length([\"a\", \"b\"])", "2"),
        length,
    ),
    arranging(
        "lookup(map: map(any), key: string, default?: any) -> any",
        "Returns an element of a map, or a default where there is none of that key.",
        ("lookup({ a = 1 }, \"b\", 2)", "2"),
        lookup,
    ),
    function(
        "matchkeys(values: list(any), keys: list(any), search: list(any)) -> list(any)",
        "Returns the values whose keys, at the same places, are among those searched for.",
        (
            "matchkeys([\"i-1\", \"i-2\"], [\"west\", \"east\"], [\"east\"])",
            "[\"i-2\"]",
        ),
        matchkeys,
    ),
    arranging(
        "merge(maps: map(any)...) -> map(any)",
        "Joins maps or objects; of a key that several have the last one counts.",
        ("merge({ a = 1, b = 2 }, { b = 3 })", "{\"a\":1,\"b\":3}"),
        merge,
    ),
    arranging(
        "one(list: list(any)) -> any",
        "Returns the only element of a list or a set, or null where there is none.",
        ("one([\"a\"])", "\"a\""),
        one,
    ),
    arranging(
        "reverse(list: list(any)) -> list(any)",
        "Returns a list in reverse.",
        ("reverse([1, 2, 3])", "[3,2,1]"),
        |a| Ok(a.like(0, a.items(0)?.iter().rev().cloned().collect())),
    ),
    arranging(
        "slice(list: list(any), start: number, end: number) -> list(any)",
        "Returns the elements from one place up to, but without, another one.",
        ("slice([\"a\", \"b\", \"c\"], 1, 3)", "[\"b\",\"c\"]"),
        slice,
    ),
    function(
        "sort(list: list(string)) -> list(string)",
        "Returns a list of texts in order.",
        ("sort([\"e\", \"d\", \"a\"])", "[\"a\",\"d\",\"e\"]"),
        sort,
    ),
    function(
        "transpose(map: map(list(string))) -> map(list(string))",
        "Returns a map with keys and values exchanged.",
        (
            "transpose({ a = [\"1\", \"2\"], b = [\"2\"] })",
            "{\"1\":[\"a\"],\"2\":[\"a\",\"b\"]}",
        ),
        transpose,
    ),
    arranging(
        "values(map: map(any)) -> list(any)",
        "Returns the values of a map or an object, in the order of their keys.",
        ("values({ z = 1, a = 2 })", "[2,1]"),
        |a| Ok(a.like(0, a.object(0)?.values().cloned().collect())),
    ),
    arranging(
        "zipmap(keys: list(string), values: list(any)) -> map(any)",
        "Makes a map from a list of keys and a list of values.",
        ("zipmap([\"a\", \"b\"], [1, 2])", "{\"a\":1,\"b\":2}"),
        zipmap,
    ),
];

fn too_many() -> Stop {
    Stop::Call(format!("the result would have more than {MAX_ELEMENTS} elements"))
}

fn length(a: &Arguments<'_>) -> Result {
    let length = match &a.values[0].kind {
        Kind::String(text) => characters(text),
        Kind::List(parts) | Kind::Set(parts) => parts.items.len(),
        Kind::Object(parts) => parts.items.len(),
        _ => return Err(a.not(0, "a string, a list, a set or a map")),
    };
    Ok(Number::from(length).into())
}

/// `alltrue` and `anytrue`: whether no item, or any, is other than, or equal to, what decides.
fn all(a: &Arguments<'_>, all: bool) -> Result {
    let mut has_unknown = false;
    for item in a.items(0)? {
        if item.is_unknown() {
            has_unknown = true;
            continue;
        }
        let flag = !item.is_null() && convert::to_bool(item).map_err(Arguments::wrong(0))?;
        if flag != all {
            return Ok(flag.into());
        }
    }
    if has_unknown {
        Err(Stop::Unknown)
    } else {
        Ok(all.into())
    }
}

fn chunklist(a: &Arguments<'_>) -> Result {
    let (items, size) = (a.items(0)?, a.size(1)?);
    // A size of zero means one chunk.
    let size = if size == 0 { items.len().max(1) } else { size };
    let chunks = items.chunks(size).map(|chunk| list_or_tuple(chunk.to_vec()));
    Ok(list_or_tuple(chunks.collect()))
}

fn coalesce(a: &Arguments<'_>) -> Result {
    let is_empty = |value: &Value| value.is_null() || matches!(&value.kind, Kind::String(text) if text.is_empty());
    let found = a.values.iter().find(|value| !is_empty(value));
    let found = found.ok_or_else(|| Stop::Call("no argument is other than null and \"\"".to_owned()))?;
    let shared = a
        .values
        .iter()
        .map(convert::type_of)
        .try_fold(Type::Any, convert::unify)
        .ok_or_else(|| Stop::Call("all arguments must be of one type".to_owned()))?;
    convert::convert(found, &shared).map_err(Stop::Call)
}

fn coalescelist(a: &Arguments<'_>) -> Result {
    for index in 0..a.values.len() {
        if !a.values[index].is_null() && !a.items(index)?.is_empty() {
            return Ok(a.values[index].clone());
        }
    }
    Err(Stop::Call("no argument has an element".to_owned()))
}

fn compact(a: &Arguments<'_>) -> Result {
    let mut kept = Vec::new();
    for item in a.known_items(0)? {
        if !item.is_null() {
            let text = convert::to_text(item).map_err(Arguments::wrong(0))?;
            kept.extend((!text.is_empty()).then(|| Value::from(text)));
        }
    }
    Ok(Value::list(kept))
}

fn concat(a: &Arguments<'_>) -> Result {
    let mut all = Vec::new();
    for index in 0..a.values.len() {
        all.extend_from_slice(a.items(index)?);
        if all.len() > MAX_ELEMENTS {
            return Err(too_many());
        }
    }
    if (0..a.values.len()).all(|index| a.is_uniform(index)) {
        return Ok(list_or_tuple(all));
    }
    Ok(Value::tuple(all))
}

fn index(a: &Arguments<'_>) -> Result {
    let found = a.known_items(0)?.iter().position(|item| *item == a.values[1]);
    found
        .map(|index| Number::from(index).into())
        .ok_or_else(|| Stop::Call("the list has no such element".to_owned()))
}

fn distinct(a: &Arguments<'_>) -> Result {
    let mut seen = std::collections::BTreeSet::new();
    let items = list_or_tuple(a.known_items(0)?.to_vec());
    let items = convert::items(&items).unwrap_or_default();
    let fresh = |item: &Value| seen.insert((item.kind_name(), item.sort_key()));
    Ok(list_or_tuple(items.into_iter().filter(fresh).collect()))
}

fn element(a: &Arguments<'_>) -> Result {
    let items = a.items(0)?;
    let length = i128::try_from(items.len()).expect("a length fits in 128 bits");
    if length == 0 {
        return Err(Stop::Argument(0, "an empty list has no elements".to_owned()));
    }
    let wrapped = usize::try_from(a.whole(1)?.rem_euclid(length)).expect("the rest is below the length");
    Ok(items[wrapped].clone())
}

fn flatten(a: &Arguments<'_>) -> Result {
    fn into(items: &[Value], marks: Marks, flat: &mut Vec<Value>) -> Result<()> {
        for item in items {
            let marks = marks | item.marks;
            match &item.kind {
                Kind::Unknown => return Err(Stop::Unknown),
                Kind::List(parts) | Kind::Set(parts) => into(&parts.items, marks, flat)?,
                _ if flat.len() == MAX_ELEMENTS => return Err(too_many()),
                _ => flat.push(item.clone().marked(marks)),
            }
        }
        Ok(())
    }
    let mut flat = Vec::new();
    into(a.items(0)?, Marks::default(), &mut flat)?;
    Ok(Value::tuple(flat))
}

fn lookup(a: &Arguments<'_>) -> Result {
    let (map, key) = (a.object(0)?, a.text(1)?);
    let found = map.get(&key).or(a.values.get(2)).cloned();
    found.ok_or_else(|| {
        let why = if a.sensitive {
            None
        } else {
            eval::element(&a.values[0], &a.values[1]).err()
        };
        let why = why.unwrap_or_else(|| "The map has no such key".to_owned());
        Stop::Argument(1, why.trim_end_matches('.').to_owned())
    })
}

fn matchkeys(a: &Arguments<'_>) -> Result {
    let (values, keys, search) = (a.items(0)?, a.known_items(1)?, a.known_items(2)?);
    if values.len() != keys.len() {
        return Err(Stop::Argument(1, "there must be as many keys as values".to_owned()));
    }
    let search = sets::keys(search);
    let wanted = values
        .iter()
        .zip(keys)
        .filter(|(_, key)| search.contains(&key.sort_key()));
    Ok(list_or_tuple(wanted.map(|(value, _)| value.clone()).collect()))
}

fn merge(a: &Arguments<'_>) -> Result {
    let mut merged = BTreeMap::new();
    let mut uniform = true;
    for index in 0..a.values.len() {
        if !a.values[index].is_null() {
            uniform &= a.is_uniform(index);
            merged.extend(a.object(index)?.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    let object = Value::object(merged);
    if !uniform {
        return Ok(object);
    }
    Ok(convert::convert(&object, &Type::Map(Box::new(Type::Any))).unwrap_or(object))
}

fn one(a: &Arguments<'_>) -> Result {
    if a.values[0].is_null() {
        return Err(a.not(0, "a list"));
    }
    match a.items(0)? {
        [] => Ok(Value::null()),
        [only] => Ok(only.clone()),
        items => {
            let why = format!("at most one element is allowed, not {}", items.len());
            Err(Stop::Argument(0, why))
        }
    }
}

fn slice(a: &Arguments<'_>) -> Result {
    let (items, start, end) = (a.items(0)?, a.size(1)?, a.size(2)?);
    let part = items
        .get(start..end)
        .ok_or_else(|| Stop::Call(format!("0 <= start <= end <= {} must hold", items.len())))?;
    Ok(a.like(0, part.to_vec()))
}

fn sort(a: &Arguments<'_>) -> Result {
    let mut texts = a.texts(0)?;
    texts.sort();
    Ok(Value::list(texts.into_iter().map(Value::from).collect()))
}

fn transpose(a: &Arguments<'_>) -> Result {
    let mut transposed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (key, items) in a.object(0)? {
        let items = match &items.kind {
            Kind::List(parts) | Kind::Set(parts) => &parts.items,
            Kind::Unknown => return Err(Stop::Unknown),
            _ => return Err(Stop::Argument(0, "a map of lists of strings is required".to_owned())),
        };
        for item in items {
            if item.is_unknown() {
                return Err(Stop::Unknown);
            }
            let item = convert::to_text(item).map_err(Arguments::wrong(0))?;
            transposed.entry(item).or_default().push(key.as_str().into());
        }
    }
    let lists = transposed.into_iter().map(|(key, items)| (key, Value::list(items)));
    Ok(Value::map(lists.collect()))
}

fn zipmap(a: &Arguments<'_>) -> Result {
    let (keys, values) = (a.texts(0)?, a.items(1)?);
    if keys.len() != values.len() {
        return Err(Stop::Argument(1, "there must be as many values as keys".to_owned()));
    }
    let pairs = keys.into_iter().zip(values.iter().cloned()).collect();
    Ok(if a.is_uniform(1) {
        Value::map(pairs)
    } else {
        Value::object(pairs)
    })
}
