//! Where the daemon listens: as the configuration says, else as the Docker CLI finds it.
//!
//! ```text
//!   provider "docker"   host (with cert_path), or context
//!   environment         DOCKER_HOST (with DOCKER_TLS_VERIFY and DOCKER_CERT_PATH), then DOCKER_CONTEXT
//!   config.json         currentContext
//!   the default         unix:///var/run/docker.sock
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;
use simdb_state::digest::sha256;

/// Where a daemon listens unless somebody says otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The context that stands for the default.
const DEFAULT_CONTEXT: &str = "default";

/// The directory of the Docker CLI's settings, below a user's own.
const SETTINGS: &str = ".docker";

/// The files of a directory of certificates: who is trusted, who one is, and the key to that.
pub(super) const CERTIFICATES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// Where the daemon listens, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) url: String,
    pub(super) from: String,
    /// The directory of the certificates, where both sides prove who they are (TLS).
    pub(super) certificates: Option<PathBuf>,
    /// Why it is not known where the daemon listens.
    pub(super) fault: Option<String>,
}

/// The settings of the Docker CLI that are of interest here.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

/// What the Docker CLI keeps of a context.
#[derive(Debug, Deserialize)]
struct Context {
    #[serde(rename = "Endpoints")]
    endpoints: BTreeMap<String, ContextEndpoint>,
}

#[derive(Debug, Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host")]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    unverified: bool,
}

