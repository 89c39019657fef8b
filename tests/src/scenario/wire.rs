//! The way to a daemon, with somebody on the line who counts requests, and kills simdb at one of them.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::containers::{HOST, daemon};

/// What requests that change something begin with.
const CHANGES: [&[u8]; 3] = [b"POST ", b"PUT ", b"DELETE "];

/// A socket that leads to the daemon that all tests share.
#[derive(Debug)]
pub struct Wire {
    directory: TempDir,
    count: Arc<Mutex<Count>>,
}

/// The requests of one simdb that change something.
#[derive(Debug, Default)]
struct Count {
    seen: usize,
    /// Which of them is its last, and whose it is.
    last: Option<usize>,
    process: Option<Pid>,
}

impl Wire {
    /// Listens, where there is a daemon.
    pub fn new() -> Option<Self> {
        let host = daemon(HOST)?;
        let there = PathBuf::from(host.strip_prefix("unix://").expect("the daemon has a socket"));
        // Sockets have short paths.
        let directory = TempDir::new_in("/var/tmp").expect("a directory can be made");
        let listener = UnixListener::bind(directory.path().join("wire.sock")).expect("the socket is new");
        let count = Arc::new(Mutex::new(Count::default()));
        let counted = Arc::clone(&count);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = UnixStream::connect(&there) {
                    connect(&client, &server, &counted);
                }
            }
        });
        Some(Self { directory, count })
    }

    /// Returns where it listens.
    pub fn host(&self) -> String {
        format!("unix://{}", self.directory.path().join("wire.sock").display())
    }

    /// Runs simdb to its end, or kills it as soon as it has sent so many requests that change something. Returns how many it sent, and
    /// whether it was killed.
    pub fn run(&self, mut command: Command, last: Option<usize>) -> (usize, bool) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("simdb can be started");
        let process = i32::try_from(child.id()).expect("it is a process number");
        *count = Count {
            seen: 0,
            last,
            process: Some(Pid::from_raw(process)),
        };
        drop(count);
        let ended = child.wait().expect("it is a child");
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.process = None;
        (count.seen, ended.code().is_none())
    }
}

/// Lets both sides of a connection hear each other.
fn connect(client: &UnixStream, server: &UnixStream, count: &Arc<Mutex<Count>>) {
    let pair = || Some((client.try_clone().ok()?, server.try_clone().ok()?));
    let (Some((from_client, to_server)), Some((to_client, from_server))) = (pair(), pair()) else {
        return;
    };
    let count = Arc::clone(count);
    thread::spawn(move || copy(from_client, to_server, |piece| count_request(&count, piece)));
    thread::spawn(move || copy(from_server, to_client, |_| ()));
}

fn copy(mut from: UnixStream, mut to: UnixStream, after: impl Fn(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
        after(&buffer[..length]);
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Counts a request that was passed on, and kills who sent it where it is the last.
fn count_request(count: &Mutex<Count>, piece: &[u8]) {
    if !CHANGES.iter().any(|method| piece.starts_with(method)) {
        return;
    }
    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
    count.seen += 1;
    if let (Some(process), true) = (count.process, Some(count.seen) == count.last) {
        let _ = signal::kill(process, Signal::SIGKILL);
    }
}
