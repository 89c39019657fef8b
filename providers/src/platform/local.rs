//! Servers as processes of this machine, on Linux: processes are found in `/proc`.
//!
//! ```text
//!   LocalPlatform ─► home      directories and files of a node, and whose they are
//!                 ─► server    start, find, stop            ─┐
//!                 ─► task      run to the end, settle orphans ├─► process   /proc and signals
//!                 ─► binaries, ports   facts                ─┘
//!                 ─► service   the entries that names lead to
//! ```
//!
//! Development and test: a server is fenced by killing its processes, which no other machine can have.
//!
//! Whoever changes a home first takes the home's lock, then asks whether it still holds the lock of the record, and leaves
//! its token there. Who takes the record's lock over in between waits for the home's, so that of two holders the later one
//! always comes last. The token tells a record that was restored, or copied, from the newest one.

mod binaries;
mod command;
mod files;
mod home;
mod ports;
mod process;
mod server;
mod service;
mod task;
#[cfg(test)]
mod tests;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Guard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nix::unistd::{AccessFlags, access};
use simdb_planner::observed::{Observation, PlatformFacts, ProcessFacts};
use simdb_state::address::{EndpointAddress, HomeAddress};
use simdb_state::backend::Token;
use simdb_state::instance::{Command, InstanceSpec, ServiceEntry, TaskSpec};
use simdb_state::sensitive::Secrets;
use simdb_state::store::Grant;
use tokio::sync::Mutex;

use self::binaries::{Directories, Found, Versions};
use self::command::{Program, SETSID, SYSTEM_PATH};
use self::files::At;
use self::home::{Home, Presence, remove_whatever};
use self::task::Orphans;
use self::user::RunAs;
use super::{Directory, HomeFacts, Platform, PlatformError, StopMode};

/// How long a server may take to stop: with a full cache and a slow disk its last checkpoint takes its time.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// How long a server whose data is about to be removed may take to clean up outside of its home.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// What the platform is told from outside.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The directory that all homes live under.
    pub root: PathBuf,
    /// The user that servers run as; absent, `postgres` when simdb runs as root, and simdb's own user otherwise.
    pub run_as: Option<String>,
    /// Where engines are looked for first.
    pub binaries: Vec<PathBuf>,
    /// Where engines are looked for next: the directories of `PATH`.
    pub path: Vec<PathBuf>,
    /// What tells this project's homes from those of others.
    pub lineage: String,
    /// The connection service file that endpoints are entries of.
    pub service_file: PathBuf,
}

/// Runs servers and tasks as processes of this machine.
#[derive(Debug)]
pub struct LocalPlatform {
    config: LocalConfig,
    /// Absent where it is only looked at.
    grant: Option<Grant>,
    user: Result<RunAs, String>,
    engines: Mutex<Engines>,
    /// Held while directories above homes come and go: a home must not lose its parent while it is being made.
    tree: Arc<Guard<()>>,
    /// Held while the service file is read and written.
    services: Arc<Guard<()>>,
}

#[derive(Debug, Default)]
struct Engines {
    found: Directories,
    versions: Versions,
}

