//! The shell of the example workflows, run as GitHub's runner runs it, against a `gh` that keeps what it is told in files.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::{Output, TestEnvironment};

const ONE: &str = "network \"lan\" {}\ncluster \"orders\" {\n  network = network.lan\n  engine \"postgresql\" {}\n  replication { mode = \"async\" }\n  node \"a\" {}\n}\n";

/// A `gh` that knows the calls of the workflows and fails on any other: comments and issues are files, and every call is a line.
const GH: &str = r#"#!/bin/sh
set -eu
echo "$*" >> "$FAKE/calls"
body() { for word; do case "$word" in body=@*) cat "${word#body=@}";; esac; done; }
case "$1 $2 ${3-}" in
"api --paginate repos/us/databases/issues/7/comments")
  for file in "$FAKE"/comments/*; do
    if [ -e "$file" ] && head -n 1 "$file" | grep -qx -e '<!-- simdb plan -->'; then basename "$file"; fi
  done ;;
"api --method POST")
  [ "$4" = repos/us/databases/issues/7/comments ]
  mkdir -p "$FAKE/comments"
  body "$@" > "$FAKE/comments/$(($(ls "$FAKE/comments" | wc -l) + 100))" ;;
"api --method PATCH")
  file="$FAKE/comments/${4#repos/us/databases/issues/comments/}"
  [ -e "$file" ]
  body "$@" > "$file" ;;
"label create simdb-drift") ;;
"issue list --label")
  if [ -e "$FAKE/issue" ]; then echo 12; fi ;;
"issue create --title")
  [ ! -e "$FAKE/issue" ]
  for last; do :; done
  cp "$last" "$FAKE/issue" ;;
"issue edit 12")
  cp "$5" "$FAKE/issue" ;;
"issue close 12")
  rm "$FAKE/issue" ;;
*) echo "gh: $*" >&2; exit 1 ;;
esac
"#;

/// A repository on a runner.
struct Runner {
    environment: TestEnvironment,
    fake: PathBuf,
}

impl Runner {
    fn new() -> Self {
        let environment = TestEnvironment::with_configuration(ONE);
        let fake = environment.home().join("fake");
        fs::create_dir_all(fake.join("bin")).expect("the directory is ours");
        fs::write(fake.join("bin/gh"), GH).expect("the directory is ours");
        fs::set_permissions(fake.join("bin/gh"), Permissions::from_mode(0o755)).expect("the directory is ours");
        Self { environment, fake }
    }

    /// Runs the steps of a workflow one after the other, as long as they succeed.
    fn run(&self, workflow: &str, head: &str) -> Output {
        let mut variables: BTreeMap<String, String> = BTreeMap::new();
        let own = [
            ("GITHUB_REPOSITORY", "us/databases".to_owned()),
            ("PULL_REQUEST", "7".to_owned()),
            ("HEAD", head.to_owned()),
            ("PLANS", self.fake.join("plans").display().to_string()),
            ("FAKE", self.fake.display().to_string()),
            ("GITHUB_STEP_SUMMARY", self.fake.join("summary").display().to_string()),
            ("GITHUB_ENV", self.fake.join("variables").display().to_string()),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let _ = fs::remove_file(self.fake.join("variables"));
        let mut last = None;
        for script in scripts(workflow) {
            let output = self.step(&script, &variables);
            let failed = output.code != Some(0);
            last = Some(output);
            if failed {
                break;
            }
            let more = fs::read_to_string(self.fake.join("variables")).unwrap_or_default();
            let more = more.lines().filter_map(|line| line.split_once('='));
            variables.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        last.expect("a workflow has steps")
    }

    fn step(&self, script: &str, variables: &BTreeMap<String, String>) -> Output {
        let simdb = self.environment.command(&[]);
        let programs = Path::new(simdb.get_program())
            .parent()
            .expect("a program is in a directory");
        let mut path = vec![self.fake.join("bin"), programs.to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let arguments = ["--noprofile", "--norc", "-eo", "pipefail", "-c", script];
        let mut bash = self.environment.command_of(Path::new("bash"), &arguments);
        Output::of(bash.envs(variables).env(
            "PATH",
            std::env::join_paths(path).expect("no directory has a colon in its name"),
        ))
    }

    fn comments(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.fake.join("comments")) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = files.map(|file| file.expect("the directory is ours").path()).collect();
        files.sort();
        files
            .iter()
            .map(|file| fs::read_to_string(file).expect("the directory is ours"))
            .collect()
    }

    fn issue(&self) -> Option<String> {
        fs::read_to_string(self.fake.join("issue")).ok()
    }
}

/// Returns the scripts of a workflow's steps.
fn scripts(workflow: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a directory of the project");
    let text =
        fs::read_to_string(root.join("examples/github-actions").join(workflow)).expect("the workflow can be read");
    assert!(text.contains("    shell: bash\n"), "the test runs what bash runs");
    let indented = |line: &str| line.len() - line.trim_start().len();
    let (mut scripts, mut within) = (Vec::new(), None);
    for line in text.lines() {
        if let Some(outer) = within {
            if line.is_empty() || indented(line) > outer {
                let script: &mut String = scripts.last_mut().expect("a script was begun");
                script.push_str(line.get(outer + 2..).unwrap_or_default());
                script.push('\n');
                continue;
            }
            within = None;
        }
        if line.trim() == "run: |" {
            within = Some(indented(line));
            scripts.push(String::new());
        }
    }
    assert!(!scripts.is_empty());
    // What an event says must reach the shell through its environment, where it cannot become a command.
    assert!(scripts.iter().all(|script| !script.contains("${{")), "{scripts:?}");
    scripts
}

#[test]
fn a_plan_is_one_comment_that_changes_and_what_was_reviewed_is_applied_after_the_merge() {
    let runner = Runner::new();
    runner.run("plan.yml", "one").expect_code(0);
    let [comment] = &runner.comments()[..] else {
        panic!("{:?}", runner.comments());
    };
    assert!(
        comment.starts_with("<!-- simdb plan -->\n### simdb apply: 4 to add"),
        "{comment}"
    );
    // The next commit is broken: the same comment says so, and the check fails.
    runner
        .environment
        .write("main.simdb.hcl", &ONE.replace("engine", "enigne"));
    runner.run("plan.yml", "two").expect_code(1);
    let [comment] = &runner.comments()[..] else {
        panic!("{:?}", runner.comments());
    };
    assert!(
        comment.contains("the plan cannot be made") && comment.contains("enigne"),
        "{comment}"
    );
    assert!(!runner.fake.join("plans/two").exists());
    // What was reviewed runs, once, whatever the files are by now.
    runner.run("apply.yml", "one").expect_code(0);
    let comments = runner.comments();
    assert!(
        comments[1].contains("### simdb apply: done") && comments[1].contains("Apply complete!"),
        "{comments:?}"
    );
    runner.run("apply.yml", "one").expect_code(1);
    assert!(runner.comments()[2].contains("### simdb apply: failed"));
    runner.environment.destroy();
}

#[test]
fn drift_opens_one_issue_keeps_it_up_to_date_and_closes_it() {
    let runner = Runner::new();
    let environment = &runner.environment;
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    runner.run("drift.yml", "").expect_code(0);
    assert_eq!(runner.issue(), None);
    let pid = fs::read_to_string(environment.data().join("orders/a/data-1/postmaster.pid")).unwrap();
    kill(
        Pid::from_raw(pid.lines().next().unwrap().parse().unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    runner.run("drift.yml", "").expect_code(0);
    let issue = runner.issue().unwrap();
    assert!(
        issue.contains("one object differs") && issue.contains("`cluster.orders.node.a`"),
        "{issue}"
    );
    runner.run("drift.yml", "").expect_code(0);
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    runner.run("drift.yml", "").expect_code(0);
    assert_eq!(runner.issue(), None);
    let calls = fs::read_to_string(runner.fake.join("calls")).unwrap();
    let count = |start: &str| calls.lines().filter(|line| line.starts_with(start)).count();
    let counts = ["issue create", "issue edit", "issue close"].map(count);
    assert_eq!(counts, [1, 1, 1], "{calls}");
    environment.destroy();
}
