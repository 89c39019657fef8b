//! `-target`, `-exclude` and `-replace`: a part of the configuration is applied, and the rest stays.

use simdb_tests::{Output, TestEnvironment};

/// A primary; with a standby, a user and a database on request.
fn declare(environment: &TestEnvironment, more: &str) {
    let text = format!(
        r#"
network "lan" {{}}

cluster "orders" {{
  network = network.lan
  engine "postgresql" {{}}
  node "a" {{}}
  endpoint "rw" {{ target = "primary" }}
{more}}}

output "service" {{ value = cluster.orders.endpoint.rw.service }}
"#
    );
    environment.write("main.simdb.hcl", &text);
}

const MORE: &str = "  node \"r\" { count = 1 }\n  user \"app\" {}\n  database \"shop\" { owner = \"app\" }\n";

fn recorded(environment: &TestEnvironment) -> String {
    environment.run(&["state", "list"]).stdout
}

fn apply(environment: &TestEnvironment, more: &[&str]) -> Output {
    let mut arguments = vec!["apply", "-auto-approve"];
    arguments.extend(more);
    let output = environment.run(&arguments);
    output.expect_code(0);
    output
}

#[test]
fn a_part_is_applied_and_the_rest_stays() {
    let environment = TestEnvironment::with_configuration("");
    declare(&environment, "");
    apply(&environment, &[]);
    declare(&environment, MORE);

    // What a target needs comes with it, and nothing else does.
    let done = apply(&environment, &["-target=cluster.orders.database.shop"]);
    assert!(
        done.text().contains("Resource targeting is in effect"),
        "{}",
        done.text()
    );
    let now = recorded(&environment);
    assert!(
        now.contains("cluster.orders.user.app") && now.contains("cluster.orders.database.shop"),
        "{now}"
    );
    assert!(!now.contains("cluster.orders.node.r"), "{now}");

    // A saved plan keeps what it is about.
    let but = "-exclude=cluster.orders.node.r";
    environment.run(&["plan", but, "-detailed-exitcode"]).expect_code(0);
    environment
        .run(&["plan", "-target=cluster.*.node.r[0]", "-out", "standby"])
        .expect_code(0);
    environment.run(&["apply", "standby"]).expect_code(0);
    assert!(recorded(&environment).contains("cluster.orders.node.r[0]"));

    // The rest is what is left.
    apply(&environment, &[]);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);

    let replaced = apply(&environment, &["-replace=cluster.orders.node.r[0]"]);
    assert!(
        replaced.text().contains("a resync copies its data anew"),
        "{}",
        replaced.text()
    );
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);

    environment
        .run(&[
            "destroy",
            "-auto-approve",
            "-allow=data-loss",
            "-target=cluster.orders.database.shop",
        ])
        .expect_code(0);
    let now = recorded(&environment);
    assert!(
        now.contains("cluster.orders.user.app") && !now.contains("database.shop"),
        "{now}"
    );
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
}

#[test]
fn what_is_no_address_is_refused() {
    let environment = TestEnvironment::with_configuration("");
    declare(&environment, MORE);
    environment.refuses(&["plan", "-target=cluster.order"], "Did you mean \"cluster.orders\"?");
    environment.refuses(
        &["apply", "-auto-approve", "-exclude=network.wan"],
        "Did you mean \"network.lan\"?",
    );
    environment.refuses(&["plan", "-replace=cluster.orders.node.a"], "The record has no node");
    environment.refuses(&["plan", "-replace=cluster.orders"], "is changed in place");
    let both = environment.run(&["plan", "-target=cluster.orders", "-exclude=network.lan"]);
    assert_ne!(both.code, Some(0), "{}", both.text());
}
