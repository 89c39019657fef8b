//! Starts a server, finds out whether it runs, and stops it.
//!
//! A server is known by what was noted when it was started (`server.json`), and by place: whoever has a data directory
//! of the instance directory as working directory uses the data, whoever started it, and even when the server's first process is dead
//! and others go on without it. Development and test only across hosts: processes of another machine are not seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use simdb_planner::observed::{Halt, ProcessFacts};
use simdb_state::instance::{InstanceSpec, Stop, StopSignal};
use simdb_state::object::Witness;
use simdb_state::place::Bind;
use tokio::time::sleep;

use super::binaries::{engine_of, programs_of};
use super::blocking;
use super::command::Program;
use super::directory::{FORMAT, InstanceDirectory};
use super::files::At;
use super::folder::Folder;
use super::hold::Hold;
use super::ports;
use super::process::{self, Identity, Process};
use super::warrant::Warrant;
use crate::engine::programs::Lock;
use crate::platform::{PlatformError, StopMode};

const RECORD: &str = "server.json";

/// What the name of data ends in that a task works on.
const PARTIAL: &str = ".partial";

/// How often processes that should end are looked at.
const POLL: Duration = Duration::from_millis(10);

/// How long processes that lost their server may take to notice. They do at once, on a machine that is not busy.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(10);

/// How long a killed process may take to be gone: one that waits for a disk dies only when the disk answers.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// How long a server may take to stop of which no spec is noted.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// How many lines of the log an error carries.
const LOG_LINES: usize = 20;

/// The server that was last started.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    listen: Bind,
    /// Absent between the moment before the start and the one after.
    process: Option<Identity>,
    /// What it was started with: a server that somebody started otherwise may have other settings.
    arguments: Vec<String>,
    /// How it is stopped; absent where an earlier version noted it.
    #[serde(default)]
    stop: Option<Stop>,
}

impl Record {
    /// Returns whether a process was started with what the record says, by whatever program started it.
    fn is_of(&self, process: &Process) -> bool {
        let given = process.arguments();
        !self.arguments.is_empty() && given.is_some_and(|given| given.ends_with(&self.arguments))
    }
}

/// Returns where the server listens: where it was started to, unless somebody else started the one that runs.
pub(super) fn listen(directory: &InstanceDirectory, process: &ProcessFacts) -> Option<Bind> {
    let foreign = match process {
        ProcessFacts::Foreign { pid } => ports::listen(*pid),
        _ => None,
    };
    let noted = || directory.read_record::<Record>(RECORD).map(|record| record.listen);
    foreign.or_else(noted).or_else(|| directory.listened())
}

/// Returns what is known of the node's server process.
pub(super) fn facts(directory: &InstanceDirectory) -> ProcessFacts {
    let Some(process) = leader(directory) else {
        return ProcessFacts::Down;
    };
    let pid = process.pid;
    let ours = directory.read_record::<Record>(RECORD).is_some_and(|record| {
        record.process.as_ref().is_some_and(|started| started.alive().is_some()) || record.is_of(&process)
    });
    if is_stopping(directory, &process) {
        return ProcessFacts::Stopping { pid };
    }
    // A server is halted as far as one of its processes is: without its receiver a standby only looks alive.
    let stopped = process.stopped || process.children().iter().any(|child| child.stopped);
    match (ours, stopped) {
        (false, _) => ProcessFacts::Foreign { pid },
        (true, true) => ProcessFacts::Frozen { pid, by: Halt::Signal },
        (true, false) => ProcessFacts::Running { pid },
    }
}

/// Lets whatever of a server was halted by a signal go on.
async fn thaw(hold: &Hold) -> Result<(), PlatformError> {
    let (_, processes) = everyone(&hold.directory);
    let halted = processes.iter().filter(|process| process.stopped);
    signal(hold.warrant(), halted, Signal::SIGCONT).await
}

/// Tells a server to read its files again.
pub(super) async fn reload(hold: &Hold) -> Result<(), PlatformError> {
    signal(hold.warrant(), &leader(&hold.directory), Signal::SIGHUP).await
}

/// Sends a signal to processes that were seen, if the lock of the record is still held. Those that have been started since
/// are others, and hear nothing.
async fn signal(
    warrant: &Warrant,
    processes: impl IntoIterator<Item = &Process>,
    signal: Signal,
) -> Result<(), PlatformError> {
    warrant.check().await?;
    for process in processes {
        process.signal(signal);
    }
    Ok(())
}

