//! Runs tasks, and settles those that a killed simdb left behind.
//!
//! Whoever changes a home holds `task.lock`. A task's commands inherit the lock as their standard input, so that it is
//! held as long as any of them lives, whatever became of simdb. `task.json` says who started them, and is written first:
//! when the lock is held and that process is gone, the holders are orphans, and are found by their standard input.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, killpg};
use serde::{Deserialize, Serialize};
use simdb_state::instance::TaskSpec;
use simdb_state::sensitive::Secrets;
use tokio::time::sleep;

use super::command::Program;
use super::files::{self, At};
use super::home::{FORMAT, Home, remove_whatever};
use super::process::{self, Identity};
use super::server;
use crate::platform::PlatformError;

const RECORD: &str = "task.json";

/// How often a lock that somebody else holds is tried.
const POLL: Duration = Duration::from_millis(20);

/// How long the lock of a home is waited for.
const LOCK_LIMIT: Duration = Duration::from_mins(1);

/// How long an orphan may go on whose work is not lost: it changes data in place, and half of that is worth nothing.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(50);

/// How long an orphan may take to end by itself when told to.
const TERMINATE_LIMIT: Duration = Duration::from_secs(2);

/// How many lines of what a command wrote an error carries.
const ERROR_LINES: usize = 20;

/// The task that was last started, and by whom.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    task: String,
    product: Option<String>,
    owner: Option<Identity>,
}

/// How long orphans of an earlier simdb may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orphans {
    /// Until they are done, where their work counts. The product of an orphan never does: nobody would rename it.
    Finish,
    /// Not at all.
    End,
}

/// Takes the lock of a home. It is released when the file is closed here and by all commands that inherited it.
pub(super) async fn lock(home: &Home, orphans: Orphans) -> Result<File, PlatformError> {
    let path = home.lock();
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW);
    let file = options.open(&path).at("open lock", &path)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error).at("lock file", &path),
        }
        let waited = started.elapsed();
        if waited > LOCK_LIMIT {
            let node = home.node.clone();
            return Err(PlatformError::Busy {
                node,
                limit: LOCK_LIMIT,
            });
        }
        end_orphans(home, orphans, waited);
        sleep(POLL).await;
    }
}

fn end_orphans(home: &Home, orphans: Orphans, waited: Duration) {
    let Some(record) = home.read_record::<Record>(RECORD) else {
        return;
    };
    if record.owner.is_some_and(|owner| owner.alive().is_some()) {
        return;
    }
    let patience = match orphans {
        Orphans::Finish if record.product.is_none() => ORPHAN_PATIENCE,
        Orphans::Finish | Orphans::End => Duration::ZERO,
    };
    let Some(over) = waited.checked_sub(patience) else {
        return;
    };
    let signal = if over < TERMINATE_LIMIT {
        Signal::SIGTERM
    } else {
        Signal::SIGKILL
    };
    for orphan in process::started_with(&home.lock()) {
        orphan.signal(signal);
    }
}

/// Runs a task to its end. The caller holds the home's lock.
pub(super) async fn run(
    home: &Home,
    task: &TaskSpec,
    secrets: &Secrets,
    programs: &[Program],
    lock: &File,
) -> Result<String, PlatformError> {
    let temporary = task.temporary.iter().map(|name| home.path.join(name)).collect();
    let _temporary = Temporary(temporary);
    if let Some(product) = &task.product
        && home.path.join(product).exists()
    {
        replace(home, task)?;
        return Ok(String::new());
    }
    if let Some(process) = server::occupant(home).await {
        return Err(PlatformError::InUse {
            node: home.node.clone(),
            task: task.name.clone(),
            pid: process.pid,
        });
    }
    prepare(home, task, secrets)?;
    let mut printed = String::new();
    for program in programs {
        printed.push_str(&run_command(home, task, program, lock).await?);
    }
    if let Some(product) = &task.product {
        commit(home, task, product)?;
    }
    replace(home, task)?;
    Ok(printed)
}

