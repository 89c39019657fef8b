//! Where the programs of engines are found on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use simdb_state::object::EngineKind;
use tokio::process::Command;
use tokio::time::timeout;

use super::user::RunAs;
use crate::engine::PROGRAMS;
use crate::engine::programs::Programs;

/// A program that does not say its version within this time is not one of ours.
const VERSION_LIMIT: Duration = Duration::from_secs(15);

/// Returns the engine whose server's processes have this name.
pub(super) fn engine_of(process: &str) -> Option<&'static Programs> {
    PROGRAMS.iter().find(|engine| engine.server == process)
}

/// Returns the programs of an engine.
pub(super) fn programs_of(engine: EngineKind) -> &'static Programs {
    PROGRAMS
        .iter()
        .find(|programs| programs.engine == engine)
        .expect("every engine has its programs")
}

/// The directories of programs, by engine and major version.
pub(super) type Directories = BTreeMap<EngineKind, BTreeMap<u16, PathBuf>>;

/// What was found, and what stands in the way.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) engines: Directories,
    pub(super) searched: Vec<String>,
    pub(super) problems: Vec<String>,
}

/// The versions of servers that this process asked before, by path and by what changes where another file takes its place. A monitor plans
/// again and again, and while it does, writes may wait.
static VERSIONS: Mutex<BTreeMap<(PathBuf, u64, i64, i64), u16>> = Mutex::new(BTreeMap::new());

/// Searches the configured directories, then `PATH`, then the well-known ones; the first of a version counts.
pub(super) async fn find(configured: &[PathBuf], path: &[PathBuf], user: &RunAs) -> Found {
    let mut found = Found::default();
    found
        .searched
        .extend(configured.iter().map(|directory| directory.display().to_string()));
    found.searched.push("PATH".to_owned());
    for directory in configured {
        let mut reasons = Vec::new();
        for engine in PROGRAMS {
            match inspect(engine, directory, user).await {
                Ok((version, directory)) => add(&mut found, engine.engine, version, directory),
                Err(reason) => reasons.push(reason),
            }
        }
        // A directory has the programs of one engine; that it lacks those of all others says nothing.
        if let (Some(reason), true) = (reasons.first(), reasons.len() == PROGRAMS.len()) {
            found.problems.push(format!(
                "{reason}. Name another directory in binaries, or remove it to search the usual places."
            ));
        }
    }
    for engine in PROGRAMS {
        // Directories that every program may be in are no place to look for the one that is missing.
        let own = engine.known.iter().filter(|(_, after)| !after.is_empty());
        found
            .searched
            .extend(own.map(|(before, after)| format!("{before}*{after}")));
        let known = engine.known.iter().flat_map(|(before, after)| matching(before, after));
        for directory in path.iter().cloned().chain(known) {
            if let Ok((version, directory)) = inspect(engine, &directory, user).await {
                add(&mut found, engine.engine, version, directory);
            }
        }
    }
    found
}

fn add(found: &mut Found, kind: EngineKind, version: u16, directory: PathBuf) {
    found
        .engines
        .entry(kind)
        .or_default()
        .entry(version)
        .or_insert(directory);
}

/// Returns the directories whose path is `before`, anything without a slash, then `after`, in order.
fn matching(before: &str, after: &str) -> Vec<PathBuf> {
    let (parent, prefix) = before.rsplit_once('/').expect("well-known directories are absolute");
    let parent = Path::new(if parent.is_empty() { "/" } else { parent });
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let mut found: Vec<PathBuf> = names
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect();
    found.sort();
    found
}

/// Returns the version of the engine in a directory, and where its programs really are: a link to the server elsewhere
/// counts, as long as the other programs stand beside the server.
async fn inspect(engine: &Programs, directory: &Path, user: &RunAs) -> Result<(u16, PathBuf), String> {
    let server = fs::canonicalize(directory.join(engine.server))
        .map_err(|error| format!("{} has no program \"{}\" ({error})", directory.display(), engine.server))?;
    let real = server.parent().map(Path::to_path_buf).unwrap_or_default();
    let missing = engine
        .others
        .iter()
        .find(|program| directory_of(engine, &real, program).is_none());
    if let Some(missing) = missing {
        return Err(format!("{} has no program \"{missing}\"", real.display()));
    }
    let key =
        fs::metadata(&server).map(|metadata| (server.clone(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()));
    let key = key.map_err(|error| format!("{} cannot be looked at ({error})", server.display()))?;
    let known = || VERSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let before = known().get(&key).copied();
    let version = match before {
        Some(version) => version,
        None => ask_version(engine, &server, user).await?,
    };
    known().insert(key, version);
    Ok((version, real))
}

/// Returns the directory that a program of an engine is in whose server is in a directory.
pub(super) fn directory_of(engine: &Programs, directory: &Path, program: &str) -> Option<PathBuf> {
    let beside = engine.beside.iter().map(|beside| directory.join(beside));
    let mut places = std::iter::once(directory.to_path_buf()).chain(beside);
    places.find(|place| place.join(program).exists())
}

async fn ask_version(engine: &Programs, server: &Path, user: &RunAs) -> Result<u16, String> {
    let mut command = Command::new(server);
    command.arg("--version").env_clear().env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null()).kill_on_drop(true);
    user.apply(&mut command);
    let (server, name) = (server.display(), &user.name);
    match timeout(VERSION_LIMIT, command.output()).await {
        Ok(Ok(Output { status, stdout, .. })) if status.success() => {
            let printed = String::from_utf8_lossy(&stdout);
            (engine.version)(&printed)
                .ok_or_else(|| format!("{server} says it is {:?}, which has no version", printed.trim()))
        }
        Ok(Ok(Output { status, .. })) => Err(format!("{server} --version ended with {status}")),
        Ok(Err(error)) => Err(format!("User \"{name}\" cannot run {server} ({error})")),
        Err(_) => Err(format!(
            "{server} --version gave no answer within {} s",
            VERSION_LIMIT.as_secs()
        )),
    }
}
