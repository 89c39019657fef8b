//! The way to the daemon, and what keeps simdb from it.
//!
//! That the daemon does not answer says nothing of its containers: they run on without it. It is told apart from what the
//! engine says.

use std::error::Error as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{env, io};

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

use crate::platform::PlatformError;

/// Where a daemon listens unless somebody says otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How many seconds the daemon may take to begin an answer. Starting a container on a busy machine takes its time.
const LIMIT: u64 = 60;

/// Where the daemon listens, and who says so.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) url: String,
    from: &'static str,
}

impl Host {
    /// Finds out where the daemon listens.
    pub(super) fn find(declared: Option<&String>) -> Self {
        let of = |url: &str, from| Self {
            url: url.to_owned(),
            from,
        };
        match (declared, env::var("DOCKER_HOST")) {
            (Some(url), _) => of(url, "host in provider \"docker\""),
            (None, Ok(url)) if !url.is_empty() => of(&url, "DOCKER_HOST"),
            _ => of(DEFAULT_HOST, "the default"),
        }
    }

    /// Returns the path of the daemon's socket, where it has one.
    fn socket(&self) -> Option<&str> {
        self.url.strip_prefix("unix://")
    }

    /// Returns whether the daemon is on another machine, as far as its address tells.
    pub(super) fn is_remote(&self) -> bool {
        let Some(address) = self.url.strip_prefix("tcp://") else {
            return false;
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        !(host == "localhost" || host == "[::1]" || host.starts_with("127."))
    }

    /// Makes what speaks to the daemon. Nothing is connected yet.
    pub(super) fn connect(&self) -> Result<Docker, Trouble> {
        let docker = match self.socket() {
            Some(path) if !Path::new(path).exists() => return Err(self.unreached(&format!("{path} does not exist"))),
            Some(_) => Docker::connect_with_unix(&self.url, LIMIT, API_DEFAULT_VERSION),
            None if self.url.starts_with("tcp://") => Docker::connect_with_http(&self.url, LIMIT, API_DEFAULT_VERSION),
            None => return Err(self.unreached("only unix:// and tcp:// are supported by this version")),
        };
        docker.map_err(|error| self.trouble(error))
    }

    fn unreached(&self, why: &str) -> Trouble {
        Trouble::Unreached(format!(
            "The Docker Engine at {} ({}) cannot be reached: {why}. Servers in its containers may run all the same.",
            self.url, self.from
        ))
    }

    /// Says what went wrong with a request.
    pub(super) fn trouble(&self, error: Error) -> Trouble {
        match error {
            Error::DockerResponseServerError { status_code, message } if message.trim_start().starts_with('<') => {
                self.unreached(&format!("something else answers there, with status {status_code}"))
            }
            Error::DockerResponseServerError { status_code, message } => Trouble::Refused {
                status: status_code,
                message,
            },
            Error::DockerStreamError { error } => Trouble::Refused {
                status: 500,
                message: error,
            },
            Error::RequestTimeoutError => self.unreached(&format!(
                "it gave no answer within {LIMIT} s. See what it logs: journalctl -u docker"
            )),
            other => match cause(&other) {
                Some(ErrorKind::PermissionDenied) => self.unreached(
                    "permission denied. Join the group of its socket (usermod -aG docker, which gives root's rights), or \
                     run simdb as root",
                ),
                Some(ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
                    self.unreached("nothing listens there. Start it: systemctl start docker")
                }
                _ => self.unreached(&chain(&other)),
            },
        }
    }
}

/// Returns what the operating system said.
fn cause(error: &Error) -> Option<ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Why a request came to nothing.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// The daemon did not answer, as a sentence: what it was asked may have happened, or not.
    Unreached(String),
    /// The daemon refused.
    Refused {
        /// The status, as HTTP has them.
        status: u16,
        /// What it says.
        message: String,
    },
}

impl Trouble {
    /// Returns whether what was asked for is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Returns whether something is in the way: a name that is taken, a state that does not allow it.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Returns what the daemon said.
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Unreached(message) | Self::Refused { message, .. } => message,
        }
    }

    /// Says what was being done, with which object.
    pub(super) fn at(self, doing: &'static str, name: &str) -> PlatformError {
        match self {
            Self::Unreached(sentence) => PlatformError::Unusable(sentence),
            Self::Refused { message, .. } => refused(doing, name, message),
        }
    }
}

/// Says why something could not be done with an object of the daemon.
pub(super) fn refused(doing: &'static str, name: &str, message: String) -> PlatformError {
    PlatformError::Io {
        doing,
        path: PathBuf::from(name),
        source: io::Error::other(message),
    }
}

/// Adds what was being done to what went wrong.
pub(super) trait At<T> {
    /// Says what was being done, with which object.
    fn at(self, doing: &'static str, name: &str) -> Result<T, PlatformError>;
}

impl<T> At<T> for Result<T, Trouble> {
    fn at(self, doing: &'static str, name: &str) -> Result<T, PlatformError> {
        self.map_err(|trouble| trouble.at(doing, name))
    }
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, name: &str) -> Result<T, PlatformError> {
        self.map_err(|error| refused(doing, name, error.to_string()))
    }
}

/// Takes what is not there for nothing.
pub(super) fn optional<T>(found: Result<T, Trouble>) -> Result<Option<T>, Trouble> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(trouble) if trouble.is_absent() => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_of_another_machine_is_told_by_its_address() {
        let remote = |url: &str| Host::find(Some(&url.to_owned())).is_remote();
        for own in [
            "unix:///run/docker.sock",
            "tcp://127.0.0.1:2375",
            "tcp://localhost:2375",
        ] {
            assert!(!remote(own), "{own}");
        }
        assert!(remote("tcp://db.example.org:2375"));
    }

    #[tokio::test]
    async fn what_keeps_simdb_from_the_daemon_is_said_with_a_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let host = Host::find(Some(&format!("unix://{}", path.display())));
        let missing = host.connect().expect_err("there is no socket");
        assert!(missing.message().contains("does not exist"), "{missing:?}");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let docker = host.connect().expect("the socket is there");
        let dead = host.trouble(docker.ping().await.expect_err("nobody listens"));
        assert!(dead.message().contains("systemctl start docker"), "{dead:?}");
        let told = Host::find(Some(&"ssh://host".to_owned()))
            .connect()
            .expect_err("not supported");
        assert!(told.message().contains("only unix:// and tcp://"), "{told:?}");
    }
}
