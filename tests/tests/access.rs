//! Logins, databases and seeds on real servers: made, changed, rotated, dropped, and never run twice.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use simdb_tests::{TestEnvironment, files_below, versions, wait_until};

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-allow=data-loss"];

/// What the cluster declares of its own; the rest is the same in all tests.
fn shop(engine: &str, access: &str) -> String {
    format!(
        "network \"lan\" {{}}\n\nvariable \"web_password\" {{\n  default   = \"hush-4711/x\"\n  sensitive = true\n}}\n\n\
         cluster \"orders\" {{\n  engine \"postgresql\" {{\n{engine}  }}\n  node \"a\" {{}}\n  node \"r\" {{ count = 2 }}\n{access}}}\n"
    )
}

const ACCESS: &str = r#"
  user "readers" { login = false }
  user "app" {
    member_of = ["readers", "pg_monitor"]
  }
  user "web" { password = var.web_password }
  database "app" { owner = "app" }
  seed "schema" {
    database = "app"
    file     = "schema.sql"
  }
  seed "data" {
    database = "app"
    file     = "data.sql"
  }
"#;

const OUTPUTS: &str = r#"
output "url" {
  value     = cluster.orders.user.app.url
  sensitive = true
}
output "app" {
  value     = cluster.orders.user.app.password
  sensitive = true
}
output "web" {
  value     = cluster.orders.user.web.password
  sensitive = true
}
"#;

const SCHEMA: &str = "CREATE TABLE item (n int PRIMARY KEY);\nCREATE TABLE run (at timestamptz DEFAULT now());\n";
const DATA: &str = "INSERT INTO item VALUES (1), (2), (3);\nINSERT INTO run DEFAULT VALUES;\n";

fn environment(configuration: &str) -> TestEnvironment {
    let environment = TestEnvironment::with_configuration(configuration);
    environment.write("schema.sql", SCHEMA);
    environment.write("data.sql", DATA);
    environment
}

fn assert_second_plan_is_empty(environment: &TestEnvironment) {
    let plan = environment.run(&["plan", "-detailed-exitcode"]);
    assert_eq!(plan.code, Some(0), "{}{}", plan.stdout, plan.stderr);
}

