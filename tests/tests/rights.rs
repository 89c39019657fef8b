//! What a role without rights may do to a session that has all of them: the owner of a database plants code wherever
//! PostgreSQL runs some, and simdb's commands run none of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;

use simdb_tests::{TestEnvironment, has_pgbouncer, versions};

const APPLY: [&str; 2] = ["apply", "-auto-approve"];

/// A cluster whose database belongs to a login that may do nothing else.
fn shop(version: &str, more: &str) -> String {
    format!(
        "network \"lan\" {{}}\n\ncluster \"orders\" {{\n  engine \"postgresql\" {{ version = \"{version}\" }}\n  \
         node \"a\" {{}}\n  node \"r\" {{ count = 1 }}\n  user \"app\" {{}}\n  database \"app\" {{ owner = \"app\" }}\n{more}}}\n\n\
         output \"app\" {{\n  value     = cluster.orders.user.app.password\n  sensitive = true\n}}\n"
    )
}

fn created(version: &str, binaries: Option<&str>, more: &str) -> TestEnvironment {
    let environment = TestEnvironment::with_configuration(&shop(version, more));
    if let Some(binaries) = binaries {
        environment.use_binaries(binaries);
    }
    environment.run(&APPLY).expect_code(0);
    environment
}

/// Runs statements on the primary, each alone, through a connection string that overrides what it does not leave out.
fn tell_as(environment: &TestEnvironment, connection: &str, statements: &[&str]) -> Result<String, String> {
    let mut arguments = vec![
        "psql",
        "orders.a",
        "--",
        "-X",
        "-At",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        connection,
    ];
    for statement in statements {
        arguments.extend(["-c", statement]);
    }
    let answer = environment.run(&arguments);
    match answer.code {
        Some(0) => Ok(answer.stdout.trim().to_owned()),
        _ => Err(answer.stderr),
    }
}

fn ask(environment: &TestEnvironment, database: &str, query: &str) -> String {
    tell_as(environment, &format!("dbname={database}"), &[query]).unwrap()
}

fn as_app(environment: &TestEnvironment) -> String {
    let password = environment.run(&["output", "-raw", "app"]);
    password.expect_code(0);
    format!("user=app password={} dbname=app", password.stdout)
}

fn is_superuser(environment: &TestEnvironment) -> String {
    let query = "SELECT count(*) FROM pg_roles WHERE rolname = 'app' AND (rolsuper OR rolcreaterole OR rolreplication)
        OR pg_has_role('app', oid, 'MEMBER') AND rolname IN ('postgres', 'pg_execute_server_program')";
    ask(environment, "postgres", query)
}

/// Where code that has a superuser's rights leaves its mark: a file, for a standby and a transaction that only reads take
/// no other.
fn marks(environment: &TestEnvironment) -> Vec<PathBuf> {
    let nodes = ["a", "r-0"].map(|node| environment.data().join("orders").join(node).join("mark"));
    nodes.into_iter().filter(|mark| mark.exists()).collect()
}

/// Plants code wherever the owner of a database can. Each piece calls `evil.act`, which leaves a mark where it may.
fn plant(environment: &TestEnvironment) {
    let act = "CREATE FUNCTION evil.act() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
            EXECUTE pg_catalog.format('COPY (SELECT 1) TO %L', pg_catalog.regexp_replace(
                pg_catalog.current_setting('data_directory'), '/[^/]*$', '') || '/mark');
            RETURN 1;
        EXCEPTION WHEN insufficient_privilege THEN RETURN 1; END $$;";
    let immutable = "LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM evil.act();";
    let statements = [
        "CREATE SCHEMA evil".to_owned(),
        act.to_owned(),
        format!("CREATE FUNCTION evil.number(int) RETURNS int {immutable} RETURN $1; END $$"),
        format!("CREATE FUNCTION evil.yes(int) RETURNS bool {immutable} RETURN true; END $$"),
        "CREATE DOMAIN evil.small AS int CHECK (evil.yes(VALUE))".to_owned(),
        "CREATE TABLE evil.t (a int DEFAULT evil.number(1), b evil.small, \
         c int GENERATED ALWAYS AS (evil.number(a)) STORED, CHECK (evil.yes(a)))"
            .to_owned(),
        "INSERT INTO evil.t (b) VALUES (1), (2)".to_owned(),
        format!("CREATE FUNCTION evil.words(evil.t) RETURNS text {immutable} RETURN 'row'; END $$"),
        "CREATE CAST (evil.t AS text) WITH FUNCTION evil.words(evil.t) AS IMPLICIT".to_owned(),
        "CREATE INDEX ON evil.t ((a + evil.number(1)))".to_owned(),
        "CREATE INDEX ON evil.t (a) WHERE evil.yes(2)".to_owned(),
        "CREATE STATISTICS evil.s ON (a + evil.number(3)), a FROM evil.t".to_owned(),
        "ALTER TABLE evil.t ENABLE ROW LEVEL SECURITY".to_owned(),
        "CREATE POLICY p ON evil.t USING (evil.yes(a))".to_owned(),
        "CREATE VIEW evil.v AS SELECT evil.number(4)".to_owned(),
        "CREATE MATERIALIZED VIEW evil.m AS SELECT evil.number(5) AS a".to_owned(),
        "CREATE INDEX ON evil.m ((a + evil.number(6)))".to_owned(),
    ];
    let statements = statements.into_iter().chain(shadows()).chain(settings());
    let statements: Vec<String> = statements.collect();
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    tell_as(environment, &as_app(environment), &statements).unwrap();
}

