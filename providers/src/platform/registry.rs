//! The platforms that there are, one line each, and how they are opened for a project.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use simdb_planner::desired::LocalSettings;
use simdb_planner::platform::Platform;
use simdb_state::name::PlatformName;
use simdb_state::store::Grant;

#[cfg(feature = "docker")]
use super::docker as containers;
#[cfg(feature = "kubernetes")]
use super::kubernetes as pods;
use super::{Endpoints, Provider, Providers, local};

/// What a platform is told of the project it works for.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The directory of the configuration.
    pub directory: &'a Path,
    /// The directory of what leads clients to this project's servers.
    pub servers: &'a Path,
    /// What tells this project's servers from those of others. Without a record there is none of them yet.
    pub lineage: Option<&'a str>,
    /// The settings of processes on this machine.
    pub local: &'a LocalSettings,
    /// What lets it be changed; absent where it is only looked at.
    pub grant: Option<Grant>,
}

/// What platforms that run things elsewhere have on this machine.
pub(super) struct Machine {
    /// Routes the clients on this machine.
    pub(super) directory: Arc<dyn Endpoints>,
    /// Returns the TCP ports that something listens on, by address, with who does.
    pub(super) listeners: fn() -> BTreeMap<u16, BTreeMap<IpAddr, String>>,
}

/// Opens every platform that this simdb was built with: as it is set up by default, and as each provider with an alias says.
pub fn open(setup: &Setup<'_>) -> Providers {
    let defaults = Platform::ALL.into_iter().map(|platform| platform.name().to_owned());
    let aliased = setup.local.others.keys().filter(|name| name.contains('.')).cloned();
    let named = |name: String| {
        let name: PlatformName = name.parse().ok()?;
        let opened = one(&name, setup)?;
        Some((name, opened))
    };
    defaults.chain(aliased).filter_map(named).collect()
}

/// Opens a platform. What is wrong with its settings is a problem in its facts.
fn one(name: &PlatformName, setup: &Setup<'_>) -> Option<Arc<dyn Provider>> {
    match Platform::find(name)? {
        Platform::Local => Some(local::setup::open(setup)),
        Platform::Docker => docker(name, setup, local::setup::machine(setup)),
        Platform::Kubernetes => kubernetes(name, setup),
    }
}

#[cfg(feature = "docker")]
#[expect(clippy::unnecessary_wraps, reason = "there is none where simdb was built without it")]
fn docker(name: &PlatformName, setup: &Setup<'_>, machine: Machine) -> Option<Arc<dyn Provider>> {
    Some(containers::setup::open(name, setup, machine))
}

#[cfg(not(feature = "docker"))]
fn docker(_: &PlatformName, _: &Setup<'_>, _: Machine) -> Option<Arc<dyn Provider>> {
    None
}

#[cfg(feature = "kubernetes")]
#[expect(clippy::unnecessary_wraps, reason = "there is none where simdb was built without it")]
fn kubernetes(name: &PlatformName, setup: &Setup<'_>) -> Option<Arc<dyn Provider>> {
    Some(pods::setup::open(name, setup))
}

#[cfg(not(feature = "kubernetes"))]
fn kubernetes(_: &PlatformName, _: &Setup<'_>) -> Option<Arc<dyn Provider>> {
    None
}

/// Whom the roles are for that let servers run in pods.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The namespace of the servers, and of the account.
    pub namespace: &'a str,
    /// The service account.
    pub name: &'a str,
    /// The namespace of the state, where that is kept there.
    pub state: Option<&'a str>,
}

/// Returns the roles that let an account run servers in pods; nothing where simdb was built without that.
#[cfg(feature = "kubernetes")]
pub fn rights(account: Account<'_>) -> String {
    pods::rights_documents(account)
}

/// Returns the roles that let an account run servers in pods; nothing where simdb was built without that.
#[cfg(not(feature = "kubernetes"))]
pub fn rights(_: Account<'_>) -> String {
    String::new()
}
