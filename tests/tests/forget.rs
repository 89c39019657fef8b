//! `simdb state rm`: what is forgotten stays where it is, and simdb manages it no more.

use std::fs;

use simdb_tests::{Output, TestEnvironment};

fn declare(environment: &TestEnvironment, access: &str) {
    let text = format!(
        "network \"lan\" {{}}\ncluster \"orders\" {{\n  network = network.lan\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n{access}}}\n"
    );
    environment.write("main.simdb.hcl", &text);
}

fn done(environment: &TestEnvironment, arguments: &[&str]) -> Output {
    let output = environment.run(arguments);
    output.expect_code(0);
    output
}

fn refuses(environment: &TestEnvironment, arguments: &[&str], text: &str) {
    let output = environment.run(arguments);
    output.expect_code(1);
    let said = output.text().replace("\n│ ", " ");
    assert!(said.contains(text), "no {text:?} in {said}");
}

const ACCESS: &str = "  user \"app\" {}\n  database \"shop\" { owner = \"app\" }\n";
const USER: &str = "cluster.orders.user.app";
const DATABASE: &str = "cluster.orders.database.shop";

#[test]
fn what_is_forgotten_stays_on_its_server() {
    let environment = TestEnvironment::with_configuration("");
    declare(&environment, ACCESS);
    done(&environment, &["apply", "-auto-approve"]);

    let dry = done(&environment, &["state", "rm", "-dry-run", USER]);
    assert_eq!(dry.stdout, format!("Would forget:\n{USER}\n"));
    refuses(
        &environment,
        &["state", "rm", "cluster.orders.node.a"],
        "Address cannot be forgotten",
    );
    refuses(
        &environment,
        &["state", "rm", "cluster.orders.user.ap"],
        "cluster.orders.user.app",
    );
    let known = done(&environment, &["state", "list"]).stdout;
    assert!(known.contains(USER) && known.contains(DATABASE), "{known}");

    let forgotten = done(&environment, &["state", "rm", DATABASE, USER]);
    assert_eq!(forgotten.stdout, format!("Forgot:\n{DATABASE}\n{USER}\n"));
    let copies = fs::read_dir(environment.project().join(".simdb")).unwrap();
    let copies = copies.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains(".backup-")
    });
    assert_eq!(copies.count(), 1, "{}", forgotten.stderr);

    // Undeclared, they are left alone; declared again, they are adopted.
    declare(&environment, "");
    done(&environment, &["plan", "-detailed-exitcode"]);
    let shop = "SELECT count(*) FROM pg_database WHERE datname = 'shop'";
    assert_eq!(
        done(&environment, &["psql", "orders", "--", "-Atc", shop]).stdout,
        "1\n"
    );
    declare(&environment, ACCESS);
    let adopted = done(&environment, &["apply", "-auto-approve"]);
    assert!(adopted.text().contains("exists already"), "{}", adopted.text());
    done(&environment, &["plan", "-detailed-exitcode"]);
    done(&environment, &["destroy", "-auto-approve", "-allow=data-loss"]);
}