/// Returns the first processes of all servers of this machine, whoever made them.
pub(super) fn all() -> Vec<Process> {
    let mut servers = process::all();
    servers.retain(|process| engine_of(&process.name).is_some());
    process::first(&servers)
}

/// Returns the first process of the node's server. What is left of a server whose first process is gone is none, and
/// goes by itself.
pub(super) fn leader(directory: &InstanceDirectory) -> Option<Process> {
    recorded(directory).or_else(|| starting(directory)).or_else(|| {
        let roots = process::first(&users(directory));
        roots.into_iter().find(Process::has_its_own_name)
    })
}

/// Returns the process of a start that was cut off before it was noted: it may not be called what it will be, nor be where
/// it will be, and has its arguments already.
fn starting(directory: &InstanceDirectory) -> Option<Process> {
    let record = directory.read_record::<Record>(RECORD);
    let record = record.filter(|record| record.process.is_none())?;
    let mut all = process::all().into_iter();
    all.find(|process| record.is_of(process) && may_be_noted(directory, process))
}

/// Returns whether a server was told to stop and has not ended yet, as far as it says so itself.
fn is_stopping(instance_directory: &InstanceDirectory, leader: &Process) -> bool {
    let (Some(data), Some(engine)) = (leader.directory(), engine_of(&leader.name)) else {
        return false;
    };
    let read = Folder::open(&data, &instance_directory.user).and_then(|data| data.read(engine.lock));
    let Ok(Ok(text)) = read.map(String::from_utf8) else {
        return false;
    };
    let stops = |lock: Lock| lock.process == leader.pid && lock.stopping;
    !leader.stopped && (engine.read_lock)(&text).is_some_and(stops)
}

fn recorded(directory: &InstanceDirectory) -> Option<Process> {
    let process = directory.read_record::<Record>(RECORD)?.process?.alive()?;
    may_be_noted(directory, &process).then_some(process)
}

/// Returns whether a process may be what a note says: the servers' user can write notes, and must not lead simdb to end
/// what it could not end itself.
fn may_be_noted(directory: &InstanceDirectory, process: &Process) -> bool {
    directory.user.uid() == 0 || !process.is_of_root()
}

/// Returns the processes of servers whose working directory is a data directory of the instance directory, and their children there.
/// A shell that somebody left in it is none, and neither is a server program that a task runs.
fn users(instance_directory: &InstanceDirectory) -> Vec<Process> {
    let path = canonical(&instance_directory.path);
    let links = instance_directory.links().into_iter();
    let outside: Vec<PathBuf> = links
        .filter(|(name, _)| !name.ends_with(PARTIAL))
        .map(|(_, target)| target)
        .collect();
    let uses_data = |process: &Process| {
        let uses = |directory: PathBuf| is_data(&path, &directory) || outside.contains(&directory);
        process.directory().is_some_and(uses)
    };
    let inside: Vec<Process> = process::all().into_iter().filter(uses_data).collect();
    if inside.is_empty() {
        return inside;
    }
    let tasks = instance_directory.lock().map(|lock| process::started_with(&lock));
    let tasks: Vec<u32> = tasks.iter().flatten().map(|process| process.pid).collect();
    let is_server = |process: &Process| engine_of(&process.name).is_some();
    let mut users = process::families(&inside, is_server);
    users.retain(|process| !tasks.contains(&process.pid));
    users.sort_by_key(Process::age_order);
    users
}

/// Returns a path as the kernel writes it, even where its end is gone.
fn canonical(path: &Path) -> PathBuf {
    let known = path
        .ancestors()
        .find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    match known {
        Some((above, real)) => real.join(path.strip_prefix(above).expect("an ancestor is a prefix")),
        None => path.to_owned(),
    }
}

/// A server that keeps no data stays in the instance directory that it was started in, as any other does for its first moment.
fn is_data(instance_directory: &Path, directory: &Path) -> bool {
    let Some(name) = directory.strip_prefix(instance_directory).ok().and_then(Path::to_str) else {
        return false;
    };
    // The kernel marks a directory that was removed while a process was in it.
    let name = name.strip_suffix(process::DELETED).unwrap_or(name);
    !name.contains('/') && !name.ends_with(PARTIAL)
}

