//! How the platform is opened for a project.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use simdb_state::name::PlatformName;
use tokio::sync::OnceCell;

use super::KubernetesPlatform;
use super::looks::Looks;
use super::names::Names;
use super::settings::Settings;
use crate::platform::Provider;
use crate::platform::registry::Setup;

/// What stands for the lineage of a record that is yet to be made.
const UNBORN: &str = "unborn";

/// Opens the platform of a provider for a project. Nothing is connected yet.
pub(in crate::platform) fn open(name: &PlatformName, setup: &Setup<'_>) -> Arc<dyn Provider> {
    let none = BTreeMap::new();
    let arguments = setup.local.others.get(name.as_str()).unwrap_or(&none);
    Arc::new(KubernetesPlatform {
        settings: Settings::read(arguments, setup.directory),
        names: Names::new(setup.lineage.unwrap_or(UNBORN), &setup.directory.display().to_string()),
        grant: setup.grant.clone(),
        server: OnceCell::new(),
        locks: Mutex::default(),
        looks: Looks::default(),
    })
}
