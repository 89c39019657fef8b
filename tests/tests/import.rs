//! Import: clusters that were made by hand with `initdb` and `pg_basebackup` become simdb's, with their data where it is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use serde_json::Value;
use simdb_tests::{Moment, Output, Step, TestEnvironment};

/// Where the programs are that make a cluster by hand.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A cluster that was made by hand: `a` writes, and the others stream from it.
struct Handmade {
    environment: TestEnvironment,
    directory: PathBuf,
}

impl Handmade {
    /// Makes the cluster, with a database, a user and rows, in directories of the names of its nodes.
    fn new(standbys: &[&str]) -> Self {
        let environment = TestEnvironment::with_configuration("");
        let directory = environment.project().parent().unwrap().join("made");
        fs::create_dir(&directory).unwrap();
        if let Some(owner) = servers_user() {
            chown(&directory, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).unwrap();
        }
        let made = Self { environment, directory };
        let a = made.data("a");
        made.done(
            "initdb",
            &[
                "-D",
                &a,
                "--data-checksums",
                "--encoding=UTF8",
                "--no-locale",
                "-A",
                "peer",
            ],
        );
        made.configure("a", "max_connections = 50\nwork_mem = '8MB'\n");
        let hba =
            "local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 trust\n";
        fs::write(Path::new(&a).join("pg_hba.conf"), hba).unwrap();
        made.start("a");
        made.ask("a", "CREATE ROLE app LOGIN PASSWORD 'by-hand'");
        made.ask("a", "CREATE DATABASE shop OWNER app");
        made.ask("a", "CREATE ROLE streamer REPLICATION LOGIN");
        made.ask("a", "ALTER ROLE app SET work_mem = '32MB'");
        made.ask("a", "ALTER DATABASE shop SET search_path = public, pg_catalog");
        made.ask_in(
            "a",
            "shop",
            "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n; ALTER TABLE t OWNER TO app",
        );
        for standby in standbys {
            made.copy(standby);
        }
        made
    }

    /// Copies `a` as a user would, with a slot, and starts a standby on the copy.
    fn copy(&self, name: &str) {
        let (data, port) = (self.data(name), self.port("a").to_string());
        let slot = format!("by_hand_{name}");
        let arguments = [
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "streamer",
            "-D",
            &data,
            "-R",
            "-C",
            "-S",
            &slot,
            "-c",
            "fast",
        ];
        self.done("pg_basebackup", &arguments);
        self.configure(name, "");
        self.start(name);
        let streams = format!("SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name = '{slot}'");
        simdb_tests::wait_until("the standby streams", || self.ask("a", &streams) == "1");
    }

    fn data(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn port(&self, name: &str) -> u16 {
        // The first ones are those that simdb would choose.
        self.environment.ports().start() + 10 + u16::from(name.as_bytes()[0] - b'a')
    }

    fn configure(&self, name: &str, settings: &str) {
        let file = self.directory.join(name).join("postgresql.conf");
        let text = fs::read_to_string(&file).unwrap();
        let (port, socket) = (self.port(name), self.directory.display());
        let own = format!("port = {port}\nunix_socket_directories = '{socket}'\nlisten_addresses = '127.0.0.1'\n");
        fs::write(&file, text + &own + settings).unwrap();
    }

    fn start(&self, name: &str) {
        let log = self.directory.join(format!("{name}.log")).display().to_string();
        self.done("pg_ctl", &["-D", &self.data(name), "-l", &log, "-w", "-s", "start"]);
    }

    /// Kills a server where it is.
    fn kill(&self, name: &str) {
        let lock = fs::read_to_string(self.directory.join(name).join("postmaster.pid")).unwrap();
        let process = lock.lines().next().unwrap().parse().unwrap();
        kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();
    }

    /// Returns where the data of a node's server is, as the server says.
    fn started(&self, name: &str) -> String {
        let lock = fs::read_to_string(self.directory.join(name).join("postmaster.pid")).unwrap_or_default();
        let process = lock.lines().next().unwrap_or_default();
        let directory = fs::read_link(format!("/proc/{process}/cwd"));
        directory.map_or_else(|_| String::new(), |path| path.display().to_string())
    }

    /// Runs a program of PostgreSQL as the servers' user.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let program = Path::new(PROGRAMS).join(program);
        let mut command = Command::new("setpriv");
        if let Some(owner) = servers_user() {
            let (uid, gid) = (owner.uid.to_string(), owner.gid.to_string());
            command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups"]);
        }
        command.arg(program).args(arguments).current_dir(&self.directory);
        Output::of(command.env("LC_ALL", "C"))
    }