impl LocalPlatform {
    /// Opens the platform to be looked at, and makes nothing on disk. What is wrong with the configuration is a problem in
    /// its facts.
    pub fn new(config: LocalConfig) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let config = LocalConfig {
            root: absolute(&config.root),
            service_file: absolute(&config.service_file),
            ..config
        };
        Self {
            user: RunAs::resolve(config.run_as.as_deref()),
            engines: Mutex::default(),
            tree: Arc::default(),
            services: Arc::default(),
            grant: None,
            config,
        }
    }

    /// Opens the platform to be changed by the holder of the record's lock.
    #[must_use]
    pub fn under(self, grant: Grant) -> Self {
        let grant = Some(grant);
        Self { grant, ..self }
    }

    fn home(&self, node: &HomeAddress) -> Result<Home, PlatformError> {
        let user = self.user.clone().map_err(PlatformError::Unusable)?;
        Ok(Home::new(&self.config.root, &self.config.lineage, user, node))
    }

    /// Returns the token of the record's lock, which is still held.
    async fn token(&self, node: &HomeAddress) -> Result<Token, PlatformError> {
        let grant = self.grant.as_ref();
        let grant = grant.ok_or_else(|| PlatformError::OnlyLooked(node.clone()))?;
        match grant.check().await {
            Ok(()) => Ok(grant.token()),
            Err(source) => Err(PlatformError::LockLost {
                node: node.clone(),
                source: Box::new(source),
            }),
        }
    }

    /// Locks a home that is to be changed.
    async fn lock(&self, home: &Home, orphans: Orphans) -> Result<File, PlatformError> {
        let lock = task::lock(home, orphans).await?;
        let (token, home) = (self.token(&home.node).await?, home.clone());
        blocking(move || home.admit(token)).await?;
        Ok(lock)
    }

    /// Locks a home that is to be changed, where it is there: somebody may have removed it under a running server.
    async fn lock_if_there(&self, home: &Home, orphans: Orphans) -> Result<Option<File>, PlatformError> {
        match home.look()? {
            Presence::Ours => self.lock(home, orphans).await.map(Some),
            Presence::Absent => self.token(&home.node).await.map(|_| None),
        }
    }

    /// Makes the home of a node unless it is there.
    async fn claim(&self, node: &HomeAddress) -> Result<Home, PlatformError> {
        self.token(node).await?;
        let (home, tree) = (self.home(node)?, Arc::clone(&self.tree));
        blocking(move || {
            let _tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
            home.claim().map(|()| home)
        })
        .await
    }

    async fn search(&self, user: &RunAs) -> Found {
        let engines = &mut *self.engines.lock().await;
        let found = binaries::find(&self.config.binaries, &self.config.path, user, &mut engines.versions).await;
        engines.found.clone_from(&found.engines);
        found
    }

    /// Returns what is installed, and what keeps the servers' user from it; or why there is no such user.
    async fn installed(&self) -> Result<(Found, Vec<String>), &String> {
        let user = self.user.as_ref()?;
        Ok(tokio::join!(self.search(user), self.root_problems(user)))
    }

    /// Finds the program of a command.
    async fn program(&self, home: &Home, command: &Command) -> Result<Program, PlatformError> {
        let path = home.path.to_string_lossy();
        Ok(Program {
            directory: self.programs(home, command).await?,
            name: command.program.clone(),
            arguments: command
                .arguments
                .iter()
                .map(|argument| argument.render(&path))
                .collect(),
        })
    }

    /// Returns where the programs of a command's engine are. What was not found before may have been installed since.
    async fn programs(&self, home: &Home, command: &Command) -> Result<PathBuf, PlatformError> {
        let directory = |found: &Directories| found.get(&command.engine)?.get(&command.version).cloned();
        if let Some(known) = directory(&self.engines.lock().await.found) {
            return Ok(known);
        }
        let found = self.search(&home.user).await;
        directory(&found.engines).ok_or_else(|| PlatformError::EngineMissing {
            engine: command.engine,
            version: command.version,
            searched: found.searched.join(", "),
        })
    }

    /// Looks for what keeps homes from being made, and their user from entering them.
    async fn root_problems(&self, user: &RunAs) -> Vec<String> {
        let root = &self.config.root;
        let existing: Vec<PathBuf> = root
            .ancestors()
            .filter(|above| above.exists())
            .map(Path::to_path_buf)
            .collect();
        let mut problems = Vec::new();
        let nearest = existing.first().map_or(Path::new("/"), PathBuf::as_path);
        if !nearest.is_dir() {
            return vec![format!(
                "{} is not a directory, and data should be kept in {}. Set data_root to another place.",
                nearest.display(),
                root.display()
            )];
        }
        if let Err(error) = access(nearest, AccessFlags::W_OK | AccessFlags::X_OK) {
            problems.push(format!(
                "Nothing can be written to {} ({error}), and data should be kept in {}. Change its permissions, or set \
                 data_root to another place.",
                nearest.display(),
                root.display()
            ));
        }
        match user.closed(&existing).await {
            Ok(closed) => problems.extend(closed.last().map(|directory| closed_problem(user, root, directory))),
            Err(error) => problems.push(format!("/bin/sh cannot be run as user \"{}\" ({error}).", user.name)),
        }
        problems
    }
}

