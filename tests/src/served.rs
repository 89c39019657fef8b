//! A monitor whose API is asked.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::environment::{TestEnvironment, wait_until};

/// The token of the API in tests.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A monitor with an API; it is ended when it is dropped.
#[derive(Debug)]
pub struct ServedMonitor {
    child: Child,
    /// Where it listens: `HOST:PORT`.
    pub address: String,
}

impl ServedMonitor {
    /// Starts the monitor of a project that says where its API listens.
    #[track_caller]
    pub fn start(environment: &TestEnvironment) -> Self {
        Self::start_with(environment, &[])
    }

    /// Starts it with more variables in its environment.
    #[track_caller]
    pub fn start_with(environment: &TestEnvironment, variables: &[(&str, &Path)]) -> Self {
        let log = environment.project().join("monitor.log");
        let child = environment
            .command(&["monitor"])
            .envs(variables.iter().copied())
            .stdout(File::create(environment.project().join("monitor.events")).expect("the monitor does its part"))
            .stderr(File::create(&log).expect("the monitor does its part"))
            .spawn()
            .expect("the monitor does its part");
        let address = || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let (_, rest) = text.split_once("The API is at ")?.1.split_once("://")?;
            rest.split_once('/').map(|(address, _)| address.to_owned())
        };
        wait_until("the API says where it is", || address().is_some());
        Self {
            child,
            address: address().expect("the monitor does its part"),
        }
    }

    /// Writes the token that a project names as `token_file = "token"`.
    pub fn give_token(environment: &TestEnvironment) {
        let path = environment.project().join("token");
        fs::write(&path, TOKEN).expect("the directory is ours");
        let own = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, own).expect("the file is ours");
    }

    /// Returns what it told: its events, a line each.
    pub fn events(environment: &TestEnvironment) -> String {
        fs::read_to_string(environment.project().join("monitor.events")).unwrap_or_default()
    }

    /// Asks for a path, and returns the code and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path}"), "", "")
    }

    /// Lets a path change something, with a token.
    pub fn post(&self, path: &str, token: &str, body: &str) -> (u16, String) {
        let headers = format!("Authorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len());
        self.ask(&format!("POST {path}"), &headers, body)
    }

    /// Tells it to read its token and its certificate anew.
    pub fn reload(&self) {
        let pid = i32::try_from(self.child.id()).expect("process numbers are small");
        kill(Pid::from_raw(pid), Signal::SIGHUP).expect("it runs");
    }

    fn ask(&self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the API listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(90)))
            .expect("the monitor does its part");
        let request = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n{body}",
            self.address
        );
        stream.write_all(request.as_bytes()).expect("the monitor does its part");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the monitor does its part");
        let (head, body) = answer.split_once("\r\n\r\n").expect("the monitor does its part");
        (
            head.split(' ')
                .nth(1)
                .expect("the monitor does its part")
                .parse()
                .expect("the monitor does its part"),
            body.to_owned(),
        )
    }

    /// Asks for a path, and returns the code.
    pub fn code(&self, path: &str) -> u16 {
        self.get(path).0
    }
}

impl Drop for ServedMonitor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
