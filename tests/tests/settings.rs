//! Parameters on real servers: what a server is told is what it says, whatever sessions make of it, and what it would not
//! take is refused before anything changes.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use simdb_tests::{TestEnvironment, versions};

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-allow=data-loss"];

/// The settings of every version, as the planner knows them.
const TABLE: &str = include_str!("../../planner/src/engine/postgresql/settings.tsv");

/// What people set for their own sessions, and what a server shows in other words than it was told.
const CHOSEN: [(&str, &str); 28] = [
    ("statement_timeout", "1ms"),
    ("lock_timeout", "1ms"),
    ("idle_in_transaction_session_timeout", "1ms"),
    ("idle_session_timeout", "1s"),
    ("application_name", "mine"),
    ("client_encoding", "latin1"),
    ("client_min_messages", "debug5"),
    ("datestyle", "sql, dmy"),
    ("intervalstyle", "iso_8601"),
    ("timezone", "europe/berlin"),
    ("log_timezone", "-8"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("standard_conforming_strings", "off"),
    ("backslash_quote", "off"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("quote_all_identifiers", "on"),
    ("transform_null_equals", "on"),
    ("array_nulls", "off"),
    ("row_security", "off"),
    ("search_path", "nowhere"),
    ("archive_command", "cp %p /nowhere/%f"),
    ("tcp_keepalives_idle", "0"),
    ("wal_buffers", "-1"),
    ("wal_sender_timeout", "1s"),
    ("xmloption", "document"),
];

struct Project {
    environment: TestEnvironment,
    version: &'static str,
}

impl Project {
    fn each() -> Vec<Self> {
        let project = |(version, binaries): (&'static str, Option<String>)| {
            let environment = TestEnvironment::with_configuration("");
            if let Some(binaries) = &binaries {
                environment.use_binaries(binaries);
            }
            Self { environment, version }
        };
        versions().into_iter().map(project).collect()
    }

    fn declare<'a>(&self, nodes: &str, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let lines: Vec<String> = parameters
            .into_iter()
            .map(|(name, value)| format!("      \"{name}\" = {value:?}\n"))
            .collect();
        let version = self.version;
        let parameters = lines.concat();
        let text = format!(
            "network \"lan\" {{}}\n\ncluster \"c\" {{\n  engine \"postgresql\" {{\n    version = \"{version}\"\n    parameters = \
             {{\n{parameters}    }}\n  }}\n  {nodes}\n}}\n"
        );
        self.environment.write("main.simdb.hcl", &text);
    }

    fn nothing_is_left_to_do(&self) {
        let plan = self.environment.run(&["plan", "-detailed-exitcode"]);
        plan.expect_code(0);
        assert!(plan.stdout.contains("No changes."), "{}", plan.stdout);
    }

    fn end(self) {
        self.environment.run(&DESTROY).expect_code(0);
        self.environment.assert_nothing_left();
    }
}

#[test]
fn what_people_set_for_their_sessions_neither_stops_simdb_nor_stays_to_be_done() {
    for project in Project::each() {
        let nodes = "node \"a\" {}\n  node \"b\" {}";
        project.declare(nodes, CHOSEN);
        project.environment.run(&APPLY).expect_code(0);
        project.nothing_is_left_to_do();
        project.environment.run(&["verify", "c"]).expect_code(0);
        project.declare(nodes, CHOSEN.into_iter().chain([("work_mem", "8MB")]));
        project.environment.run(&APPLY).expect_code(0);
        project.nothing_is_left_to_do();
        project.end();
    }
}

#[test]
fn every_setting_can_be_told_its_default_and_nothing_is_left_to_do() {
    for project in Project::each() {
        project.declare("node \"a\" {}", []);
        project.environment.run(&APPLY).expect_code(0);
        let query = "SELECT lower(name) || '=' || boot_val FROM pg_settings WHERE context <> 'internal' AND boot_val IS NOT NULL";
        let answer = project.environment.run(&["psql", "c", "--", "-XAt", "-c", query]);
        answer.expect_code(0);
        let pairs = answer.stdout.lines().filter_map(|line| line.split_once('='));
        let pairs = pairs.filter(|(name, _)| !name.contains('.'));
        let all: BTreeMap<String, String> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let accepted = accepted(&project, all.clone());
        assert!(
            all.len() > 300 && accepted.len() > all.len() - 50,
            "{all:?} {accepted:?}"
        );
        project.environment.run(&APPLY).expect_code(0);
        project.nothing_is_left_to_do();
        project.end();
    }
}

/// Declares parameters, without those that a plan refuses; returns the others.
fn accepted(project: &Project, mut parameters: BTreeMap<String, String>) -> BTreeMap<String, String> {
    loop {
        let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        project.declare("node \"a\" {}", pairs);
        let plan = project.environment.run(&["plan"]);
        if plan.code == Some(0) {
            return parameters;
        }
        let (refused, before) = (refused(&plan.text()), parameters.len());
        parameters.retain(|name, _| !refused.contains(name));
        assert!(parameters.len() < before, "{}", plan.text());
    }
}

/// Returns every setting of a version that takes a text, each with one that means nothing and that no other one has.
fn nonsense(version: u16) -> BTreeMap<String, String> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    let rows = rows.map(|row| row.split('\t').collect::<Vec<_>>());
    let major = |text: &str| text.parse::<u16>().expect("majors are numbers");
    let within = |row: &Vec<&str>| (major(row[0])..=major(row[1])).contains(&version);
    let texts = rows.filter(|row| within(row) && row[3] == "string");
    texts
        .map(|row| (row[2].to_lowercase(), format!("no-{}", row[2])))
        .collect()
}

