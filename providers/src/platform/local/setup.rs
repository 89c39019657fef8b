//! Where the processes of a project keep what is theirs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use simdb_state::object::ProviderSettings;

use super::{LocalConfig, LocalPlatform, ports};
use crate::platform::Provider;
use crate::platform::registry::{Machine, Setup};

/// The connection service file of a project: `PGSERVICEFILE=.simdb/pg_service.conf psql service=orders-rw`.
const SERVICE_FILE: &str = "pg_service.conf";

/// Where root keeps the data of all projects: under an instance directory directory, servers' own users could not reach it.
pub(super) const DATA_ROOT_OF_ROOT: &str = "/var/lib/simdb";

/// What stands for the lineage of a record that is yet to be made.
const UNBORN: &str = "unborn";

/// Opens the platform for a project.
pub(in crate::platform) fn open(setup: &Setup<'_>) -> Arc<dyn Provider> {
    let platform = LocalPlatform::new(config(setup));
    Arc::new(match &setup.grant {
        Some(grant) => platform.under(grant.clone()),
        None => platform,
    })
}

/// Opens what platforms whose servers are no processes of this machine have on it: they need no user.
pub(in crate::platform) fn machine(setup: &Setup<'_>) -> Machine {
    let platform = LocalPlatform::new(config(setup)).without_servers();
    Machine {
        directory: Arc::new(match &setup.grant {
            Some(grant) => platform.under(grant.clone()),
            None => platform,
        }),
        listeners: ports::busy,
    }
}

/// Returns where the entries of a project's endpoints are, given the directory of what leads to its servers.
pub fn service_file(servers: &Path) -> PathBuf {
    servers.join(SERVICE_FILE)
}

/// Returns where the nodes of a record are while the platform is set up like this.
pub fn recorded(setup: &Setup<'_>) -> ProviderSettings {
    let root = config(setup).root;
    let below = root.strip_prefix(setup.directory).unwrap_or(&root);
    ProviderSettings {
        data_root: below.display().to_string(),
        run_as: setup.local.run_as.clone(),
        binaries: setup.local.binaries.clone(),
        others: setup.local.others.clone(),
    }
}

fn config(setup: &Setup<'_>) -> LocalConfig {
    let lineage = setup.lineage.unwrap_or(UNBORN);
    let root = match &setup.local.data_root {
        Some(root) => setup.directory.join(root),
        None if nix::unistd::geteuid().is_root() => Path::new(DATA_ROOT_OF_ROOT).join(lineage),
        None => setup.servers.to_owned(),
    };
    LocalConfig {
        root,
        run_as: setup.local.run_as.clone(),
        binaries: setup.local.binaries.iter().map(PathBuf::from).collect(),
        path: std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect(),
        lineage: lineage.to_owned(),
        project: setup.directory.to_owned(),
        service_file: service_file(setup.servers),
    }
}