/// Returns the directory that holds the data of an instance. Files of the instance may belong in it, so it is asked for
/// before they are written: a directory that holds nothing else would look like data.
pub(super) fn data(hold: &Hold, spec: &InstanceSpec) -> Result<(), PlatformError> {
    if spec.data.is_empty() || hold.has_directory(&spec.data)? {
        return Ok(());
    }
    Err(PlatformError::DataMissing {
        node: hold.directory.node.clone(),
        path: hold.directory.path.join(&spec.data),
    })
}

/// Starts a server unless one runs; one that was halted by a signal goes on.
pub(super) async fn start(hold: &Arc<Hold>, spec: &InstanceSpec, program: &Program) -> Result<(), PlatformError> {
    let instance_directory = &hold.directory;
    wait_stopped(hold).await?;
    if occupant(instance_directory).await.is_some() {
        return thaw(hold).await;
    }
    let mut record = Record {
        format: FORMAT,
        listen: spec.listen,
        process: None,
        arguments: program.arguments.clone(),
        stop: Some(spec.stop),
    };
    let (holding, instance) = (Arc::clone(hold), spec.clone());
    blocking(move || remove_stale_lock(&holding, &instance)).await?;
    hold.note(RECORD, &record)?;
    let log = hold.log()?;
    let mut command = program.command(instance_directory);
    command.stdin(Stdio::null());
    let path = instance_directory.path.to_string_lossy();
    let environment = spec.environment.iter();
    command.envs(environment.map(|(name, value)| (name, value.render(&path))));
    command
        .stdout(log.try_clone().at("open log", &instance_directory.path)?)
        .stderr(log);
    hold.warrant().check().await?;
    let server = command
        .spawn()
        .at("start program", &program.directory.join(&program.name))?;
    record.process = server.id().and_then(Identity::of);
    // Dropping the handle leaves the server alone: it outlives us, and as long as we live tokio reaps it.
    drop(server);
    hold.note(RECORD, &record)
}

/// Waits until a server that was told to stop has ended.
async fn wait_stopped(hold: &Hold) -> Result<(), PlatformError> {
    if !leader(&hold.directory).is_some_and(|leader| is_stopping(&hold.directory, &leader)) {
        return Ok(());
    }
    thaw(hold).await?;
    wait_gone(&hold.directory, stop_limit(&hold.directory)).await
}

/// Returns a process that uses the node's data; what is left of a server is given time to notice.
pub(super) async fn occupant(directory: &InstanceDirectory) -> Option<Process> {
    let started = Instant::now();
    loop {
        if let Some(leader) = leader(directory) {
            return Some(leader);
        }
        let leftover = users(directory).into_iter().next()?;
        if started.elapsed() > LEFTOVER_LIMIT {
            return Some(leftover);
        }
        sleep(POLL).await;
    }
}

/// Removes the lock of a server that is gone. The server itself only asks whether its number is in use, and takes a
/// zombie, or whoever got the number since, for the server.
fn remove_stale_lock(hold: &Hold, spec: &InstanceSpec) -> Result<(), PlatformError> {
    let engine = programs_of(spec.command.engine);
    let path = match spec.data.as_str() {
        "" => engine.lock.to_owned(),
        data => format!("{data}/{}", engine.lock),
    };
    let Some(text) = hold.read(&path)? else {
        return Ok(());
    };
    let lock = (engine.read_lock)(&String::from_utf8_lossy(&text));
    let holder = lock.and_then(|lock| Process::read(lock.process));
    let data = canonical(&hold.directory.path.join(&spec.data));
    let holds = |process: Process| {
        let elsewhere = process.directory().is_some_and(|directory| directory != data);
        process.name == engine.server && !elsewhere
    };
    if holder.is_some_and(holds) {
        return Ok(());
    }
    hold.remove(&path)
}

