//! How the platform is opened for a project.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use simdb_state::name::PlatformName;

use super::DockerPlatform;
use super::host::Host;
use super::images::Images;
use super::names::Names;
use super::pull::Pull;
use crate::platform::Provider;
use crate::platform::registry::{Machine, Setup};

/// What stands for the lineage of a record that is yet to be made.
const UNBORN: &str = "unborn";

/// Opens the platform of a provider for a project. Clients on this machine are routed by a directory that is there already.
pub(in crate::platform) fn open(name: &PlatformName, setup: &Setup<'_>, machine: Machine) -> Arc<dyn Provider> {
    let none = BTreeMap::new();
    let arguments = setup.local.others.get(name.as_str()).unwrap_or(&none);
    let project = setup.directory.display().to_string();
    Arc::new(DockerPlatform {
        host: Host::find(arguments, setup.directory),
        publish: arguments.get("publish").and_then(|address| address.parse().ok()),
        secure: OnceLock::new(),
        names: Names::new(setup.lineage.unwrap_or(UNBORN), &project),
        images: Images::new(
            arguments.get("image").cloned(),
            arguments.get("pooler_image"),
            Pull::read(arguments.get("pull")),
        ),
        grant: setup.grant.clone(),
        directory: machine.directory,
        listeners: machine.listeners,
        locks: Mutex::default(),
    })
}
