//! Functions of lists, sets and maps.

use std::collections::BTreeMap;

use super::super::convert;
use super::super::eval;
use super::super::number::Number;
use super::super::value::{Kind, Value};
use super::{Arguments, Result, Stop};

/// How many elements a function makes at most.
const MAX_ELEMENTS: usize = 1 << 20;

fn too_many() -> Stop {
    Stop::Call(format!("the result would have more than {MAX_ELEMENTS} elements"))
}

pub(super) fn length(a: &Arguments<'_>) -> Result {
    let length = match &a.values[0].kind {
        Kind::String(text) => text.chars().count(),
        Kind::List(parts) | Kind::Set(parts) => parts.items.len(),
        Kind::Object(parts) => parts.items.len(),
        _ => return Err(a.not(0, "a string, a list, a set or a map")),
    };
    Ok(Number::from(length).into())
}

/// `alltrue` and `anytrue`: whether no item, or any, is other than, or equal to, what decides.
pub(super) fn all(a: &Arguments<'_>, all: bool) -> Result {
    for item in a.known_items(0)? {
        let flag = !item.is_null() && convert::to_bool(item).map_err(Arguments::wrong(0))?;
        if flag != all {
            return Ok(flag.into());
        }
    }
    Ok(all.into())
}

pub(super) fn chunklist(a: &Arguments<'_>) -> Result {
    let (items, size) = (a.items(0)?, a.size(1)?);
    // A size of zero means one chunk.
    let size = if size == 0 { items.len().max(1) } else { size };
    Ok(Value::list(
        items.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect(),
    ))
}

pub(super) fn coalesce(a: &Arguments<'_>) -> Result {
    let is_empty = |value: &Value| value.is_null() || matches!(&value.kind, Kind::String(text) if text.is_empty());
    let found = a.values.iter().find(|value| !is_empty(value)).cloned();
    found.ok_or_else(|| Stop::Call("no argument is other than null and \"\"".to_owned()))
}

pub(super) fn coalescelist(a: &Arguments<'_>) -> Result {
    for index in 0..a.values.len() {
        if !a.values[index].is_null() && !a.items(index)?.is_empty() {
            return Ok(a.values[index].clone());
        }
    }
    Err(Stop::Call("no argument has an element".to_owned()))
}

