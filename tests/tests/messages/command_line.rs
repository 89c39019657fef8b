//! Commands, options and arguments that simdb does not have.

use expect_test::expect;
use simdb_tests::TestEnvironment;

use crate::{APPLY, complaint, refuses};

/// Returns what simdb says to each of these command lines, all of which it refuses.
fn told(lines: &[&str]) -> String {
    let environment = TestEnvironment::new();
    let told = lines.iter().map(|line| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = environment.run(&arguments);
        format!("$ simdb {line}\n{}", complaint(&environment, &output, 1))
    });
    told.collect()
}

#[test]
fn unknown_commands_and_options_are_answered_with_the_ones_that_were_meant() {
    let told = told(&["aply", "apply -auto-aprove", "state lst"]);
    expect![[r#"
        $ simdb aply
        ╷
        │ Error: Unknown command
        │
        │ simdb has no command "aply"; simdb -help lists them. Did you mean "apply"?
        ╵
        $ simdb apply -auto-aprove
        ╷
        │ Error: Unknown option
        │
        │ simdb apply has no option -auto-aprove; simdb apply -help lists them. Did you mean "-auto-approve"?
        ╵
        $ simdb state lst
        ╷
        │ Error: Unknown command
        │
        │ simdb state has no command "lst"; simdb state -help lists them. Did you mean "list"?
        ╵
    "#]]
    .assert_eq(&told);
}

#[test]
fn a_wrong_command_line_says_what_is_wrong_with_it() {
    let told = told(&[
        "apply -allow=downtme",
        "apply -allow",
        "apply -parallelism=0",
        "logs",
        "plan now",
        "plan -expand -summary",
        "output -raw",
        "state show orders",
        "plan -refresh=maybe",
        "plan -json=yes",
        "plan -destroy -destroy",
    ]);
    expect![[r#"
        $ simdb apply -allow=downtme
        ╷
        │ Error: Wrong value
        │
        │ -allow <IMPACT> cannot be "downtme"; it takes none, reload, restart, write-pause, downtime or data-loss. Did you mean "downtime"?
        ╵
        $ simdb apply -allow
        ╷
        │ Error: Missing value
        │
        │ -allow <IMPACT> needs a value; it takes none, reload, restart, write-pause, downtime or data-loss.
        ╵
        $ simdb apply -parallelism=0
        ╷
        │ Error: Wrong value
        │
        │ -parallelism <N> cannot be "0": it must be a whole number above 0.
        ╵
        $ simdb logs
        ╷
        │ Error: Missing argument
        │
        │ simdb logs needs <NODE>; simdb logs -help says more.
        ╵
        $ simdb plan now
        ╷
        │ Error: Unexpected argument
        │
        │ simdb plan takes no argument "now" here; simdb plan -help says what it takes.
        ╵
        $ simdb plan -expand -summary
        ╷
        │ Error: Options exclude each other
        │
        │ -expand cannot be given together with -summary.
        ╵
        $ simdb output -raw
        ╷
        │ Error: Missing argument
        │
        │ simdb output needs <NAME>; simdb output -help says more.
        ╵
        $ simdb state show orders
        ╷
        │ Error: Wrong value
        │
        │ <ADDRESS> cannot be "orders": address "orders" must look like network.NAME, cluster.NAME or cluster.NAME.node.NODE.
        ╵
        $ simdb plan -refresh=maybe
        ╷
        │ Error: Wrong value
        │
        │ -refresh[=<BOOL>] cannot be "maybe"; it takes true or false.
        ╵
        $ simdb plan -json=yes
        ╷
        │ Error: Unexpected value
        │
        │ -json takes no value, and was given "yes".
        ╵
        $ simdb plan -destroy -destroy
        ╷
        │ Error: Option given twice
        │
        │ -destroy can be given only once.
        ╵
    "#]]
    .assert_eq(&told);
}

#[test]
fn an_output_that_does_not_exist_is_an_error() {
    let environment = TestEnvironment::with_configuration("output \"answer\" {\n  value = 42\n}\n");
    environment.run(&APPLY).expect_code(0);
    refuses(
        &environment,
        &["output", "anwser"],
        &expect![[r#"
        ╷
        │ Error: No such output
        │
        │ There is no output "anwser". Did you mean "answer"?
        ╵
    "#]],
    );
}
