//! `simdb state rm` and `removed` blocks: what is forgotten stays where it is, and simdb manages it no more.

use std::fs;

use simdb_tests::TestEnvironment;

fn declare(environment: &TestEnvironment, access: &str) {
    let text = format!(
        "network \"lan\" {{}}\ncluster \"orders\" {{\n  network = network.lan\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n{access}}}\n"
    );
    environment.write("main.simdb.hcl", &text);
}

const ACCESS: &str = "  user \"app\" {}\n  database \"shop\" { owner = \"app\" }\n";
const USER: &str = "cluster.orders.user.app";
const DATABASE: &str = "cluster.orders.database.shop";

#[test]
fn what_is_forgotten_stays_on_its_server() {
    let environment = TestEnvironment::with_configuration("");
    declare(&environment, ACCESS);
    environment.done(&["apply", "-auto-approve"]);

    let dry = environment.done(&["state", "rm", "-dry-run", USER]);
    assert_eq!(dry.stdout, format!("Would forget:\n{USER}\n"));
    environment.refuses(&["state", "rm", "cluster.orders.node.a"], "Address cannot be forgotten");
    environment.refuses(&["state", "rm", "cluster.orders.user.ap"], "cluster.orders.user.app");
    let known = environment.done(&["state", "list"]).stdout;
    assert!(known.contains(USER) && known.contains(DATABASE), "{known}");

    let forgotten = environment.done(&["state", "rm", DATABASE, USER]);
    assert_eq!(forgotten.stdout, format!("Forgot:\n{DATABASE}\n{USER}\n"));
    let copies = fs::read_dir(environment.project().join(".simdb")).unwrap();
    let copies = copies.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains(".backup-")
    });
    assert_eq!(copies.count(), 1, "{}", forgotten.stderr);

    // Undeclared, they are left alone; declared again, they are adopted.
    declare(&environment, "");
    environment.done(&["plan", "-detailed-exitcode"]);
    let shop = "SELECT count(*) FROM pg_database WHERE datname = 'shop'";
    assert_eq!(environment.done(&["psql", "orders", "--", "-Atc", shop]).stdout, "1\n");
    declare(&environment, ACCESS);
    let adopted = environment.done(&["apply", "-auto-approve"]);
    assert!(adopted.text().contains("exists already"), "{}", adopted.text());
    environment.done(&["plan", "-detailed-exitcode"]);
    environment.done(&["destroy", "-auto-approve", "-allow=data-loss"]);
}

#[test]
fn what_a_removed_block_names_stays_on_its_server() {
    let environment = TestEnvironment::with_configuration("");
    declare(&environment, ACCESS);
    environment.done(&["apply", "-auto-approve"]);

    declare(&environment, "");
    let keeps = "  lifecycle {\n    destroy = false\n  }\n";
    let blocks = [USER, DATABASE].map(|address| format!("removed {{\n  from = {address}\n{keeps}}}\n"));
    environment.write("removed.simdb.hcl", &blocks.concat());
    let plan = environment.run(&["plan", "-detailed-exitcode"]);
    plan.expect_code(2);
    for words in [
        ". cluster.orders.database.shop will be forgotten, and stays where it is",
        "Plan: 0 to add, 0 to change, 0 to destroy, 2 to forget. Worst impact: none.",
    ] {
        assert!(plan.stdout.contains(words), "no {words:?} in {}", plan.stdout);
    }
    let applied = environment.done(&["apply", "-auto-approve"]);
    assert!(
        applied.text().contains("0 destroyed, 2 forgotten."),
        "{}",
        applied.text()
    );
    environment.done(&["plan", "-detailed-exitcode"]);
    let known = environment.done(&["state", "list"]).stdout;
    assert!(!known.contains(USER) && !known.contains(DATABASE), "{known}");
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'";
    assert_eq!(
        environment.done(&["psql", "orders", "--", "-Atc", owner]).stdout,
        "app\n"
    );
    environment.done(&["destroy", "-auto-approve", "-allow=data-loss"]);
}
