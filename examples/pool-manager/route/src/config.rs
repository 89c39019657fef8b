//! Which servers there are, and how patient a caller is.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::config::{Host, TargetSessionAttrs};

use crate::intent::Lag;

const PRIMARY: &str = "DATABASE_URL";
const REPLICAS: &str = "DATABASE_REPLICA_URL";
const CONNECTIONS: &str = "DATABASE_MAX_CONNECTIONS";
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// Where a server listens whose URL names no port.
const PORT: u16 = 5432;

/// Which servers there are, and how patient a caller is. Its `Debug` shows no password.
///
/// Which server is the primary is asked of the servers; where an address stands says nothing about it.
#[derive(Clone)]
pub struct Config {
    pub(crate) addresses: Vec<Address>,
    /// How many connections each server may have: 10. The probes have one more.
    pub max_connections: usize,
    /// How long a caller waits for a connection that is free, and for one that is being opened: 5 s.
    pub acquire_timeout: Duration,
    /// How often each server is asked what it is: 1 s. A connection that breaks has it asked at once.
    pub probe_interval: Duration,
    /// How long an answer to that may take: 2 s.
    pub probe_timeout: Duration,
    /// How far a replica may be behind for [`QueryIntent::Read`](crate::QueryIntent::Read): 10 MB and 10 s, where simdb's
    /// alerts begin.
    pub max_lag: Lag,
    /// How long [`QueryIntent::ReadAfter`](crate::QueryIntent::ReadAfter) waits for a replica before it takes the primary:
    /// 50 ms.
    pub replay_wait: Duration,
    /// How long a lost primary is searched for, and how long a write waits for it: 10 s.
    pub failover_wait: Duration,
    /// Whether reads go to the primary where no replica may serve them: true.
    pub fallback: bool,
}

/// One server.
#[derive(Clone)]
pub(crate) struct Address {
    /// `HOST:PORT`, for messages.
    pub(crate) name: String,
    pub(crate) config: tokio_postgres::Config,
}

/// Why there is no configuration. No text of a URL is repeated: any part of one may be a part of its password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The variable that names the servers is absent.
    #[error("{PRIMARY} is not set; it names the database, such as postgres://user:password@host:5432/database")]
    Missing,
    /// A URL cannot be read.
    #[error(
        "{variable}: URL {number} is none of PostgreSQL's, such as postgres://user:password@host:5432/database; \
         characters like @ : / ? # in a password are written as %40 %3A %2F %3F %23"
    )]
    Url {
        /// The variable it stands in.
        variable: &'static str,
        /// Which of its URLs it is, from 1.
        number: usize,
    },
    /// A number cannot be read.
    #[error("{CONNECTIONS} must be a whole number from 1 on")]
    Connections,
}

impl Config {
    /// Reads the environment: `DATABASE_URL`, which may name several hosts; `DATABASE_REPLICA_URL`, which may be absent,
    /// and may be a list of URLs with commas between them; and `DATABASE_MAX_CONNECTIONS`.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let variable = |name| variable(name).filter(|value| !value.trim().is_empty());
        let primary = variable(PRIMARY).ok_or(ConfigError::Missing)?;
        let mut config = Self::from_urls(&primary, variable(REPLICAS).as_deref())?;
        if let Some(number) = variable(CONNECTIONS) {
            let number = number.trim().parse().ok().filter(|number| *number > 0);
            config.max_connections = number.ok_or(ConfigError::Connections)?;
        }
        Ok(config)
    }

    /// Takes the servers from URLs, or lists of such with commas between them, each of which may name several hosts.
    pub fn from_urls(primary: &str, replicas: Option<&str>) -> Result<Self, ConfigError> {
        let mut addresses = addresses(PRIMARY, primary)?;
        if let Some(replicas) = replicas {
            addresses.extend(self::addresses(REPLICAS, replicas)?);
        }
        let mut names = BTreeSet::new();
        addresses.retain(|address| names.insert(address.name.clone()));
        Ok(Self {
            addresses,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_secs(2),
            max_lag: Lag {
                bytes: Some(10_000_000),
                time: Some(Duration::from_secs(10)),
            },
            replay_wait: Duration::from_millis(50),
            failover_wait: Duration::from_secs(10),
            fallback: true,
        })
    }

    /// Returns the servers, as `HOST:PORT`, in the order in which they were named.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().map(|address| address.name.as_str())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.addresses().collect();
        f.debug_struct("Config")
            .field("addresses", &names)
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("probe_interval", &self.probe_interval)
            .field("probe_timeout", &self.probe_timeout)
            .field("max_lag", &self.max_lag)
            .field("replay_wait", &self.replay_wait)
            .field("failover_wait", &self.failover_wait)
            .field("fallback", &self.fallback)
            .finish()
    }
}