/// Returns the parameters that messages refuse.
fn refused(text: &str) -> BTreeSet<String> {
    let quoted = |word: &str| word.trim_matches('"').to_owned();
    let words: Vec<&str> = text.split(' ').collect();
    let mut found = BTreeSet::new();
    for at in words.windows(4) {
        if let ["simdb", "sets", name, "itself."]
        | [name, "cannot", "be", "a"]
        | ["parameter", name, "must", "be"]
        | ["not", "accept", name, "="] = at
        {
            found.insert(quoted(name));
        }
    }
    found
}

fn expect_accepted(version: &str) -> Expect {
    match version {
        "15" => expect![[r#"
            application_name
            archive_command
            archive_library
            bonjour_name
            event_source
            extension_destdir
            jit_provider
            krb_server_keyfile
            log_directory
            log_filename
            log_line_prefix
            search_path
            ssl_ca_file
            ssl_cert_file
            ssl_ciphers
            ssl_crl_dir
            ssl_crl_file
            ssl_dh_params_file
            ssl_ecdh_curve
            ssl_key_file
            ssl_passphrase_command
            syslog_ident"#]],
        _ => expect![[r#"
            application_name
            archive_command
            archive_library
            bonjour_name
            event_source
            extension_control_path
            jit_provider
            krb_server_keyfile
            log_directory
            log_filename
            log_line_prefix
            oauth_validator_libraries
            output_plugin_libraries
            search_path
            ssl_ca_file
            ssl_cert_file
            ssl_ciphers
            ssl_crl_dir
            ssl_crl_file
            ssl_dh_params_file
            ssl_groups
            ssl_key_file
            ssl_passphrase_command
            ssl_tls13_ciphers
            syslog_ident"#]],
    }
}

#[test]
fn a_text_that_a_server_would_not_start_with_is_refused_in_the_plan() {
    for project in Project::each() {
        let version = project.version.parse().expect("versions are numbers");
        let names: Vec<String> = accepted(&project, nonsense(version)).into_keys().collect();
        expect_accepted(project.version).assert_eq(&names.join("\n"));
        project.environment.run(&APPLY).expect_code(0);
        project.nothing_is_left_to_do();
        project.end();
    }
}
