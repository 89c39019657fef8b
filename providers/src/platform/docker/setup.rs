//! How the platform is opened for a project.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::DockerPlatform;
use super::client::Host;
use super::images::Images;
use super::names::Names;
use crate::platform::registry::Setup;
use crate::platform::{Endpoints, Provider};

/// What stands for the lineage of a record that is yet to be made.
const UNBORN: &str = "unborn";

/// The name of the platform's block.
const NAME: &str = "docker";

/// Opens the platform for a project. Clients on this machine are routed by a directory that is there already.
pub(in crate::platform) fn open(setup: &Setup<'_>, directory: Arc<dyn Endpoints>) -> Arc<dyn Provider> {
    let none = BTreeMap::new();
    let arguments = setup.local.others.get(NAME).unwrap_or(&none);
    let project = setup.directory.display().to_string();
    Arc::new(DockerPlatform {
        host: Host::find(arguments.get("host")),
        names: Names::new(setup.lineage.unwrap_or(UNBORN), &project),
        images: Images::new(arguments.get("image").cloned()),
        grant: setup.grant.clone(),
        directory,
        locks: Mutex::default(),
    })
}