    #[track_caller]
    fn done(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        output.expect_code(0);
        output.stdout.trim().to_owned()
    }

    #[track_caller]
    fn ask(&self, node: &str, query: &str) -> String {
        self.ask_in(node, "postgres", query)
    }

    #[track_caller]
    fn ask_in(&self, node: &str, database: &str, query: &str) -> String {
        let (port, socket) = (self.port(node).to_string(), self.directory.display().to_string());
        let arguments = [
            "-X",
            "-At",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            &socket,
            "-p",
            &port,
            "-d",
            database,
            "-c",
            query,
        ];
        self.done("psql", &arguments)
    }

    /// Declares the cluster with these nodes, and how it is imported.
    fn declare(&self, nodes: &[&str], imports: &str) {
        let nodes = nodes.iter().map(|node| format!("  node \"{node}\" {{}}\n"));
        let nodes = nodes.collect::<Vec<_>>().concat();
        let text = format!(
            "cluster \"orders\" {{\n  engine \"postgresql\" {{\n    parameters = {{ max_connections = 50 }}\n  }}\n\n{nodes}\n  \
             user \"app\" {{}}\n  database \"shop\" {{\n    owner = \"app\"\n  }}\n}}\n\n{imports}"
        );
        self.environment.write("main.simdb.hcl", &text);
    }

    fn import(&self, node: &str) -> String {
        format!(
            "import {{\n  to = cluster.orders.node.{node}\n  id = \"{}\"\n}}\n",
            self.data(node)
        )
    }

    #[track_caller]
    fn simdb(&self, arguments: &[&str]) -> Output {
        let output = self.environment.run(arguments);
        output.expect_code(0);
        output
    }

    #[track_caller]
    fn rows(&self) -> String {
        let rows = ["psql", "orders", "--", "-d", "shop", "-Atc", "SELECT count(*) FROM t"];
        self.simdb(&rows).stdout.trim().to_owned()
    }

    /// Asserts that simdb refuses to import, with these words.
    #[track_caller]
    fn refuses(&self, words: &str) {
        let output = self.environment.run(&["plan"]);
        output.expect_code(1);
        assert!(output.text().contains(words), "no {words:?} in {}", output.text());
    }
}

/// Returns the user that servers run as where tests run as root.
fn servers_user() -> Option<User> {
    let user = || User::from_name("postgres").unwrap().unwrap();
    geteuid().is_root().then(user)
}

#[test]
fn a_cluster_made_by_hand_is_imported_and_switches_over_with_every_row() {
    let made = Handmade::new(&["b", "c"]);
    let imports: String = ["a", "b", "c"].iter().map(|node| made.import(node)).collect();
    made.declare(&["a", "b", "c"], &imports);

    let plan = made.environment.run(&["plan", "-detailed-exitcode"]);
    plan.expect_code(2);
    let text = plan.text();
    for words in [
        "# cluster.orders.node.a will be imported",
        &format!("(imported from \"{}\")", made.data("a")),
        "# cluster.orders.database.shop will be imported",
        "Plan: 6 to import",
        "Worst impact: downtime",
        "work_mem",
    ] {
        assert!(text.contains(words), "no {words:?} in {}", plan.stdout);
    }
    // What sessions begin with stays, and is no change.
    assert!(!text.contains("search_path"), "{text}");
    assert_eq!(made.ask("a", "SELECT count(*) FROM pg_stat_replication"), "2");

    made.simdb(&["apply", "-auto-approve"]);
    made.simdb(&["plan", "-detailed-exitcode"]);
    assert_eq!(made.rows(), "1000");
    // What sessions begin with stays, and is on record.
    let settings = "SELECT count(*) FROM pg_db_role_setting";
    assert_eq!(made.simdb(&["psql", "orders", "--", "-Atc", settings]).stdout, "2\n");
    let shown: Value = serde_json::from_str(&made.simdb(&["show", "-json"]).stdout).unwrap();
    let mut objects = shown["objects"].as_array().unwrap().iter();
    let node = objects
        .find(|object| object["address"] == "cluster.orders.node.a")
        .unwrap();
    assert_eq!(node["values"]["data"]["outside"], made.data("a"));
    let slots = [
        "psql",
        "orders",
        "--",
        "-Atc",
        "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots",
    ];
    assert_eq!(made.simdb(&slots).stdout, "b,c\n");

    made.simdb(&["switchover", "orders", "-to", "b", "-auto-approve"]);
    made.simdb(&["verify", "orders"]);
    made.simdb(&["plan", "-detailed-exitcode"]);
    assert_eq!(made.rows(), "1000");

    // The primary is lost, and its data is taken back in place.
    made.kill("b");
    made.simdb(&["failover", "orders", "-promote", "c", "-auto-approve"]);
    made.simdb(&["apply", "-auto-approve"]);
    made.simdb(&["plan", "-detailed-exitcode"]);
    assert!(made.started("b").contains("made/b"), "it was copied elsewhere");
    assert_eq!(made.rows(), "1000");

    // What was there before simdb stays; what simdb made goes.
    let destroy = made.simdb(&["destroy", "-auto-approve", "-allow=downtime"]);
    assert!(destroy.text().contains(&made.data("a")), "{}", destroy.text());
    made.environment.assert_nothing_left();
    assert!(Path::new(&made.data("a")).join("PG_VERSION").exists());
}

