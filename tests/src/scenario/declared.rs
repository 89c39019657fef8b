//! A cluster whose declaration changes while it lives: how many standbys, which settings, passwords and addresses.

use std::net::{IpAddr, Ipv4Addr};

use simdb_state::place::{Host, HostPort};

use super::Scenario;

/// How many addresses of each kind a cluster may come to have, those that an interrupted run still holds included.
const PLACES: u8 = 8;
/// The port of nodes that have addresses for themselves.
const PORT: u16 = 5432;

/// What is declared, besides the names of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// How many standbys there are.
    pub standbys: u64,
    /// In megabytes: a setting that a reload changes.
    pub work_mem: u64,
    /// A setting that a restart changes, in an order, for replay depends on it.
    pub max_connections: u64,
    /// The version of the password of user `app`.
    pub user_password: u32,
    /// The version of the password that standbys stream with.
    pub stream_password: u32,
    /// Whether nodes have addresses for themselves.
    pub subnet: bool,
}

impl Default for Declared {
    fn default() -> Self {
        Self {
            standbys: 2,
            work_mem: 4,
            max_connections: 100,
            user_password: 1,
            stream_password: 1,
            subnet: false,
        }
    }
}

impl Declared {
    /// Returns what stands in the block of the cluster.
    pub fn body(&self) -> String {
        let Self {
            standbys,
            work_mem,
            max_connections,
            user_password,
            stream_password,
            subnet: _,
        } = self;
        let parameters = format!("parameters = {{ work_mem = \"{work_mem}MB\", max_connections = {max_connections} }}");
        format!(
            r#"
  replication {{
    mode             = "quorum"
    password_version = {stream_password}
  }}
  node "a" {{
    {parameters}
  }}
  node "r" {{
    count = {standbys}
    {parameters}
  }}
  user "app" {{
    login            = true
    password_version = {user_password}
  }}
  database "app" {{ owner = "app" }}
  endpoint "rw" {{ target = "primary" }}
"#
        )
    }
}

impl Scenario {
    /// Changes the configuration to what is declared.
    pub fn declare_all(&self, declared: &Declared) {
        let [high, low] = self.subnet();
        let network = if declared.subnet {
            format!("subnet = \"127.{high}.{low}.0/24\"")
        } else {
            String::new()
        };
        self.declare_in(&network, &declared.body());
    }

    /// Changes the configuration and applies it.
    #[track_caller]
    pub fn apply_all(&mut self, declared: &Declared) {
        self.declare_all(declared);
        self.simdb(&["apply", "-auto-approve"]);
        self.look();
    }

    /// Returns where servers may come to listen, whichever way they are addressed.
    pub(super) fn places(&self) -> Vec<HostPort> {
        let [high, low] = self.subnet();
        let ports = self.environment.ports().take(PLACES.into());
        let shared = ports.map(|port| (Ipv4Addr::LOCALHOST, port));
        let separate = (1..=PLACES).map(|last| (Ipv4Addr::new(127, high, low, last), PORT));
        let at = |(host, port)| HostPort {
            host: Host::Ip(IpAddr::V4(host)),
            port,
        };
        shared.chain(separate).map(at).collect()
    }

    /// Returns what is this environment's alone in the addresses of its subnet, as its ports are.
    fn subnet(&self) -> [u8; 2] {
        self.environment.ports().start().to_be_bytes()
    }
}
