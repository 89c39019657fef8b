//! The least platform that runs real servers: child processes below a temporary directory, ended when it goes.
//!
//! What it cannot do panics, for that is a failed test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use postgres_protocol::password::scram_sha_256;
use simdb_planner::observed::{Observation, PlatformFacts, ProcessFacts};
use simdb_providers::platform::{Directory, HomeFacts, Platform, PlatformError, StopMode};
use simdb_state::address::NodeAddress;
use simdb_state::instance::{self, FilePart, FileText, InstanceSpec, ServiceEntry, TaskSpec};
use simdb_state::object::{EngineKind, Listen};
use simdb_state::sensitive::Secrets;
use tempfile::TempDir;

/// Where Debian keeps each version's programs.
const PROGRAMS: &str = "/usr/lib/postgresql";

#[derive(Debug)]
pub(crate) struct Processes {
    root: TempDir,
    /// Who servers run as; PostgreSQL refuses to run as root.
    user: Option<User>,
    servers: Mutex<BTreeMap<NodeAddress, (Child, Listen)>>,
    entries: Mutex<BTreeMap<String, ServiceEntry>>,
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (server, _) in self.servers().values_mut() {
            end(server, Signal::SIGKILL);
        }
    }
}

impl Processes {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let user = geteuid()
            .is_root()
            .then(|| User::from_name("postgres").unwrap().unwrap());
        Self {
            root,
            user,
            servers: Mutex::default(),
            entries: Mutex::default(),
        }
    }

    /// Returns the newest version whose programs are installed.
    pub(crate) fn version() -> u16 {
        let names = fs::read_dir(PROGRAMS).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).max().unwrap()
    }

    /// Returns the process of a node's server.
    pub(crate) fn pid(&self, node: &NodeAddress) -> Pid {
        pid(&self.servers()[node].0)
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<NodeAddress, (Child, Listen)>> {
        self.servers.lock().unwrap()
    }

    fn home(&self, node: &NodeAddress) -> PathBuf {
        self.root.path().join(node.cluster.as_str()).join(node.node.host())
    }

    fn own(&self, path: &Path) {
        if let Some(user) = &self.user {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
    }

    fn write(&self, node: &NodeAddress, files: &BTreeMap<String, FileText>, secrets: &Secrets) {
        let home = self.home(node);
        fs::create_dir_all(&home).unwrap();
        self.own(&home);
        for (path, text) in files {
            let parts = text.0.iter().map(|part| match part {
                FilePart::Text(text) => text.clone(),
                FilePart::Home => home.to_str().unwrap().to_owned(),
                FilePart::Secret(name) => secrets[name].expose().clone(),
                FilePart::ScramVerifier(name) => scram_sha_256(secrets[name].expose().as_bytes()),
            });
            let path = home.join(path);
            fs::write(&path, parts.collect::<String>()).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            self.own(&path);
        }
    }

    fn command(&self, node: &NodeAddress, command: &instance::Command) -> Command {
        let home = self.home(node);
        let home = home.to_str().unwrap();
        let mut process = Command::new(format!("{PROGRAMS}/{}/bin/{}", command.version, command.program));
        process
            .args(command.arguments.iter().map(|argument| argument.render(home)))
            .current_dir(home)
            .env("LC_ALL", "C");
        if let Some(user) = &self.user {
            process.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        process
    }
}

fn pid(server: &Child) -> Pid {
    Pid::from_raw(server.id().try_into().unwrap())
}

fn end(server: &mut Child, signal: Signal) {
    if server.try_wait().unwrap().is_none() {
        kill(pid(server), signal).unwrap();
        server.wait().unwrap();
    }
}

#[async_trait]
impl Platform for Processes {
    async fn facts(&self) -> PlatformFacts {
        let versions = BTreeMap::from([(Self::version(), PROGRAMS.to_owned())]);
        PlatformFacts {
            engines: BTreeMap::from([(EngineKind::Postgresql, versions)]),
            ..PlatformFacts::default()
        }
    }

    async fn list(&self) -> Result<BTreeSet<NodeAddress>, PlatformError> {
        Ok(self.servers().keys().cloned().collect())
    }

    async fn inspect(&self, node: &NodeAddress) -> Result<Observation<HomeFacts>, PlatformError> {
        let home = self.home(node);
        if !home.exists() {
            return Ok(Observation::Absent);
        }
        let mut facts = HomeFacts::default();
        if let Some((server, listen)) = self.servers().get_mut(node) {
            facts.listen = Some(*listen);
            if server.try_wait().unwrap().is_none() {
                facts.process = ProcessFacts::Running { pid: server.id() };
            }
        }
        let entries = fs::read_dir(home).unwrap().map(|entry| entry.unwrap());
        let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        facts.directories = directories
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        Ok(Observation::Seen(facts))
    }

    async fn ensure(&self, node: &NodeAddress, spec: &InstanceSpec, secrets: &Secrets) -> Result<(), PlatformError> {
        self.write(node, &spec.files, secrets);
        let mut servers = self.servers();
        if let Some((server, _)) = servers.get_mut(node)
            && server.try_wait().unwrap().is_none()
        {
            return Ok(());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home(node).join("log"))
            .unwrap();
        let mut command = self.command(node, &spec.command);
        command.current_dir(self.home(node).join(&spec.data)).stderr(log);
        servers.insert(node.clone(), (command.spawn().unwrap(), spec.listen));
        Ok(())
    }

    async fn stop(&self, node: &NodeAddress, mode: StopMode) -> Result<(), PlatformError> {
        let signal = match mode {
            StopMode::Fast => Signal::SIGINT,
            StopMode::Immediate => Signal::SIGKILL,
        };
        if let Some((server, _)) = self.servers().get_mut(node) {
            end(server, signal);
        }
        Ok(())
    }

    async fn run_task(&self, node: &NodeAddress, task: &TaskSpec, secrets: &Secrets) -> Result<String, PlatformError> {
        let product = task.product.as_ref().map(|product| self.home(node).join(product));
        if product.as_ref().is_some_and(|product| product.exists()) {
            return Ok(String::new());
        }
        self.write(node, &task.files, secrets);
        let mut printed = String::new();
        for command in &task.commands {
            let output = self.command(node, command).output().unwrap();
            assert!(
                output.status.success(),
                "{command:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            printed += &String::from_utf8(output.stdout).unwrap();
        }
        if let Some(product) = product {
            fs::rename(TaskSpec::partial(product.to_str().unwrap()), product).unwrap();
        }
        Ok(printed)
    }

    async fn drop(&self, node: &NodeAddress) -> Result<(), PlatformError> {
        self.stop(node, StopMode::Immediate).await?;
        self.servers().remove(node);
        if self.home(node).exists() {
            fs::remove_dir_all(self.home(node)).unwrap();
        }
        Ok(())
    }

    async fn log(&self, node: &NodeAddress, lines: usize) -> Result<Vec<String>, PlatformError> {
        let log = fs::read_to_string(self.home(node).join("log")).unwrap_or_default();
        let all: Vec<String> = log.lines().map(str::to_owned).collect();
        Ok(all[all.len().saturating_sub(lines)..].to_vec())
    }
}

#[async_trait]
impl Directory for Processes {
    async fn lookup(&self, name: &str) -> Result<Observation<ServiceEntry>, PlatformError> {
        let entry = self.entries.lock().unwrap().get(name).cloned();
        Ok(entry.map_or(Observation::Absent, Observation::Seen))
    }

    async fn publish(&self, entry: &ServiceEntry) -> Result<(), PlatformError> {
        self.entries.lock().unwrap().insert(entry.name.clone(), entry.clone());
        Ok(())
    }

    async fn withdraw(&self, name: &str) -> Result<(), PlatformError> {
        self.entries.lock().unwrap().remove(name);
        Ok(())
    }
}