#[test]
fn a_cluster_that_is_imported_and_not_declared_is_declared_as_it_is_seen() {
    let made = Handmade::new(&["b"]);
    made.environment
        .write("main.simdb.hcl", &(made.import("a") + &made.import("b")));
    made.refuses("is not declared");
    let generate = |file: &str| {
        made.environment
            .run(&["plan", "-detailed-exitcode", "-generate-config-out", file])
    };
    generate("cluster.txt").expect_code(1);
    generate("../orders.simdb.hcl").expect_code(1);
    let plan = generate("orders.simdb.hcl");
    plan.expect_code(2);
    assert!(plan.text().contains("Wrote orders.simdb.hcl"), "{}", plan.text());
    let written = fs::read_to_string(made.environment.project().join("orders.simdb.hcl")).unwrap();
    for words in [
        "cluster \"orders\" {",
        "version = \"15\"",
        "max_connections            = \"50\"",
        "work_mem                   = \"8MB\"",
        "node \"b\" {",
        "user \"app\" {",
        "database \"shop\" {",
    ] {
        assert!(written.contains(words), "no {words:?} in {written}");
    }
    // What is there is not written over.
    generate("orders.simdb.hcl").expect_code(1);
    made.simdb(&["fmt", "-check"]);
    made.simdb(&["apply", "-auto-approve"]);
    made.simdb(&["plan", "-detailed-exitcode"]);
    assert_eq!(made.rows(), "1000");
    made.simdb(&["switchover", "orders", "-to", "b", "-auto-approve"]);
    assert_eq!(made.rows(), "1000");
    made.simdb(&["destroy", "-auto-approve", "-allow=downtime"]);
}

#[test]
fn what_does_not_fit_is_not_imported() {
    let made = Handmade::new(&["b"]);
    let with = |id: &str| format!("import {{\n  to = cluster.orders.node.a\n  id = \"{id}\"\n}}\n");
    made.declare(&["a", "b"], &with("/nowhere"));
    made.refuses("/nowhere cannot be entered");
    made.declare(&["a", "b"], &with(&made.directory.display().to_string()));
    made.refuses("is not a data directory of PostgreSQL");
    made.declare(&["a", "b"], &with("127.0.0.1:1"));
    made.refuses("no database server of this machine");
    made.declare(&["a", "b"], &with(&made.data("b")));
    made.refuses("None of the servers that cluster.orders is imported from writes");
    made.declare(
        &["a", "b"],
        &(made.import("a") + &made.import("b").replace("/made/b", "/made/a")),
    );
    made.refuses("is the data of cluster.orders.node.a already");
    made.declare(&["a"], &(made.import("a") + &made.import("b")));
    made.refuses("cluster.orders.node.b is not declared");
    made.done("pg_ctl", &["-D", &made.data("b"), "-m", "fast", "-w", "-s", "stop"]);
    made.declare(&["a", "b"], &(made.import("a") + &made.import("b")));
    made.refuses("no server runs on");
    // Nothing was touched.
    assert_eq!(made.ask_in("a", "shop", "SELECT count(*) FROM t"), "1000");
}

