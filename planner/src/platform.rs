//! The platforms: this file knows all of them by name. What the planner must know of one stands in its folder; how things
//! run there stands in the providers, whose registry has an arm for each of these.

mod docker;
mod kubernetes;
mod local;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::Ipv4Net;
use simdb_state::name::{ClusterName, EndpointName, PlatformName};
use simdb_state::object::Resources;

/// Where things can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Platform {
    /// Processes of this machine.
    #[default]
    Local,
    /// Containers of a Docker Engine.
    Docker,
    /// Pods of a Kubernetes cluster.
    Kubernetes,
}

/// Returns what a node or an endpoint of a cluster is called where servers are found by name.
pub fn name_within(cluster: &ClusterName, own: &str) -> String {
    format!("{cluster}-{own}")
}

/// Returns what the pooler of an endpoint is called there.
pub fn name_of_pooler(cluster: &ClusterName, endpoint: &EndpointName) -> String {
    name_within(cluster, &format!("{endpoint}-pooler"))
}

/// The names of all of them.
pub const PLATFORMS: &[&str] = &[
    Platform::Local.name(),
    Platform::Docker.name(),
    Platform::Kubernetes.name(),
];

impl Platform {
    /// All of them.
    pub const ALL: [Platform; 3] = [Platform::Local, Platform::Docker, Platform::Kubernetes];

    /// Returns the name that configurations and records have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Platform::Local => local::NAME,
            Platform::Docker => docker::NAME,
            Platform::Kubernetes => kubernetes::NAME,
        }
    }

    /// Returns the platform of that name, whatever its alias.
    pub fn find(name: &PlatformName) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.name() == name.kind())
    }

    /// Returns whether several of its kind can be set up, each with an alias.
    pub(crate) fn has_aliases(self) -> bool {
        match self {
            Platform::Local => false,
            Platform::Docker | Platform::Kubernetes => true,
        }
    }

    /// Returns the arguments of its `provider` block.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Platform::Local => local::ARGUMENTS,
            Platform::Docker => docker::ARGUMENTS,
            Platform::Kubernetes => kubernetes::ARGUMENTS,
        }
    }

    /// Checks the text of an argument, or says what it should be.
    pub(crate) fn check_argument(self, name: &str, value: &str) -> Result<(), String> {
        match self {
            Platform::Local => Ok(()),
            Platform::Docker => docker::check_argument(name, value),
            Platform::Kubernetes => kubernetes::check_argument(name, value),
        }
    }

    /// Checks whether arguments go together, or says why not.
    pub(crate) fn check_arguments(self, arguments: &BTreeMap<String, String>) -> Result<(), String> {
        match self {
            Platform::Local | Platform::Kubernetes => Ok(()),
            Platform::Docker => docker::check_arguments(arguments),
        }
    }

    /// Returns the address at which the servers of a provider with these arguments are reached from other machines, or says what it
    /// lacks for that.
    pub(crate) fn reached_at(self, arguments: &BTreeMap<String, String>) -> Result<IpAddr, String> {
        match self {
            Platform::Local => Err(local::this_machine_only()),
            Platform::Docker => docker::reached_at(arguments),
            Platform::Kubernetes => Err(kubernetes::this_cluster_only()),
        }
    }

    /// Checks whether it can limit what its servers take of a machine, or says why not.
    pub(crate) fn check_resources(self, resources: &Resources) -> Result<(), String> {
        match self {
            Platform::Local if !resources.is_unlimited() => Err(local::unlimited()),
            Platform::Docker if resources.storage.is_some() => Err(docker::boundless()),
            Platform::Local | Platform::Docker | Platform::Kubernetes => Ok(()),
        }
    }

    /// Returns what a server of it gets of which nobody says anything else.
    pub(crate) fn usual_resources(self) -> Resources {
        match self {
            Platform::Local | Platform::Docker => Resources::default(),
            Platform::Kubernetes => kubernetes::usual_resources(),
        }
    }

    /// Checks whether its networks can have these addresses, or says which ones they can have.
    pub(crate) fn check_subnet(self, subnet: Ipv4Net) -> Result<(), String> {
        match self {
            Platform::Local => local::check_subnet(subnet),
            Platform::Docker => docker::check_subnet(subnet),
            Platform::Kubernetes => kubernetes::check_subnet(subnet),
        }
    }

    /// Checks whether its networks can be without addresses of their own, or says which ones they can have.
    pub(crate) fn check_no_subnet(self) -> Result<(), String> {
        match self {
            Platform::Local | Platform::Kubernetes => Ok(()),
            Platform::Docker => Err(docker::missing_subnet()),
        }
    }

    /// Returns whether what a server may take of its machine is changed while it runs. Elsewhere it is restarted for that.
    pub(crate) fn limits_running_servers(self) -> bool {
        match self {
            Platform::Local | Platform::Docker => true,
            Platform::Kubernetes => false,
        }
    }

    /// Returns how long the name of a server may be, where servers are found by name: then each has all ports for itself.
    pub(crate) fn longest_name(self) -> Option<usize> {
        match self {
            Platform::Local | Platform::Docker => None,
            Platform::Kubernetes => Some(kubernetes::LONGEST_NAME),
        }
    }
}
