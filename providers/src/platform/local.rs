//! Servers as processes of this machine, on Linux: processes are found in `/proc`.
//!
//! ```text
//!   LocalPlatform ─► instance directory      directories and files of a node, and whose they are ─► folder   no link is followed
//!                 ─► hold      the right to change them
//!                 ─► server    start, find, stop            ─┐
//!                 ─► task, orphans   run to the end, settle  ├─► process   /proc and signals
//!                 ─► binaries, ports   facts                 │
//!                 ─► survey    the servers of all projects  ─┘
//!                 ─► service   the entries of endpoints, in a file that clients read
//! ```
//!
//! Development and test: a server is fenced by killing its processes, which no other machine can have.
//!
//! What changes an instance directory first takes the instance directory's lock, then asks whether the lock of the record is still held, and leaves
//! its token there; it asks again right before every change and every signal. Who takes the record's lock over in between
//! waits for the instance directory's, so that of two holders the later one always comes last. The token tells a record that was
//! restored, or copied, from the newest one. Looking takes no lock and leaves nothing in an instance directory.

mod binaries;
mod command;
mod directory;
mod files;
mod folder;
mod hold;
mod listing;
mod network;
mod orphans;
mod outside;
mod ports;
mod process;
mod server;
mod service;
pub mod setup;
mod survey;
mod task;
#[cfg(test)]
mod tests;
mod trial;
mod user;
mod warrant;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Guard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nix::unistd::{AccessFlags, access};
use simdb_planner::observed::{
    Observation, PlatformFacts, PlatformProblem, ProcessFacts, ProviderArgument, Reach, RouteFacts,
};
use simdb_state::address::{EndpointAddress, InstanceAddress, NodeAddress};
use simdb_state::instance::{Command, InstanceSpec, TaskSpec, TrialSpec};
use simdb_state::object::Witness;
use simdb_state::place::Place;
use simdb_state::route::Route;
use simdb_state::sensitive::Secrets;
use simdb_state::store::Grant;
use tokio::sync::Mutex;

use self::binaries::{Directories, Found};
use self::command::{Program, SETSID, SYSTEM_PATH};
use self::directory::{InstanceDirectory, Presence};
use self::hold::Hold;
use self::orphans::Orphans;
use self::service::Services;
use self::user::RunAs;
use self::warrant::Warrant;
use super::tcp::Tcp;
use super::{
    Dial, Endpoints, Failure, Held, InstanceFacts, Platform, PlatformError, Provider, StopMode, Stream, Survey,
    Unmanaged,
};

