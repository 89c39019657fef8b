//! What a person reads, word for word, when something is wrong, and the exit code that a script sees.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use expect_test::{Expect, expect};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::{Output, TestEnvironment};

/// A cluster of one server.
const ONE_NODE: &str = "network \"lan\" {}\n
cluster \"c\" {
  network = network.lan\n
  engine \"postgresql\" {}\n
  replication {
    mode = \"async\"
  }\n
  node \"a\" {}
}
";

#[track_caller]
fn check(environment: &TestEnvironment, output: &Output, expected: &Expect) {
    let Output { stdout, stderr, code } = output;
    let code = code.expect("simdb ends by itself");
    let text = format!("--- stdout\n{stdout}--- stderr\n{stderr}--- exit code {code}\n");
    expected.assert_eq(&without_machine(&environment.redact(&unwrapped(&text))));
}

/// Joins the lines of a diagnostic's paragraphs: where they break depends on the lengths of paths and numbers.
fn unwrapped(text: &str) -> String {
    let prose = |line: &str| line.strip_prefix("│ ").is_some_and(|rest| !rest.starts_with(' '));
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match lines.last_mut() {
            Some(last) if prose(last) && prose(line) && !last.starts_with("│ Error:") => {
                last.push_str(&line["│".len()..]);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

/// Takes out what belongs to this machine: users, processes, times of day, the versions that are installed.
fn without_machine(text: &str) -> String {
    let own = fs::read_to_string("/proc/self/comm").expect("a process has a name");
    let text = text.replace(own.trim_end(), "[PROGRAM]");
    let text = [
        ("(pid ", ")"),
        ("(process ", ")"),
        ("locked by ", " for"),
        ("Who:       ", " ("),
        ("Since:     ", "\n"),
        ("Version:   ", "\n"),
        ("Found: ", ". Looked"),
        ("+ version     = ", "\n"),
        ("- version     = ", " "),
    ]
    .into_iter()
    .fold(text, |text, (start, end)| without_between(&text, start, end));
    // How far a step is after ten seconds is said only where it takes so long.
    let lines = text.lines().filter(|line| !line.contains(" still running... ["));
    let lines = lines.map(|line| match line.split_once("] ") {
        // 2026-01-02 03:04:05.678 GMT [123] FATAL:  …
        Some((stamp, message)) if stamp.trim_start().starts_with("20") => {
            let indentation = stamp.len() - stamp.trim_start().len();
            format!("{}[STAMP] {message}\n", " ".repeat(indentation))
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Takes out what stands between two texts, wherever they occur.
fn without_between(text: &str, start: &str, end: &str) -> String {
    let mut parts = text.split(start);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| {
        let kept = part
            .find(end)
            .map_or(part.to_owned(), |at| format!("[…]{}", &part[at..]));
        done + start + &kept
    })
}

#[test]
fn every_syntax_error_of_a_file_is_reported_in_one_run() {
    let environment = TestEnvironment::new();
    environment.write(
        "main.simdb.hcl",
        "network \"lan\" {\n  = 3\n}\n\ncluster \"c\" {\n  network = network.lan\n  engine \"postgresql\" {}\n  node \"a\" { count = }\n}\n",
    );
    check(
        &environment,
        &environment.run(&["validate"]),
        &expect![[r#"
            --- stdout
            --- stderr
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
            --- exit code 1
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
    check(
        &environment,
        &environment.run(&["validate"]),
        &expect![[r#"
            --- stdout
            --- stderr
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
            --- exit code 1
        "#]],
    );
}

#[test]
fn a_version_that_is_not_installed_is_refused_with_those_that_are() {
    let environment = TestEnvironment::with_configuration(&ONE_NODE.replace(
        "engine \"postgresql\" {}",
        "engine \"postgresql\" {\n    version = \"99\"\n  }",
    ));
    let output = environment.run(&["plan"]);
    check(
        &environment,
        &output,
        &expect![[r#"
            --- stdout
            --- stderr
            ╷
            │ Error: Database programs not found
            │
            │   on main.simdb.hcl line 7:
            │    7:     version = "99"
            │                     ^^^^
            │
            │ The programs of postgresql 99 are not on this machine. Found: […]. Looked in PATH, /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin, /usr/local/pgsql*/bin, /home/linuxbrew/.linuxbrew/opt/postgresql@*/bin. Install it (on Debian: apt-get install postgresql; versions that Debian does not have are at apt.postgresql.org), or name its directory in provider "local": binaries = ["/path/to/bin"].
            ╵
            --- exit code 1
        "#]],
    );
}

#[test]
fn a_port_that_somebody_listens_on_is_refused() {
    let environment = TestEnvironment::new();
    let port = *environment.ports().start();
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("the range is free");
    environment.write("provider.simdb.hcl", &environment.provider());
    environment.write(
        "main.simdb.hcl",
        &ONE_NODE.replace("node \"a\" {}", &format!("node \"a\" {{\n    port = {port}\n  }}")),
    );
    let output = environment.run(&["apply", "-auto-approve"]);
    check(
        &environment,
        &output,
        &expect![[r#"
            --- stdout
            --- stderr
            ╷
            │ Error: Port is taken
            │
            │   on main.simdb.hcl line 13:
            │   13:     port = [PORT]
            │                  ^^^^^
            │
            │ Port [PORT] of cluster.c.node.a is in use by [PROGRAM] (pid […]). Stop that program, or give the node another port; without a "port" argument simdb takes a free one.
            ╵
            --- exit code 1
        "#]],
    );
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
}

#[test]
fn missing_programs_are_named_with_the_places_that_were_searched() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    let provider = environment
        .provider()
        .replace('}', "  binaries = [\"/nonexistent\"]\n}");
    environment.write("provider.simdb.hcl", &provider);
    check(
        &environment,
        &environment.run(&["plan"]),
        &expect![[r#"
            --- stdout
            --- stderr
            ╷
            │ Error: Platform cannot be used
            │
            │ /nonexistent has no program "postgres" (No such file or directory (os error 2)). Name another directory in binaries, or remove it to search the usual places.
            ╵
            --- exit code 1
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
    let output = environment.run(&["apply", "-auto-approve"]);
    check(
        &environment,
        &output,
        &expect![[r#"
            --- stdout
            --- stderr
            ╷
            │ Error: Platform cannot be used
            │
            │ [PROJECT]/file is not a directory, and data should be kept in [PROJECT]/file/below. Set data_root to another place.
            ╵
            --- exit code 1
        "#]],
    );
}

#[test]
fn an_apply_that_cannot_ask_does_nothing() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    check(
        &environment,
        &environment.run(&["apply"]),
        &expect![[r#"
            --- stdout
            --- stderr
            Changes are indicated with the following symbols:
              + create

            simdb will make the following changes:

              # network.lan will be created
              + network "lan" {}

              # cluster.c will be created
              + cluster "c" {
                  + engine      = "postgresql"
                  + version     = […]
                  + network     = "network.lan"
                  + replication = "async"
                  + max_lag     = "16MB"
                  + primary     = "a"
                  + term        = 1
                  + verified    = (known after apply)
                }

              # cluster.c.node.a will be created
              + node "a" {
                  + role              = "primary"
                  + host              = "127.0.0.1"
                  + port              = [PORT]
                  + data              = "initialized"
                  + system_identifier = (known after apply)
                  + power             = "running"
                }

              # cluster.c.user.replicator will be created
              + user "replicator" {
                  + login            = true
                  + replication      = true
                  + password         = (generated at apply)
                  + password_version = 1
                }

            Steps:

               #  Step              Address                    After  Impact
               1  network           network.lan                       none
                  the configuration declares it
               2  primary           cluster.c.node.a           1      none
                  cluster c is new, and a leads it
               3  replication-user  cluster.c.user.replicator  2      none
                  standbys stream with it, and with it alone
               4  verify-sync       cluster.c                  3      none
                  the primary must take writes before it is called ready

            Plan: 4 to add, 0 to change, 0 to destroy. Worst impact: none.
            ╷
            │ Error: Nobody to ask for approval
            │
            │ Standard input is no terminal or at its end, or -json or -input=false forbids to ask. To run this plan unattended, add -auto-approve.
            ╵
            --- exit code 1
        "#]],
    );
    environment.assert_nothing_left();
}

#[test]
fn approval_in_advance_does_not_cover_data_loss() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    let output = environment.run(&["destroy", "-auto-approve"]);
    check(
        &environment,
        &output,
        &expect![[r#"
            --- stdout
            --- stderr
            Changes are indicated with the following symbols:
              - destroy

            simdb will make the following changes:

              # network.lan will be destroyed
              - network "lan" {}

              # cluster.c will be destroyed
              - cluster "c" {
                  - engine      = "postgresql" -> null
                  - version     = […] -> null
                  - network     = "network.lan" -> null
                  - replication = "async" -> null
                  - max_lag     = "16MB" -> null
                  - primary     = "a" -> null
                  - term        = 1 -> null
                  - verified    = "at [LSN] in term 1" -> null
                }

              # cluster.c.node.a will be destroyed
              - node "a" {
                  - role              = "primary" -> null
                  - host              = "127.0.0.1" -> null
                  - port              = [PORT] -> null
                  - data              = "initialized" -> null
                  - system_identifier = "[SYSTEM]" -> null
                  - power             = "running" -> null
                }

              # cluster.c.user.replicator will be destroyed
              - user "replicator" {
                  - login            = true -> null
                  - replication      = true -> null
                  - password         = (sensitive value) -> null
                  - password_version = 1 -> null
                }

            Steps:

               #  Step          Address                    After  Impact
               1  drop-node     cluster.c.node.a                  data-loss
                  everything is to be destroyed
               2  drop-user     cluster.c.user.replicator  1      none
                  it goes with its cluster
               3  drop-cluster  cluster.c                  2      none
                  everything is to be destroyed
               4  drop-network  network.lan                3      none
                  everything is to be destroyed

            Plan: 0 to add, 0 to change, 4 to destroy. Worst impact: data-loss.
            ╷
            │ Error: Impact above the limit
            │
            │ The worst impact allowed is downtime, and one step is above it:
            │    1  drop-node  cluster.c.node.a  data-loss
            │
            │ To allow it, add -allow=data-loss.
            ╵
            --- exit code 1
        "#]],
    );
    environment.run(&["status"]).expect_code(0);
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
    environment.assert_nothing_left();
}

#[test]
fn an_unknown_command_is_answered_with_the_one_that_was_meant() {
    let environment = TestEnvironment::new();
    check(
        &environment,
        &environment.run(&["aply"]),
        &expect![[r#"
            --- stdout
            --- stderr
            ╷
            │ Error: Unknown command
            │
            │ simdb has no command "aply"; simdb -help lists them. Did you mean "apply"?
            ╵
            --- exit code 1
        "#]],
    );
}

#[test]
fn an_unknown_option_is_answered_with_the_one_that_was_meant() {
    let environment = TestEnvironment::new();
    check(
        &environment,
        &environment.run(&["apply", "-auto-aprove"]),
        &expect![[r#"
            --- stdout
            --- stderr
            ╷
            │ Error: Unknown option
            │
            │ simdb apply has no option -auto-aprove; simdb apply -help lists them. Did you mean "-auto-approve"?
            ╵
            --- exit code 1
        "#]],
    );
}

#[test]
fn a_wrong_command_line_says_what_is_wrong_with_it() {
    let environment = TestEnvironment::new();
    let lines = [
        "apply -allow=downtme",
        "apply -allow",
        "apply -parallelism=0",
        "logs",
        "plan now",
        "output -json -raw url",
        "output -raw",
        "state lst",
        "state show orders",
        "plan -refresh=maybe",
        "plan -json=yes",
        "plan -json -json",
    ];
    let told = lines.map(|line| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = environment.run(&arguments);
        output.expect_code(1);
        assert_eq!(output.stdout, "");
        format!("$ simdb {line}\n{}", unwrapped(&output.stderr))
    });
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
        $ simdb output -json -raw url
        ╷
        │ Error: Options exclude each other
        │
        │ -json cannot be given together with -raw.
        ╵
        $ simdb output -raw
        ╷
        │ Error: Missing argument
        │
        │ simdb output needs <NAME>; simdb output -help says more.
        ╵
        $ simdb state lst
        ╷
        │ Error: Unknown command
        │
        │ simdb state has no command "lst"; simdb state -help lists them. Did you mean "list"?
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
        $ simdb plan -json -json
        ╷
        │ Error: Option given twice
        │
        │ -json can be given only once.
        ╵
    "#]].assert_eq(&told.concat());
}

#[test]
fn an_output_that_does_not_exist_is_an_error() {
    let environment = TestEnvironment::with_configuration("output \"answer\" {\n  value = 42\n}\n");
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    check(
        &environment,
        &environment.run(&["output", "anwser"]),
        &expect![[r#"
        --- stdout
        --- stderr
        ╷
        │ Error: No such output
        │
        │ There is no output "anwser". Did you mean "answer"?
        ╵
        --- exit code 1
    "#]],
    );
}

#[test]
fn the_detailed_exit_code_tells_changes_from_none() {
    let environment = TestEnvironment::with_configuration("");
    let output = environment.run(&["plan", "-detailed-exitcode"]);
    check(
        &environment,
        &output,
        &expect![[r#"
        --- stdout
        No changes. Your clusters match the configuration.
        --- stderr
        --- exit code 0
    "#]],
    );
    environment.write("main.simdb.hcl", ONE_NODE);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(2);
    environment.run(&["plan"]).expect_code(0);
}

#[test]
fn a_file_that_is_not_in_canonical_style_is_named_and_left_alone() {
    let environment = TestEnvironment::new();
    environment.write("main.simdb.hcl", "network   \"lan\" {}\n");
    check(
        &environment,
        &environment.run(&["fmt", "-check"]),
        &expect![[r#"
        --- stdout
        main.simdb.hcl
        --- stderr
        --- exit code 3
    "#]],
    );
    environment.run(&["fmt"]).expect_code(0);
    environment.run(&["fmt", "-check"]).expect_code(0);
}

#[test]
fn a_server_that_does_not_start_is_reported_with_its_log_and_the_next_apply_goes_on() {
    let broken = ONE_NODE.replace(
        "engine \"postgresql\" {}",
        "engine \"postgresql\" {\n    parameters = {\n      shared_preload_libraries = \"no_such_library\"\n    }\n  }",
    );
    let environment = TestEnvironment::with_configuration(&broken);
    let output = environment.run(&["apply", "-auto-approve"]);
    check(
        &environment,
        &output,
        &expect![[r#"
            --- stdout
            --- stderr
            Changes are indicated with the following symbols:
              + create

            simdb will make the following changes:

              # network.lan will be created
              + network "lan" {}

              # cluster.c will be created
              + cluster "c" {
                  + engine      = "postgresql"
                  + version     = […]
                  + network     = "network.lan"
                  + replication = "async"
                  + max_lag     = "16MB"
                  + primary     = "a"
                  + term        = 1
                  + verified    = (known after apply)
                }

              # cluster.c.node.a will be created
              + node "a" {
                  + role              = "primary"
                  + host              = "127.0.0.1"
                  + port              = [PORT]
                  + data              = "initialized"
                  + system_identifier = (known after apply)
                  + power             = "running"
                  + parameters        = {
                      + shared_preload_libraries = "no_such_library"
                    }
                }

              # cluster.c.user.replicator will be created
              + user "replicator" {
                  + login            = true
                  + replication      = true
                  + password         = (generated at apply)
                  + password_version = 1
                }

            Steps:

               #  Step              Address                    After  Impact
               1  network           network.lan                       none
                  the configuration declares it
               2  primary           cluster.c.node.a           1      none
                  cluster c is new, and a leads it
               3  replication-user  cluster.c.user.replicator  2      none
                  standbys stream with it, and with it alone
               4  verify-sync       cluster.c                  3      none
                  the primary must take writes before it is called ready

            Plan: 4 to add, 0 to change, 0 to destroy. Worst impact: none.

            network.lan: network...
            network.lan: network done after [TIME]
            cluster.c.node.a: primary...
            cluster.c.node.a: primary failed

            Apply failed: 1 of 4 steps done, 1 failed, 2 not attempted.

            Done:
               1  network  network.lan

            Failed:
               2  primary  cluster.c.node.a
                  start cluster.c.node.a: its server ended; its log ends:
                      [STAMP] FATAL:  could not access file "no_such_library": No such file or directory
                      [STAMP] LOG:  database system is shut down

            Not attempted:
               3  replication-user  cluster.c.user.replicator
               4  verify-sync  cluster.c

            What is done is recorded. To go on once the cause is gone:
                simdb apply
            --- exit code 1
        "#]],
    );
    environment.write("main.simdb.hcl", ONE_NODE);
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    environment.run(&["status"]).expect_code(0);
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
    environment.assert_nothing_left();
}

#[test]
fn whoever_finds_the_state_locked_learns_by_whom() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    let mut child = environment
        .command(&["apply", "-auto-approve"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("simdb can be started");
    let process = Pid::from_raw(child.id().try_into().expect("numbers of processes are small"));
    let mut lines = BufReader::new(child.stderr.take().expect("standard error is a pipe")).lines();
    let working = lines.any(|line| line.is_ok_and(|line| line.ends_with("a: primary...")));
    assert!(working, "the apply ended before it made a primary");
    kill(process, Signal::SIGSTOP).expect("the child is ours");
    let output = environment.run(&["apply", "-auto-approve"]);
    kill(process, Signal::SIGCONT).expect("the child is ours");
    // Read to the end: a pipe that nobody reads stops whoever writes.
    assert!(lines.all(|line| line.is_ok()));
    assert!(child.wait().expect("the child is ours").success());
    check(
        &environment,
        &output,
        &expect![[r#"
            --- stdout
            --- stderr
            ╷
            │ Error: State "[PROJECT]/.simdb/state.db" is locked by […] for apply
            │
            │ Lock Info:
            │   ID:        [ID]
            │   Path:      [PROJECT]/.simdb/state.db
            │   Operation: apply
            │   Who:       […] (process […])
            │   Version:   […]
            │   Since:     […]
            │
            │ Wait with -lock-timeout=[TIME]. A simdb that was killed is found out and its lock taken over. Only if you know that nothing works on it any more: simdb force-unlock [ID]
            ╵
            --- exit code 4
        "#]],
    );
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
    environment.assert_nothing_left();
}
