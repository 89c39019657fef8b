//! Servers as processes of this machine, on Linux: processes are found in `/proc`.
//!
//! ```text
//!   LocalPlatform ─► home      directories and files of a node, and whose they are ─► folder   no link is followed
//!                 ─► hold      the right to change them
//!                 ─► server    start, find, stop            ─┐
//!                 ─► task      run to the end, settle orphans ├─► process   /proc and signals
//!                 ─► binaries, ports   facts                ─┘
//!                 ─► service   the entries that names lead to
//! ```
//!
//! Development and test: a server is fenced by killing its processes, which no other machine can have.
//!
//! What changes a home first takes the home's lock, then asks whether the lock of the record is still held, and leaves
//! its token there; it asks again right before every change and every signal. Who takes the record's lock over in between
//! waits for the home's, so that of two holders the later one always comes last. The token tells a record that was
//! restored, or copied, from the newest one. Looking takes no lock and leaves nothing in a home.

mod binaries;
mod command;
mod files;
mod folder;
mod hold;
mod home;
mod listing;
mod ports;
mod process;
mod server;
mod service;
pub mod setup;
mod task;
#[cfg(test)]
mod tests;
mod trial;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Guard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nix::unistd::{AccessFlags, access};
use simdb_planner::observed::{Observation, PlatformFacts, PlatformProblem, ProcessFacts, ProviderArgument};
use simdb_state::address::{EndpointAddress, HomeAddress};
use simdb_state::instance::{Command, InstanceSpec, ServiceEntry, TaskSpec, TrialSpec};
use simdb_state::object::{Listen, Witness};
use simdb_state::sensitive::Secrets;
use simdb_state::store::Grant;
use tokio::sync::Mutex;