fn destroy(environment: &TestEnvironment) {
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

fn raw(environment: &TestEnvironment, output: &str) -> String {
    let answer = environment.run(&["output", "-raw", output]);
    answer.expect_code(0);
    answer.stdout
}

/// Asks a node, through a connection string that overrides whatever it does not leave out.
fn ask_as(environment: &TestEnvironment, node: &str, connection: &str, query: &str) -> Result<String, String> {
    let arguments = [
        "psql",
        node,
        "--",
        "-X",
        "-At",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        connection,
        "-c",
        query,
    ];
    let answer = environment.run(&arguments);
    match answer.code {
        Some(0) => Ok(answer.stdout.trim().to_owned()),
        _ => Err(answer.stderr),
    }
}

fn ask(environment: &TestEnvironment, database: &str, query: &str) -> String {
    ask_as(environment, "orders.a", &format!("dbname={database}"), query).unwrap()
}

/// Asks the standbys who streams, and from when on.
fn streams(environment: &TestEnvironment) -> BTreeSet<String> {
    let query = "SELECT application_name || ' ' || pid FROM pg_stat_replication WHERE state = 'streaming'";
    ask(environment, "postgres", query).lines().map(str::to_owned).collect()
}

fn of_version(version: &str, binaries: Option<&str>) -> TestEnvironment {
    let configuration = shop(&format!("    version = \"{version}\"\n"), ACCESS) + OUTPUTS;
    let environment = environment(&configuration);
    if let Some(binaries) = binaries {
        environment.use_binaries(binaries);
    }
    environment
}

fn edit(environment: &TestEnvironment, from: &str, to: &str) {
    let path = environment.project().join("main.simdb.hcl");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn logins_databases_and_seeds_live_through_every_change() {
    for (version, binaries) in versions() {
        let environment = of_version(version, binaries.as_deref());
        environment.run(&APPLY).expect_code(0);
        assert_second_plan_is_empty(&environment);
        seeded_rows_are_read_on_a_standby(&environment);
        what_is_altered_by_hand_is_put_back(&environment);
        passwords_are_rotated_under_running_streams(&environment);
        attributes_and_owners_change(&environment);
        a_user_who_owns_objects_stays(&environment);
        a_database_goes_only_when_that_is_allowed(&environment);
        destroy(&environment);
    }
}

fn seeded_rows_are_read_on_a_standby(environment: &TestEnvironment) {
    let url = raw(environment, "url");
    let who = ask_as(
        environment,
        "orders.a",
        &url,
        "SELECT current_user || ' ' || count(*) FROM item",
    );
    assert_eq!(who.unwrap(), "app 3");
    let on_standby = format!("user=app password={} dbname=app", raw(environment, "app"));
    wait_until("the standby has the rows", || {
        ask_as(
            environment,
            "orders.r[1]",
            &on_standby,
            "SELECT count(*), pg_is_in_recovery() FROM item",
        )
        .as_deref()
            == Ok("3|t")
    });
    let owner = ask(
        environment,
        "app",
        "SELECT tableowner FROM pg_tables WHERE tablename = 'item'",
    );
    assert_eq!(owner, "app", "a seed runs as the owner");
    assert_eq!(raw(environment, "web"), "hush-4711/x");
    ask_as(
        environment,
        "orders.a",
        "user=web password=hush-4711/x dbname=app",
        "SELECT 1",
    )
    .unwrap();
}

fn what_is_altered_by_hand_is_put_back(environment: &TestEnvironment) {
    let cases = [
        ("ALTER ROLE app SUPERUSER CONNECTION LIMIT 3", "user"),
        ("REVOKE readers FROM app; GRANT pg_read_all_data TO app", "user"),
        ("ALTER DATABASE app OWNER TO postgres", "database"),
        ("DROP ROLE web", "user"),
        ("DROP DATABASE app WITH (FORCE)", "seed"),
    ];
    for (happens, step) in cases {
        ask(environment, "postgres", "SELECT 1");
        for statement in happens.split("; ") {
            ask(environment, "postgres", statement);
        }
        let plan = environment.run(&["plan", "-detailed-exitcode"]);
        assert_eq!(plan.code, Some(2), "{happens}: {}{}", plan.stdout, plan.stderr);
        assert!(
            plan.stdout.contains(&format!("  {step} ")),
            "{happens}: {}",
            plan.stdout
        );
        let apply = environment.run(&APPLY);
        assert_eq!(apply.code, Some(0), "{happens}: {}{}", apply.stdout, apply.stderr);
        assert_second_plan_is_empty(environment);
    }
    let roles =
        "SELECT string_agg(roleid::regrole::text, ' ' ORDER BY 1) FROM pg_auth_members WHERE member = 'app'::regrole";
    assert_eq!(ask(environment, "postgres", roles), "pg_monitor readers");
    assert_eq!(ask(environment, "app", "SELECT count(*) FROM run"), "1");
}

fn passwords_are_rotated_under_running_streams(environment: &TestEnvironment) {
    let connection = |password: &str| format!("user=app password={password} dbname=app");
    let (old, before) = (raw(environment, "app"), streams(environment));
    let passfile = || fs::read_to_string(environment.data().join("orders/r-0/passfile")).unwrap();
    let old_passfile = passfile();
    edit(
        environment,
        "user \"app\" {",
        "replication { password_version = 2 }\n  user \"app\" {\n    password_version = 2",
    );
    edit(environment, "hush-4711/x", "hush-4712/x");
    environment.run(&APPLY).expect_code(0);
    assert_second_plan_is_empty(environment);
    environment.run(&["status"]).expect_code(0);
    assert_ne!(passfile(), old_passfile);
    let after = streams(environment);
    assert_eq!(after.len(), 2);
    assert!(
        before.is_disjoint(&after),
        "every stream begins anew: {before:?} {after:?}"
    );
    assert!(ask_as(environment, "orders.a", &connection(&old), "SELECT 1").is_err());
    ask_as(
        environment,
        "orders.a",
        &connection(&raw(environment, "app")),
        "SELECT 1",
    )
    .unwrap();
    ask_as(
        environment,
        "orders.a",
        "user=web password=hush-4712/x dbname=app",
        "SELECT 1",
    )
    .unwrap();
}

fn attributes_and_owners_change(environment: &TestEnvironment) {
    edit(
        environment,
        "member_of = [\"readers\", \"pg_monitor\"]",
        "createdb = true\n    connection_limit = 7",
    );
    edit(environment, "owner = \"app\"", "owner = \"web\"");
    environment.write("data.sql", "INSERT INTO item VALUES (4);\n");
    let apply = environment.run(&APPLY);
    apply.expect_code(0);
    assert!(
        apply.stderr.contains("Seed was changed after it ran"),
        "{}",
        apply.stderr
    );
    assert_second_plan_is_empty(environment);
    let role = "SELECT rolcreatedb, rolconnlimit FROM pg_roles WHERE rolname = 'app'";
    assert_eq!(ask(environment, "postgres", role), "t|7");
    assert_eq!(ask(environment, "app", "SELECT count(*) FROM item"), "3");
    let owner = "SELECT datdba::regrole FROM pg_database WHERE datname = 'app'";
    assert_eq!(ask(environment, "postgres", owner), "web");
}

fn a_user_who_owns_objects_stays(environment: &TestEnvironment) {
    let main = fs::read_to_string(environment.project().join("main.simdb.hcl")).unwrap();
    let start = main.find("  user \"app\" {").unwrap();
    let end = start + main[start..].find("}\n").unwrap() + 2;
    let without = main[..start].to_owned() + &main[end..];
    environment.write("main.simdb.hcl", without.split("\noutput").next().unwrap());
    let plan = environment.run(&["plan"]);
    plan.expect_code(1);
    assert!(plan.stderr.contains("User still owns objects"), "{}", plan.stderr);
}

fn a_database_goes_only_when_that_is_allowed(environment: &TestEnvironment) {
    environment.write("main.simdb.hcl", &shop("", ""));
    environment.run(&APPLY).expect_code(1);
    assert_eq!(ask(environment, "app", "SELECT count(*) FROM item"), "3");
    environment
        .run(&["apply", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
    assert_second_plan_is_empty(environment);
    let left = "SELECT count(*) FROM pg_database WHERE datname = 'app' UNION ALL
        SELECT count(*) FROM pg_roles WHERE rolname IN ('app', 'web', 'readers')";
    assert_eq!(ask(environment, "postgres", left), "0\n0");
}

/// A session that goes on until it is told to end.
struct Session(Child);

impl Session {
    /// Begins a session that holds a lock, which seeds can wait for.
    fn locking(environment: &TestEnvironment) -> Self {
        let mut command = environment.command(&["psql", "orders.a", "--", "-X", "-At", "-d", "dbname=app"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(
            child.stdin.as_ref().unwrap(),
            "SELECT 'locked', pg_advisory_lock(4711);"
        )
        .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().starts_with("locked"));
        Self(child)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn a_seed_runs_once_whenever_simdb_is_killed() {
    let users = "  user \"app\" {}\n  database \"app\" { owner = \"app\" }\n";
    let environment = environment(&shop("", users));
    environment.run(&APPLY).expect_code(0);
    environment.write("main.simdb.hcl", &shop("", ACCESS));
    environment.write("schema.sql", &format!("{SCHEMA}SELECT pg_advisory_xact_lock(4711);\n"));

    // Killed while the seed is at work: nothing of it has happened, and what is left of it goes.
    let session = Session::locking(&environment);
    let mut apply = environment
        .command(&APPLY)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%(4711)'";
    wait_until("the seed waits", || ask(&environment, "app", waiting) == "1");
    apply.kill().unwrap();
    apply.wait().unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'item'";
    assert_eq!(ask(&environment, "app", tables), "0");
    session.end();
    let plan = environment.run(&["plan", "-detailed-exitcode"]);
    plan.expect_code(2);

    // Killed after the seed was committed and before that was recorded: the record is what it was before.
    let state = environment.project().join(".simdb");
    let saved = environment.home().join("state");
    copy(&state, &saved);
    environment.run(&APPLY).expect_code(0);
    assert_second_plan_is_empty(&environment);
    fs::remove_dir_all(&state).unwrap();
    copy(&saved, &state);
    let plan = environment.run(&["plan"]);
    assert!(
        plan.stdout.contains("its mark says that it has run"),
        "{}{}",
        plan.stdout,
        plan.stderr
    );
    environment.run(&APPLY).expect_code(0);
    assert_second_plan_is_empty(&environment);
    assert_eq!(
        ask(
            &environment,
            "app",
            "SELECT (SELECT count(*) FROM item), count(*) FROM run"
        ),
        "3|1"
    );
    destroy(&environment);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir(to).unwrap();
    for file in files_below(from) {
        fs::copy(&file, to.join(file.strip_prefix(from).unwrap())).unwrap();
    }
}

#[test]
fn a_seed_that_fails_leaves_nothing_and_names_the_line() {
    let environment = environment(&shop("", ACCESS));
    environment.write("data.sql", "INSERT INTO item\nVALUES (1),\n       ('x');\n");
    let apply = environment.run(&APPLY);
    apply.expect_code(1);
    let text = apply.stdout + &apply.stderr;
    assert!(text.contains("run \"data.sql\": line 3: ('x');"), "{text}");
    assert_eq!(ask(&environment, "app", "SELECT count(*) FROM item"), "0");
    environment.write("data.sql", "SELECT 1;\nVACUUM item;\n");
    let plan = environment.run(&["plan"]);
    plan.expect_code(1);
    assert!(plan.stderr.contains("on data.sql line 2"), "{}", plan.stderr);
    environment.write("data.sql", DATA);
    environment.run(&APPLY).expect_code(0);
    assert_second_plan_is_empty(&environment);
    destroy(&environment);
}

#[test]
fn no_password_of_a_user_is_seen_anywhere() {
    let engine = "    parameters = { log_statement = \"all\", log_min_messages = \"debug1\" }\n";
    // No other test's, whose commands may be seen meanwhile.
    let configuration = (shop(engine, ACCESS) + OUTPUTS).replace("hush-4711/x", "still-1147/y");
    let environment = environment(&configuration);
    let mut seen = Vec::new();
    let mut secrets = BTreeSet::new();
    for (from, to) in [
        ("", ""),
        (
            "user \"app\" {",
            "replication { password_version = 2 }\n  user \"app\" {\n    password_version = 2",
        ),
    ] {
        edit(&environment, from, to);
        if !from.is_empty() {
            edit(&environment, "still-1147/y", "still-1148/y");
        }
        let mut command = environment.command(&["apply", "-auto-approve", "-json"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let watcher = std::thread::spawn(move || {
            let mut lines = BTreeSet::new();
            while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
                lines.extend(command_lines());
            }
            lines
        });
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        seen.extend(watcher.join().unwrap());
        seen.extend([output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()));
        secrets.extend(["app", "web"].map(|output| raw(&environment, output)));
        let passfile = fs::read_to_string(environment.data().join("orders/a/passfile")).unwrap();
        secrets.insert(passfile.trim().rsplit(':').next().unwrap().to_owned());
    }
    assert_eq!(secrets.len(), 6);
    let commands: &[&[&str]] = &[
        &["plan", "-destroy", "-json"],
        &["show"],
        &["show", "-json"],
        &["status", "-json"],
        &["state", "show", "cluster.orders.user.app"],
        &["state", "show", "-json", "cluster.orders.user.web"],
        &["logs", "orders.a"],
        &["output"],
    ];
    for command in commands {
        let output = environment.run(command);
        seen.extend([output.stdout, output.stderr]);
    }
    let log = fs::read_to_string(environment.data().join("orders/a/log")).unwrap();
    assert!(log.contains("ROLE \"app\""), "the servers log every statement");
    for secret in &secrets {
        let shown = seen.iter().find(|text| text.contains(secret));
        assert_eq!(shown, None, "{secret} is seen");
        for root in [environment.project(), environment.home(), environment.data()] {
            let allowed = |path: &std::path::Path| path.ends_with("passfile") || path.ends_with("main.simdb.hcl");
            let holds =
                |path: &std::path::Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).contains(secret);
            let found: Vec<_> = files_below(&root)
                .into_iter()
                .filter(|path| !allowed(path) && holds(path))
                .collect();
            assert!(found.is_empty(), "{secret} is in {found:?}");
        }
    }
    destroy(&environment);
}

/// What every process of the machine was started with.
fn command_lines() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
}
