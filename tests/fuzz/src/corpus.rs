//! What inputs are made of: configurations, examples of functions, and the words of the language.

use std::path::{Path, PathBuf};

use simdb_planner::config::{self, Source, function_signatures, schema};

use crate::targets::{self, Target};

/// What means something wherever it stands.
const SIGNS: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "${",
    "%{",
    "~}",
    "}",
    "$${",
    "<<EOT\n",
    "<<-EOT\n",
    "EOT\n",
    "=",
    "=>",
    "==",
    "!",
    "&&",
    "||",
    "?",
    ":",
    ",",
    ".",
    "...",
    "[*]",
    ".*",
    "-",
    "+",
    "/",
    "%",
    "\\",
    "\\u0000",
    "#",
    "/*",
    "*/",
    "//",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "\u{feff}",
    "é",
    "\u{1f469}\u{200d}\u{1f680}",
    "'''",
    "\"\"\"",
    "[[",
];

/// What expressions and values are made of.
const WORDS: [&str; 36] = [
    "for x in ",
    "for k, v in ",
    " if ",
    "%{ if true }",
    "%{ else }",
    "%{ endif }",
    "%{ for x in y }",
    "%{ endfor }",
    "null",
    "true",
    "false",
    "var.a",
    "local.a",
    "cluster.c",
    "network.lan",
    "module.m",
    "each.key",
    "count.index",
    "self",
    "path.module",
    "0",
    "-1",
    "18446744073709551616",
    "1e400",
    "1e-400",
    "0.1",
    "1_000",
    "99999999999999999999999999999999999999",
    "string",
    "list(any)",
    "object({ a = optional(string, \"x\") })",
    "sensitive(",
    "\"//\": ",
    "{\"a\": ",
    "2020-01-01T00:00:00Z",
    "inf",
];

/// Returns the words that are put into inputs.
pub fn words() -> Vec<String> {
    let blocks = schema::file().below();
    let names = blocks.values().map(|kind| kind.name.to_owned());
    let attributes = blocks.values().flat_map(|kind| kind.schema.attributes);
    let attributes = attributes.map(|known| format!("{} = ", known.name));
    let functions = function_signatures()
        .into_iter()
        .map(|function| format!("{}(", function.name));
    let fixed = SIGNS.iter().chain(&WORDS).map(|word| (*word).to_owned());
    fixed.chain(names).chain(attributes).chain(functions).collect()
}

/// Returns what inputs of a target start as.
pub fn of(target: Target) -> Vec<Vec<u8>> {
    let bytes = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect();
    match target {
        Target::Native | Target::Format => bytes(configurations()),
        Target::Json => bytes(json()),
        Target::Toml => bytes(toml()),
        Target::Variables => bytes(vec![
            "a = 1\nb = [\"x\", { c = null }]\n".to_owned(),
            "{ \"a\": 1, \"b\": [\"x\", { \"c\": null }] }".to_owned(),
        ]),
        Target::Expression => bytes(expressions()),
        Target::Lock => bytes(vec![format!(
            "module \"git::file:///a\" {{\n  commit = \"{}\"\n}}\n",
            "0".repeat(40)
        )]),
        Target::Plan => plans(),
        Target::State => vec![targets::empty_state()],
    }
}

/// Returns the cases of a target that were found before, with their names.
pub fn cases(target: Target) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(target.name());
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let read = |path: PathBuf| Some((path.clone(), std::fs::read(path).ok()?));
    paths.into_iter().filter_map(read).collect()
}

/// Returns configurations: those of the examples, the blocks of the reference, and the corpus of broken ones.
fn configurations() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = [
        "examples/local-postgres/main.simdb.hcl",
        "examples/modules/modules/team/main.simdb.hcl",
        "planner/src/config/tests/answers/broken.txt",
    ];
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect("the file is a part of the project");
    let mut texts: Vec<String> = files[..2].iter().map(|file| read(file)).collect();
    texts.extend(read(files[2]).split("=== ").filter_map(|case| {
        let (_, text) = case.split_once('\n')?;
        Some(
            text.lines()
                .map(|line| line.split(" #! ").next().unwrap_or(line).to_owned() + "\n")
                .collect(),
        )
    }));
    texts.extend(schema::file().blocks.iter().map(|kind| kind.example.to_owned()));
    texts.push(whole());
    texts.extend(
        expressions()
            .iter()
            .map(|expression| format!("output \"x\" {{\n  value = {expression}\n}}\n")),
    );
    texts
}

/// Returns the blocks of the reference that make one configuration together.
fn whole() -> String {
    let blocks = schema::file().blocks.iter().filter(|kind| kind.name != "module");
    blocks.map(|kind| kind.example).collect()
}

fn expressions() -> Vec<String> {
    let examples = function_signatures()
        .into_iter()
        .map(|function| function.example.to_owned());
    let more = [
        "[for k, v in { a = 1, b = 2 } : \"${k}=${v}\" if v > 1]",
        "{ for x in [\"a\", \"b\", \"a\"] : x => upper(x)... }",
        "true ? [1, \"a\"] : tolist([])",
        "\"%{ for x in [1, 2] ~}\n${x}\n%{ endfor ~}\n\"",
        "try([{ a = 1 }][*].b, can(1 / 0), <<-EOT\n    x\n  EOT\n)",
        "-(1 + 2 * 3 - 4 / 5 % 6) == 0 && !false || null != 1",
    ];
    examples.chain(more.map(str::to_owned)).collect()
}

fn json() -> Vec<String> {
    vec![
        r#"{ "network": { "lan": {} }, "cluster": { "c": { "network": "${network.lan}", "engine": { "postgresql": { "version": "17" } },
            "node": [{ "a": { "port": 15432 } }, { "r": { "count": 2, "//": "x" } }], "user": { "app": {} } } } }"#
            .to_owned(),
        r#"{ "variable": { "a": { "type": "list(string)", "default": ["x"] } }, "locals": { "b": "${[for x in var.a : upper(x)]}" },
            "output": { "o": { "value": "%{ if true }\u00e9%{ endif }" } } }"#
            .to_owned(),
    ]
}

fn toml() -> Vec<String> {
    vec![
        "[network.lan]\n[cluster.c]\nnetwork = \"${network.lan}\"\n[cluster.c.engine.postgresql]\nversion = \"17\"\nparameters = { a.b = 1.5 }\n\
         [cluster.c.node.a]\nport = 15_432\n[[cluster.c.user.app]]\n"
            .to_owned(),
        "locals.a = \"\"\"\nx\\\n  y\"\"\"\nlocals.b = [1, 0x10, +1e3, true, 'c', { d = [] }]\n[output]\no.value = \"${local.a}\"\n".to_owned(),
    ]
}

/// Returns a plan as a file holds it.
fn plans() -> Vec<Vec<u8>> {
    let mut source = Source::default();
    source.add("main.simdb.hcl", whole());
    let (config, diagnostics) = config::load(&source, &[]);
    let mut config = config.unwrap_or_else(|| panic!("the examples of the reference are right: {diagnostics:?}"));
    // What is imported takes a server that was seen.
    config.desired.imports.clear();
    let plan = targets::planned(&config);
    assert!(!plan.is_empty(), "the examples of the reference declare something");
    vec![serde_json::to_vec(&plan).expect("a plan can be written")]
}