/// How long a server whose data is about to be removed may take to clean up outside of its instance directory.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// What the platform is told from outside.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The directory that all instance directories live under.
    pub root: PathBuf,
    /// The user that servers run as; absent, `postgres` when simdb runs as root, and simdb's own user otherwise.
    pub run_as: Option<String>,
    /// Where engines are looked for first.
    pub binaries: Vec<PathBuf>,
    /// Where engines are looked for next: the directories of `PATH`.
    pub path: Vec<PathBuf>,
    /// What tells this project's instance directories from those of others.
    pub lineage: String,
    /// The directory of the project's configuration.
    pub project: PathBuf,
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
    /// What was found when it was searched last; locked while it is searched.
    engines: Mutex<Directories>,
    /// Held while directories above instance directories come and go: an instance directory must not lose its parent while it is being made.
    tree: Arc<Guard<()>>,
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

    /// Opens it for the entries of endpoints alone: those are written by simdb's own user.
    fn without_servers(self) -> Self {
        let user = Ok(RunAs::ourselves());
        Self { user, ..self }
    }

    fn directory(&self, node: &InstanceAddress) -> Result<InstanceDirectory, PlatformError> {
        let user = self.user.clone().map_err(PlatformError::Unusable)?;
        Ok(
            InstanceDirectory::new(&self.config.root, &self.config.lineage, user, node)
                .of_project(&self.config.project),
        )
    }

    /// Returns the right to change something, from the lock of the record, which is still held.
    async fn warrant(&self, subject: String) -> Result<Warrant, PlatformError> {
        let Some(grant) = &self.grant else {
            return Err(PlatformError::OnlyLooked(subject));
        };
        let warrant = Warrant::new(grant.clone(), subject);
        warrant.check().await.map(|()| warrant)
    }

    /// Locks an instance directory that will be changed, where there is one: it may have been removed under a running server.
    async fn locked(
        &self,
        directory: &InstanceDirectory,
        orphans: Orphans,
    ) -> Result<(Warrant, Option<Arc<Hold>>), PlatformError> {
        let warrant = self
            .warrant(format!("the instance directory of {}", directory.node))
            .await?;
        let hold = Hold::take(directory, warrant.clone(), orphans).await?;
        Ok((warrant, hold.map(Arc::new)))
    }

    /// Makes the instance directory of a node unless it is there, and locks it.
    async fn claim(&self, node: &InstanceAddress) -> Result<Arc<Hold>, PlatformError> {
        let warrant = self.warrant(format!("the instance directory of {node}")).await?;
        let (directory, tree, right) = (self.directory(node)?, Arc::clone(&self.tree), warrant.clone());
        let directory = blocking(move || {
            let _tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
            directory.claim(&right).map(|()| directory)
        })
        .await?;
        let hold = Hold::take(&directory, warrant, Orphans::Finish).await?;
        hold.map(Arc::new).ok_or_else(|| directory.lost())
    }

    async fn search(&self, user: &RunAs) -> Found {
        let engines = &mut *self.engines.lock().await;
        let found = binaries::find(&self.config.binaries, &self.config.path, user).await;
        engines.clone_from(&found.engines);
        found
    }

    /// Returns what is installed, and what keeps the servers' user from it; or why there is no such user.
    async fn installed(&self) -> Result<(Found, Vec<String>), &String> {
        let user = self.user.as_ref()?;
        Ok(tokio::join!(self.search(user), self.root_problems(user)))
    }

    /// Finds the program of a command.
    async fn program(
        &self,
        instance_directory: &InstanceDirectory,
        command: &Command,
    ) -> Result<Program, PlatformError> {
        let path = instance_directory.path.to_string_lossy();
        let directory = self.programs(&instance_directory.user, command).await?;
        let engine = binaries::programs_of(command.engine);
        Ok(Program {
            // One that is missing is not found where the server is, and that is told.
            directory: binaries::directory_of(engine, &directory, &command.program).unwrap_or(directory),
            name: command.program.clone(),
            arguments: command
                .arguments
                .iter()
                .map(|argument| argument.render_beside(&path, |node| self.path_of(instance_directory, node)))
                .collect(),
        })
    }

    /// Returns where the instance directory of another node is.
    fn path_of(&self, beside: &InstanceDirectory, node: &NodeAddress) -> String {
        let user = beside.user.clone();
        let other = InstanceDirectory::new(&self.config.root, &self.config.lineage, user, &node.into());
        other.path.to_string_lossy().into_owned()
    }

    /// Returns where the programs of a command's engine are. What was not found before may have been installed since.
    async fn programs(&self, user: &RunAs, command: &Command) -> Result<PathBuf, PlatformError> {
        let directory = |found: &Directories| found.get(&command.engine)?.get(&command.version).cloned();
        if let Some(known) = directory(&*self.engines.lock().await) {
            return Ok(known);
        }
        let found = self.search(user).await;
        directory(&found.engines).ok_or_else(|| PlatformError::EngineMissing {
            engine: command.engine,
            version: command.version,
            searched: found.searched.join(", "),
        })
    }

    /// Looks for what keeps instance directories from being made, and their user from entering them.
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

/// The path of an instance directory is put into configuration files and connection strings as it stands.
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
    async fn dial(&self, directory: &InstanceAddress, place: &Place) -> io::Result<Box<dyn Stream>> {
        Tcp.dial(directory, place).await
    }
}

#[async_trait]
impl Platform for LocalPlatform {
    async fn list(&self) -> Result<BTreeSet<InstanceAddress>, PlatformError> {
        let user = self.user.clone().map_err(PlatformError::Unusable)?;
        let (root, lineage) = (self.config.root.clone(), self.config.lineage.clone());
        blocking(move || listing::list(&root, &user, &lineage)).await
    }

    async fn inspect(&self, node: &InstanceAddress) -> Result<Observation<InstanceFacts>, PlatformError> {
        let directory = self.directory(node)?;
        match blocking(move || inspect(&directory)).await {
            Err(PlatformError::Io { doing, path, source }) => Ok(Observation::Unknown(format!(
                "failed to {doing} {}: {source}",
                path.display()
            ))),
            other => other,
        }
    }

    async fn unmanaged(
        &self,
        _: &InstanceAddress,
        id: &str,
        files: &[&str],
    ) -> Result<Observation<Unmanaged>, PlatformError> {
        let user = self.user.clone().map_err(PlatformError::Unusable)?;
        let (id, files) = (
            id.to_owned(),
            files.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
        );
        Ok(blocking(move || outside::look(&id, &user, &files)).await)
    }

