//! Parameters are tried before anything changes: a server of the declared version reads them, in a directory that is
//! thrown away. It starts nothing that stays.
//!
//! Three questions, each asked only where the one before found nothing: does it accept every value (`postgres -C` reads
//! the files and ends), can it get the memory it needs (`--check`, as `initdb` asks it), and does it find libraries and
//! certificates (`-C` of a size that depends on them, which takes data to look at).

use std::collections::BTreeMap;

use simdb_state::instance::{Argument, Command, TrialSpec};
use simdb_state::object::EngineKind;

use super::conf::{self, CONF};
use super::settings::{self, Context};
use crate::observed::ParameterRefusal;

/// The directory of the data that libraries and certificates are tried with.
const DATA: &str = "data";

/// Settings whose lists name libraries, each with where those are looked for.
const LIBRARIES: [(&str, &str); 3] = [
    ("shared_preload_libraries", ""),
    ("session_preload_libraries", ""),
    ("local_preload_libraries", "$libdir/plugins/"),
];

/// Parameters of one major version.
pub type Parameters = (u16, BTreeMap<String, String>);

/// Returns how parameters are tried. What the table refuses is told without a trial.
pub fn trial((version, parameters): &Parameters) -> TrialSpec {
    let mut parameters = parameters.clone();
    parameters.retain(|name, value| settings::check(*version, name, value).is_ok());
    let mut commands = vec![ask(*version, &["-C", "max_connections"], "", &[])];
    let context = |name: &String| settings::find(*version, name).map(|setting| setting.context);
    if parameters.keys().any(|name| context(name) == Some(Context::Postmaster)) {
        commands.push(ask(*version, &["--check"], "", &[]));
    }
    if parameters.keys().any(|name| needs_data(name)) {
        let arguments = ["-N", "--no-locale", "--no-instructions", "--auth=reject"];
        let mut arguments: Vec<Argument> = arguments.into_iter().map(Argument::text).collect();
        arguments.extend([Argument::text("-D"), Argument::below_directory("", DATA)]);
        commands.push(command(*version, "initdb", arguments));
        let libraries = format!("shared_preload_libraries={}", libraries(&parameters).join(","));
        commands.push(ask(*version, &["-C", "shared_memory_size"], DATA, &[libraries]));
    }
    TrialSpec {
        files: BTreeMap::from([
            (CONF.to_owned(), conf::trial_conf(&parameters)),
            ("PG_VERSION".to_owned(), format!("{version}\n")),
        ]),
        directories: ["pg_notify", "pg_dynshmem"].map(str::to_owned).into(),
        commands,
    }
}

fn needs_data(name: &str) -> bool {
    name == "wal_consistency_checking"
        || name.starts_with("ssl")
        || LIBRARIES.iter().any(|(library, _)| *library == name)
}

/// Returns the libraries of all sessions, as a server that starts would look for them.
fn libraries(parameters: &BTreeMap<String, String>) -> Vec<String> {
    let mut libraries = Vec::new();
    for (name, place) in LIBRARIES {
        let list = parameters.get(name).map_or("", String::as_str);
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        libraries.extend(names.map(|name| format!("{}{name}", if name.starts_with('$') { "" } else { place })));
    }
    libraries
}

fn command(version: u16, program: &str, arguments: Vec<Argument>) -> Command {
    Command {
        engine: EngineKind::Postgresql,
        version,
        program: program.to_owned(),
        arguments,
    }
}

/// Asks a server that reads the files, and writes what it says to its standard error whatever they say.
fn ask(version: u16, question: &[&'static str], data: &str, settings: &[String]) -> Command {
    let mut arguments: Vec<Argument> = question.iter().map(|argument| Argument::text(*argument)).collect();
    arguments.extend([Argument::text("-D"), Argument::below_directory("", data)]);
    let mut set = |setting: Argument| arguments.extend([Argument::text("-c"), setting]);
    set(Argument::below_directory("config_file=", CONF));
    for setting in [
        "log_line_prefix=",
        "log_min_messages=log",
        "log_destination=stderr",
        "lc_messages=C",
    ] {
        set(Argument::text(setting));
    }
    for setting in settings {
        set(Argument::text(setting.clone()));
    }
    command(version, "postgres", arguments)
}

/// Reads why a server that ended refuses its parameters. It names every wrong value in a line, before the one that says
/// that there are some.
pub fn read(said: &str, parameters: &BTreeMap<String, String>) -> Vec<ParameterRefusal> {
    let mut words: Vec<String> = Vec::new();
    for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (kind, text) = line.split_once(": ").unwrap_or(("", line));
        let text = text.trim();
        let noise = text.starts_with("skipping missing configuration file") || text.ends_with("contains errors");
        match kind {
            _ if noise => {}
            "LOG" | "ERROR" | "FATAL" | "PANIC" | "postgres" => words.push(text.trim_end_matches('.').to_owned()),
            "DETAIL" | "HINT" => {
                if let Some(last) = words.last_mut() {
                    *last = format!("{last} ({})", text.trim_end_matches('.'));
                }
            }
            _ => {}
        }
    }
    let refusal = |words: String| ParameterRefusal {
        parameter: named(&words, parameters),
        words,
    };
    words.into_iter().map(refusal).collect()
}

