//! A project in a world of its own, and the binary that works in it.

use std::fs::{self, Permissions};
use std::io::Write;
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::leftovers::{files_below, listening_ports, processes_below};
use crate::redact::Redactions;
use crate::require::skip;

/// The first port of the first range: above those that services have, below those that systems give to clients.
const FIRST_PORT: u16 = 21_000;
/// How many ports one environment has.
const PORTS: u16 = 20;
/// How many ranges there are.
const RANGES: u16 = 500;
/// A directory in which the files of a test that failed are kept.
const KEEP: &str = "SIMDB_TEST_KEEP";
/// How long a condition that does not hold is left alone before it is looked at again.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a condition may take to come true.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// A project in a world of its own.
#[derive(Debug)]
pub struct TestEnvironment {
    root: TempDir,
    ports: RangeInclusive<u16>,
    /// Has the range's name for as long as the ports are ours.
    _claim: UnixListener,
}

/// What a command left: its output as it was written, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Its exit code; absent where a signal ended it.
    pub code: Option<i32>,
}

impl Output {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        command.output().expect("the program can be started").into()
    }

    /// Returns the words of both, one space between them: where lines break depends on the lengths of paths.
    pub fn text(&self) -> String {
        let words = self.stdout.split_whitespace().chain(self.stderr.split_whitespace());
        words.filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    }

    /// Asserts that the command ended with this exit code.
    #[track_caller]
    pub fn expect_code(&self, code: i32) {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

impl Default for TestEnvironment {
    fn default() -> Self {
        Self::new()
    }
}

impl TestEnvironment {
    /// Makes an empty project.
    pub fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("simdb-test-")
            .tempdir()
            .expect("temporary directories can be made");
        // Servers run as another user where the test runs as root.
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).expect("the directory is ours");
        let (ports, claim) = claim_ports();
        let environment = Self {
            root,
            ports,
            _claim: claim,
        };
        for directory in [environment.project(), environment.home()] {
            fs::create_dir(directory).expect("the directory is ours");
        }
        environment
    }

    /// Makes a project of one file, `main.simdb.hcl`, after the `provider` block that keeps it to this environment.
    pub fn with_configuration(text: &str) -> Self {
        let environment = Self::new();
        environment.write("main.simdb.hcl", text);
        environment.write("provider.simdb.hcl", &environment.provider());
        environment
    }

    /// Returns the `provider` block that keeps data and ports to this environment.
    pub fn provider(&self) -> String {
        let (first, last) = (self.ports.start(), self.ports.end());
        let data = self.data();
        format!(
            "provider \"local\" {{\n  data_root  = \"{}\"\n  port_range = \"{first}-{last}\"\n}}\n",
            data.display()
        )
    }

    /// Lets simdb take an engine's programs from a directory.
    pub fn use_binaries(&self, directory: &str) {
        let binaries = format!("  binaries   = [\"{directory}\"]\n}}\n");
        self.write("provider.simdb.hcl", &self.provider().replace("}\n", &binaries));
    }

    /// Returns the directory that simdb works in.
    pub fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// Returns the home directory that simdb sees.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// Returns the directory that servers' data is kept in.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Returns the ports that nodes may have.
    pub fn ports(&self) -> RangeInclusive<u16> {
        self.ports.clone()
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.project().join(name), text).expect("the project is ours");
    }

    /// Returns simdb with these arguments, to be run in the project: no terminal, no colour, nobody else's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(&program("simdb"), arguments)
    }

    /// Returns another program, to be run like simdb.
    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.project()).env_clear();
        for name in ["PATH", "LD_LIBRARY_PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.home())
            .env("XDG_CONFIG_HOME", self.home().join(".config"))
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    /// Runs simdb to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments))
    }

    /// Runs simdb to its end, which is a success.
    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        output.expect_code(0);
        output
    }

    /// Runs simdb, and asserts that it fails and says a text, wherever it breaks its lines.
    #[track_caller]
    pub fn refuses(&self, arguments: &[&str], text: &str) {
        let output = self.run(arguments);
        output.expect_code(1);
        let said = output.text().replace("\n│ ", " ");
        assert!(said.contains(text), "no {text:?} in {said}");
    }

    /// Runs simdb with something on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("simdb can be started");
        // A command that ends without reading closes the pipe; that is its right.
        let _ = child
            .stdin
            .take()
            .expect("standard input is a pipe")
            .write_all(input.as_bytes());
        child.wait_with_output().expect("simdb can be waited for").into()
    }

    /// Returns a text without what differs from run to run: directories, ports, times, positions, identifiers.
    pub fn redact(&self, text: &str) -> String {
        Redactions {
            directories: vec![
                (self.project(), "[PROJECT]"),
                (self.home(), "[HOME]"),
                (self.data(), "[DATA]"),
                (self.root.path().to_owned(), "[ROOT]"),
            ],
            ports: self.ports(),
        }
        .apply(text)
    }

    /// Removes everything, and asserts that nothing is left.
    #[track_caller]
    pub fn destroy(&self) {
        self.run(&["destroy", "-auto-approve", "-allow=data-loss"])
            .expect_code(0);
        self.assert_nothing_left();
    }

    /// Asserts that no server of this environment is left: no process, no listening port, no file of data.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let processes = processes_below(self.root.path());
        assert!(processes.is_empty(), "processes are left: {processes:?}");
        let ports: Vec<_> = listening_ports()
            .into_iter()
            .filter(|port| self.ports.contains(port))
            .collect();
        assert!(ports.is_empty(), "ports are left: {ports:?}");
        let files = files_below(&self.data());
        assert!(files.is_empty(), "files are left: {files:?}");
    }
}

