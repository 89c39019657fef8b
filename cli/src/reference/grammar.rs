//! A `TextMate` grammar of `*.simdb.hcl`: its words are those of the tables.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use simdb_planner::config::function_signatures;
use simdb_planner::config::schema;

/// The names that references start with.
const ROOTS: &str = "var|local|cluster|network|module|each|count|self|path|simdb|dynamic";
const TYPES: &str = "string|number|bool|any|list|set|map|tuple|object|optional";

/// Makes the grammar.
pub(super) fn grammar() -> Value {
    json!({
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "simdb",
        "scopeName": "source.simdb",
        "fileTypes": ["simdb.hcl", "simdbvars.hcl"],
        "patterns": [
            include("comments"), include("blocks"), include("attributes"), include("expressions"),
        ],
        "repository": {
            "comments": { "patterns": comments() },
            "blocks": { "patterns": blocks() },
            "attributes": { "patterns": attributes() },
            "expressions": { "patterns": [
                include("comments"), include("heredocs"), include("strings"), include("words"), include("braces"),
            ] },
            "braces": { "patterns": braces() },
            "words": { "patterns": words() },
            "strings": { "patterns": strings() },
            "heredocs": { "patterns": heredocs() },
            "templates": { "patterns": templates() },
        },
    })
}

fn include(part: &str) -> Value {
    json!({ "include": format!("#{part}") })
}

fn comments() -> Value {
    json!([
        { "name": "comment.line.number-sign.simdb", "match": "#.*$" },
        { "name": "comment.line.double-slash.simdb", "match": "//.*$" },
        { "name": "comment.block.simdb", "begin": "/\\*", "end": "\\*/" },
    ])
}

/// Returns words as one alternative of a regular expression, the longest first.
fn alternatives(words: impl IntoIterator<Item = &'static str>) -> String {
    let unique: BTreeSet<&str> = words.into_iter().collect();
    let mut words: Vec<&str> = unique.into_iter().collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.join("|")
}

fn blocks() -> Value {
    let below = schema::file().below();
    let names = below.values().map(|kind| kind.name).chain(["dynamic", "content"]);
    json!([{
        "match": format!("^\\s*({})\\b(?=\\s*(?:\"[^\"]*\"\\s*)*\\{{)((?:\\s*\"[^\"]*\")*)", alternatives(names)),
        "captures": {
            "1": { "name": "entity.name.type.simdb" },
            "2": { "name": "string.quoted.double.label.simdb" },
        },
    }])
}

fn attributes() -> Value {
    let below = schema::file().below();
    let known = below
        .values()
        .flat_map(|kind| kind.schema.attributes)
        .map(|known| known.name);
    let names = alternatives(known.chain(["iterator", "labels"]));
    json!([
        {
            "match": format!("\\b({names})\\b\\s*(=)(?![=>])"),
            "captures": {
                "1": { "name": "support.type.property-name.simdb" },
                "2": { "name": "keyword.operator.assignment.simdb" },
            },
        },
        {
            "match": "\\b([A-Za-z_][A-Za-z0-9_-]*)\\s*(=)(?![=>])",
            "captures": {
                "1": { "name": "variable.other.assignment.simdb" },
                "2": { "name": "keyword.operator.assignment.simdb" },
            },
        },
    ])
}

fn braces() -> Value {
    let within = json!([
        include("comments"),
        include("blocks"),
        include("attributes"),
        include("expressions")
    ]);
    json!([{ "begin": "\\{", "end": "\\}", "name": "meta.braces.simdb", "patterns": within }])
}

fn words() -> Value {
    let functions = alternatives(function_signatures().into_iter().map(|function| function.name));
    json!([
        { "name": "constant.language.simdb", "match": "\\b(?:true|false|null)\\b" },
        { "name": "constant.numeric.simdb", "match": "\\b[0-9]+(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\\b" },
        { "name": "keyword.control.simdb", "match": "\\b(?:for|in|if)\\b" },
        { "name": "support.function.builtin.simdb", "match": format!("\\b(?:{functions})(?=\\()") },
        { "name": "support.type.simdb", "match": format!("\\b(?:{TYPES})\\b(?=\\s*[(,)\\n])") },
        { "name": "variable.language.simdb", "match": format!("(?<![.\\w-])(?:{ROOTS})\\b(?=[.\\[])") },
        { "name": "keyword.operator.simdb", "match": "=>|==|!=|<=|>=|&&|\\|\\||\\.\\.\\.|[-+*/%<>!?:]" },
    ])
}

fn strings() -> Value {
    json!([{
        "name": "string.quoted.double.simdb",
        "begin": "\"",
        "end": "\"",
        "patterns": [
            { "name": "constant.character.escape.simdb", "match": "\\\\(?:[nrt\"\\\\]|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})|\\$\\$\\{|%%\\{" },
            include("templates"),
        ],
    }])
}

fn heredocs() -> Value {
    json!([{
        "name": "string.unquoted.heredoc.simdb",
        "begin": "<<-?\\s*([A-Za-z_][A-Za-z0-9_-]*)\\s*$",
        "end": "^\\s*\\1\\s*$",
        "patterns": [include("templates")],
    }])
}

fn templates() -> Value {
    json!([{
        "name": "meta.template.expression.simdb",
        "begin": "[$%]\\{~?",
        "end": "~?\\}",
        "beginCaptures": { "0": { "name": "punctuation.section.embedded.begin.simdb" } },
        "endCaptures": { "0": { "name": "punctuation.section.embedded.end.simdb" } },
        "patterns": [
            { "name": "keyword.control.simdb", "match": "\\b(?:for|in|if|else|endif|endfor)\\b" },
            include("expressions"),
        ],
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_is_included_is_there() {
        let grammar = grammar();
        let text = grammar.to_string();
        let included = text
            .split("\"include\":\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        for part in included {
            assert!(grammar["repository"][part]["patterns"].is_array(), "{part}");
        }
    }

    #[test]
    fn the_words_are_those_of_the_tables() {
        let text = grammar().to_string();
        for word in ["postcondition", "synchronous_standbys", "cidrsubnet"] {
            assert!(text.contains(word), "{word}");
        }
    }
}