/// Looks for what every machine that can run servers has.
fn machine_problems() -> Vec<String> {
    let mut problems = Vec::new();
    if process::Process::read(std::process::id()).is_none() {
        problems.push(
            "Processes are looked for in /proc, and it shows none. Run simdb on Linux with /proc mounted.".into(),
        );
    }
    if !SYSTEM_PATH
        .split(':')
        .any(|directory| Path::new(directory).join(SETSID).exists())
    {
        problems.push(format!(
            "The program {SETSID} was not found in {SYSTEM_PATH}. Install util-linux."
        ));
    }
    problems
}

/// The path of a home is put into configuration files and connection strings as it stands.
fn path_problem(root: &Path) -> Option<String> {
    let awkward = |c: char| c.is_control() || matches!(c, '\'' | '"' | '\\');
    let plain = root.to_str().is_some_and(|path| !path.contains(awkward));
    (!plain).then(|| {
        format!(
            "The path {} has a quote, a backslash, a control character or no valid encoding, which configuration files \
             of servers cannot hold. Set data_root to another place.",
            root.display()
        )
    })
}

fn closed_problem(user: &RunAs, root: &Path, directory: &Path) -> String {
    format!(
        "User \"{}\", as whom servers run, cannot enter {}, and data should be kept in {}. Run `chmod o+x {}`, or set \
         data_root to another place.",
        user.name,
        directory.display(),
        root.display(),
        directory.display()
    )
}

#[async_trait]
impl Platform for LocalPlatform {
    async fn facts(&self) -> PlatformFacts {
        // Writes may wait for somebody who is looking: what takes its time goes on side by side.
        let (busy_ports, found) = tokio::join!(blocking(ports::busy), self.installed());
        let mut facts = PlatformFacts {
            busy_ports,
            ..PlatformFacts::default()
        };
        facts.problems.extend(machine_problems());
        facts.problems.extend(path_problem(&self.config.root));
        match found {
            Err(problem) => {
                facts.problems.insert(problem.clone());
            }
            Ok((found, problems)) => {
                let shown = |versions: BTreeMap<u16, PathBuf>| {
                    versions
                        .into_iter()
                        .map(|(version, path)| (version, path.display().to_string()))
                        .collect()
                };
                facts.engines = found
                    .engines
                    .into_iter()
                    .map(|(kind, versions)| (kind, shown(versions)))
                    .collect();
                facts.searched = found.searched;
                facts.problems.extend(found.problems);
                facts.problems.extend(problems);
            }
        }
        facts
    }

    async fn list(&self) -> Result<BTreeSet<HomeAddress>, PlatformError> {
        let (root, lineage) = (self.config.root.clone(), self.config.lineage.clone());
        blocking(move || home::list(&root, &lineage)).await
    }

    async fn inspect(&self, node: &HomeAddress) -> Result<Observation<HomeFacts>, PlatformError> {
        let home = self.home(node)?;
        match blocking(move || inspect(&home)).await {
            Err(PlatformError::Io { doing, path, source }) => Ok(Observation::Unknown(format!(
                "failed to {doing} {}: {source}",
                path.display()
            ))),
            other => other,
        }
    }

    async fn ensure(&self, node: &HomeAddress, spec: &InstanceSpec, secrets: &Secrets) -> Result<(), PlatformError> {
        let home = self.claim(node).await?;
        let program = self.program(&home, &spec.command).await?;
        let _lock = self.lock(&home, Orphans::Finish).await?;
        let (writer, spec_of, secrets) = (home.clone(), spec.clone(), secrets.clone());
        let data = server::data(&home, spec)?;
        blocking(move || {
            task::abandon(&writer)?;
            spec_of
                .absent
                .iter()
                .try_for_each(|name| remove_whatever(&writer.path.join(name)))?;
            writer.write_files(&spec_of.files, &secrets)
        })
        .await?;
        server::start(&home, spec, &data, &program).await
    }