/// Returns the parameter that a message is about: it names it, or quotes its value.
fn named(words: &str, parameters: &BTreeMap<String, String>) -> Option<String> {
    let lower = words.to_ascii_lowercase();
    let quoted = |name: &&String| lower.contains(&format!("\"{name}\""));
    let value = |(_, value): &(&String, &String)| {
        let mut parts = value.split(',').map(str::trim);
        parts.any(|part| part.len() > 2 && words.contains(part))
    };
    let word = |name: &&String| lower.contains(name.as_str());
    let names = || parameters.keys();
    // Messages about libraries and certificates tell a file, not the parameter.
    let files = || parameters.iter().filter(|(name, _)| needs_data(name));
    let valued = || files().find(value).or_else(|| parameters.iter().find(value));
    let found = names().find(quoted).or_else(|| valued().map(|(name, _)| name));
    found.or_else(|| names().find(word)).cloned()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_server_is_asked_no_more_than_its_parameters_need() {
        let asked = |pairs: &[(&str, &str)]| {
            let trial = trial(&(15, parameters(pairs)));
            let shown = trial.commands.iter().map(|command| {
                let first = command.arguments[0].render("/x");
                format!("{} {first}", command.program)
            });
            shown.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(asked(&[("work_mem", "8MB")]), "postgres -C");
        assert_eq!(asked(&[("shared_buffers", "8MB")]), "postgres -C, postgres --check");
        assert_eq!(asked(&[("ssl", "on")]), "postgres -C, initdb -N, postgres -C");
        let libraries = libraries(&parameters(&[
            ("shared_preload_libraries", "pg_stat_statements, auto_explain"),
            ("local_preload_libraries", "$libdir/x,y"),
        ]));
        assert_eq!(
            libraries,
            ["pg_stat_statements", "auto_explain", "$libdir/x", "$libdir/plugins/y"]
        );
    }

    #[test]
    fn every_refusal_is_read_with_its_parameter_and_the_servers_words() {
        let said = "LOG:  skipping missing configuration file \"/tmp/x/postgresql.auto.conf\"\n\
                    LOG:  invalid value for parameter \"TimeZone\": \"Pacific/Nope\"\n\
                    LOG:  invalid value for parameter \"DateStyle\": \"nope\"\nDETAIL:  Unrecognized key word: \"nope\".\n\
                    FATAL:  configuration file \"/tmp/x/postgresql.conf\" contains errors\n";
        let given = parameters(&[("timezone", "Pacific/Nope"), ("datestyle", "nope"), ("work_mem", "1MB")]);
        expect![[r#"
            [
                (
                    Some(
                        "timezone",
                    ),
                    "invalid value for parameter \"TimeZone\": \"Pacific/Nope\"",
                ),
                (
                    Some(
                        "datestyle",
                    ),
                    "invalid value for parameter \"DateStyle\": \"nope\" (Unrecognized key word: \"nope\")",
                ),
            ]
        "#]]
        .assert_debug_eq(&shown(read(said, &given)));
        let given = parameters(&[("work_mem", "1MB"), ("shared_preload_libraries", "nope")]);
        let said = "FATAL:  could not access file \"nope\": No such file or directory\n";
        assert_eq!(
            read(said, &given)[0].parameter.as_deref(),
            Some("shared_preload_libraries")
        );
        let given = parameters(&[("superuser_reserved_connections", "200")]);
        let said = "postgres: superuser_reserved_connections (200) must be less than max_connections (100)\n";
        assert_eq!(
            read(said, &given)[0].parameter.as_deref(),
            Some("superuser_reserved_connections")
        );
    }

    fn shown(refusals: Vec<ParameterRefusal>) -> Vec<(Option<String>, String)> {
        refusals
            .into_iter()
            .map(|refusal| (refusal.parameter, refusal.words))
            .collect()
    }
}