/// Functions, operators and views that bear the names of built-in ones.
fn shadows() -> Vec<String> {
    let function = |signature: &str, returns: &str, value: &str| {
        format!(
            "CREATE FUNCTION evil.{signature} RETURNS {returns} LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM evil.act(); RETURN {value}; END $$"
        )
    };
    let mut shadows = vec![
        function("pg_is_in_recovery()", "bool", "pg_catalog.pg_is_in_recovery()"),
        function("pg_current_snapshot()", "text", "pg_catalog.pg_current_snapshot()"),
        function("hashtext(text)", "int", "1"),
        function("hashtextextended(text, bigint)", "bigint", "1"),
        function("format(text, name, name)", "text", "pg_catalog.format($1, $2, $3)"),
        function(
            "pg_logical_emit_message(bool, text, text)",
            "pg_lsn",
            "pg_catalog.pg_logical_emit_message($1, $2, $3)",
        ),
        function("starts_with(text, text)", "bool", "pg_catalog.starts_with($1, $2)"),
        function("same(name, text)", "bool", "$1::text OPERATOR(pg_catalog.=) $2"),
        function("same(name, name)", "bool", "$1::text OPERATOR(pg_catalog.=) $2::text"),
        function(
            "later(timestamptz, timestamptz)",
            "bool",
            "$1 OPERATOR(pg_catalog.>) $2",
        ),
    ];
    shadows.extend(
        [
            "= (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.same)",
            "= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.same)",
            "> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later)",
        ]
        .map(|operator| format!("CREATE OPERATOR evil.{operator}")),
    );
    shadows.extend(
        [
            "pg_class",
            "pg_namespace",
            "pg_database",
            "pg_roles",
            "pg_db_role_setting",
            "pg_stat_replication",
        ]
        .map(|view| format!("CREATE VIEW evil.{view} AS SELECT evil.act(), * FROM pg_catalog.{view}")),
    );
    shadows
}

/// What the owner of a database may set for all who connect to it.
fn settings() -> Vec<String> {
    let settings = [
        "search_path = evil, public, pg_catalog",
        "role = app",
        "standard_conforming_strings = off",
        "row_security = on",
        "default_transaction_read_only = on",
    ];
    settings
        .map(|setting| format!("ALTER DATABASE app SET {setting}"))
        .into()
}

/// What is planted does run with the rights of whoever selects.
fn it_is_armed(environment: &TestEnvironment) {
    for query in [
        "SELECT (held.*)::text FROM ONLY evil.t AS held",
        "SELECT pg_catalog.count(*) FROM ONLY evil.t",
        "SELECT * FROM evil.v",
        "SELECT pg_is_in_recovery()",
        "SELECT 1 FROM pg_catalog.pg_authid WHERE rolname = 'app'::text",
    ] {
        tell_as(environment, "dbname=app", &["SET ROLE none", query]).unwrap();
        let marks = marks(environment);
        assert_eq!(marks.len(), 1, "{query}");
        fs::remove_file(&marks[0]).unwrap();
    }
}

