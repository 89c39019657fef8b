//! A configuration that cannot be read, or says what simdb does not know.

use expect_test::expect;
use simdb_tests::{Output, TestEnvironment};

use crate::{ONE_NODE, refuses};

#[test]
fn every_syntax_error_of_a_file_is_reported_in_one_run() {
    let environment = TestEnvironment::new();
    environment.write(
        "main.simdb.hcl",
        "network \"lan\" {\n  = 3\n}\n\ncluster \"c\" {\n  network = network.lan\n  engine \"postgresql\" {}\n  node \"a\" { count = }\n}\n",
    );
    refuses(
        &environment,
        &["validate"],
        &expect![[r#"
            ╷
            │ Error: Syntax error
            │
            │   on main.simdb.hcl line 2:
            │    2:   = 3
            │         ^
            │
            │ The text cannot be read here: invalid block body; expected `}`, newline or identifier.
            ╵
            ╷
            │ Error: Syntax error
            │
            │   on main.simdb.hcl line 8:
            │    8:   node "a" { count = }
            │                            ^
            │
            │ The text cannot be read here: invalid expression; expected `"`, `[`, `{`, `-`, `!`, `(`, `_`, `<`, letter or digit.
            ╵
        "#]],
    );
}

#[test]
fn unknown_names_are_answered_with_the_ones_that_were_meant() {
    let environment = TestEnvironment::with_configuration(
        &ONE_NODE
            .replace("network = network.lan", "network = network.lam")
            .replace(
                "engine \"postgresql\" {}",
                "engine \"postgresql\" {\n    verison = \"15\"\n  }",
            )
            .replace("node \"a\" {}", "node \"a\" {}\n\n  endpiont \"rw\" {}"),
    );
    refuses(
        &environment,
        &["validate"],
        &expect![[r#"
            ╷
            │ Error: Reference to undeclared network
            │
            │   on main.simdb.hcl line 4, in cluster "c":
            │    4:   network = network.lam
            │                   ^^^^^^^^^^^
            │
            │ No network "lam" is declared. Declare it with a line: network "lam" {}. Did you mean "lan"?
            ╵
            ╷
            │ Error: Unsupported argument
            │
            │   on main.simdb.hcl line 7, in cluster "c":
            │    7:     verison = "15"
            │           ^^^^^^^
            │
            │ An argument named "verison" is not expected here. Did you mean "version"?
            ╵
            ╷
            │ Error: Unsupported block type
            │
            │   on main.simdb.hcl line 16, in cluster "c":
            │   16:   endpiont "rw" {}
            │         ^^^^^^^^
            │
            │ Blocks of type "endpiont" are not expected here. Did you mean "endpoint"?
            ╵
        "#]],
    );
}

#[test]
fn a_file_that_is_not_in_canonical_style_is_named_and_left_alone() {
    let environment = TestEnvironment::new();
    environment.write("main.simdb.hcl", "network   \"lan\" {}\n");
    let output = Output {
        stdout: "main.simdb.hcl\n".to_owned(),
        stderr: String::new(),
        code: Some(3),
    };
    assert_eq!(environment.run(&["fmt", "-check"]), output);
    environment.run(&["fmt"]).expect_code(0);
    environment.run(&["fmt", "-check"]).expect_code(0);
}