/// Stops the server, waits until no process of it is left, and returns how that is known.
pub(super) async fn stop(
    directory: &InstanceDirectory,
    warrant: &Warrant,
    mode: StopMode,
    limit: Duration,
) -> Result<Witness, PlatformError> {
    match mode {
        StopMode::Fast => {
            let (leaders, _) = everyone(directory);
            for leader in &leaders {
                signal(warrant, [leader], stop_signal(directory, leader)).await?;
                // A frozen process would hear of it only when it thaws.
                signal(warrant, [leader], Signal::SIGCONT).await?;
            }
            wait_gone(directory, limit).await?;
        }
        StopMode::Immediate => {
            let frozen = freeze(directory, warrant).await?;
            let killed = kill(directory, warrant, KILL_LIMIT.min(limit)).await;
            if matches!(killed, Err(PlatformError::LockLost { .. })) {
                // What was begun is taken back; a server that is gone hears nothing.
                for leader in &frozen {
                    leader.signal(Signal::SIGCONT);
                }
            }
            killed?;
        }
    }
    // A machine that shows no process at all would have had none to wait for.
    process::check_sight().map_err(|reason| PlatformError::Unprovable {
        node: directory.node.clone(),
        reason,
    })?;
    Ok(Witness::ProcessesGone)
}

/// Returns what asks a process to end in order: what its spec said where simdb started it, else what its engine's servers
/// are asked with.
fn stop_signal(directory: &InstanceDirectory, leader: &Process) -> Signal {
    let record = directory
        .read_record::<Record>(RECORD)
        .filter(|record| record.is_of(leader));
    let noted = record.and_then(|record| record.stop).map(|stop| stop.signal);
    let usual = || engine_of(&leader.name).map(|engine| engine.stop);
    match noted.or_else(usual) {
        Some(StopSignal::Interrupt) => Signal::SIGINT,
        Some(StopSignal::Terminate) | None => Signal::SIGTERM,
    }
}

/// Returns how long an instance directory's server may take to stop.
pub(super) fn stop_limit(directory: &InstanceDirectory) -> Duration {
    let noted = directory.read_record::<Record>(RECORD).and_then(|record| record.stop);
    noted.map_or(STOP_LIMIT, |stop| stop.within)
}

async fn kill(directory: &InstanceDirectory, warrant: &Warrant, limit: Duration) -> Result<(), PlatformError> {
    let started = Instant::now();
    while let Some(processes) = remaining(directory, started, limit)? {
        signal(warrant, &processes, Signal::SIGKILL).await?;
        sleep(POLL).await;
    }
    Ok(())
}

async fn wait_gone(directory: &InstanceDirectory, limit: Duration) -> Result<(), PlatformError> {
    let started = Instant::now();
    while remaining(directory, started, limit)?.is_some() {
        sleep(POLL).await;
    }
    Ok(())
}

/// Halts the leaders, so that they start no process while the others are counted and killed, and returns those that were
/// not halted before.
async fn freeze(directory: &InstanceDirectory, warrant: &Warrant) -> Result<Vec<Process>, PlatformError> {
    let (mut leaders, _) = everyone(directory);
    leaders.retain(|leader| !leader.stopped);
    signal(warrant, &leaders, Signal::SIGSTOP).await?;
    let started = Instant::now();
    let moves = |leader: &Process| Process::read(leader.pid).is_some_and(|now| !now.stopped);
    while leaders.iter().any(moves) && started.elapsed() < LEFTOVER_LIMIT {
        sleep(POLL).await;
    }
    Ok(leaders)
}

/// Returns the first processes of whatever uses the data, and all of them.
fn everyone(directory: &InstanceDirectory) -> (Vec<Process>, Vec<Process>) {
    let mut processes = users(directory);
    if let Some(server) = recorded(directory).or_else(|| starting(directory))
        && !processes.iter().any(|process| process.pid == server.pid)
    {
        // It has not entered its data directory yet.
        processes.push(server);
    }
    (process::first(&processes), processes)
}

/// Returns the processes that are left, `None` when there are none, and an error when the time is over.
fn remaining(
    directory: &InstanceDirectory,
    started: Instant,
    limit: Duration,
) -> Result<Option<Vec<Process>>, PlatformError> {
    // Reading one process is cheap, and as long as that one lives nothing else matters.
    let processes = match recorded(directory) {
        Some(server) if started.elapsed() < limit && !server.stopped => vec![server],
        _ => everyone(directory).1,
    };
    if processes.is_empty() {
        return Ok(None);
    }
    if started.elapsed() < limit {
        return Ok(Some(processes));
    }
    Err(PlatformError::StillRunning {
        node: directory.node.clone(),
        pids: processes.iter().map(|process| process.pid).collect(),
        limit,
        log: log_end(directory),
    })
}

fn log_end(directory: &InstanceDirectory) -> String {
    directory.log(LOG_LINES).unwrap_or_default().join("\n")
}