#[test]
fn no_session_of_simdb_runs_what_the_owner_of_a_database_planted() {
    for (version, binaries) in versions() {
        let environment = created(version, binaries.as_deref(), "");
        plant(&environment);
        it_is_armed(&environment);
        let more = "  user \"web\" { member_of = [\"app\"] }\n  seed \"data\" {\n    database = \"app\"\n    file     = \"data.sql\"\n  }\n";
        environment.write("main.simdb.hcl", &shop(version, more));
        environment.write("data.sql", "CREATE TABLE public.seeded ();\n");
        let commands: &[(&[&str], i32)] = &[
            (&["plan", "-detailed-exitcode"], 2),
            (&["status"], 0),
            (&APPLY, 0),
            (&["plan", "-detailed-exitcode"], 0),
            (&["verify", "orders", "-load=1s", "-clients=1"], 0),
            (&["switchover", "orders", "-to", "r[0]", "-auto-approve"], 0),
            (&["verify", "orders"], 0),
        ];
        for (command, code) in commands {
            environment.run(command).expect_code(*code);
            assert_eq!(marks(&environment), Vec::<PathBuf>::new(), "{version} {command:?}");
        }
        let found = environment.run(&["verify", "orders", "-json"]);
        assert!(found.stdout.contains("evil.t"), "{}", found.stdout);
        environment.destroy();
    }
}

#[test]
fn a_pooler_looks_logins_up_with_operators_of_postgresql_alone() {
    if !has_pgbouncer() {
        return;
    }
    let endpoint = "  endpoint \"rw\" {\n    target = \"primary\"\n    via    = \"pgbouncer\"\n  }\n";
    let environment = created("15", None, endpoint);
    let direct = as_app(&environment);
    let same = "CREATE FUNCTION evil.same(name, name) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO evil.seen VALUES (current_user); RETURN $1::text OPERATOR(pg_catalog.=) $2::text; END $$";
    let statements = [
        "CREATE SCHEMA evil",
        "CREATE TABLE evil.seen (role text)",
        "GRANT USAGE ON SCHEMA evil TO PUBLIC",
        "GRANT INSERT ON evil.seen TO PUBLIC",
        same,
        "CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.same)",
        "ALTER DATABASE app SET search_path = evil, pg_catalog",
    ];
    tell_as(&environment, &direct, &statements).unwrap();
    let service = environment.project().join(".simdb/pg_service.conf");
    let pooled = format!("service=orders-rw {direct}");
    let mut client = environment.command(&["psql", "orders", "--", "-X", "-At", "-c", "SELECT 'in'", "-d", &pooled]);
    let answer = client.env("PGSERVICEFILE", &service).output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
    // The operator is armed: a lookup by hand runs it.
    ask(
        &environment,
        "app",
        "SELECT 1 FROM pg_catalog.pg_authid WHERE rolname = 'app'::name",
    );
    let seen = ask(&environment, "app", "SELECT DISTINCT role FROM evil.seen");
    assert_eq!(seen, "postgres");
    environment.destroy();
}

#[test]
fn a_ledger_is_kept_in_no_schema_of_another_role() {
    let environment = created("15", None, "");
    ask(&environment, "postgres", "CREATE SCHEMA simdb_ledger AUTHORIZATION app");
    let verify = environment.run(&["verify", "orders", "-load=1s", "-clients=1"]);
    verify.expect_code(5);
    assert!(
        verify.text().contains("schema simdb_ledger belongs to another role"),
        "{}",
        verify.text()
    );
    environment.destroy();
}

/// Spellings by which a session takes off an identity that it took on, or takes on another one.
const SPELLINGS: &[&str] = &[
    "SET session_authorization TO DEFAULT",
    "SET session_authorization = DEFAULT",
    "SET \"session_authorization\" TO DEFAULT",
    "SET LOCAL session_authorization TO DEFAULT",
    "SET SESSION session_authorization = 'postgres'",
    "RESET session_authorization",
    "RESET \"session_authorization\"",
    "RESET ALL",
    "SET/**/SESSION/**/AUTHORIZATION/**/DEFAULT",
    "SELECT set_config('session_authorization', 'postgres', false)",
    "SELECT set_config('session_authorization', 'default', true)",
    "SET ROLE NONE",
    "SET ROLE postgres",
    "RESET ROLE",
    "SELECT set_config('role', 'postgres', false)",
    "DO $$ BEGIN SET session_authorization TO DEFAULT; END $$",
    "DO $$ BEGIN EXECUTE 'RESET SESSION AUTHORIZATION'; END $$",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql SET session_authorization = 'postgres' AS 'ALTER ROLE app SUPERUSER'",
    "UPDATE pg_settings SET setting = 'postgres' WHERE name = 'session_authorization'",
    "DISCARD SEQUENCES; RESET session_authorization",
];

/// What a superuser may do, and everybody else may try.
const TRIES: &str = "DO $$ BEGIN ALTER ROLE app SUPERUSER; EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN PERFORM f(); EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN GRANT pg_execute_server_program TO app; EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN COPY (SELECT 1) TO PROGRAM 'true'; RAISE 'it runs programs'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;
";

