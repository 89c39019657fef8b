//! The local platform below a temporary directory, and nothing left of it when it goes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_providers::platform::local::{LocalConfig, LocalPlatform};
use simdb_providers::platform::{Known, Platform, Provider, World};
use simdb_state::address::NodeAddress;
use simdb_state::object::{EngineKind, first_platform};
use simdb_state::store::{Grant, Store};
use tempfile::TempDir;

use crate::cluster::LIMIT;

/// How long processes that should end are left alone before they are looked at again.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) platform: Arc<LocalPlatform>,
    pub(crate) grant: Grant,
    root: TempDir,
}

impl Machine {
    pub(crate) async fn new() -> Self {
        let store = Store::in_memory().await.unwrap();
        let grant = store.lock("test", Duration::ZERO).await.unwrap().grant();
        let root = tempfile::tempdir().unwrap();
        // The user that servers run as must be able to enter it.
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let platform = LocalPlatform::new(LocalConfig {
            root: root.path().join("data"),
            run_as: None,
            binaries: Vec::new(),
            path: Vec::new(),
            lineage: "test".to_owned(),
            project: root.path().to_owned(),
            service_file: root.path().join("pg_service.conf"),
        })
        .under(grant.clone());
        Self {
            platform: Arc::new(platform),
            grant,
            root,
        }
    }

    pub(crate) fn world(&self) -> World {
        World::new(
            [(first_platform(), Arc::clone(&self.platform) as _)].into(),
            Known::default(),
        )
    }

    /// Returns the newest version whose programs are installed.
    pub(crate) async fn version(&self) -> u16 {
        let facts = self.platform.facts().await;
        let found = facts
            .engines
            .get(&EngineKind::Postgresql)
            .and_then(|versions| versions.last_key_value());
        *found
            .unwrap_or_else(|| panic!("install PostgreSQL: looked in {:?}", facts.searched))
            .0
    }

    /// Returns the process of a node's server.
    pub(crate) async fn pid(&self, node: &NodeAddress) -> Pid {
        let directory = self.platform.inspect(&node.into()).await.unwrap();
        let pid = directory.seen().unwrap().process.pid().expect("a server runs");
        Pid::from_raw(pid.try_into().unwrap())
    }

    fn processes(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let inside = entries.filter(|entry| {
            fs::read_link(entry.path().join("cwd")).is_ok_and(|path| path.starts_with(self.root.path()))
        });
        inside
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
            .collect()
    }
}

impl Drop for Machine {
    /// Ends every process that has something of the directory as its working directory. A server that is killed leaves
    /// shared memory behind, so each is asked to end at once first.
    fn drop(&mut self) {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            let patient = start.elapsed() < LIMIT / 4;
            for process in left {
                // It may have ended by itself since.
                let _ = kill(process, if patient { Signal::SIGQUIT } else { Signal::SIGKILL });
                let _ = kill(process, Signal::SIGCONT);
            }
            sleep(PAUSE);
        }
    }
}
