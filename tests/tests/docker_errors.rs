//! What goes wrong on machines that containers run on: a disk that is full, memory that is short, a socket that is closed. Each is told
//! with what to do about it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use simdb_tests::contained::PAIR;
use simdb_tests::{Output, Scenario, first, simdb, wait_until};

/// A file system in a file.
struct Disk {
    file: tempfile::NamedTempFile,
    device: String,
}

impl Disk {
    /// Makes a small one, where the machine has what it takes.
    fn new(megabytes: u64) -> Option<Self> {
        let file = tempfile::NamedTempFile::new_in("/var/tmp").expect("a file can be made");
        file.as_file().set_len(megabytes << 20).expect("it can be long");
        let path = file.path().display().to_string();
        let run = |program: &str, arguments: &[&str]| Output::of(Command::new(program).args(arguments));
        assert_eq!(run("mkfs.ext4", &["-q", "-m", "0", &path]).code, Some(0));
        let device = run("losetup", &["--find", "--show", &path]);
        if device.code != Some(0) {
            simdb_tests::skip(&format!("losetup: {}", device.text()));
            return None;
        }
        let device = device.stdout.trim().to_owned();
        Some(Self { file, device })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
        let _ = fs::remove_file(self.file.path());
    }
}

#[test]
fn a_volume_that_is_full_is_told_and_its_node_is_made_once_there_is_room() {
    let Some(disk) = Disk::new(24) else { return };
    let Some(mut scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    let name = scenario.container("r[1]");
    let labels = [
        "dev.simdb.format=1".to_owned(),
        format!("dev.simdb.lineage={}", scenario.lineage()),
        "dev.simdb.kind=home".to_owned(),
        "dev.simdb.address=cluster.orders.node.r[1]".to_owned(),
    ];
    let mut create = vec!["volume", "create", "--opt", "type=ext4", "--opt"];
    let device = format!("device={}", disk.device);
    create.push(&device);
    for label in &labels {
        create.extend(["--label", label]);
    }
    create.push(&name);
    scenario.docker(&create);
    let larger = PAIR.replace("count = 1", "count = 2");
    scenario.declare(&larger);
    let apply = ["apply", "-auto-approve"];
    scenario.expect_refusal(&apply, "No space left on device");
    scenario.expect_refusal(&apply, "docker system df");
    // Somebody takes the small disk away.
    for container in ["home", "task"].map(|kind| format!("{name}.{kind}")) {
        let listed = scenario.docker(&["ps", "--all", "--quiet", "--filter", &format!("name=^/{container}$")]);
        if !listed.is_empty() {
            scenario.docker(&["rm", "--force", &container]);
        }
    }
    scenario.docker(&["volume", "rm", &name]);
    scenario.apply(&larger);
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn a_server_that_needs_more_memory_than_it_may_have_is_told_with_its_limit() {
    let Some(scenario) = Scenario::in_containers("  node \"a\" { memory = \"96MB\" }\n") else {
        return;
    };
    let greedy = "SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 300000)";
    assert_eq!(scenario.answer("a", greedy), None, "its session was killed");
    wait_until("the server is back", || scenario.answer("a", "SELECT 1").is_some());
    // While it recovers it says so to everybody who asks.
    let said = scenario.simdb(&["logs", "orders.a", "-lines", "10000"]).text();
    assert!(
        said.contains("needs more memory than the 96 MB that it may have"),
        "{said}"
    );
    scenario.simdb(&["plan", "-detailed-exitcode"]);
    scenario.destroy_containers();
}

#[test]
fn a_socket_that_is_closed_to_somebody_is_told_with_the_group_to_join() {
    let Some(scenario) = Scenario::in_containers("  node \"a\" {}\n") else {
        return;
    };
    let stranger = tempfile::tempdir_in("/var/tmp").expect("a directory can be made");
    let give = |path: &Path, mode: u32| {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("the test is root");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    give(stranger.path(), 0o755);
    for file in ["main.simdb.hcl", "provider.simdb.hcl"] {
        let copy = stranger.path().join(file);
        fs::copy(scenario.environment.project().join(file), &copy).expect("it was written");
        give(&copy, 0o644);
    }
    let program = stranger.path().join("simdb");
    fs::copy(simdb(), &program).expect("it was built");
    give(&program, 0o755);
    // The way to the socket is open, and the socket is not.
    let socket = scenario
        .host()
        .strip_prefix("unix://")
        .map(Path::new)
        .expect("it has one")
        .to_owned();
    let above = socket.parent().expect("it is in a directory");
    let before = fs::metadata(above).expect("it is there").permissions();
    fs::set_permissions(above, fs::Permissions::from_mode(0o711)).expect("the test is root");
    let output = Output::of(
        Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&program)
            .arg("plan")
            .env("HOME", stranger.path())
            .current_dir(stranger.path()),
    );
    fs::set_permissions(above, before).expect("the test is root");
    let said = output.text();
    assert_eq!(output.code, Some(1), "{said}");
    assert!(
        said.contains("permission denied") && said.contains("usermod -aG docker"),
        "{said}"
    );
    scenario.destroy_containers();
}

/// Who owns nothing.
const NOBODY: u32 = 65534;