use self::binaries::{Directories, Found, Versions};
use self::command::{Program, SETSID, SYSTEM_PATH};
use self::hold::{Hold, Warrant};
use self::home::{Home, Presence};
use self::service::Services;
use self::task::Orphans;
use self::user::RunAs;
use super::tcp::Tcp;
use super::{Dial, Directory, Failure, Held, HomeFacts, Platform, PlatformError, Provider, StopMode, Stream};

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

    /// Returns the right to change something, from the lock of the record, which is still held.
    async fn warrant(&self, subject: String) -> Result<Warrant, PlatformError> {
        let Some(grant) = &self.grant else {
            return Err(PlatformError::OnlyLooked(subject));
        };
        let warrant = Warrant::new(grant.clone(), subject);
        warrant.check().await.map(|()| warrant)
    }

    /// Locks a home that will be changed, where there is one: it may have been removed under a running server.
    async fn locked(&self, home: &Home, orphans: Orphans) -> Result<(Warrant, Option<Arc<Hold>>), PlatformError> {
        let warrant = self.warrant(format!("the home of {}", home.node)).await?;
        let hold = Hold::take(home, warrant.clone(), orphans).await?;
        Ok((warrant, hold.map(Arc::new)))
    }

    /// Makes the home of a node unless it is there, and locks it.
    async fn claim(&self, node: &HomeAddress) -> Result<Arc<Hold>, PlatformError> {
        let warrant = self.warrant(format!("the home of {node}")).await?;
        let (home, tree, right) = (self.home(node)?, Arc::clone(&self.tree), warrant.clone());
        let home = blocking(move || {
            let _tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
            home.claim(&right).map(|()| home)
        })
        .await?;
        let hold = Hold::take(&home, warrant, Orphans::Finish).await?;
        hold.map(Arc::new).ok_or_else(|| home.lost())
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
            directory: self.programs(&home.user, command).await?,
            name: command.program.clone(),
            arguments: command
                .arguments
                .iter()
                .map(|argument| argument.render(&path))
                .collect(),
        })
    }

    /// Returns where the programs of a command's engine are. What was not found before may have been installed since.
    async fn programs(&self, user: &RunAs, command: &Command) -> Result<PathBuf, PlatformError> {
        let directory = |found: &Directories| found.get(&command.engine)?.get(&command.version).cloned();
        if let Some(known) = directory(&self.engines.lock().await.found) {
            return Ok(known);
        }
        let found = self.search(user).await;
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
    if let Err(reason) = process::check_sight() {
        problems.push(format!(
            "Servers are looked for in /proc: {reason}. Run simdb on Linux with /proc mounted."
        ));
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
impl Dial for LocalPlatform {
    async fn dial(&self, home: &HomeAddress, at: Listen) -> io::Result<Box<dyn Stream>> {
        Tcp.dial(home, at).await
    }
}

#[async_trait]
impl Platform for LocalPlatform {
    async fn list(&self) -> Result<BTreeSet<HomeAddress>, PlatformError> {
        let user = self.user.clone().map_err(PlatformError::Unusable)?;
        let (root, lineage) = (self.config.root.clone(), self.config.lineage.clone());
        blocking(move || listing::list(&root, &user, &lineage)).await
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
        let program = self.program(&self.home(node)?, &spec.command).await?;
        let hold = self.claim(node).await?;
        let (holding, spec_of, secrets) = (Arc::clone(&hold), spec.clone(), secrets.clone());
        server::data(&hold, spec)?;
        blocking(move || {
            task::abandon(&holding)?;
            spec_of.absent.iter().try_for_each(|name| holding.remove(name))?;
            holding.write_files(&spec_of, &secrets)
        })
        .await?;
        server::start(&hold, spec, &program).await
    }

    async fn reload(&self, node: &HomeAddress) -> Result<(), PlatformError> {
        match self.locked(&self.home(node)?, Orphans::Finish).await? {
            (_, Some(hold)) => server::reload(&hold).await,
            (_, None) => Ok(()),
        }
    }

    async fn stop(&self, node: &HomeAddress, mode: StopMode) -> Result<Witness, PlatformError> {
        let home = self.home(node)?;
        let (warrant, _hold) = self.locked(&home, Orphans::Finish).await?;
        server::stop(&home, &warrant, mode, server::stop_limit(&home)).await
    }

    async fn run_task(&self, node: &HomeAddress, task: &TaskSpec, secrets: &Secrets) -> Result<String, PlatformError> {
        let home = self.home(node)?;
        let mut programs = Vec::new();
        for command in &task.commands {
            programs.push(self.program(&home, command).await?);
        }
        if task.is_question() {
            home.look()?;
            return task::ask(&home, task, &programs).await;
        }
        let hold = self.claim(node).await?;
        task::run(&hold, task, secrets, &programs).await
    }

    async fn hold(&self, node: &HomeAddress) -> Result<Option<Held>, PlatformError> {
        let (_, hold) = self.locked(&self.home(node)?, Orphans::Finish).await?;
        Ok(hold.map(|hold| Box::new(hold) as Held))
    }

    async fn drop(&self, node: &HomeAddress) -> Result<(), PlatformError> {
        let home = self.home(node)?;
        let (warrant, hold) = self.locked(&home, Orphans::End).await?;
        // Also where the home is gone: somebody may have removed it under a running server.
        if let Err(error) = server::stop(&home, &warrant, StopMode::Fast, DROP_LIMIT).await {
            if matches!(error, PlatformError::LockLost { .. }) {
                return Err(error);
            }
            server::stop(&home, &warrant, StopMode::Immediate, server::stop_limit(&home)).await?;
        }
        let tree = Arc::clone(&self.tree);
        blocking(move || {
            let _tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
            match hold {
                Some(hold) => hold.drop_home()?,
                None => home.finish_removal(&warrant)?,
            }
            home.remove_empty_parents();
            Ok(())
        })
        .await
    }

    async fn log(&self, node: &HomeAddress, lines: usize) -> Result<Vec<String>, PlatformError> {
        let home = self.home(node)?;
        blocking(move || home.log(lines)).await
    }
}

fn inspect(home: &Home) -> Result<Observation<HomeFacts>, PlatformError> {
    if let Err(reason) = process::check_sight() {
        return Ok(Observation::Unknown(reason));
    }
    let there = || home.look().map(|presence| presence == Presence::Ours);
    if !there()? {
        return Ok(bereft(home));
    }
    let process = server::facts(home);
    let facts = HomeFacts {
        listen: server::listen(home, &process),
        process,
        directories: home.directories()?,
        files: home.files(),
    };
    // It may have been removed while it was looked at.
    if there()? {
        Ok(Observation::Seen(facts))
    } else {
        Ok(bereft(home))
    }
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
    async fn lookup(&self, endpoint: &EndpointAddress) -> Result<Observation<ServiceEntry>, PlatformError> {
        let (services, name) = (self.services()?, endpoint.service());
        blocking(move || services.lookup(&name)).await
    }

    async fn entries(&self) -> Result<BTreeSet<EndpointAddress>, PlatformError> {
        let services = self.services()?;
        blocking(move || services.entries()).await
    }

    async fn publish(&self, entry: &ServiceEntry) -> Result<(), PlatformError> {
        let warrant = self.warrant(format!("service \"{}\"", entry.name)).await?;
        let (services, entry) = (self.services()?, entry.clone());
        let lock = services.lock(&warrant).await?;
        blocking(move || services.publish(&entry, &lock, &warrant)).await
    }

    async fn withdraw(&self, endpoint: &EndpointAddress) -> Result<(), PlatformError> {
        let name = endpoint.service();
        let warrant = self.warrant(format!("service \"{name}\"")).await?;
        let services = self.services()?;
        let lock = services.lock(&warrant).await?;
        blocking(move || services.withdraw(&name, &lock, &warrant)).await
    }
}

#[async_trait]
impl Provider for LocalPlatform {
    async fn facts(&self) -> PlatformFacts {
        // Writes may wait for somebody who is looking: what takes its time goes on side by side.
        let (busy_ports, found) = tokio::join!(blocking(ports::busy), self.installed());
        let mut facts = PlatformFacts {
            busy_ports,
            lowest_port: ports::lowest(),
            ..PlatformFacts::default()
        };
        let problem = |argument| move |detail| PlatformProblem { argument, detail };
        let about = |argument| problem(Some(argument));
        facts.problems.extend(machine_problems().into_iter().map(problem(None)));
        let path = path_problem(&self.config.root);
        facts.problems.extend(path.map(about(ProviderArgument::DataRoot)));
        match found {
            Err(problem) => drop(facts.problems.insert(about(ProviderArgument::RunAs)(problem.clone()))),
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
                let binaries = found.problems.into_iter().map(about(ProviderArgument::Binaries));
                let root = problems.into_iter().map(about(ProviderArgument::DataRoot));
                facts.problems.extend(binaries.chain(root));
            }
        }
        facts
    }

    async fn try_out(&self, trial: &TrialSpec) -> Result<Option<Failure>, PlatformError> {
        let user = self.user.clone().map_err(PlatformError::Unusable)?;
        let place = trial::Place::new(trial, &user).await?;
        let path = place.path().to_string_lossy().into_owned();
        for command in &trial.commands {
            let program = Program {
                directory: self.programs(&user, command).await?,
                name: command.program.clone(),
                arguments: command
                    .arguments
                    .iter()
                    .map(|argument| argument.render(&path))
                    .collect(),
            };
            if let Some(said) = place.run(&program, &user).await? {
                let program = program.name;
                return Ok(Some(Failure { program, said }));
            }
        }
        Ok(None)
    }
}

impl LocalPlatform {
    fn services(&self) -> Result<Services, PlatformError> {
        let user = self.user.clone().map_err(PlatformError::Unusable)?;
        Ok(Services::new(&self.config.service_file, user))
    }
}

/// Does what waits for a disk where nobody else has to wait for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