fn prepare(home: &Home, task: &TaskSpec, secrets: &Secrets) -> Result<(), PlatformError> {
    if let Some(product) = &task.product {
        let partial = home.path.join(TaskSpec::partial(product));
        remove_whatever(&partial)?;
        if let Some(origin) = &task.origin {
            let origin = home.path.join(origin);
            std::fs::rename(&origin, &partial).at("rename directory", &origin)?;
        }
    }
    for name in &task.removes {
        remove_whatever(&home.path.join(name))?;
    }
    for (name, text) in &task.files {
        home.write_file(name, text, secrets)?;
    }
    let record = Record {
        format: FORMAT,
        task: task.name.clone(),
        product: task.product.clone(),
        owner: Identity::of(std::process::id()),
    };
    home.write_record(RECORD, &record)
}

async fn run_command(home: &Home, task: &TaskSpec, program: &Program, lock: &File) -> Result<String, PlatformError> {
    let path = program.directory.join(&program.name);
    let mut command = program.command(home);
    command.stdin(lock.try_clone().at("hand on lock", &home.lock())?);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().at("start program", &path)?;
    let group = Group(child.id());
    let output = child.wait_with_output().await.at("wait for program", &path)?;
    group.disarm();
    note(home, task, program, &output)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let lines: Vec<&str> = stderr.lines().collect();
    Err(PlatformError::TaskFailed {
        node: Box::new(home.node.clone()),
        task: task.name.clone(),
        program: program.name.clone(),
        status: output.status.to_string(),
        stderr: lines[lines.len().saturating_sub(ERROR_LINES)..].join("\n"),
    })
}

/// Keeps what a command wrote. Commands that make nothing and succeed are questions, and would only fill the log.
fn note(home: &Home, task: &TaskSpec, program: &Program, output: &Output) -> Result<(), PlatformError> {
    if task.product.is_none() && output.status.success() {
        return Ok(());
    }
    let path = home.task_log();
    let mut text = format!("{}: {} ended with {}\n", task.name, program.name, output.status).into_bytes();
    text.extend_from_slice(&output.stdout);
    text.extend_from_slice(&output.stderr);
    let written = files::append(&path, &home.user).and_then(|mut log| log.write_all(&text));
    written.at("write log", &path)
}

fn commit(home: &Home, task: &TaskSpec, product: &str) -> Result<(), PlatformError> {
    let partial = home.path.join(TaskSpec::partial(product));
    if !partial.is_dir() {
        return Err(PlatformError::ProductMissing {
            node: home.node.clone(),
            task: task.name.clone(),
            path: partial,
        });
    }
    files::sync(&partial).at("sync directory", &partial)?;
    std::fs::rename(&partial, home.path.join(product)).at("rename directory", &partial)?;
    files::sync(&home.path).at("sync directory", &home.path)
}

/// Removes what the task that was last started made and never finished, because another task or none is done in its
/// place. The caller holds the home's lock.
pub(super) fn abandon(home: &Home) -> Result<(), PlatformError> {
    let record = home.read_record::<Record>(RECORD);
    match record.and_then(|record| record.product) {
        Some(product) => remove_whatever(&home.path.join(TaskSpec::partial(&product))),
        None => Ok(()),
    }
}

/// Removes what the product replaces.
fn replace(home: &Home, task: &TaskSpec) -> Result<(), PlatformError> {
    task.replaces
        .iter()
        .try_for_each(|name| remove_whatever(&home.path.join(name)))
}

/// The process group of a command; killed when dropped, with whatever the command started.
struct Group(Option<u32>);

impl Group {
    /// Lets the group be: its first process has ended, and its number may soon be another's.
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may have ended in this very moment.
            let _ = killpg(process::pid(leader), Signal::SIGKILL);
        }
    }
}

/// Files that nobody needs once a task is over, however it ends.
struct Temporary(Vec<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        for path in &self.0 {
            // The next run of the task, or the end of the home, removes what cannot be removed now.
            let _ = std::fs::remove_file(path);
        }
    }
}
