//! `user`, `database` and `seed` blocks.

use expect_test::expect;
use simdb_state::object::{Node, User};
use simdb_state::place::{Bind, Place};
use simdb_state::sensitive::Sensitive;

use super::*;

fn within(text: &str) -> String {
    format!(
        "network \"lan\" {{}}\nvariable \"secret\" {{ default = \"hunter/2\" }}\ncluster \"c\" {{\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n{text}}}\n"
    )
}

#[test]
fn what_is_declared_is_read_with_its_defaults() {
    let text = within(
        "  replication { password_version = 3 }
  user \"app\" {}
  user \"web_rw\" {
    replication      = true
    createdb         = true
    inherit          = false
    connection_limit = 5
    member_of        = [\"app\", \"pg_monitor\"]
    password         = var.secret
    password_version = 2
  }
  database \"app\" {
    owner  = \"app\"
    locale = \"C.UTF-8\"
  }
  seed \"z\" {
    database = \"app\"
    file     = \"z.sql\"
  }
  seed \"a\" {
    database = \"app\"
    file     = \"a.sql\"
  }
",
    );
    let config = loaded(&text, &[]);
    let access = &config.desired.clusters.values().next().unwrap().access;
    let users: Vec<&User> = access.users.values().map(|user| &user.attributes).collect();
    assert_eq!(users[0], &User::default());
    expect![[r#"
        (
            User {
                login: true,
                replication: true,
                password_version: 2,
                password_digest: None,
                superuser: false,
                createdb: true,
                createrole: false,
                inherit: false,
                connection_limit: Some(
                    5,
                ),
                member_of: {
                    "app",
                    "pg_monitor",
                },
                settings: {},
            },
            Some(
                (sensitive value),
            ),
            Some(
                3,
            ),
        )
    "#]]
    .assert_debug_eq(&(
        users[1],
        &access.users.values().nth(1).unwrap().password,
        access.replication_password_version,
    ));
    expect![[r#"
        [
            Database {
                owner: "app",
                encoding: None,
                locale: Some(
                    "C.UTF-8",
                ),
                settings: {},
                prevent_destroy: false,
            },
        ]
    "#]]
    .assert_debug_eq(
        &access
            .databases
            .values()
            .map(|database| &database.attributes)
            .collect::<Vec<_>>(),
    );
    let seeds: Vec<&str> = access.seeds.iter().map(|seed| seed.file.as_str()).collect();
    assert_eq!(seeds, ["z.sql", "a.sql"], "in the order of declaration");
}

#[test]
fn wrong_names_and_references_are_told_with_what_was_meant() {
    check(
        &within(
            "  user \"postgres\" {}
  user \"replicator\" {}
  user \"pg_app\" {}
  user \"public\" {}
  user \"App\" {}
  user \"app\" { member_of = [\"pg_monitro\", \"app\"] }
  user \"web\" {
    login     = false
    password  = var.secret
    superuser = true
    valid     = 1
  }
  user \"empty\" { password = \"\" }
  user \"list\" { password = [var.secret] }
  user \"zero\" { password_version = 0 }
  database \"template1\" { owner = \"app\" }
  database \"shop\" { owner = \"ap\" }
  database \"none\" {}
  seed \"schema\" {
    database = \"shpo\"
    file     = \"schema.sql\"
  }
",
        ),
        expect![[r#"
            main:6:8-18 error Reserved name (in cluster "c")
              simdb works with user "postgres" itself. Choose another name.
            main:7:8-20 error Reserved name (in cluster "c")
              simdb lets standbys stream with user "replicator" itself. Choose another name.
            main:8:8-16 error Reserved name (in cluster "c")
              Names that start with "pg_" belong to PostgreSQL. Choose another name.
            main:9:8-16 error Reserved name (in cluster "c")
              "public" means something else to PostgreSQL. Choose another name.
            main:10:8-13 error Invalid name (in cluster "c")
              The user name "App" must start with a lower-case letter and hold at most 30 lower-case letters, digits, underscores and hyphens.
            main:11:28-49 error Unknown role (in cluster "c")
              User "app" cannot be a member of itself.
            main:11:28-49 error Unknown role (in cluster "c")
              "member_of" must name users of this cluster or roles that PostgreSQL has by itself, and there is no "pg_monitro". Did you mean "pg_monitor"?
            main:14:17-27 error Invalid password (in cluster "c")
              A user with login = false has no use for a password. Remove one of the two.
            main:15:17-21 warning User is a superuser (in cluster "c")
              A superuser can undo what simdb set up: stop replication, change roles and settings, read every password's verifier. Most applications do with the owner of their database.
            main:16:5-10 error Unsupported argument (in cluster "c")
              An argument named "valid" is not expected here. Expected here: "name", "login", "password", "password_version", "member_of", "connection_limit", "superuser", "createdb", "createrole", "replication", "inherit", "count", "for_each" and "lifecycle".
            main:18:29-31 error Invalid password (in cluster "c")
              A password cannot be empty. Leave the attribute out, and one is made up.
            main:19:28-40 error Invalid password (in cluster "c")
              Inappropriate value for "password": a string is required, not a list.
            main:20:36-37 error Value out of range (in cluster "c")
              "password_version" must be a whole number from 1 to 4294967295, not 0.
            main:21:12-23 error Reserved name (in cluster "c")
              Every server has a database "template1" of its own. Choose another name.
            main:22:29-33 error Unknown user (in cluster "c")
              "owner" must name a user of this cluster, and there is no user "ap". Declare it within the cluster: user "ap" {}. Did you mean "app"?
            main:23:3-18 error Missing required argument (in cluster "c")
              The argument "owner" is required, but no value is given for it.
            main:25:16-22 error Unknown database (in cluster "c")
              "database" must name a database of this cluster, and there is no database "shpo". Declare it within the cluster: database "shpo" { owner = ... }. Did you mean "shop"?
        "#]],
    );
}

#[test]
fn what_a_login_is_given_can_be_used_in_outputs_and_is_sensitive() {
    let cluster = within(
        "  user \"app\" { password = var.secret }
  user \"group\" { login = false }
  database \"app\" { owner = \"app\" }
  database \"a_first\" { owner = \"app\" }
",
    );
    let text = format!(
        "{cluster}output \"url\" {{\n  value     = cluster.c.user.app.url\n  sensitive = true\n}}\n\
         output \"all\" {{\n  value     = [cluster.c.user, cluster.c.database]\n  sensitive = true\n}}\n"
    );
    check(
        &format!(
            "{cluster}output \"url\" {{ value = cluster.c.user.app.url }}\noutput \"x\" {{ value = cluster.c.user.ap.name }}\n"
        ),
        expect![[r#"
            main:11:24-46 error Output refers to sensitive values (in output "url")
              The value depends on a sensitive one, so the output must say so: sensitive = true. Where it is no secret, use nonsensitive().
              - cluster.c.user.app.url is (sensitive value)
            main:12:36-39 error Unsupported attribute (in output "x")
              This object has no attribute named "ap". Did you mean "app"?
              - cluster.c.user is an object with 2 attributes
        "#]],
    );
    let config = loaded(&text, &[]);
    let unknown = config.outputs(&State::default(), &Secrets::new()).0;
    assert!(
        unknown
            .values()
            .all(|output| output.value.is_none() && output.sensitive)
    );
    let address = "cluster.c.user.app".parse().unwrap();
    let user = User::default();
    let node = Node {
        place: Some(Place::shared(Bind {
            host: "127.0.0.1".parse().unwrap(),
            port: 5432,
        })),
        ..Node::default()
    };
    let secrets = Secrets::from([(user.password(&address), Sensitive::new("hunter/2".to_owned()))]);
    let state = State {
        users: BTreeMap::from([(address, user)]),
        nodes: BTreeMap::from([("cluster.c.node.a".parse().unwrap(), node.into())]),
        ..State::default()
    };
    let known = config.outputs(&state, &secrets).0;
    let text: Vec<String> = known
        .values()
        .map(|output| output.value.as_ref().unwrap().to_string())
        .collect();
    expect![[r#"
        [{"app":{"name":"app","password":"hunter/2","url":"postgresql://app:hunter%2F2@127.0.0.1:5432/app?target_session_attrs=read-write"},"group":{"name":"group","password":null,"url":null}},{"a_first":{"name":"a_first","owner":"app"},"app":{"name":"app","owner":"app"}}]
        "postgresql://app:hunter%2F2@127.0.0.1:5432/app?target_session_attrs=read-write""#]].assert_eq(&text.join("\n"));
}

#[test]
fn a_seed_that_cannot_run_is_refused_when_it_is_read() {
    let text = within(
        "  user \"app\" {}\n  database \"app\" { owner = \"app\" }\n  seed \"s\" {\n    database = \"app\"\n    file     = \"s.sql\"\n  }\n",
    );
    let mut config = loaded(&text, &[]);
    let files: Vec<String> = config.desired.seed_files().into_keys().collect();
    assert_eq!(files, ["s.sql"]);
    assert_eq!(config.desired.read_seed("s.sql", "SELECT 1;"), None);
    let sql = "SELECT 1;\nCREATE DATABASE x;\n";
    let problem = config.desired.read_seed("s.sql", sql).unwrap();
    let mut source = source(&text);
    source.add("s.sql", sql);
    expect![[r#"
        s.sql:2:1-19 error Statement cannot be part of a seed
          A seed runs in one transaction, in which CREATE DATABASE cannot run. Declare the database instead: database "NAME" { owner = "USER" }.
    "#]].assert_eq(&render(&source, &[problem]));
}

#[test]
fn a_given_password_is_known_by_its_digest_and_shown_nowhere() {
    let text = within("  user \"app\" { password = var.secret }\n  user \"web\" {}\n");
    let mut config = loaded(&text, &[]);
    let digests: BTreeMap<_, _> = config
        .desired
        .passwords()
        .map(|(user, password)| (user, password.expose().len().to_string()))
        .collect();
    config.desired.digest_passwords(&digests);
    let secrets = config.desired.given_secrets();
    let names: Vec<String> = secrets.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["cluster.c.user.app#1.8"]);
    assert!(!format!("{:?}", config.desired).contains("hunter"));
}
