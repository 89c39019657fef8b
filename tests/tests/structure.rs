//! What the source may name: an engine stands in its folder, a platform in its own, and no two files import each other.
//!
//! A new engine or platform is then a new folder and a line in a registry. `make lint` runs this; it reads the source as
//! text and needs nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Something that only its own folder may name.
struct Product {
    name: &'static str,
    /// The folders of a crate's `src` in which it stands.
    folder: &'static str,
    /// The crates that are held to it.
    crates: &'static [&'static str],
    /// What gives it away, in lower case.
    words: &'static [&'static str],
}

const PRODUCTS: &[Product] = &[
    Product {
        name: "PostgreSQL",
        folder: "engine/postgresql",
        crates: &["state", "planner/language", "planner", "providers", "cli"],
        words: &[
            "postgres",
            "postmaster",
            "pg_",
            "libpq",
            "scram",
            "initdb",
            "basebackup",
            "primary_conninfo",
            "primary_slot_name",
            "synchronous_standby_names",
            "recovery_min_apply_delay",
            "standby.signal",
        ],
    },
    Product {
        name: "MariaDB",
        folder: "engine/mariadb",
        crates: &["state", "planner/language", "planner", "providers", "cli"],
        words: &["mariadb", "mariabackup", "mysql"],
    },
    Product {
        name: "PgBouncer",
        folder: "engine/pgbouncer",
        crates: &["state", "planner/language", "planner", "providers", "cli"],
        words: &["pgbouncer"],
    },
    Product {
        name: "the local platform",
        folder: "platform/local",
        crates: &["state", "planner/language", "planner", "providers", "cli"],
        words: &["localplatform", "localconfig", "platform::local"],
    },
    Product {
        name: "Docker",
        folder: "platform/docker",
        crates: &["state", "planner/language", "planner", "providers", "cli"],
        words: &["docker", "bollard"],
    },
    Product {
        name: "Kubernetes",
        folder: "platform/kubernetes",
        crates: &["state", "planner/language", "planner", "providers", "cli"],
        words: &["kube", "k8s"],
    },
];

/// Files that may name what stands elsewhere, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "planner/src/engine.rs",
        "the registry of engines knows all of them by name",
    ),
    (
        "planner/src/platform.rs",
        "the registry of platforms knows all of them by name",
    ),
    (
        "providers/src/platform/registry.rs",
        "the registry of platforms opens each of them",
    ),
    (
        "providers/src/backend.rs",
        "the registry of backends opens each of them",
    ),
    (
        "providers/src/backend/kubernetes",
        "keeps the state in the objects of that platform, by its client",
    ),
    ("providers/src/platform.rs", "declares the module of every platform"),
    (
        "planner/src/engine/order.rs",
        "a part of the registry: lets each engine order its steps",
    ),
    (
        "planner/src/engine/simulate.rs",
        "a part of the registry: what is there of each engine in the simulator",
    ),
    (
        "planner/src/engine/pgbouncer.rs",
        "PgBouncer asks PostgreSQL servers for their users",
    ),
    (
        "planner/src/lib.rs",
        "the step table documents the steps of every engine",
    ),
    (
        "planner/src/plan.rs",
        "steps have the names on the wire that their readers know",
    ),
    (
        "planner/src/config/",
        "blocks are what users write: they name what they run",
    ),
    ("cli/src/session.rs", "the command line chooses the platform"),
    (
        "cli/src/args/reach.rs",
        "the database and the login that every server of the only engine has are defaults",
    ),
    ("cli/src/commands/psql.rs", "starts the client of the same name"),
    (
        "cli/src/commands/env.rs",
        "writes the variables that the engine's clients read",
    ),
    (
        "cli/src/views/doc/env.rs",
        "writes the variables that the engine's clients read",
    ),
    (
        "cli/src/views/doc/state.rs",
        "documents have the keys that their readers know",
    ),
    (
        "cli/src/monitor/api/patroni",
        "documents and metrics have the names that readers of Patroni's know",
    ),
    (
        "cli/src/rehearsal",
        "configurations for tests of the views, with the engine that they declare",
    ),
    (
        "cli/src/views/sample.rs",
        "a plan for tests and the documentation, with the names of its steps",
    ),
    (
        "state/src/disk/",
        "a record says whose engine a detail is of, in words that stay as they are",
    ),
    (
        "state/src/delta.rs",
        "a journal names what a step changes as its first readers did",
    ),
    (
        "state/src/instance.rs",
        "a file may hold the verifier of a password in place of the password",
    ),
    (
        "state/src/gtid.rs",
        "transactions are counted as the engine that has them counts them",
    ),
    (
        "state/src/lsn.rs",
        "positions are those of the only engine that has a log",
    ),
    (
        "state/src/object.rs",
        "the kinds of engines, and the attributes that logins and commits of the only one with data have",
    ),
    (
        "state/src/sync.rs",
        "records hold the rule in the spelling of its first format",
    ),
    (
        "providers/src/engine.rs",
        "the registry of engines knows all of them by name",
    ),
    (
        "providers/src/engine/steps.rs",
        "a part of the registry: lets each engine do its steps",
    ),
    (
        "providers/src/engine/pgbouncer",
        "PgBouncer speaks PostgreSQL's protocol, and holds up the clients of its servers",
    ),
    (
        "providers/src/effects/error.rs",
        "what can go wrong with a step comes from every engine",
    ),
    (
        "providers/src/sessions.rs",
        "every session of simdb speaks PostgreSQL's protocol, with poolers too",
    ),
    (
        "providers/src/platform/text.rs",
        "writes the verifiers of passwords into files that ask for them",
    ),
    (
        "providers/src/platform/local/service.rs",
        "on one machine, endpoints are entries of libpq's service file",
    ),
    (
        "providers/src/platform/local/setup.rs",
        "on one machine, endpoints are entries of libpq's service file",
    ),
    (
        "providers/src/platform/local/user.rs",
        "servers run as the system user that packages of PostgreSQL make",
    ),
];

