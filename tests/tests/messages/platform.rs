//! A machine that lacks what is declared, or has given it to somebody else.

use std::net::TcpListener;

use expect_test::expect;
use simdb_tests::TestEnvironment;

use crate::{APPLY, ONE_NODE, refuses};

#[test]
fn a_version_that_is_not_installed_is_refused_with_those_that_are() {
    let environment = TestEnvironment::with_configuration(&ONE_NODE.replace(
        "engine \"postgresql\" {}",
        "engine \"postgresql\" {\n    version = \"99\"\n  }",
    ));
    refuses(
        &environment,
        &["plan"],
        &expect![[r#"
            ╷
            │ Error: Database programs not found
            │
            │   on main.simdb.hcl line 7:
            │    7:     version = "99"
            │                     ^^^^
            │
            │ The programs of postgresql 99 are not on this machine. Found: […]. Looked in PATH, /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin, /usr/local/pgsql*/bin, /home/linuxbrew/.linuxbrew/opt/postgresql@*/bin. Install it (on Debian: apt-get install postgresql; versions that Debian does not have are at apt.postgresql.org), or name its directory in provider "local": binaries = ["/path/to/bin"].
            ╵
        "#]],
    );
}

#[test]
fn missing_programs_are_named_with_the_places_that_were_searched() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    let provider = environment
        .provider()
        .replace('}', "  binaries = [\"/nonexistent\"]\n}");
    environment.write("provider.simdb.hcl", &provider);
    refuses(
        &environment,
        &["plan"],
        &expect![[r#"
            ╷
            │ Error: Platform cannot be used
            │
            │   on provider.simdb.hcl line 4, in provider "local":
            │    4:   binaries = ["/nonexistent"]
            │                    ^^^^^^^^^^^^^^^^
            │
            │ /nonexistent has no program "postgres" (No such file or directory (os error 2)). Name another directory in binaries, or remove it to search the usual places.
            ╵
        "#]],
    );
}

#[test]
fn a_data_directory_that_cannot_be_made_is_refused() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    environment.write("file", "");
    let provider = environment
        .provider()
        .replace(&*environment.data().to_string_lossy(), "file/below");
    environment.write("provider.simdb.hcl", &provider);
    refuses(
        &environment,
        &APPLY,
        &expect![[r#"
            ╷
            │ Error: Platform cannot be used
            │
            │   on provider.simdb.hcl line 2, in provider "local":
            │    2:   data_root  = "file/below"
            │                      ^^^^^^^^^^^^
            │
            │ [PROJECT]/file is not a directory, and data should be kept in [PROJECT]/file/below. Set data_root to another place.
            ╵
        "#]],
    );
}

#[test]
fn a_port_that_somebody_listens_on_is_refused() {
    let environment = TestEnvironment::new();
    let port = *environment.ports().start();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the range is free");
    environment.write("provider.simdb.hcl", &environment.provider());
    environment.write(
        "main.simdb.hcl",
        &ONE_NODE.replace("node \"a\" {}", &format!("node \"a\" {{\n    port = {port}\n  }}")),
    );
    refuses(
        &environment,
        &APPLY,
        &expect![[r#"
            ╷
            │ Error: Port is taken
            │
            │   on main.simdb.hcl line 13:
            │   13:     port = [PORT]
            │                  ^^^^^
            │
            │ Port [PORT] of cluster.c.node.a is in use by [PROGRAM] (pid […]). Stop that program, or give the node another port; without a "port" argument simdb takes a free one.
            ╵
        "#]],
    );
    drop(listener);
    environment.destroy();
}

#[test]
fn a_user_that_the_machine_does_not_have_is_refused_where_it_is_named() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    let provider = environment.provider().replace('}', "  run_as = \"nobody-at-all\"\n}");
    environment.write("provider.simdb.hcl", &provider);
    refuses(
        &environment,
        &["plan"],
        &expect![[r#"
        ╷
        │ Error: Platform cannot be used
        │
        │   on provider.simdb.hcl line 4, in provider "local":
        │    4:   run_as = "nobody-at-all"
        │                  ^^^^^^^^^^^^^^^
        │
        │ There is no user "nobody-at-all" to run servers as. Make one, or set run_as to another user.
        ╵
    "#]],
    );
}

#[test]
fn ports_that_only_roots_servers_may_have_are_refused() {
    let environment =
        TestEnvironment::with_configuration(&ONE_NODE.replace("node \"a\" {}", "node \"a\" {\n    port = 80\n  }"));
    // In many containers every port is for everybody.
    let lowest = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if lowest.is_ok_and(|lowest| lowest.trim() != "1024") {
        return;
    }
    refuses(
        &environment,
        &["plan"],
        &expect![[r#"
        ╷
        │ Error: Value out of range
        │
        │   on main.simdb.hcl line 13, in cluster "c":
        │   13:     port = 80
        │                  ^^
        │
        │ "port" must be a whole number from 1024 to 65535, not 80.
        ╵
    "#]],
    );
    environment.write("main.simdb.hcl", ONE_NODE);
    environment.write(
        "provider.simdb.hcl",
        "provider \"local\" {\n  port_range = \"80-90\"\n}\n",
    );
    refuses(
        &environment,
        &["plan"],
        &expect![[r#"
        ╷
        │ Error: No free port
        │
        │   on provider.simdb.hcl line 2, in provider "local":
        │    2:   port_range = "80-90"
        │                      ^^^^^^^
        │
        │ Every port from 80 to 90 is below 1024, where only root's servers may listen, and servers do not run as root, so cluster.c.node.a gets none. Set "port_range" in provider "local" to a larger range.
        ╵
    "#]],
    );
}

#[test]
fn what_no_machine_could_do_is_refused_without_a_look_at_it() {
    let environment = TestEnvironment::new();
    environment.write("provider.simdb.hcl", "provider \"local\" {\n  binaries = [\"\"]\n}\n");
    let endpoint = "node \"a\" {\n    port = 6432\n  }\n\n  endpoint \"pooled\" {\n    target = \"primary\"\n    via    = \
                    \"pgbouncer\"\n    port   = 6432\n  }";
    environment.write("main.simdb.hcl", &ONE_NODE.replace("node \"a\" {}", endpoint));
    refuses(
        &environment,
        &["validate"],
        &expect![[r#"
        ╷
        │ Error: Port used twice
        │
        │   on main.simdb.hcl line 19, in cluster "c":
        │   19:     port   = 6432
        │                    ^^^^
        │
        │ cluster.c.endpoint.pooled has port 6432, which cluster.c.node.a has already (main.simdb.hcl:13,12). Leave the port out, and a free one is chosen.
        ╵
        ╷
        │ Error: Empty value
        │
        │   on provider.simdb.hcl line 2, in provider "local":
        │    2:   binaries = [""]
        │                    ^^^^
        │
        │ "binaries" has an empty directory. Name one with the programs of an engine, or remove it.
        ╵
    "#]],
    );
}

#[test]
fn parameters_that_the_server_does_not_take_are_refused_with_its_words() {
    let parameters = r#"engine "postgresql" {
    version    = "15"
    parameters = {
      timezone                    = "Pacific/Nope"
      lc_messages                 = "xx_YY"
      default_table_access_method = "columnar"
    }
  }"#;
    let environment = TestEnvironment::with_configuration(&ONE_NODE.replace("engine \"postgresql\" {}", parameters));
    refuses(
        &environment,
        &["plan"],
        &expect![[r#"
        ╷
        │ Error: Parameter is not accepted
        │
        │   on main.simdb.hcl line 9:
        │    9:       timezone                    = "Pacific/Nope"
        │             ^^^^^^^^
        │
        │ PostgreSQL 15 does not accept timezone = "Pacific/Nope". It says: invalid value for parameter "TimeZone": "Pacific/Nope".
        ╵
        ╷
        │ Error: Parameter is not accepted
        │
        │   on main.simdb.hcl line 10:
        │   10:       lc_messages                 = "xx_YY"
        │             ^^^^^^^^^^^
        │
        │ PostgreSQL 15 does not accept lc_messages = "xx_YY". It says: invalid value for parameter "lc_messages": "xx_YY".
        ╵
        ╷
        │ Error: Parameter is not accepted
        │
        │   on main.simdb.hcl line 11:
        │   11:       default_table_access_method = "columnar"
        │             ^^^^^^^^^^^^^^^^^^^^^^^^^^^
        │
        │ The parameter "default_table_access_method" must be "heap", the only one that every database has, not "columnar".
        ╵
    "#]],
    );
}

#[test]
fn parameters_that_a_server_would_not_start_with_are_refused_with_its_words() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    for (parameter, expected) in [
        (
            "shared_preload_libraries = \"no_such_library\"",
            expect![[r#"
            ╷
            │ Error: Parameter is not accepted
            │
            │   on main.simdb.hcl line 8:
            │    8:     parameters = { shared_preload_libraries = "no_such_library" }
            │                          ^^^^^^^^^^^^^^^^^^^^^^^^
            │
            │ PostgreSQL 15 does not accept shared_preload_libraries = "no_such_library". It says: could not access file "no_such_library": No such file or directory.
            ╵
        "#]],
        ),
        (
            "ssl = true",
            expect![[r#"
            ╷
            │ Error: Parameter is not accepted
            │
            │   on main.simdb.hcl line 8:
            │    8:     parameters = { ssl = true }
            │                          ^^^
            │
            │ PostgreSQL 15 does not accept the parameters. It says: could not load server certificate file "server.crt": No such file or directory.
            ╵
        "#]],
        ),
        (
            "max_connections = 3",
            expect![[r#"
            ╷
            │ Error: Parameter is not accepted
            │
            │   on main.simdb.hcl line 8:
            │    8:     parameters = { max_connections = 3 }
            │                          ^^^^^^^^^^^^^^^
            │
            │ The server keeps 3 of its 3 connections for superusers and reserved roles, so that none is left for others, and does not start. max_connections must be above superuser_reserved_connections and reserved_connections together.
            ╵
        "#]],
        ),
    ] {
        let engine =
            format!("engine \"postgresql\" {{\n    version    = \"15\"\n    parameters = {{ {parameter} }}\n  }}");
        environment.write("main.simdb.hcl", &ONE_NODE.replace("engine \"postgresql\" {}", &engine));
        refuses(&environment, &["plan"], &expected);
    }
}

#[test]
fn parameters_that_make_no_sense_for_a_cluster_are_refused_without_a_look_at_the_machine() {
    let environment = TestEnvironment::new();
    let engine = "engine \"postgresql\" {\n    parameters = {\n      db_user_namespace = true\n      transaction_deferrable = \
                  true\n    }\n  }";
    environment.write("main.simdb.hcl", &ONE_NODE.replace("engine \"postgresql\" {}", engine));
    refuses(
        &environment,
        &["validate"],
        &expect![[r#"
        ╷
        │ Error: Unsupported parameter
        │
        │   on main.simdb.hcl line 8, in cluster "c":
        │    8:       db_user_namespace = true
        │             ^^^^^^^^^^^^^^^^^
        │
        │ "db_user_namespace" cannot be a parameter of a cluster. It gives each login another name in each database, so that neither simdb nor standbys could log in.
        ╵
        ╷
        │ Error: Unsupported parameter
        │
        │   on main.simdb.hcl line 9, in cluster "c":
        │    9:       transaction_deferrable = true
        │             ^^^^^^^^^^^^^^^^^^^^^^
        │
        │ "transaction_deferrable" cannot be a parameter of a cluster. It belongs to one transaction, and servers do not take it from a file. What transactions begin with is set by the parameter of that name with "default_" before it.
        ╵
    "#]],
    );
}
