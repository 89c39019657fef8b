//! Every change of replication on real servers of an old and of a new version, each followed by a proof and by a plan
//! that has nothing left to do.

use simdb_tests::{TestEnvironment, has_pgbouncer, versions};

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-allow=data-loss"];

/// Asks a server where it was reached.
const PLACE: &str = "SELECT host(inet_server_addr()) || ':' || inet_server_port()";

/// An endpoint whose clients go through a pooler, and a user of the cluster.
const POOLED: &str = r#"user "app" { password = "not-a-secret" }
  endpoint "pooled" {
    target = "primary"
    via    = "pgbouncer"
  }"#;

/// What is declared of the cluster, next to its version.
#[derive(Default)]
struct Declared {
    network: String,
    replication: &'static str,
    a: String,
    b: String,
    c: &'static str,
    others: &'static str,
}

struct Changes {
    environment: TestEnvironment,
    version: &'static str,
}

impl Changes {
    /// Applies, expects these steps among others, a proof, and nothing left to do.
    fn apply(&self, declared: &Declared, steps: &[&str]) {
        self.declare(declared);
        self.run(&APPLY, steps);
    }

    fn run(&self, command: &[&str], steps: &[&str]) {
        let output = self.environment.run(command);
        output.expect_code(0);
        for step in steps {
            assert!(
                output.stdout.contains(&format!("{step} done")) || output.stderr.contains(&format!("{step} done")),
                "{step} was not done:\n{}\n{}",
                output.stdout,
                output.stderr
            );
        }
        let verified = self.environment.run(&["verify", "orders"]);
        verified.expect_code(0);
        let plan = self.environment.run(&["plan", "-detailed-exitcode"]);
        plan.expect_code(0);
        assert!(plan.stdout.contains("No changes."), "{}", plan.stdout);
    }

