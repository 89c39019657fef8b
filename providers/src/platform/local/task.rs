//! Runs tasks. Those that a killed simdb left behind are settled elsewhere ([`super::orphans`]).
//!
//! What changes an instance directory holds `task.lock` ([`super::hold`]). A task's commands inherit the lock as their
//! standard input, so that it is held as long as any of them lives, whatever became of simdb. A task that is a question
//! takes no lock and writes nothing.

use std::io::Write;
use std::process::{Output, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, killpg};
use simdb_state::instance::TaskSpec;
use simdb_state::sensitive::Secrets;

use super::blocking;
use super::command::Program;
use super::directory::{FORMAT, InstanceDirectory, TASK, TASK_LOG};
use super::files::At;
use super::hold::Hold;
use super::orphans::Record;
use super::process::{self, Identity};
use super::server;
use crate::platform::PlatformError;

/// How many lines of what a command wrote an error carries.
const ERROR_LINES: usize = 20;

/// Runs a task to its end.
pub(super) async fn run(
    hold: &Arc<Hold>,
    task: &TaskSpec,
    secrets: &Secrets,
    programs: &[Program],
) -> Result<String, PlatformError> {
    let temporary = Arc::new(Temporary(Arc::clone(hold), task.temporary.clone()));
    if let Some(product) = &task.product
        && hold.kind(product)?.is_some()
    {
        replace(hold, task).await?;
        return Ok(String::new());
    }
    if let Some(process) = server::occupant(&hold.directory).await {
        return Err(PlatformError::InUse {
            node: hold.directory.node.clone(),
            task: task.name.clone(),
            pid: process.pid,
        });
    }
    let (holding, spec, known) = (Arc::clone(hold), task.clone(), secrets.clone());
    let keeping = Arc::clone(&temporary);
    blocking(move || {
        // A task that is not waited for any more removes them, too.
        let _keeping = keeping;
        prepare(&holding, &spec, &known)
    })
    .await?;
    let mut printed = String::new();
    for program in programs {
        printed.push_str(&run_command(hold, task, program).await?);
    }
    if let Some(text) = task.prints.as_ref().filter(|text| !printed.contains(*text)) {
        return Err(PlatformError::NotPrinted {
            node: hold.directory.node.clone(),
            task: task.name.clone(),
            text: text.clone(),
        });
    }
    if let Some(product) = &task.product {
        let (holding, spec, product) = (Arc::clone(hold), task.clone(), product.clone());
        blocking(move || commit(&holding, &spec, &product)).await?;
    }
    replace(hold, task).await?;
    Ok(printed)
}

fn prepare(hold: &Hold, task: &TaskSpec, secrets: &Secrets) -> Result<(), PlatformError> {
    if let Some(product) = &task.product {
        let partial = TaskSpec::partial(product);
        hold.remove(&partial)?;
        if let Some(origin) = &task.origin {
            hold.rename(origin, &partial)?;
        }
        if let Some(outside) = &task.outside {
            hold.link(outside, &partial)?;
        }
    }
    for name in &task.removes {
        hold.remove(name)?;
    }
    for (name, text) in &task.files {
        hold.write_file(name, text, secrets)?;
    }
    let record = Record {
        format: FORMAT,
        task: task.name.clone(),
        product: task.product.clone(),
        owner: Identity::of(std::process::id()),
    };
    hold.note(TASK, &record)
}

async fn run_command(hold: &Hold, task: &TaskSpec, program: &Program) -> Result<String, PlatformError> {
    let path = program.directory.join(&program.name);
    let mut command = program.command(&hold.directory);
    command.stdin(hold.hand_on()?);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    hold.warrant().check().await?;
    let child = command.spawn().at("start program", &path)?;
    let group = Group(child.id());
    let output = child.wait_with_output().await.at("wait for program", &path)?;
    group.disarm();
    note(hold, task, program, &output)?;
    printed(&hold.directory, task, program, &output)
}

/// Asks what changes nothing. It holds no lock, leaves no note, and has nothing of the instance directory open but what it reads: so it
/// delays no change of the instance directory and no removal.
pub(super) async fn ask(
    instance_directory: &InstanceDirectory,
    task: &TaskSpec,
    programs: &[Program],
) -> Result<String, PlatformError> {
    let mut answers = String::new();
    for program in programs {
        let path = program.directory.join(&program.name);
        let mut command = program.command(instance_directory);
        command.current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.at("run program", &path)?;
        answers.push_str(&printed(instance_directory, task, program, &output)?);
    }
    Ok(answers)
}

/// Returns what a command that succeeded printed.
fn printed(
    directory: &InstanceDirectory,
    task: &TaskSpec,
    program: &Program,
    output: &Output,
) -> Result<String, PlatformError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    Err(PlatformError::TaskFailed {
        node: Box::new(directory.node.clone()),
        task: task.name.clone(),
        program: program.name.clone(),
        status: output.status.to_string(),
        stderr: lines[lines.len().saturating_sub(ERROR_LINES)..].join("\n"),
    })
}

/// Keeps what a command wrote. Commands that make nothing and succeed would only fill the log.
fn note(hold: &Hold, task: &TaskSpec, program: &Program, output: &Output) -> Result<(), PlatformError> {
    if task.product.is_none() && output.status.success() {
        return Ok(());
    }
    let mut text = format!("{}: {} ended with {}\n", task.name, program.name, output.status).into_bytes();
    text.extend_from_slice(&output.stdout);
    text.extend_from_slice(&output.stderr);
    let written = hold.task_log()?.write_all(&text);
    written.at("write log", &hold.directory.path.join(TASK_LOG))
}

fn commit(hold: &Hold, task: &TaskSpec, product: &str) -> Result<(), PlatformError> {
    let partial = TaskSpec::partial(product);
    if !hold.has_directory(&partial)? {
        return Err(PlatformError::ProductMissing {
            node: hold.directory.node.clone(),
            task: task.name.clone(),
            path: hold.directory.path.join(partial),
        });
    }
    hold.sync(&partial)?;
    hold.rename(&partial, product)
}

/// Removes what the task that was last started made and never finished, because another task or none is done in its
/// place.
pub(super) fn abandon(hold: &Hold) -> Result<(), PlatformError> {
    let record = hold.directory.read_record::<Record>(TASK);
    match record.and_then(|record| record.product) {
        Some(product) if !product.contains('/') => hold.remove(&TaskSpec::partial(&product)),
        _ => Ok(()),
    }
}

/// Removes what the product replaces.
async fn replace(hold: &Arc<Hold>, task: &TaskSpec) -> Result<(), PlatformError> {
    let (hold, replaces) = (Arc::clone(hold), task.replaces.clone());
    blocking(move || replaces.iter().try_for_each(|name| hold.remove(name))).await
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
struct Temporary(Arc<Hold>, Vec<String>);

impl Drop for Temporary {
    fn drop(&mut self) {
        for name in &self.1 {
            // The next run of the task, or the end of the instance directory, removes what cannot be removed now.
            let _ = self.0.forget(name);
        }
    }
}