/// Files that import each other and may, each with the reason.
const CIRCLES: &[(&str, &str, &str)] = &[
    (
        "planner/src/config/access.rs",
        "planner/src/config/clusters.rs",
        "blocks of a cluster read what the cluster has read already",
    ),
    (
        "planner/src/config/clusters.rs",
        "planner/src/config/endpoints.rs",
        "blocks of a cluster read what the cluster has read already",
    ),
    (
        "planner/src/config/clusters.rs",
        "planner/src/config/nodes.rs",
        "blocks of a cluster read what the cluster has read already",
    ),
];

/// The crates whose files import each other in no circle.
const CRATES: &[&str] = &[
    "state",
    "planner",
    "planner/language",
    "providers",
    "cli",
    "examples/pool-manager",
    "examples/pool-manager/route",
];

/// A file of a crate, without its tests.
struct Source {
    /// Relative to the root of the project.
    path: String,
    /// The module that it is: `["engine", "postgresql"]`.
    module: Vec<String>,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(name: &str) -> Vec<Source> {
    let src = root().join(name).join("src");
    let mut found = Vec::new();
    let mut open = vec![src.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            let stem = path
                .file_stem()
                .expect("files have names")
                .to_string_lossy()
                .into_owned();
            // What tests, and what they alone use, may name what it likes.
            if ["tests", "properties", "conformance", "testing"].contains(&stem.as_str()) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(source(name, &src, &path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn source(name: &str, src: &Path, path: &Path) -> Source {
    let inner = path.strip_prefix(src).expect("it is below src").with_extension("");
    let mut module: Vec<String> = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module == ["lib"] || module == ["main"] {
        module.clear();
    }
    let text = fs::read_to_string(path).expect("source is text");
    let tests = text.find("\n#[cfg(test)]\nmod ").map_or(text.len(), |at| at + 1);
    Source {
        path: format!(
            "{name}/src/{}",
            path.strip_prefix(src).expect("it is below src").display()
        ),
        module,
        text: text[..tests].to_owned(),
    }
}

#[test]
fn what_belongs_to_one_engine_or_platform_is_named_in_its_folder_alone() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for product in PRODUCTS {
        for name in product.crates {
            for source in sources(name) {
                let inner = source
                    .path
                    .strip_prefix(&format!("{name}/src/"))
                    .expect("it is below src");
                let own =
                    inner == format!("{}.rs", product.folder) || inner.starts_with(&format!("{}/", product.folder));
                let words = named(&source.text, product.words);
                if own || words.is_empty() {
                    continue;
                }
                match EXCEPTIONS.iter().find(|(path, _)| source.path.starts_with(path)) {
                    Some((path, _)) => drop(used.insert(*path)),
                    None => wrong.extend(
                        words
                            .iter()
                            .map(|(line, word)| format!("{}:{line} names {}: \"{word}\"", source.path, product.name)),
                    ),
                }
            }
        }
    }
    let unused = EXCEPTIONS.iter().filter(|(path, _)| !used.contains(path));
    wrong.extend(unused.map(|(path, _)| format!("{path} needs no exception any more")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the lines of a text that have one of these words.
fn named<'a>(text: &str, words: &[&'a str]) -> Vec<(usize, &'a str)> {
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(at, line)| {
        let line = line.to_lowercase();
        let word = words.iter().find(|word| line.contains(**word))?;
        Some((at + 1, *word))
    });
    found.collect()
}

#[test]
fn no_two_files_import_each_other_unless_one_is_the_parent_of_the_other() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for name in CRATES {
        let sources = sources(name);
        let files: BTreeMap<&[String], &str> = sources
            .iter()
            .map(|source| (source.module.as_slice(), source.path.as_str()))
            .collect();
        let imports: BTreeMap<&str, BTreeSet<&str>> = sources
            .iter()
            .map(|source| (source.path.as_str(), imports(source, &files)))
            .collect();
        let modules: BTreeMap<&str, &[String]> = files.iter().map(|(module, path)| (*path, *module)).collect();
        for (path, imported) in &imports {
            for other in imported
                .iter()
                .filter(|other| path < *other && imports[*other].contains(path))
            {
                let (one, two) = (modules[path], modules[other]);
                if one.starts_with(two) || two.starts_with(one) {
                    continue;
                }
                let mut known = CIRCLES.iter();
                match known.find(|(one, two, _)| one == path && two == other) {
                    Some((one, two, _)) => drop(used.insert((*one, *two))),
                    None => wrong.push(format!("{path} and {other} import each other")),
                }
            }
        }
    }
    let unused = CIRCLES.iter().filter(|(one, two, _)| !used.contains(&(*one, *two)));
    wrong.extend(unused.map(|(one, two, _)| format!("{one} and {two} need no exception any more")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the files of the crate whose modules a file names.
fn imports<'a>(source: &Source, files: &BTreeMap<&[String], &'a str>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for (start, inner) in [("crate::", false), ("super::", true), ("self::", true)] {
        for (at, _) in source.text.match_indices(start) {
            let before = &source.text[..at];
            let line = before.rsplit('\n').next().unwrap_or_default();
            let continues = before.ends_with(|before: char| before.is_alphanumeric() || "_:{".contains(before));
            if continues || line.trim_start().starts_with("//") {
                continue;
            }
            // `super` within a module that stands in this file is the file itself.
            let nested = inner && line.starts_with(' ') && line.contains("use ");
            for path in expand(&source.text[at..]) {
                if let Some(module) = resolve(&source.module, &path, nested)
                    && let Some(file) = file_of(&module, files)
                    && file != source.path
                {
                    found.insert(file);
                }
            }
        }
    }
    found
}

/// Returns every path that a text begins with: one, or several where braces follow.
fn expand(text: &str) -> Vec<Vec<String>> {
    let mut path = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        if !word.is_empty() {
            path.push(word.to_owned());
        }
        match after.strip_prefix("::") {
            Some(after) if after.starts_with('{') => {
                let parts = braced(after);
                let inner = parts.iter().flat_map(|part| expand(part.trim()));
                return inner.map(|inner| [path.clone(), inner].concat()).collect();
            }
            Some(after) => rest = after,
            None => return vec![path],
        }
    }
}

/// Returns the parts between braces, which a text begins with.
fn braced(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 1);
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => {
                parts.push(&text[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 1 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Returns a path from the root of the crate.
fn resolve(module: &[String], path: &[String], nested: bool) -> Option<Vec<String>> {
    let mut at = module.to_vec();
    let mut rest = path.iter().peekable();
    match rest.next()?.as_str() {
        "crate" => at.clear(),
        "super" if !nested => drop(at.pop()),
        _ => {}
    }
    while rest.peek().is_some_and(|word| *word == "super") {
        at.pop();
        rest.next();
    }
    at.extend(rest.filter(|word| *word != "self").cloned());
    Some(at)
}

/// Returns the file of a module, or of the one that what is named stands in.
fn file_of<'a>(module: &[String], files: &BTreeMap<&[String], &'a str>) -> Option<&'a str> {
    (0..=module.len())
        .rev()
        .find_map(|length| files.get(&module[..length]).copied())
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let paths = |text: &str| -> Vec<String> { expand(text).iter().map(|path| path.join("::")).collect() };
    assert_eq!(
        paths("crate::a::{self, b::{C, d::E}, F};"),
        ["crate::a::self", "crate::a::b::C", "crate::a::b::d::E", "crate::a::F"]
    );
    let words = |text: &str| -> Vec<String> { text.split("::").map(str::to_owned).collect() };
    let resolved = |module: &str, path: &str| resolve(&words(module), &words(path), false).unwrap().join("::");
    assert_eq!(resolved("a::b", "super::c::D"), "a::c::D");
    assert_eq!(resolved("a::b", "super::super::c"), "c");
    assert_eq!(resolved("a::b", "self::c::D"), "a::b::c::D");
    assert_eq!(resolved("a::b", "crate::c::self"), "c");
    assert_eq!(named("one\nPostgreSQL", &["postgres"]), [(2, "postgres")]);
}