    async fn ensure(
        &self,
        node: &InstanceAddress,
        spec: &InstanceSpec,
        secrets: &Secrets,
    ) -> Result<(), PlatformError> {
        let program = self.program(&self.directory(node)?, &spec.command).await?;
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

    async fn files(&self, node: &InstanceAddress, path: &str) -> Result<PathBuf, PlatformError> {
        Ok(self.directory(node)?.path.join(path))
    }

    async fn reload(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        match self.locked(&self.directory(node)?, Orphans::Finish).await? {
            (_, Some(hold)) => server::reload(&hold).await,
            (_, None) => Ok(()),
        }
    }

    async fn stop(&self, node: &InstanceAddress, mode: StopMode) -> Result<Witness, PlatformError> {
        let directory = self.directory(node)?;
        let (warrant, _hold) = self.locked(&directory, Orphans::Finish).await?;
        server::stop(&directory, &warrant, mode, server::stop_limit(&directory)).await
    }

    async fn run_task(
        &self,
        node: &InstanceAddress,
        task: &TaskSpec,
        secrets: &Secrets,
    ) -> Result<String, PlatformError> {
        let directory = self.directory(node)?;
        let mut programs = Vec::new();
        for command in &task.commands {
            programs.push(self.program(&directory, command).await?);
        }
        if task.is_question() {
            directory.look()?;
            return task::ask(&directory, task, &programs).await;
        }
        let hold = self.claim(node).await?;
        task::run(&hold, task, secrets, &programs).await
    }

    async fn hold(&self, node: &InstanceAddress) -> Result<Option<Held>, PlatformError> {
        let (_, hold) = self.locked(&self.directory(node)?, Orphans::Finish).await?;
        Ok(hold.map(|hold| Box::new(hold) as Held))
    }

    async fn drop(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        let directory = self.directory(node)?;
        let (warrant, hold) = self.locked(&directory, Orphans::End).await?;
        // Also where the instance directory is gone: somebody may have removed it under a running server.
        if let Err(error) = server::stop(&directory, &warrant, StopMode::Fast, DROP_LIMIT).await {
            if matches!(error, PlatformError::LockLost { .. }) {
                return Err(error);
            }
            server::stop(
                &directory,
                &warrant,
                StopMode::Immediate,
                server::stop_limit(&directory),
            )
            .await?;
        }
        let tree = Arc::clone(&self.tree);
        blocking(move || {
            let _tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
            match hold {
                Some(hold) => hold.drop_directory()?,
                None => directory.finish_removal(&warrant)?,
            }
            directory.remove_empty_parents();
            Ok(())
        })
        .await
    }

    async fn ended(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        let directory = self.directory(node)?;
        let watched = blocking(move || Ok(server::facts(&directory).pid().map(process::opened))).await?;
        match watched {
            None => Ok(()),
            Some(process) => process::ended(process).await.map_err(|source| PlatformError::Io {
                doing: "watch the server of",
                path: node.to_string().into(),
                source,
            }),
        }
    }

    async fn log(&self, node: &InstanceAddress, lines: usize) -> Result<Vec<String>, PlatformError> {
        let directory = self.directory(node)?;
        blocking(move || directory.log(lines)).await
    }
}

fn inspect(directory: &InstanceDirectory) -> Result<Observation<InstanceFacts>, PlatformError> {
    if let Err(reason) = process::check_sight() {
        return Ok(Observation::Unknown(reason));
    }
    let there = || directory.look().map(|presence| presence == Presence::Ours);
    if !there()? {
        return Ok(bereft(directory));
    }
    let process = server::facts(directory);
    let facts = InstanceFacts {
        listen: server::listen(directory, &process),
        published: None,
        image: None,
        resources: None,
        process,
        directories: directory.directories()?,
        outside: directory.links(),
        files: directory.files(),
    };
    // It may have been removed while it was looked at.
    if there()? {
        Ok(Observation::Seen(facts))
    } else {
        Ok(bereft(directory))
    }
}

/// Looks for a server whose instance directory somebody removed under it: it still has its port.
fn bereft(directory: &InstanceDirectory) -> Observation<InstanceFacts> {
    match server::facts(directory) {
        ProcessFacts::Down => Observation::Absent,
        process => Observation::Seen(InstanceFacts {
            listen: server::listen(directory, &process),
            process,
            ..InstanceFacts::default()
        }),
    }
}

#[async_trait]
impl Endpoints for LocalPlatform {
    async fn lookup(&self, endpoint: &EndpointAddress) -> Result<Observation<RouteFacts>, PlatformError> {
        let (services, name) = (self.services()?, endpoint.service());
        blocking(move || services.lookup(&name)).await
    }

    async fn routes(&self) -> Result<BTreeSet<EndpointAddress>, PlatformError> {
        let services = self.services()?;
        blocking(move || services.routes()).await
    }

    async fn publish(&self, route: &Route) -> Result<(), PlatformError> {
        let name = route.endpoint.service();
        let warrant = self.warrant(format!("service \"{name}\"")).await?;
        let (services, route) = (self.services()?, route.clone());
        let lock = services.lock(&warrant).await?;
        blocking(move || services.publish(&route, &lock, &warrant)).await
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
            reach: Reach::Direct,
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

    async fn survey(&self) -> Result<Survey, PlatformError> {
        let user = self.user.clone().map_err(PlatformError::Unusable)?;
        let root = self.config.root.clone();
        blocking(move || survey::survey(&[&root, Path::new(setup::DATA_ROOT_OF_ROOT)], &user)).await
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