#[test]
fn a_cluster_is_imported_as_a_whole_by_the_directory_of_its_nodes_and_the_block_may_stay() {
    let made = Handmade::new(&["b"]);
    let id = made.directory.display();
    made.declare(
        &["a", "b"],
        &format!("import {{\n  to = cluster.orders\n  id = \"{id}\"\n}}\n"),
    );
    let plan = made.simdb(&["plan", "-json", "-out", "p"]);
    assert!(plan.stdout.contains("import"), "{}", plan.stdout);
    let document: Value = serde_json::from_str(&made.simdb(&["show", "-json", "p"]).stdout).unwrap();
    let changes = document["resource_changes"].as_array().unwrap();
    let of = |address: &str| changes.iter().find(|change| change["address"] == address).unwrap();
    assert_eq!(of("cluster.orders.node.b")["change"]["importing"]["id"], made.data("b"));
    made.simdb(&["apply", "p"]);
    made.simdb(&["plan", "-detailed-exitcode"]);
    // Its servers work in directories that simdb did not make, and are found from elsewhere all the same.
    let seen: Value = serde_json::from_str(&TestEnvironment::new().done(&["ps", "-json"]).stdout).unwrap();
    let mine = made.environment.data().display().to_string();
    let servers = seen["servers"].as_array().unwrap().iter();
    let servers = servers.filter(|server| server["data"].as_str().unwrap().starts_with(&mine));
    assert_eq!(
        servers.filter(|server| server["status"] == "running").count(),
        2,
        "{seen}"
    );
    made.environment.destroy();
    // What is left serves as it did before.
    made.start("a");
    assert_eq!(made.ask_in("a", "shop", "SELECT count(*) FROM t"), "1000");
}

#[test]
fn servers_are_imported_one_after_the_other_by_the_command() {
    let made = Handmade::new(&["b"]);
    made.declare(&["a", "b"], "");
    let (a, b) = (made.data("a"), format!("127.0.0.1:{}", made.port("b")));
    let dry = made.simdb(&["import", "-dry-run", "cluster.orders.node.a", &a]);
    assert!(
        dry.text().contains("cluster.orders.node.a will be imported"),
        "{}",
        dry.text()
    );
    assert!(!dry.text().contains("cluster.orders.node.b"), "{}", dry.text());
    assert_eq!(made.ask("a", "SELECT count(*) FROM pg_stat_replication"), "1");
    made.simdb(&["import", "-auto-approve", "cluster.orders.node.a", &a]);
    let second = made.simdb(&["import", "-auto-approve", "cluster.orders.node.b", &b]);
    assert!(
        second.text().contains("A copy of the state as it was"),
        "{}",
        second.text()
    );
    let again = made.environment.run(&["import", "cluster.orders.node.b", &b]);
    again.expect_code(1);
    assert!(again.text().contains("is on record already"), "{}", again.text());
    made.simdb(&["apply", "-auto-approve"]);
    made.simdb(&["plan", "-detailed-exitcode"]);
    assert_eq!(made.rows(), "1000");
    made.environment.destroy();
}

#[test]
fn an_import_that_is_killed_is_finished_by_the_next_apply() {
    for moment in [Moment::Before, Moment::Within, Moment::After] {
        for (round, node) in ["a", "b"].into_iter().enumerate() {
            let made = Handmade::new(&["b"]);
            made.declare(&["a", "b"], &(made.import("a") + &made.import("b")));
            let step = Step {
                name: "import".to_owned(),
                address: format!("cluster.orders.node.{node}"),
                seconds: 1.0,
            };
            step.kill(&made.environment, &["apply", "-auto-approve"], moment, round);
            made.simdb(&["apply", "-auto-approve"]);
            made.simdb(&["plan", "-detailed-exitcode"]);
            assert_eq!(made.rows(), "1000");
            assert_eq!(
                made.simdb(&["psql", "orders", "--", "-Atc", "SHOW port"]).stdout,
                format!("{}\n", made.port("a"))
            );
            made.environment.destroy();
        }
    }
}
