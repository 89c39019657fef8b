//! The local platform below a temporary directory, and nothing left of it when it goes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_providers::platform::Platform;
use simdb_providers::platform::local::{LocalConfig, LocalPlatform};
use simdb_state::address::NodeAddress;
use simdb_state::object::EngineKind;
use tempfile::TempDir;

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) platform: Arc<LocalPlatform>,
    root: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        // The user that servers run as must be able to enter it.
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let platform = LocalPlatform::new(LocalConfig {
            root: root.path().join("data"),
            run_as: None,
            binaries: Vec::new(),
            path: Vec::new(),
            lineage: "test".to_owned(),
            service_file: root.path().join("pg_service.conf"),
        });
        Self {
            platform: Arc::new(platform),
            root,
        }
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
        let home = self.platform.inspect(node).await.unwrap();
        let pid = home.seen().unwrap().process.pid().expect("a server runs");
        Pid::from_raw(pid.try_into().unwrap())
    }
}

impl Drop for Machine {
    /// Kills every process that has something of the directory as its working directory.
    fn drop(&mut self) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let inside = fs::read_link(entry.path().join("cwd")).is_ok_and(|path| path.starts_with(self.root.path()));
            if let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
                .filter(|_| inside)
            {
                // It may have ended by itself since.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}