#[test]
fn a_seed_is_its_owner_and_nothing_else_however_it_is_spelled() {
    for (version, binaries) in versions() {
        let environment = created(version, binaries.as_deref(), "");
        for (number, spelling) in SPELLINGS.iter().enumerate() {
            let seed = format!("  seed \"s{number}\" {{\n    database = \"app\"\n    file     = \"s.sql\"\n  }}\n");
            environment.write("main.simdb.hcl", &shop(version, &seed));
            environment.write("s.sql", &format!("{spelling};\n{TRIES}"));
            let apply = environment.run(&APPLY);
            let text = apply.text();
            assert!(!text.contains("it runs programs"), "{version} {spelling}: {text}");
            assert_eq!(is_superuser(&environment), "0", "{version} {spelling}: {text}");
            let left = "SELECT count(*) FROM pg_parameter_acl";
            assert_eq!(ask(&environment, "postgres", left), "0", "{version} {spelling}");
        }
        environment.destroy();
    }
}

#[test]
fn a_seed_runs_as_an_owner_who_may_not_log_in() {
    for (version, binaries) in versions() {
        let owners = "  user \"group\" { login = false }\n  user \"busy\" { connection_limit = 0 }\n  \
             database \"one\" { owner = \"group\" }\n  database \"two\" { owner = \"busy\" }\n  \
             seed \"first\" {\n    database = \"one\"\n    file     = \"s.sql\"\n  }\n  \
             seed \"second\" {\n    database = \"two\"\n    file     = \"s.sql\"\n  }\n";
        let environment = TestEnvironment::with_configuration(&shop(version, owners));
        if let Some(binaries) = &binaries {
            environment.use_binaries(binaries);
        }
        environment.write(
            "s.sql",
            "CREATE TABLE t AS SELECT session_user::text, current_user::text AS role;\n",
        );
        environment.run(&APPLY).expect_code(0);
        environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
        for (database, owner) in [("one", "group"), ("two", "busy")] {
            assert_eq!(
                ask(&environment, database, "SELECT * FROM t"),
                format!("{owner}|{owner}")
            );
        }
        let roles = "SELECT rolname, rolcanlogin, rolconnlimit, rolpassword IS NULL FROM pg_authid
            WHERE rolname IN ('group', 'busy') ORDER BY 1";
        assert_eq!(ask(&environment, "postgres", roles), "busy|t|0|f\ngroup|f|-1|t");
        // What a run leaves that was cut off between the moment the role is let in and the moment it is shut out.
        ask(&environment, "postgres", "ALTER ROLE \"group\" LOGIN PASSWORD 'lost'");
        environment.run(&["plan", "-detailed-exitcode"]).expect_code(2);
        environment.run(&APPLY).expect_code(0);
        assert_eq!(ask(&environment, "postgres", roles), "busy|t|0|f\ngroup|f|-1|t");
        environment.destroy();
    }
}

#[test]
fn passwords_that_were_altered_by_hand_are_seen_and_put_back() {
    for (version, binaries) in versions() {
        let environment = created(version, binaries.as_deref(), "  replication { mode = \"sync\" }\n");
        let connection = as_app(&environment);
        let cases = [
            (
                "replicator",
                "PASSWORD 'by hand'",
                "has another password than the one on record",
            ),
            (
                "replicator",
                "PASSWORD NULL",
                "has another password than the one on record",
            ),
            (
                "app",
                "PASSWORD 'by hand'",
                "has another password than the one on record",
            ),
            (
                "app",
                "VALID UNTIL '2000-01-01'",
                "drift: the role's password has expired",
            ),
        ];
        for (role, altered, reason) in cases {
            ask(&environment, "postgres", &format!("ALTER ROLE {role} {altered}"));
            // A stream that ends does not come back.
            ask(
                &environment,
                "postgres",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_replication",
            );
            let plan = environment.run(&["plan", "-detailed-exitcode"]);
            plan.expect_code(2);
            assert!(plan.text().contains(reason), "{role} {altered}: {}", plan.text());
            let apply = environment.run(&APPLY);
            assert_eq!(
                apply.code,
                Some(0),
                "{role} {altered}: {}{}",
                apply.stdout,
                apply.stderr
            );
            environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
            environment.run(&["verify", "orders"]).expect_code(0);
            tell_as(&environment, &connection, &["SELECT 1"]).unwrap();
        }
        environment.destroy();
    }
}