/// Waits for a condition; what is waited for stands in the message of the failure.
#[track_caller]
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        thread::sleep(PAUSE);
    }
}

impl Drop for TestEnvironment {
    /// Ends every process of the environment, whose files are kept where that is asked for and the test has failed. A server that is killed leaves shared memory behind, so each is asked to
    /// end at once first.
    fn drop(&mut self) {
        if let Some(directory) = std::env::var_os(KEEP).filter(|_| thread::panicking()) {
            // Where it cannot be kept, the test has failed all the same.
            let _ = Command::new("cp")
                .arg("-a")
                .arg(self.root.path())
                .arg(directory)
                .status();
        }
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            let left = processes_below(self.root.path());
            if left.is_empty() {
                return;
            }
            let patient = start.elapsed() < LIMIT / 4;
            for process in left.into_iter().map(Pid::from_raw) {
                // It may have ended by itself since.
                let _ = kill(process, if patient { Signal::SIGQUIT } else { Signal::SIGKILL });
                let _ = kill(process, Signal::SIGCONT);
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Takes the first range of ports that nobody has: not another test (it has the range's name), and not a server that was
/// there before. Names of this kind belong to a network, as ports do, and leave no file.
fn claim_ports() -> (RangeInclusive<u16>, UnixListener) {
    let busy = listening_ports();
    (0..RANGES)
        .map(|range| FIRST_PORT + range * PORTS)
        .map(|first| first..=first + PORTS - 1)
        .filter(|ports| !busy.iter().any(|port| ports.contains(port)))
        .find_map(|ports| {
            let name = SocketAddr::from_abstract_name(format!("simdb-test-ports-{}", ports.start())).ok()?;
            Some((ports, UnixListener::bind_addr(&name).ok()?))
        })
        .expect("some range of ports is free")
}

/// Returns the path of simdb.
#[track_caller]
pub fn simdb() -> PathBuf {
    program("simdb")
}

/// Returns the path of a program of ours: beside the directory of the test's own binary, where cargo puts it.
#[track_caller]
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test knows its own path");
    let path = own
        .ancestors()
        .skip(1)
        .map(|directory| directory.join(name))
        .find(|path| is_program(path));
    path.unwrap_or_else(|| {
        panic!(
            "{name} is not built beside {}: run `make test`, or `cargo build -p simdb` first",
            own.display()
        )
    })
}

/// Returns whether PgBouncer is installed; where it is not, says so.
pub fn has_pgbouncer() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = places
        .map(|place| place.join("pgbouncer"))
        .any(|path| is_program(&path));
    if !found {
        skip("there is no program \"pgbouncer\"; `make setup` installs it");
    }
    found
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_environments_share_no_port() {
        let (one, other) = (TestEnvironment::new(), TestEnvironment::new());
        assert!(one.ports().all(|port| !other.ports().contains(&port)));
    }

    #[test]
    fn a_range_in_which_a_server_listens_is_not_taken() {
        let first = TestEnvironment::new();
        let port = *first.ports().start();
        // Before the range is given back, so that nobody else can have taken it.
        let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        drop(first);
        let next = TestEnvironment::new();
        assert!(!next.ports().contains(&port));
    }

    #[test]
    fn an_environment_that_goes_takes_its_processes_along() {
        let environment = TestEnvironment::new();
        let root = environment.root.path().to_owned();
        let mut child = Command::new("sleep")
            .arg("600")
            .current_dir(environment.project())
            .spawn()
            .unwrap();
        wait_until("the child is there", || !processes_below(&root).is_empty());
        let found = std::panic::catch_unwind(|| environment.assert_nothing_left());
        assert!(found.is_err(), "a process that is left must be found");
        drop(environment);
        assert!(!child.wait().unwrap().success());
        assert!(processes_below(&root).is_empty());
    }
}