    async fn reload(&self, node: &HomeAddress) -> Result<(), PlatformError> {
        let home = self.home(node)?;
        let _lock = self.lock_if_there(&home, Orphans::Finish).await?;
        blocking(move || server::reload(&home)).await;
        Ok(())
    }

    async fn stop(&self, node: &HomeAddress, mode: StopMode) -> Result<(), PlatformError> {
        let home = self.home(node)?;
        let _lock = self.lock_if_there(&home, Orphans::Finish).await?;
        server::stop(&home, mode, STOP_LIMIT).await
    }

    async fn run_task(&self, node: &HomeAddress, task: &TaskSpec, secrets: &Secrets) -> Result<String, PlatformError> {
        let home = if task.is_question() {
            self.home(node)?
        } else {
            self.claim(node).await?
        };
        let mut programs = Vec::new();
        for command in &task.commands {
            programs.push(self.program(&home, command).await?);
        }
        let lock = if task.is_question() {
            home.look()?;
            task::lock(&home, Orphans::Finish).await?
        } else {
            self.lock(&home, Orphans::Finish).await?
        };
        task::run(&home, task, secrets, &programs, &lock).await
    }

    async fn drop(&self, node: &HomeAddress) -> Result<(), PlatformError> {
        let home = self.home(node)?;
        let lock = self.lock_if_there(&home, Orphans::End).await?;
        // Also where the home is gone: somebody may have removed it under a running server.
        if server::stop(&home, StopMode::Fast, DROP_LIMIT).await.is_err() {
            server::stop(&home, StopMode::Immediate, STOP_LIMIT).await?;
        }
        let tree = Arc::clone(&self.tree);
        blocking(move || {
            let _tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
            if lock.is_some() {
                home.remove()?;
            }
            home.remove_empty_parents();
            Ok(())
        })
        .await
    }

    async fn log(&self, node: &HomeAddress, lines: usize) -> Result<Vec<String>, PlatformError> {
        let path = self.home(node)?.log();
        blocking(move || files::tail(&path, lines).at("read log", &path)).await
    }
}

fn inspect(home: &Home) -> Result<Observation<HomeFacts>, PlatformError> {
    if home.look()? == Presence::Absent {
        return Ok(bereft(home));
    }
    let process = server::facts(home);
    Ok(Observation::Seen(HomeFacts {
        listen: server::listen(home, &process),
        process,
        directories: home.directories()?,
        files: home.files(),
    }))
}

/// Looks for a server whose home somebody removed under it: it still has its port.
fn bereft(home: &Home) -> Observation<HomeFacts> {
    match server::facts(home) {
        ProcessFacts::Down => Observation::Absent,
        process => Observation::Seen(HomeFacts {
            listen: server::listen(home, &process),
            process,
            ..HomeFacts::default()
        }),
    }
}

#[async_trait]
impl Directory for LocalPlatform {
    async fn lookup(&self, name: &str) -> Result<Observation<ServiceEntry>, PlatformError> {
        let name = name.to_owned();
        self.services(move |path| service::lookup(path, &name)).await
    }

    async fn entries(&self) -> Result<BTreeSet<EndpointAddress>, PlatformError> {
        self.services(service::entries).await
    }

    async fn publish(&self, entry: &ServiceEntry) -> Result<(), PlatformError> {
        let entry = entry.clone();
        self.services(move |path| service::publish(path, &entry)).await
    }

    async fn withdraw(&self, name: &str) -> Result<(), PlatformError> {
        let name = name.to_owned();
        self.services(move |path| service::withdraw(path, &name)).await
    }
}

impl LocalPlatform {
    /// Works on the service file, one at a time.
    async fn services<T: Send + 'static>(&self, work: impl FnOnce(&Path) -> T + Send + 'static) -> T {
        let (path, services) = (self.config.service_file.clone(), Arc::clone(&self.services));
        blocking(move || {
            let _services = services.lock().unwrap_or_else(PoisonError::into_inner);
            work(&path)
        })
        .await
    }
}

/// Does what waits for a disk where nobody else has to wait for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
