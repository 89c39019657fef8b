//! The way to the daemon, and what keeps simdb from it.
//!
//! That the daemon does not answer says nothing of its containers: they run on without it. It is told apart from what the
//! engine says.

use std::error::Error as _;
use std::io;
use std::io::ErrorKind;
use std::path::Path;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::explain::explained;
use super::host::{CERTIFICATES, Host};
use crate::platform::PlatformError;
use crate::platform::requests::{Refusal, refused};

/// How many seconds the daemon may take to begin an answer. Starting a container on a busy machine takes its time.
const LIMIT: u64 = 60;

impl Host {
    /// Makes what speaks to the daemon. Nothing is connected yet.
    pub(super) fn connect(&self) -> Result<Docker, Trouble> {
        if let Some(fault) = &self.fault {
            return Err(self.unreached(fault));
        }
        let docker = match (self.socket(), &self.certificates) {
            (Some(path), _) if !Path::new(path).exists() => {
                return Err(self.unreached(&format!("{path} does not exist")));
            }
            (Some(_), _) => Docker::connect_with_unix(&self.url, LIMIT, API_DEFAULT_VERSION),
            (None, _) if self.url.starts_with("ssh://") => {
                let way = "ssh:// is not supported by this version. Lead its socket here, and name that: ssh -nNT -L \
                           /tmp/docker.sock:/var/run/docker.sock HOST";
                return Err(self.unreached(way));
            }
            (None, _) if !self.url.starts_with("tcp://") => {
                return Err(self.unreached("only unix:// and tcp:// are supported by this version"));
            }
            (None, None) => Docker::connect_with_http(&self.url, LIMIT, API_DEFAULT_VERSION),
            (None, Some(certificates)) => self.connect_with_tls(certificates),
        };
        docker.map_err(|error| self.trouble(error))
    }

    fn connect_with_tls(&self, certificates: &Path) -> Result<Docker, Error> {
        let [trusted, own, key] = CERTIFICATES.map(|name| certificates.join(name));
        // Those of its own are read when they are asked for, and what then is missing is not said.
        if let Some(missing) = [&own, &key].into_iter().find(|path| !path.exists()) {
            return Err(Error::CertPathError { path: missing.clone() });
        }
        Docker::connect_with_ssl(&self.url, &key, &own, &trusted, LIMIT, API_DEFAULT_VERSION)
    }

    fn unreached(&self, why: &str) -> Trouble {
        Trouble::Unreached(format!(
            "The Docker Engine at {} ({}) cannot be reached: {why}. Servers in its containers may run all the same.",
            self.url, self.from
        ))
    }

    /// Adds which certificates count, where it is about them.
    fn certified(&self, why: &str) -> String {
        match &self.certificates {
            Some(certificates) if why.contains("certificate") => {
                format!(
                    "{why}. The certificates that count are those in {}",
                    certificates.display()
                )
            }
            _ => why.to_owned(),
        }
    }

    /// Says what went wrong with a request.
    pub(super) fn trouble(&self, error: Error) -> Trouble {
        match error {
            Error::DockerResponseServerError { status_code, message } if message.trim_start().starts_with('<') => {
                self.unreached(&format!("something else answers there, with status {status_code}"))
            }
            Error::DockerResponseServerError { message, .. } if message.contains("HTTP request to an HTTPS server") => self
                .unreached(
                    "it asks for TLS. Say where its certificates are: cert_path in provider \"docker\", or \
                     DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH",
                ),
            Error::CertPathError { path } | Error::CertParseError { path } => self.unreached(&format!(
                "{} is no file with certificates in PEM; {} are needed",
                path.display(),
                CERTIFICATES.join(", ")
            )),
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
                _ => self.unreached(&self.certified(&chain(&other))),
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
            Self::Refused { message, .. } => refused(doing, name, explained(message)),
        }
    }
}

impl Refusal for Trouble {
    fn is_missing(&self) -> bool {
        self.is_absent()
    }

    fn while_doing(self, doing: &'static str, name: &str) -> PlatformError {
        self.at(doing, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Host {
        Host {
            url: url.to_owned(),
            from: "a test".to_owned(),
            certificates: None,
            fault: None,
        }
    }

    #[tokio::test]
    async fn what_keeps_simdb_from_the_daemon_is_said_with_a_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let host = at(&format!("unix://{}", path.display()));
        let missing = host.connect().expect_err("there is no socket");
        assert!(missing.message().contains("does not exist"), "{missing:?}");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let docker = host.connect().expect("the socket is there");
        let dead = host.trouble(docker.ping().await.expect_err("nobody listens"));
        assert!(dead.message().contains("systemctl start docker"), "{dead:?}");
        for (url, said) in [
            ("ssh://host", "ssh -nNT -L"),
            ("npipe://host", "only unix:// and tcp://"),
        ] {
            let told = at(url).connect().expect_err("not supported");
            assert!(told.message().contains(said), "{told:?}");
        }
        let certified = Host {
            certificates: Some(directory.path().to_owned()),
            ..at("tcp://127.0.0.1:1")
        };
        let told = certified.connect().expect_err("there are no certificates");
        assert!(
            told.message().contains("cert.pem is no file with certificates"),
            "{told:?}"
        );
    }
}
