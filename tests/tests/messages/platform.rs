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
            │ /nonexistent has no program "postgres" (No such file or directory (os error 2)). Name another directory in binaries, or remove it to search the usual places.
            ╵
        "#]],
    );
}

#[test]
fn a_data_directory_that_cannot_be_made_is_refused() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    environment.write("file", "");
    let below = environment.project().join("file/below");
    let provider = environment
        .provider()
        .replace(&*environment.data().to_string_lossy(), &below.to_string_lossy());
    environment.write("provider.simdb.hcl", &provider);
    refuses(
        &environment,
        &APPLY,
        &expect![[r#"
            ╷
            │ Error: Platform cannot be used
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
