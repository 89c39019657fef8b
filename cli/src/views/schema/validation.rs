//! Holds documents against the schemas. It knows exactly the keywords that they use, and takes no other field than those
//! that they declare: a field that a document gains must be published, too.

use serde_json::{Map, Value};

use super::{definitions, referred};

/// Asserts that a document is what its schema says.
#[track_caller]
pub(crate) fn assert_valid(name: &str, document: &Value) {
    let all = definitions();
    if let Err(problem) = check(&all[name], document, "$", &all) {
        panic!("{problem}\nin {document:#}");
    }
}

type Verdict = Result<(), String>;

fn check(schema: &Value, value: &Value, path: &str, all: &Map<String, Value>) -> Verdict {
    if let Some(name) = referred(schema) {
        return check(&all[name], value, path, all);
    }
    let schema = schema.as_object().expect("a schema is an object");
    for (keyword, rule) in schema {
        let holds = match keyword.as_str() {
            "description" | "properties" | "additionalProperties" => true,
            "type" => is_of(rule, value),
            "enum" => rule.as_array().expect("a list").contains(value),
            "const" => rule == value,
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= rule.as_f64().expect("a number")),
            "required" => rule.as_array().expect("a list").iter().all(|name| {
                let name = name.as_str().expect("a name");
                value.get(name).is_some()
            }),
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                for (at, item) in items {
                    check(rule, item, &format!("{path}[{at}]"), all)?;
                }
                true
            }
            "anyOf" => {
                let all_problems = rule
                    .as_array()
                    .expect("a list")
                    .iter()
                    .map(|one| check(one, value, path, all));
                let problems: Vec<String> = all_problems.filter_map(Result::err).collect();
                if problems.len() == rule.as_array().expect("a list").len() {
                    return Err(format!("{path}: none of: {problems:#?}"));
                }
                true
            }
            other => panic!("the schemas use a keyword that nothing checks: {other}"),
        };
        if !holds {
            return Err(format!("{path}: {value} against {keyword} {rule}"));
        }
    }
    members(schema, value, path, all)
}

fn members(schema: &Map<String, Value>, value: &Value, path: &str, all: &Map<String, Value>) -> Verdict {
    let (properties, others) = (schema.get("properties"), schema.get("additionalProperties"));
    let Some(members) = value.as_object().filter(|_| properties.is_some() || others.is_some()) else {
        return Ok(());
    };
    for (name, member) in members {
        let declared = properties.and_then(|properties| properties.get(name)).or(others);
        let declared = declared.ok_or_else(|| format!("{path}.{name} is in no schema"))?;
        check(declared, member, &format!("{path}.{name}"), all)?;
    }
    Ok(())
}

fn is_of(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("the schemas use a type that nothing checks: {other}"),
    };
    match rule {
        Value::Array(names) => names.iter().any(|name| is(name.as_str().expect("a name"))),
        name => is(name.as_str().expect("a name")),
    }
}

#[test]
fn what_no_schema_declares_or_what_lacks_is_found() {
    let good = serde_json::json!({ "format_version": "1.0", "errored": true, "diagnostics": [] });
    assert_valid("failure", &good);
    let all = definitions();
    let fails = |change: &dyn Fn(&mut Value)| {
        let mut document = good.clone();
        change(&mut document);
        check(&all["failure"], &document, "$", &all).is_err()
    };
    assert!(fails(&|document| document["more"] = 1.into()));
    assert!(fails(&|document| document["errored"] = false.into()));
    assert!(fails(&|document| document["diagnostics"] = 1.into()));
    assert!(fails(
        &|document| _ = document.as_object_mut().unwrap().remove("diagnostics")
    ));
}
