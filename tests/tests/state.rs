//! The state under attack: recognised before anything is written, nothing lost, and a way out in every message.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use rusqlite::Connection;
use simdb_tests::{Output, TestEnvironment, skip};

/// What needs no server, and has a secret.
const PLAIN: &str = r#"variable "word" { default = "first" }

network "lan" {}

output "word" { value = var.word }
output "token" {
  value     = "hush-hush"
  sensitive = true
}
"#;

const SERVER: &str = r#"network "lan" {}

cluster "c" {
  network = network.lan
  engine "postgresql" {}
  node "a" {}
}
"#;

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-allow=data-loss"];

fn applied(configuration: &str) -> (TestEnvironment, PathBuf) {
    let environment = TestEnvironment::with_configuration(configuration);
    environment.run(&APPLY).expect_code(0);
    let state = environment.project().join(".simdb/state.db");
    // What a process leaves in the log when it ends in a hurry goes into the file that is attacked.
    let rows = Connection::open(&state).unwrap();
    rows.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    rows.close().unwrap();
    (environment, state)
}

/// Changes some bytes of a file.
fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

/// Every file of the project, with what it holds.
fn files(environment: &TestEnvironment) -> Vec<(PathBuf, Vec<u8>)> {
    let files = simdb_tests::files_below(&environment.project()).into_iter();
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[track_caller]
fn assert_says(output: &Output, phrases: &[&str]) {
    let text = output.text();
    for phrase in phrases {
        assert!(text.contains(phrase), "{phrase:?} is not said: {text}");
    }
}

/// What happened, how, and what is said about it.
type Attack<'a> = (&'a str, &'a dyn Fn(), &'a [&'a str]);

#[test]
fn a_file_that_is_not_what_it_must_be_is_refused_by_every_command_and_left_as_it_is() {
    let (environment, state) = applied(PLAIN);
    let whole = fs::read(&state).unwrap();
    let backup = "Put a backup in its place";
    let cases: &[Attack<'_>] = &[
        (
            "it is cut off",
            &|| File::options().write(true).open(&state).unwrap().set_len(5000).unwrap(),
            &["It is cut off: 5000 bytes of", backup],
        ),
        ("it is empty", &|| fs::write(&state, "").unwrap(), &["cut off", backup]),
        (
            "it is a text",
            &|| fs::write(&state, "cluster \"orders\" {}\n".repeat(50)).unwrap(),
            &["no SQLite file, and is no state of simdb", "The file was left as it is"],
        ),
        (
            "it is another program's",
            &|| {
                fs::remove_file(&state).unwrap();
                let foreign = Connection::open(&state).unwrap();
                foreign.execute_batch("CREATE TABLE customers (name TEXT)").unwrap();
            },
            &[
                "belongs to another program",
                "Give `path` in the `state` block another name",
            ],
        ),
        (
            "a later version laid it out",
            &|| patch(&state, 60, &3u32.to_be_bytes()),
            &["format 3, and this simdb knows formats up to 2", "Use the newer simdb"],
        ),
        (
            "a later version wrote its rows",
            &|| {
                let rows = Connection::open(&state).unwrap();
                let newer = r#"{"format":4,"whatever":"else"}"#;
                rows.execute(
                    "UPDATE rows SET bytes = ?1 WHERE key = 'meta/record'",
                    [newer.as_bytes()],
                )
                .unwrap();
            },
            &["format 4, and this simdb knows formats up to 3", "Use the newer simdb"],
        ),
    ];
    for (what, attack, phrases) in cases {
        attack();
        let before = files(&environment);
        let commands: [&[&str]; 6] = [
            &["plan"],
            &APPLY,
            &DESTROY,
            &["status"],
            &["state", "list"],
            &["force-unlock", "-force", "0123"],
        ];
        for command in commands {
            let output = environment.run(command);
            assert_eq!(output.code, Some(1), "{what}: {command:?}: {}", output.text());
            assert_says(&output, phrases);
        }
        assert!(files(&environment) == before, "{what}: a file was touched");
        fs::write(&state, &whole).unwrap();
        environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    }
}

#[test]
fn a_damaged_page_is_found_before_the_lock_is_taken() {
    let (environment, state) = applied(PLAIN);
    let pages = fs::metadata(&state).unwrap().len() / 4096;
    let whole = fs::read(&state).unwrap();
    for page in 1..pages {
        patch(&state, usize::try_from(page * 4096).unwrap(), &[0xff; 64]);
        let damaged = fs::read(&state).unwrap();
        let output = environment.run(&["apply", "-auto-approve", "-var=word=second"]);
        assert_eq!(output.code, Some(1), "page {page}: {}", output.text());
        assert_says(&output, &["damaged", "Put a backup in its place"]);
        assert!(
            fs::read(&state).unwrap() == damaged,
            "page {page}: the file was touched"
        );
        fs::write(&state, &whole).unwrap();
    }
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
}

#[test]
fn a_read_only_state_is_planned_with_and_not_written() {
    let (environment, state) = applied(PLAIN);
    fs::set_permissions(&state, Permissions::from_mode(0o400)).unwrap();
    let before = files(&environment);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    assert_eq!(environment.run(&["output", "-raw", "token"]).stdout, "hush-hush");
    let output = environment.run(&["apply", "-auto-approve", "-var=word=second"]);
    output.expect_code(1);
    assert_says(&output, &["It is read-only", "Give your user write permission"]);
    assert!(files(&environment) == before, "a file was touched");
}

#[test]
fn without_its_key_the_state_is_shown_and_changes_nothing_until_the_key_is_back() {
    let (environment, _) = applied(SERVER);
    let keys = environment.home().join(".config/simdb/keys");
    let key = fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    let kept = fs::read(&key).unwrap();
    let recorded = environment.run(&["show"]).stdout;
    let refused = |phrases: &[&str]| {
        for command in [&["plan"][..], &APPLY, &DESTROY] {
            let output = environment.run(command);
            assert_eq!(output.code, Some(1), "{command:?}: {}", output.text());
            assert_says(&output, phrases);
        }
        let rekey = environment.run(&["state", "rekey", "-force"]);
        rekey.expect_code(1);
        assert_says(&rekey, phrases);
        assert_says(
            &rekey,
            &["Failed to lock the secrets by another key", "If it is lost for good"],
        );
        let status = environment.run(&["status"]);
        assert_says(&status, phrases);
        assert_says(&status, &["cluster.c", "Warning:"]);
        assert_eq!(environment.run(&["show"]).stdout, recorded);
    };
    fs::remove_file(&key).unwrap();
    refused(&["is missing", "Copy it from that machine, or from a backup"]);
    fs::write(&key, "00".repeat(32)).unwrap();
    refused(&[
        "does not hold the key of this state",
        "Put the key that was made together with this state back",
    ]);
    fs::write(&key, &kept).unwrap();
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

#[test]
fn another_key_takes_the_place_of_the_one_there_is_and_every_password_stays() {
    let users = SERVER.replace(
        "node \"a\" {}",
        "node \"a\" {}\n  user \"made\" {}\n  user \"given\" { password = \"swordfish\" }",
    );
    let output = "output \"made\" {\n  value     = cluster.c.user.made.password\n  sensitive = true\n}\n";
    let (environment, _) = applied(&format!("{users}\n{output}"));
    let password = environment.run(&["output", "-raw", "made"]).stdout;
    let asked = environment.run(&["state", "rekey"]);
    asked.expect_code(1);
    assert_says(&asked, &["No terminal to ask", "add -force"]);

    let with = |passphrase: &str, next: &str, arguments: &[&str]| {
        let mut command = environment.command(arguments);
        command.env("SIMDB_STATE_PASSPHRASE", passphrase);
        command.env("SIMDB_STATE_NEW_PASSPHRASE", next);
        Output::of(&mut command)
    };
    let rekey = |passphrase: &str, next: &str, phrases: &[&str]| {
        let rekeyed = with(passphrase, next, &["state", "rekey", "-force"]);
        rekeyed.expect_code(0);
        assert_says(&rekeyed, phrases);
        assert_eq!(with(next, "", &["output", "-raw", "made"]).stdout, password);
        let plan = with(next, "", &["plan", "-detailed-exitcode"]);
        assert_eq!(plan.code, Some(0), "{}", plan.text());
    };
    rekey(
        "",
        "",
        &["locked by a new key file", "opened by the former key file", ".old"],
    );
    let by_passphrase = [
        "locked by the passphrase in SIMDB_STATE_NEW_PASSPHRASE",
        "Set SIMDB_STATE_PASSPHRASE to it",
    ];
    rekey("", "correct horse", &by_passphrase);
    let refused = environment.run(&["state", "rekey", "-force"]);
    refused.expect_code(1);
    assert_says(&refused, &["locked by a passphrase, and none was given"]);
    rekey("correct horse", "battery staple", &by_passphrase);
    rekey("battery staple", "", &["locked by a new key file"]);
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

#[test]
fn rows_that_belong_to_nothing_are_shown_and_removed_when_asked_to() {
    let (environment, state) = applied(SERVER);
    environment.run(&["state", "repair"]).expect_code(0);
    let edit = |statement: &str| {
        let rows = Connection::open(&state).unwrap();
        assert!(rows.execute(statement, []).unwrap() > 0, "{statement}");
    };
    let copy = "INSERT INTO rows SELECT replace(key, 'cluster.c', 'cluster.lost'), version, bytes FROM rows WHERE key";
    edit(&format!("{copy} LIKE 'object/cluster.c.%'"));
    edit("INSERT INTO rows SELECT 'election/lost', version, bytes FROM rows WHERE key = 'election/c'");
    edit("INSERT INTO rows SELECT 'secret/output.lost', version, bytes FROM rows WHERE key LIKE 'secret/%' LIMIT 1");
    let recorded = environment.run(&["state", "list"]).stdout;
    assert!(recorded.contains("cluster.lost.node.a"), "{recorded}");

    let asked = environment.run(&["state", "repair"]);
    asked.expect_code(1);
    let dangling = [
        "cluster.lost.node.a: its cluster is not recorded",
        "cluster.lost.user.replicator: its cluster is not recorded",
        "the election of cluster.lost: it is not recorded",
        "the secret value of output.lost: it is not recorded",
    ];
    assert_says(&asked, &dangling);
    assert_says(&asked, &["No terminal to ask", "add -force"]);
    assert_eq!(environment.run(&["state", "list"]).stdout, recorded);

    let repaired = environment.run(&["state", "repair", "-force"]);
    repaired.expect_code(0);
    assert_says(&repaired, &["Removed 4 rows."]);
    assert!(!environment.run(&["state", "list"]).stdout.contains("lost"));
    assert_says(&environment.run(&["state", "repair"]), &["Nothing belongs to"]);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    environment.run(&["status"]).expect_code(0);
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

/// Runs simdb on a disk that has less and less room, in a namespace of its own that takes the disk along.
const FULL_DISK: &str = r#"
set -u
cp -a .simdb kept && rm -r .simdb && mkdir -m 700 .simdb || exit 77
mount -t tmpfs -o size=256k,mode=700 tmpfs .simdb || exit 77
cp -a kept/. .simdb/ || exit 77
full=0
last=first
for room in 0 4 8 16 24 32 36 40 44 48 52 56 60 64 96; do
    head -c 1m /dev/zero > .simdb/filler 2>/dev/null
    truncate -s -${room}k .simdb/filler
    said=$("$SIMDB" apply -auto-approve -var=word=$room 2>&1)
    code=$?
    rm .simdb/filler
    now=$("$SIMDB" output -raw word) || { echo "$said"; exit 1; }
    if [ $code = 0 ]; then
        [ "$now" = $room ] || { echo "lost: $now at $room"; exit 1; }
    else
        full=$((full + 1))
        case "$said" in *"There is no space left"*"Free some space"*) ;; *) echo "$said"; exit 1 ;; esac
        # Where only giving the lock back found no room, everything was recorded before.
        [ "$now" = $room ] || [ "$now" = $last ] || { echo "neither $last nor $room: $now"; exit 1; }
    fi
    last=$now
    "$SIMDB" plan -detailed-exitcode -var=word="$now" || exit 1
done
[ $code = 0 ] && [ $full -gt 3 ] && echo "full $full times"
"#;

#[test]
fn a_full_disk_leaves_the_record_as_it_was() {
    if !geteuid().is_root() {
        skip("only root can mount a small disk");
        return;
    }
    let (environment, _) = applied(PLAIN);
    let simdb = environment.command(&[]).get_program().to_owned();
    let mut command = environment.command_of(Path::new("unshare"), &["--mount", "sh", "-c", FULL_DISK]);
    let output = Output::of(command.env("SIMDB", simdb));
    if matches!(output.code, Some(77)) || output.stderr.contains("unshare failed") {
        skip(&format!("no small disk can be mounted here: {}", output.stderr));
        return;
    }
    output.expect_code(0);
    assert_says(&output, &["full"]);
}