/// Returns the servers that a list of URLs names.
fn addresses(variable: &'static str, list: &str) -> Result<Vec<Address>, ConfigError> {
    let mut found = Vec::new();
    for (at, url) in split(list).into_iter().enumerate() {
        let wrong = ConfigError::Url {
            variable,
            number: at + 1,
        };
        let config: tokio_postgres::Config = url.parse().map_err(|_| wrong.clone())?;
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        if hosts == 0 {
            return Err(wrong);
        }
        found.extend((0..hosts).map(|host| address(&config, host)));
    }
    Ok(found)
}

/// Returns the URLs of a list: a comma separates two where a scheme follows, and two hosts of one URL otherwise.
fn split(list: &str) -> Vec<&str> {
    let begins = |at: usize| SCHEMES.iter().any(|scheme| list[at..].trim_start().starts_with(scheme));
    let commas = list.match_indices(',').map(|(at, _)| at).filter(|at| begins(at + 1));
    let mut urls = Vec::new();
    let mut start = 0;
    for comma in commas {
        urls.push(list[start..comma].trim());
        start = comma + 1;
    }
    urls.push(list[start..].trim().trim_end_matches(','));
    urls
}

/// Returns one host of a URL, with everything else that the URL says.
fn address(whole: &tokio_postgres::Config, at: usize) -> Address {
    let ports = whole.get_ports();
    let port = ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
    let mut one = tokio_postgres::Config::new();
    one.port(port);
    let mut name = None;
    if let Some(address) = whole.get_hostaddrs().get(at) {
        one.hostaddr(*address);
        name = Some(address.to_string());
    }
    match whole.get_hosts().get(at) {
        Some(Host::Tcp(host)) => {
            one.host(host);
            name = Some(host.clone());
        }
        #[cfg(unix)]
        Some(Host::Unix(path)) => {
            one.host_path(path);
            name = Some(path.display().to_string());
        }
        None => {}
    }
    copy_login(whole, &mut one);
    copy_transport(whole, &mut one);
    // Which server takes writes is for the probes to say.
    one.target_session_attrs(TargetSessionAttrs::Any);
    let host = name.unwrap_or_default();
    Address {
        name: if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        },
        config: one,
    }
}

fn copy_login(whole: &tokio_postgres::Config, one: &mut tokio_postgres::Config) {
    if let Some(user) = whole.get_user() {
        one.user(user);
    }
    if let Some(password) = whole.get_password() {
        one.password(password);
    }
    if let Some(database) = whole.get_dbname() {
        one.dbname(database);
    }
    if let Some(options) = whole.get_options() {
        one.options(options);
    }
    if let Some(application) = whole.get_application_name() {
        one.application_name(application);
    }
}

fn copy_transport(whole: &tokio_postgres::Config, one: &mut tokio_postgres::Config) {
    one.ssl_mode(whole.get_ssl_mode())
        .ssl_negotiation(whole.get_ssl_negotiation())
        .channel_binding(whole.get_channel_binding())
        .keepalives(whole.get_keepalives())
        .keepalives_idle(whole.get_keepalives_idle());
    if let Some(interval) = whole.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = whole.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    if let Some(timeout) = whole.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(timeout) = whole.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
}

#[cfg(test)]
mod tests;
