//! Images of their own for clusters in containers, and a registry that has them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::containers::{HOST, daemon};
use crate::environment::{Output, TestEnvironment};

/// As whom the registry of the tests is asked.
const USER: &str = "reader";
const PASSWORD: &str = "?>~swordfish";

/// An image of a name that no other test has.
#[derive(Debug)]
pub struct Image {
    host: String,
    /// Without what stands for the version.
    repository: String,
    /// The major version that it has.
    pub version: u16,
    /// When it is fetched, where it is to be fetched.
    pub pull: Option<&'static str>,
}

impl Image {
    /// Makes the image from the newest that the daemon has.
    pub fn new(repository: String) -> Option<Self> {
        let host = daemon(HOST)?;
        let mut image = Self {
            host,
            repository,
            version: 0,
            pull: None,
        };
        let tags = image.docker(&["images", "postgres", "--format", "{{.Tag}}"]);
        let newest = tags.lines().filter_map(|tag| tag.parse().ok()).max();
        image.version = newest.expect("the daemon has images of versions");
        image.docker(&["tag", &format!("postgres:{}", image.version), &image.name()]);
        Some(image)
    }

    /// Returns its name.
    pub fn name(&self) -> String {
        format!("{}:{}", self.repository, self.version)
    }

    /// Makes another image of the same name.
    pub fn renew(&self, label: &str) {
        let mut build = Command::new("docker")
            .args(["--host", &self.host, "build", "--quiet", "--tag", &self.name(), "-"])
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker can be started");
        let mut input = build.stdin.take().expect("it is piped");
        write!(input, "FROM postgres:{}\nLABEL test={label}\n", self.version).expect("it is read");
        drop(input);
        assert!(build.wait().expect("it is a child").success());
    }

    /// Lets simdb make containers from it.
    pub fn declare(&self, environment: &TestEnvironment) {
        let Self {
            host, repository, pull, ..
        } = self;
        let pull = pull.map(|pull| format!("  pull  = \"{pull}\"\n")).unwrap_or_default();
        let provider =
            format!("provider \"docker\" {{\n  host  = \"{host}\"\n  image = \"{repository}:{{version}}\"\n{pull}}}\n");
        environment.write("provider.simdb.hcl", &provider);
    }

    /// Runs the daemon's own command, which must do what it is told.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = Output::of(Command::new("docker").args(["--host", &self.host]).args(arguments));
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        output.stdout
    }
}

/// A registry that lets in who has its password (`tests/support/registry.py`).
#[derive(Debug)]
pub struct Registry {
    process: Child,
    /// Where it listens.
    pub address: String,
}

impl Registry {
    /// Starts it.
    pub fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/support/registry.py");
        let mut process = Command::new("python3")
            .args([script, USER, PASSWORD])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 can be started");
        let mut port = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut port).expect("it prints its port");
        let address = format!("127.0.0.1:{}", port.trim());
        Self { process, address }
    }

    /// Lets the Docker CLI of a home directory, and simdb as it, know the password.
    pub fn log_in(&self, home: &Path) {
        let output = Command::new("python3")
            .args([
                "-c",
                "import base64, sys; print(base64.b64encode(sys.argv[1].encode()).decode())",
            ])
            .arg(format!("{USER}:{PASSWORD}"))
            .output()
            .expect("python3 can be started");
        let auth = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let directory = home.join(".docker");
        fs::create_dir_all(&directory).expect("the directory can be made");
        let config = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}", self.address);
        fs::write(directory.join("config.json"), config).expect("the file can be written");
    }

    /// Gives it an image, and takes that from the daemon.
    pub fn push(&self, image: &Image) {
        let home = tempfile::tempdir().expect("a directory can be made");
        self.log_in(home.path());
        let output = Output::of(
            Command::new("docker")
                .args(["--host", &image.host, "push", "--quiet", &image.name()])
                .env("HOME", home.path())
                .env_remove("DOCKER_CONFIG"),
        );
        assert_eq!(output.code, Some(0), "{output:?}");
        image.docker(&["rmi", &image.name()]);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
