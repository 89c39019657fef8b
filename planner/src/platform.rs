//! The platforms: this file knows all of them by name. What the planner must know of one stands in its folder; how things
//! run there stands in the providers, whose registry has an arm for each of these.

mod local;

use ipnet::Ipv4Net;
use simdb_state::name::PlatformName;

/// Where things can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Platform {
    /// Processes of this machine.
    #[default]
    Local,
}

/// The names of all of them.
pub const PLATFORMS: &[&str] = &[Platform::Local.name()];

impl Platform {
    /// All of them.
    pub const ALL: [Platform; 1] = [Platform::Local];

    /// Returns the name that configurations and records have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Platform::Local => local::NAME,
        }
    }

    /// Returns the platform of that name.
    pub fn find(name: &PlatformName) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.name() == name.as_str())
    }

    /// Checks whether its networks can have these addresses, or says which ones they can have.
    pub(crate) fn check_subnet(self, subnet: Ipv4Net) -> Result<(), String> {
        match self {
            Platform::Local => local::check_subnet(subnet),
        }
    }
}