pub(super) fn compact(a: &Arguments<'_>) -> Result {
    let mut kept = Vec::new();
    for item in a.known_items(0)? {
        if !item.is_null() && !convert::to_text(item).map_err(Arguments::wrong(0))?.is_empty() {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

pub(super) fn concat(a: &Arguments<'_>) -> Result {
    let mut all = Vec::new();
    for index in 0..a.values.len() {
        all.extend_from_slice(a.items(index)?);
        if all.len() > MAX_ELEMENTS {
            return Err(too_many());
        }
    }
    Ok(Value::list(all))
}

pub(super) fn contains(a: &Arguments<'_>) -> Result {
    Ok(a.known_items(0)?.contains(&a.values[1]).into())
}

pub(super) fn index(a: &Arguments<'_>) -> Result {
    let found = a.known_items(0)?.iter().position(|item| *item == a.values[1]);
    found
        .map(|index| Number::from(index).into())
        .ok_or_else(|| Stop::Call("the list has no such element".to_owned()))
}

pub(super) fn distinct(a: &Arguments<'_>) -> Result {
    let mut seen = std::collections::BTreeSet::new();
    let fresh = |item: &&Value| seen.insert((item.kind_name(), item.sort_key()));
    Ok(Value::list(a.known_items(0)?.iter().filter(fresh).cloned().collect()))
}

pub(super) fn element(a: &Arguments<'_>) -> Result {
    let items = a.items(0)?;
    let length = i128::try_from(items.len()).expect("a length fits in 128 bits");
    if length == 0 {
        return Err(Stop::Argument(0, "an empty list has no elements".to_owned()));
    }
    let wrapped = usize::try_from(a.whole(1)?.rem_euclid(length)).expect("the rest is below the length");
    Ok(items[wrapped].clone())
}

pub(super) fn flatten(a: &Arguments<'_>) -> Result {
    fn into(items: &[Value], flat: &mut Vec<Value>) -> Result<()> {
        for item in items {
            match &item.kind {
                Kind::Unknown => return Err(Stop::Unknown),
                Kind::List(parts) | Kind::Set(parts) => into(&parts.items, flat)?,
                _ if flat.len() == MAX_ELEMENTS => return Err(too_many()),
                _ => flat.push(item.clone()),
            }
        }
        Ok(())
    }
    let mut flat = Vec::new();
    into(a.items(0)?, &mut flat)?;
    Ok(Value::list(flat))
}

pub(super) fn keys(a: &Arguments<'_>) -> Result {
    Ok(Value::list(
        a.object(0)?.keys().map(|key| key.as_str().into()).collect(),
    ))
}

pub(super) fn values(a: &Arguments<'_>) -> Result {
    Ok(Value::list(a.object(0)?.values().cloned().collect()))
}

pub(super) fn lookup(a: &Arguments<'_>) -> Result {
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

pub(super) fn matchkeys(a: &Arguments<'_>) -> Result {
    let (values, keys, search) = (a.items(0)?, a.known_items(1)?, a.known_items(2)?);
    if values.len() != keys.len() {
        return Err(Stop::Argument(1, "there must be as many keys as values".to_owned()));
    }
    let wanted = values.iter().zip(keys).filter(|(_, key)| search.contains(key));
    Ok(Value::list(wanted.map(|(value, _)| value.clone()).collect()))
}

pub(super) fn merge(a: &Arguments<'_>) -> Result {
    let mut merged = BTreeMap::new();
    for index in 0..a.values.len() {
        if !a.values[index].is_null() {
            merged.extend(a.object(index)?.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    Ok(Value::object(merged))
}

pub(super) fn one(a: &Arguments<'_>) -> Result {
    match a.items(0)? {
        [] => Ok(Value::null()),
        [only] => Ok(only.clone()),
        items => Err(Stop::Argument(
            0,
            format!("at most one element is allowed, not {}", items.len()),
        )),
    }
}

pub(super) fn reverse(a: &Arguments<'_>) -> Result {
    Ok(Value::list(a.items(0)?.iter().rev().cloned().collect()))
}

pub(super) fn slice(a: &Arguments<'_>) -> Result {
    let (items, start, end) = (a.items(0)?, a.size(1)?, a.size(2)?);
    let part = items
        .get(start..end)
        .ok_or_else(|| Stop::Call(format!("0 <= start <= end <= {} must hold", items.len())))?;
    Ok(Value::list(part.to_vec()))
}

pub(super) fn sort(a: &Arguments<'_>) -> Result {
    let texts = a
        .known_items(0)?
        .iter()
        .map(convert::to_text)
        .collect::<std::result::Result<Vec<_>, _>>();
    let mut texts = texts.map_err(Arguments::wrong(0))?;
    texts.sort();
    Ok(Value::list(texts.into_iter().map(Value::from).collect()))
}

pub(super) fn setunion(a: &Arguments<'_>) -> Result {
    let mut all = Vec::new();
    for index in 0..a.values.len() {
        all.extend_from_slice(a.known_items(index)?);
    }
    Ok(Value::set(all))
}

pub(super) fn setintersection(a: &Arguments<'_>) -> Result {
    let mut kept = a.known_items(0)?.to_vec();
    for index in 1..a.values.len() {
        let other = a.known_items(index)?;
        kept.retain(|item| other.contains(item));
    }
    Ok(Value::set(kept))
}

pub(super) fn setsubtract(a: &Arguments<'_>) -> Result {
    let without = a.known_items(1)?;
    let kept = a.known_items(0)?.iter().filter(|item| !without.contains(item));
    Ok(Value::set(kept.cloned().collect()))
}

pub(super) fn setproduct(a: &Arguments<'_>) -> Result {
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for index in 0..a.values.len() {
        let items = a.items(index)?;
        if rows.len().saturating_mul(items.len()) > MAX_ELEMENTS {
            return Err(too_many());
        }
        let longer = |row: &Vec<Value>, item: &Value| row.iter().chain([item]).cloned().collect();
        rows = rows
            .iter()
            .flat_map(|row| items.iter().map(move |item| longer(row, item)))
            .collect();
    }
    Ok(Value::list(rows.into_iter().map(Value::list).collect()))
}

pub(super) fn zipmap(a: &Arguments<'_>) -> Result {
    let (keys, values) = (a.known_items(0)?, a.items(1)?);
    if keys.len() != values.len() {
        return Err(Stop::Argument(1, "there must be as many values as keys".to_owned()));
    }
    let keys = keys
        .iter()
        .map(convert::to_text)
        .collect::<std::result::Result<Vec<_>, _>>();
    let keys = keys.map_err(Arguments::wrong(0))?;
    Ok(Value::object(keys.into_iter().zip(values.iter().cloned()).collect()))
}