impl Host {
    /// Finds out where the daemon listens. Paths that the configuration names are below the directory of the project.
    pub(super) fn find(arguments: &BTreeMap<String, String>, project: &Path) -> Self {
        Self::find_in(arguments, project, &|name| {
            env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    fn find_in(
        arguments: &BTreeMap<String, String>,
        project: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let settings = settings(variable);
        let of = |url: &str, from: &str, certificates| Self {
            url: url.to_owned(),
            from: from.to_owned(),
            certificates,
            fault: None,
        };
        if let Some(url) = arguments.get("host") {
            let certificates = arguments.get("cert_path").map(|path| project.join(path));
            return of(url, "host in provider \"docker\"", certificates);
        }
        if let Some(name) = arguments.get("context") {
            return Self::of_context(name, "context in provider \"docker\"", &settings);
        }
        if let Some(url) = variable("DOCKER_HOST") {
            let verified = variable("DOCKER_TLS_VERIFY").is_some();
            let certificates = || variable("DOCKER_CERT_PATH").map_or_else(|| settings.clone(), PathBuf::from);
            return of(&url, "DOCKER_HOST", verified.then(certificates));
        }
        if let Some(name) = variable("DOCKER_CONTEXT") {
            return Self::of_context(&name, "DOCKER_CONTEXT", &settings);
        }
        let config = fs::read(settings.join("config.json")).unwrap_or_default();
        // What the Docker CLI cannot read either is its to complain about.
        let config: Config = serde_json::from_slice(&config).unwrap_or_default();
        match config.current_context.filter(|name| !name.is_empty()) {
            Some(name) => Self::of_context(&name, "the Docker CLI's current context", &settings),
            None => of(DEFAULT_HOST, "the default", None),
        }
    }

    /// Reads where the daemon of a context of the Docker CLI listens.
    fn of_context(name: &str, said_by: &str, settings: &Path) -> Self {
        let mut host = Self {
            url: DEFAULT_HOST.to_owned(),
            from: format!("context \"{name}\", {said_by}"),
            certificates: None,
            fault: None,
        };
        if name == DEFAULT_CONTEXT {
            return host;
        }
        let directory = sha256(name);
        let meta = settings.join("contexts/meta").join(&directory).join("meta.json");
        let read = fs::read(&meta).map_err(|error| error.to_string());
        let context = read.and_then(|text| serde_json::from_slice::<Context>(&text).map_err(|error| error.to_string()));
        let endpoint = context.and_then(|mut context| {
            let endpoint = context.endpoints.remove("docker");
            endpoint.ok_or_else(|| "it has no endpoint \"docker\"".to_owned())
        });
        match endpoint {
            Ok(ContextEndpoint { unverified: true, .. }) => {
                host.fault =
                    Some("it does not verify who answers (skip-tls-verify), which simdb always does".to_owned());
            }
            Ok(endpoint) => {
                let certificates = settings.join("contexts/tls").join(&directory).join("docker");
                host.url = endpoint.host;
                host.certificates = certificates.is_dir().then_some(certificates);
            }
            Err(error) => {
                host.fault = Some(format!(
                    "{} cannot be read: {error}. See the contexts that there are: docker context ls",
                    meta.display()
                ));
            }
        }
        host
    }

    /// Returns the path of the daemon's socket, where it has one.
    pub(super) fn socket(&self) -> Option<&str> {
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
}

/// Returns the directory of the Docker CLI's settings.
pub(super) fn settings(variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    variable("DOCKER_CONFIG").map_or_else(
        || Path::new(&variable("HOME").unwrap_or_default()).join(SETTINGS),
        PathBuf::from,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds the daemon with these arguments and variables.
    fn find(arguments: &[(&str, &str)], variables: &[(&str, &str)]) -> Host {
        let own = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let variables = own(variables);
        Host::find_in(&own(arguments), Path::new("/project"), &|name| {
            variables.get(name).cloned()
        })
    }

    #[test]
    fn a_daemon_of_another_machine_is_told_by_its_address() {
        let remote = |url: &str| find(&[("host", url)], &[]).is_remote();
        for own in [
            "unix:///run/docker.sock",
            "tcp://127.0.0.1:2375",
            "tcp://localhost:2375",
        ] {
            assert!(!remote(own), "{own}");
        }
        assert!(remote("tcp://db.example.org:2375"));
    }

    #[test]
    fn the_configuration_counts_more_than_the_environment() {
        let directory = tempfile::tempdir().unwrap();
        let settings = directory.path().display().to_string();
        let context = |name: &str, text: &str| {
            let meta = directory.path().join("contexts/meta").join(sha256(name));
            fs::create_dir_all(&meta).unwrap();
            fs::write(meta.join("meta.json"), text).unwrap();
        };
        let endpoint =
            |url: &str| format!(r#"{{"Name":"x","Endpoints":{{"docker":{{"Host":"{url}","SkipTLSVerify":false}}}}}}"#);
        context("far", &endpoint("tcp://far:2376"));
        context("near", &endpoint("unix:///near.sock"));
        context("careless", &endpoint("tcp://far:2376").replace("false", "true"));
        let certificates = directory.path().join("contexts/tls").join(sha256("far")).join("docker");
        fs::create_dir_all(&certificates).unwrap();
        let base = [("DOCKER_CONFIG", settings.as_str())];
        let with = |more: &[(&'static str, &'static str)]| {
            let mut all: Vec<(&str, &str)> = base.to_vec();
            all.extend_from_slice(more);
            all.into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<Vec<_>>()
        };
        let found = |arguments: &[(&str, &str)], more: &[(&'static str, &'static str)]| {
            let all = with(more);
            let all: Vec<(&str, &str)> = all
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let host = find(arguments, &all);
            assert_eq!(host.fault, None);
            (host.url, host.certificates)
        };
        assert_eq!(found(&[], &[]), (DEFAULT_HOST.to_owned(), None));
        fs::write(directory.path().join("config.json"), r#"{"currentContext":"near"}"#).unwrap();
        assert_eq!(found(&[], &[]).0, "unix:///near.sock");
        let far = ("tcp://far:2376".to_owned(), Some(certificates));
        assert_eq!(found(&[], &[("DOCKER_CONTEXT", "far")]), far);
        let environment = [("DOCKER_CONTEXT", "far"), ("DOCKER_HOST", "tcp://env:2376")];
        assert_eq!(found(&[], &environment), ("tcp://env:2376".to_owned(), None));
        let verified = [("DOCKER_HOST", "tcp://env:2376"), ("DOCKER_TLS_VERIFY", "1")];
        assert_eq!(found(&[], &verified).1, Some(directory.path().to_owned()));
        assert_eq!(found(&[("context", "far")], &environment), far);
        let declared = [("host", "tcp://own:2376"), ("cert_path", "certs")];
        assert_eq!(
            found(&declared, &environment),
            ("tcp://own:2376".to_owned(), Some("/project/certs".into()))
        );
        for (name, said) in [("careless", "skip-tls-verify"), ("none", "docker context ls")] {
            let fault = find(&[("context", name)], &base).fault.unwrap();
            assert!(fault.contains(said), "{fault}");
        }
        assert_eq!(find(&[("context", "default")], &base).url, DEFAULT_HOST);
    }
}
