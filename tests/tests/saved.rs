//! Plans that are saved: what was reviewed is what runs, and nothing else does.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use serde_json::Value;
use simdb_tests::{Output, TestEnvironment};

const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-allow=data-loss"];

/// Two clusters; the parameters of the first one are declared.
fn declare(environment: &TestEnvironment, work_mem: &str, other: &str) {
    environment.write(
        "main.simdb.hcl",
        &format!(
            r#"
variable "password" {{
  type      = string
  sensitive = true
}}

network "lan" {{}}

cluster "orders" {{
  network = network.lan
  engine "postgresql" {{ parameters = {{ work_mem = "{work_mem}" }} }}
  node "a" {{}}
  user "app" {{ password = var.password }}
}}

cluster "billing" {{
  network = network.lan
  engine "postgresql" {{ parameters = {{ work_mem = "{other}" }} }}
  node "a" {{}}
}}

output "port" {{
  value = cluster.orders.user.app.url
  sensitive = true
}}
"#
        ),
    );
}

const ONE: &str = "network \"lan\" {}\ncluster \"orders\" {\n  network = network.lan\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n";

const PASSWORD: &str = "correct-horse-battery";

fn with_password(environment: &TestEnvironment, arguments: &[&str]) -> Output {
    let mut command = environment.command(arguments);
    Output::of(command.env("SIMDB_VAR_password", PASSWORD))
}

/// Saves a plan, and returns what was shown of it.
fn save(environment: &TestEnvironment, file: &str) -> Output {
    let output = with_password(environment, &["plan", "-out", file]);
    output.expect_code(0);
    assert!(output.stderr.contains(&format!("simdb apply \"{file}\"")), "{output:?}");
    output
}

#[track_caller]
fn refuses(environment: &TestEnvironment, arguments: &[&str], texts: &[&str]) {
    let output = environment.run(arguments);
    output.expect_code(1);
    let said = output.text().replace("\n│ ", " ");
    for text in texts {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
}

#[test]
fn exactly_what_was_reviewed_runs_and_what_moved_since_is_named() {
    let environment = TestEnvironment::with_configuration("");
    declare(&environment, "5MB", "5MB");
    let shown = save(&environment, "birth");

    // The file tells nobody anything, and is shown as it was when it was made.
    let path = environment.project().join("birth");
    let bytes = fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains(PASSWORD));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(environment.run(&["show", "birth"]).stdout, shown.stdout);
    let document = environment.run(&["show", "-json", "birth"]).stdout;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["summary"]["add"], 8, "{document}");

    // It runs without a value, a question, or the configuration that it was made from.
    fs::rename(
        environment.project().join("main.simdb.hcl"),
        environment.home().join("away"),
    )
    .unwrap();
    environment.run(&["apply", "birth"]).expect_code(0);
    fs::rename(
        environment.home().join("away"),
        environment.project().join("main.simdb.hcl"),
    )
    .unwrap();
    with_password(&environment, &["plan", "-detailed-exitcode"]).expect_code(0);
    refuses(
        &environment,
        &["apply", "birth"],
        &["Saved plan is stale", "cluster.orders.node.a: it was made"],
    );

    // Another cluster changes meanwhile: that is nothing to this plan.
    declare(&environment, "6MB", "5MB");
    save(&environment, "reviewed");
    declare(&environment, "5MB", "6MB");
    with_password(&environment, &["apply", "-auto-approve"]).expect_code(0);
    environment.run(&["apply", "reviewed"]).expect_code(0);
    declare(&environment, "6MB", "6MB");
    with_password(&environment, &["plan", "-detailed-exitcode"]).expect_code(0);

    // The same object changes meanwhile.
    declare(&environment, "7MB", "6MB");
    save(&environment, "late");
    declare(&environment, "8MB", "6MB");
    with_password(&environment, &["apply", "-auto-approve"]).expect_code(0);
    refuses(
        &environment,
        &["apply", "late"],
        &["Saved plan is stale", "cluster.orders.node.a: parameters", "6MB", "8MB"],
    );

    // The record is as it was, and the server is not.
    declare(&environment, "7MB", "6MB");
    save(&environment, "reload");
    let pid = fs::read_to_string(environment.data().join("orders/a/data-1/postmaster.pid")).unwrap();
    let pid = nix::unistd::Pid::from_raw(pid.lines().next().unwrap().parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    refuses(
        &environment,
        &["apply", "reload"],
        &["Saved plan is stale", "cluster.orders.node.a: configure"],
    );

    // What loses data takes more than a file.
    with_password(&environment, &["plan", "-destroy", "-out", "end"]).expect_code(0);
    refuses(&environment, &["apply", "end"], &["-allow=data-loss"]);
    environment.run(&["apply", "-allow=data-loss", "end"]).expect_code(0);
    environment.assert_nothing_left();
}