    fn declare(&self, declared: &Declared) {
        let Declared {
            network,
            replication,
            a,
            b,
            c,
            others,
        } = declared;
        let version = self.version;
        let text = format!(
            "network \"lan\" {{ {network} }}\n
cluster \"orders\" {{
  engine \"postgresql\" {{
    version    = \"{version}\"
    parameters = {{ fsync = \"off\" }}
  }}
  replication {{
    {replication}
  }}
  node \"a\" {{
    {a}
  }}
  node \"b\" {{
    {b}
  }}
  node \"c\" {{
    {c}
  }}
  {others}
  endpoint \"rw\" {{ target = \"primary\" }}
}}
"
        );
        self.environment.write("main.simdb.hcl", &text);
    }

    fn ask(&self, node: &str, query: &str) -> String {
        let command = ["psql", node, "--", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", query];
        let answer = self.environment.run(&command);
        answer.expect_code(0);
        answer.stdout.trim().to_owned()
    }

    /// Asks the server that a client of the pooler comes to where it was reached.
    fn ask_through_pooler(&self) -> String {
        let service = "service=orders-pooled user=app password=not-a-secret dbname=postgres";
        let mut command = self
            .environment
            .command(&["psql", "orders", "--", "-X", "-At", "-d", service]);
        let services = self.environment.project().join(".simdb/pg_service.conf");
        let answer = command.args(["-c", PLACE]).env("PGSERVICEFILE", services).output();
        let answer = answer.expect("simdb runs");
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8_lossy(&answer.stdout).trim().to_owned()
    }

    /// Ends every stream; those that have the password begin another one.
    fn streams_begin_anew(&self) {
        for node in ["orders", "b"] {
            self.ask(node, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication");
        }
        self.environment.run(&["verify", "orders"]).expect_code(0);
    }

    fn names(&self) -> String {
        self.ask("orders", "SHOW synchronous_standby_names")
    }

    /// The slots of a node, in order.
    fn slots(&self, node: &str) -> String {
        self.ask(
            node,
            "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots",
        )
    }
}

fn every_change(environment: TestEnvironment, version: &'static str) {
    let changes = Changes { environment, version };
    let mut declared = Declared::default();
    changes.apply(&declared, &["cluster.orders: sync-names"]);
    assert_eq!(changes.names(), "FIRST 1 (b, c)");

    declared.replication = r#"mode = "quorum"
      synchronous_standbys = 2
      synchronous_commit = "remote_apply""#;
    changes.apply(&declared, &["cluster.orders: cluster", "cluster.orders: sync-names"]);
    assert_eq!(changes.names(), "ANY 2 (b, c)");
    assert_eq!(
        changes.ask(
            "b",
            "SELECT setting FROM pg_file_settings WHERE name = 'synchronous_commit'"
        ),
        "remote_apply"
    );

    changes.run(&["stop", "orders.c", "-auto-approve"], &["cluster.orders: sync-names"]);
    assert_eq!(changes.names(), "ANY 1 (b)");
    changes.run(&["start", "orders.c", "-auto-approve"], &["cluster.orders: sync-names"]);
    assert_eq!(changes.names(), "ANY 2 (b, c)");

    declared.replication = r#"mode = "async""#;
    changes.apply(&declared, &["cluster.orders: sync-names"]);
    assert_eq!(changes.names(), "");

    declared.replication = "";
    declared.c = r#"follows = "b""#;
    changes.apply(
        &declared,
        &["cluster.orders.node.c: follow", "cluster.orders.node.c: drop-slot"],
    );
    assert_eq!(
        (changes.names(), changes.slots("orders"), changes.slots("b")),
        sides("FIRST 1 (b)", "b", "c")
    );

    // The planner takes the lowest free ones.
    let (port, other) = (
        changes.environment.ports().end() - 1,
        *changes.environment.ports().end(),
    );
    declared.b = format!("port = {port}");
    changes.apply(
        &declared,
        &["cluster.orders.node.b: configure", "cluster.orders.node.c: follow"],
    );
    assert_eq!(changes.ask("b", "SHOW port"), port.to_string());

    declared.a = format!("port = {other}");
    changes.apply(
        &declared,
        &["cluster.orders.node.a: configure", "cluster.orders.node.b: follow"],
    );

    changes.run(
        &["stop", "orders.b", "-auto-approve"],
        &["cluster.orders.node.c: follow"],
    );
    assert_eq!(changes.names(), "FIRST 1 (c)");
    changes.run(
        &["start", "orders.b", "-auto-approve"],
        &["cluster.orders.node.c: follow"],
    );
    assert_eq!(changes.names(), "FIRST 1 (b)");

    declared.c = r#"follows = "b"
      apply_delay = "1h""#;
    changes.apply(&declared, &["cluster.orders.node.c: configure"]);
    changes.ask("orders", "CREATE TABLE late ()");
    changes.run(&["apply", "-auto-approve"], &[]);
    assert_eq!(changes.ask("c", "SELECT to_regclass('late') IS NULL"), "t");

    changes.environment.run(&DESTROY).expect_code(0);
    changes.environment.assert_nothing_left();
}

fn sides(names: &str, primary: &str, standby: &str) -> (String, String, String) {
    (names.to_owned(), primary.to_owned(), standby.to_owned())
}

#[test]
fn replication_lives_through_every_change() {
    for (version, binaries) in versions() {
        let environment = TestEnvironment::with_configuration("");
        if let Some(binaries) = &binaries {
            environment.use_binaries(binaries);
        }
        every_change(environment, version);
    }
}

#[test]
fn standbys_stream_with_another_password_to_another_port_and_beside_a_new_one() {
    let changes = Changes {
        environment: TestEnvironment::with_configuration(""),
        version: "15",
    };
    let mut declared = Declared {
        c: r#"follows = "b""#,
        ..Declared::default()
    };
    changes.apply(&declared, &[]);

    declared.replication = "password_version = 2";
    declared.a = format!("port = {}", changes.environment.ports().end());
    let rotation = "cluster.orders.user.replicator: replication-user";
    changes.apply(
        &declared,
        &[
            rotation,
            "cluster.orders.node.a: configure",
            "cluster.orders.node.b: follow",
        ],
    );
    changes.streams_begin_anew();

    declared.replication = "password_version = 3";
    declared.a = String::new();
    declared.others = "node \"d\" {}";
    changes.apply(&declared, &[rotation, "cluster.orders.node.d: standby"]);
    changes.streams_begin_anew();

    changes.environment.run(&DESTROY).expect_code(0);
    changes.environment.assert_nothing_left();
}

#[test]
fn nodes_move_to_addresses_of_their_own_with_their_data_and_back() {
    let pooled = has_pgbouncer();
    for (version, binaries) in versions() {
        let environment = TestEnvironment::with_configuration("");
        if let Some(binaries) = &binaries {
            environment.use_binaries(binaries);
        }
        let [high, low] = environment.ports().start().to_be_bytes();
        let changes = Changes { environment, version };
        let mut declared = Declared {
            c: r#"follows = "b""#,
            others: if pooled { POOLED } else { "" },
            ..Declared::default()
        };
        changes.apply(&declared, &[]);
        changes.ask("orders", "CREATE TABLE kept AS SELECT 1 AS id");
        let place = |node: &str| changes.ask(node, PLACE);
        let before = ["a", "b", "c"].map(place);

        declared.network = format!("subnet = \"127.{high}.{low}.0/24\"");
        changes.apply(
            &declared,
            &[
                "network.lan: network",
                "cluster.orders.node.a: configure",
                "cluster.orders.node.b: follow",
                "cluster.orders.node.c: follow",
            ],
        );
        let own = |last: u8| format!("127.{high}.{low}.{last}:5432");
        assert_eq!(["a", "b", "c"].map(place), [1, 2, 3].map(own));
        assert_eq!(changes.ask("c", "SELECT id FROM kept"), "1");
        assert!(!pooled || changes.ask_through_pooler() == own(1));

        changes.run(
            &["switchover", "orders", "-to=b", "-auto-approve"],
            &["cluster.orders.node.b: promote"],
        );
        assert_eq!(["a", "b", "c"].map(place), [1, 2, 3].map(own));
        assert!(!pooled || changes.ask_through_pooler() == own(2));
        changes.run(
            &["switchover", "orders", "-to=a", "-auto-approve"],
            &["cluster.orders.node.a: promote"],
        );

        declared.network = String::new();
        changes.apply(&declared, &["cluster.orders.node.c: follow"]);
        assert_eq!(["a", "b", "c"].map(place), before);
        assert!(!pooled || changes.ask_through_pooler() == before[0]);
        assert_eq!(changes.ask("c", "SELECT id FROM kept"), "1");

        changes.environment.run(&DESTROY).expect_code(0);
        changes.environment.assert_nothing_left();
    }
}
