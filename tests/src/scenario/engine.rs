//! A Docker Engine that one test has for itself, and may kill.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::containers::{HOST, daemon};
use super::machine::Machine;
use crate::environment::{Output, wait_until};

/// How often it is looked whether a daemon answers that is started to clean up.
const REVIVAL: u32 = 100;
const POLL: Duration = Duration::from_millis(200);

/// A daemon of its own, with the images of the one that all tests share.
#[derive(Debug)]
pub struct Engine {
    process: Child,
    directory: TempDir,
    /// The machine that it takes itself to be on, where that is not the one of the tests.
    machine: Option<Machine>,
}

impl Engine {
    /// Starts it, where the daemon that all tests share could be started.
    pub fn start() -> Option<Self> {
        Self::start_on(None)
    }

    /// Starts it on a machine of its own.
    pub fn start_on(machine: Option<Machine>) -> Option<Self> {
        let shared = daemon(HOST)?;
        // Sockets have short paths.
        let directory = TempDir::new_in("/var/tmp").expect("a directory can be made");
        let engine = Self {
            process: run(&directory, machine.as_ref()),
            directory,
            machine,
        };
        engine.wait();
        let images = engine.directory.path().join("images.tar");
        let path = images.display().to_string();
        let docker = |host: &str, arguments: &[&str]| {
            let output = Output::of(Command::new("docker").args(["--host", host]).args(arguments));
            assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
            output.stdout
        };
        let tags = docker(&shared, &["images", "postgres", "--format", "{{.Repository}}:{{.Tag}}"]);
        let save: Vec<&str> = ["save", "--output", &path]
            .into_iter()
            .chain(tags.split_whitespace())
            .collect();
        docker(&shared, &save);
        docker(&engine.host(), &["load", "--input", &path]);
        fs::remove_file(&images).expect("it was written");
        Some(engine)
    }

    /// Returns the address of its machine, where that is not the one of the tests.
    pub fn address(&self) -> String {
        let machine = self.machine.as_ref().expect("it has a machine of its own");
        machine.address.to_string()
    }

    /// Returns where it listens.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    fn wait(&self) {
        wait_until("the engine answers", || {
            Output::of(Command::new("docker").args(["--host", &self.host(), "version"])).code == Some(0)
        });
    }

    /// Ends the daemon with a signal. Its containers may go on.
    pub fn stop(&mut self, signal: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.expect("kill can be started").success());
        self.process.wait().expect("it is a child");
    }

    /// Starts it again, with what it had.
    pub fn restart(&mut self) {
        self.forget_processes();
        self.process = run(&self.directory, self.machine.as_ref());
        self.wait();
    }
}

fn run(directory: &TempDir, machine: Option<&Machine>) -> Child {
    let path = |name: &str| directory.path().join(name);
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path("log"))
        .expect("the log can be written");
    let mut command = machine.map_or_else(|| Command::new("dockerd"), |machine| machine.command("dockerd"));
    // One that shares the machine of the tests leaves the kernel's filter as it is.
    if machine.is_none() {
        command.args(["--iptables=false", "--ip-forward=false"]);
    }
    command
        .arg("--host")
        .arg(format!("unix://{}", path("docker.sock").display()))
        .arg("--data-root")
        .arg(path("data"))
        .arg("--exec-root")
        .arg(path("exec"))
        .arg("--pidfile")
        .arg(path("docker.pid"))
        .args(["--bridge=none", "--ip6tables=false"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("dockerd can be started")
}

impl Engine {
    /// Starts a daemon that was killed once more: what it left goes with its help alone, its containers and the interfaces of its
    /// networks.
    fn revive(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            return;
        }
        self.forget_processes();
        self.process = run(&self.directory, self.machine.as_ref());
        for _ in 0..REVIVAL {
            if Output::of(Command::new("docker").args(["--host", &self.host(), "version"])).code == Some(0) {
                return;
            }
            thread::sleep(POLL);
        }
    }

    /// Removes the notes of processes that a killed daemon leaves, and would wait for where nobody reaped them yet.
    fn forget_processes(&self) {
        for note in ["docker.pid", "exec/containerd/containerd.pid"] {
            let _ = fs::remove_file(self.directory.path().join(note));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.revive();
        let docker =
            |arguments: &[&str]| Output::of(Command::new("docker").args(["--host", &self.host()]).args(arguments));
        for container in docker(&["ps", "--all", "--quiet"]).stdout.split_whitespace() {
            docker(&["rm", "--force", "--volumes", container]);
        }
        // The interfaces of its networks would outlive it.
        docker(&["network", "prune", "--force"]);
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.stop("TERM");
        }
        let below = self.directory.path().display().to_string();
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for mount in mounts.filter(|mount| mount.starts_with(&below)) {
            let _ = Command::new("umount").args(["-l", mount]).status();
        }
    }
}