#[test]
fn a_file_that_is_no_plan_of_this_state_is_told_for_what_it_is() {
    let environment = TestEnvironment::with_configuration(ONE);
    environment.run(&["plan", "-out", "plan"]).expect_code(0);
    let project = environment.project();
    let bytes = fs::read(project.join("plan")).unwrap();
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let header = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let write = |name: &str, header: &str, body: &[u8]| {
        let text = [header.as_bytes(), b"\n", body].concat();
        fs::write(project.join(name), text).unwrap();
    };
    let body = &bytes[end + 1..];
    write("older", &header.replace("\"simdb_plan\":1", "\"simdb_plan\":0"), body);
    let altered: Vec<u8> = body.iter().map(|byte| byte ^ 1).collect();
    write("altered", &header, &altered);
    write("truncated", &header, &body[..body.len() / 2]);
    write("renamed", &header.replace("\"version\":\"", "\"version\":\"9."), body);
    fs::write(project.join("picture"), [0x89, b'P', b'N', b'G', b'\n', 0, 0]).unwrap();
    fs::write(project.join("empty"), "").unwrap();
    let elsewhere = TestEnvironment::with_configuration(ONE);
    elsewhere.run(&["plan", "-out", "plan"]).expect_code(0);
    fs::copy(elsewhere.project().join("plan"), project.join("foreign")).unwrap();
    for (file, says) in [
        ("older", "another version of simdb"),
        ("altered", "is damaged"),
        ("truncated", "is damaged"),
        ("renamed", "is damaged"),
        ("picture", "no plan that simdb saved"),
        ("empty", "no plan that simdb saved"),
        ("foreign", "belongs to another state"),
        ("missing", "missing"),
    ] {
        refuses(&environment, &["apply", file], &[says]);
        refuses(&environment, &["show", file], &[says]);
    }
    refuses(
        &environment,
        &["apply", "plan", "-var", "x=1"],
        &["part of a saved plan"],
    );
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

/// A cluster whose user has a password that is kept nowhere but in the record.
const EPHEMERAL: &str = r#"
variable "password" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "memory" { default = "5MB" }

network "lan" {}

cluster "orders" {
  network = network.lan
  engine "postgresql" { parameters = { work_mem = var.memory } }
  node "a" {}
  user "app" { password = var.password }
}
"#;

#[test]
fn what_a_saved_plan_does_not_keep_is_given_again() {
    let environment = TestEnvironment::with_configuration(EPHEMERAL);
    let password = format!("password={PASSWORD}");
    let output = environment.run(&["plan", "-out", "plan", "-var", &password]);
    output.expect_code(0);
    refuses(
        &environment,
        &["apply", "plan"],
        &["No value for required variable", "\"password\""],
    );
    refuses(
        &environment,
        &["apply", "plan", "-var", &password, "-var", "memory=6MB"],
        &["part of a saved plan", "-var 'memory=...'"],
    );
    refuses(
        &environment,
        &["apply", "plan", "-var", "password=another-one"],
        &["Saved plan is stale"],
    );
    environment.run(&["apply", "plan", "-var", &password]).expect_code(0);
    let same = ["plan", "-detailed-exitcode", "-var", &password];
    environment.run(&same).expect_code(0);
    let mut given = environment.command(&["plan", "-detailed-exitcode"]);
    Output::of(given.env("SIMDB_VAR_password", "another-one")).expect_code(2);
    environment
        .run(&[&DESTROY[..], &["-var", &password]].concat())
        .expect_code(0);
    environment.assert_nothing_left();
}
