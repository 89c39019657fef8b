//! Completion in a real shell: what it offers for a line that is begun.

use std::path::Path;

use simdb_tests::{Output, TestEnvironment};

const CONFIGURATION: &str = "network \"lan\" {}\noutput \"first\" { value = 1 }\noutput \"second\" { value = 2 }\n";

/// Returns what bash offers for a line, whose words it takes apart as it does.
fn offered(environment: &TestEnvironment, words: &[&str]) -> Vec<String> {
    let script = "source <(simdb completions bash); COMP_WORDS=(simdb \"$@\"); COMP_CWORD=$#; _simdb; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = environment.command_of("/bin/bash".as_ref(), &["-c", script, "bash"]);
    let simdb = environment.command(&[]);
    let directory = Path::new(simdb.get_program())
        .parent()
        .expect("a program is in a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    bash.args(words).env("PATH", format!("{}:{path}", directory.display()));
    let output = Output::of(&mut bash);
    output.expect_code(0);
    output
        .stdout
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_shell_offers_commands_options_and_what_is_on_record() {
    let environment = TestEnvironment::new();
    environment.write("main.simdb.hcl", CONFIGURATION);
    environment.done(&["apply", "-auto-approve"]);
    environment.done(&["workspace", "new", "staging"]);
    environment.done(&["workspace", "select", "default"]);
    for (words, expected) in [
        (&["valid"][..], &["validate"][..]),
        (&["plan", "-detailed"], &["-detailed-exitcode"]),
        (&["apply", "-allow", "data"], &["data-loss"]),
        (&["plan", "-target", "net"], &["network.lan"]),
        (&["plan", "-target", "=", "net"], &["network.lan"]),
        (&["output", ""], &["first", "second"]),
        (&["workspace", "select", "s"], &["staging"]),
        (&["plan", "-var-file", "main"], &["main.simdb.hcl"]),
    ] {
        assert_eq!(offered(&environment, words), expected, "{words:?}");
    }
}
