//! A cluster in containers of a daemon that the tests have for themselves (`tests/support/docker-engine.sh`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::Value;

use super::{CLUSTER, Scenario, Version};
use crate::environment::{Output, TestEnvironment};
use crate::require::skip;
use crate::scenario::engine::Engine;
use crate::scenario::image::Image;
use crate::scenario::wire::Wire;

/// Where the daemon of the tests listens.
pub(super) const HOST: &str = "SIMDB_TEST_DOCKER_HOST";

/// Where it listens with TLS, and the directory of the certificates of its clients.
const TLS_HOST: &str = "SIMDB_TEST_DOCKER_TLS_HOST";
const CERTIFICATES: &str = "SIMDB_TEST_DOCKER_CERTIFICATES";

/// Why there is none.
const MISSING: &str = "SIMDB_TEST_DOCKER_MISSING";

impl Scenario {
    /// Makes a cluster in containers, where there is a daemon to run them: `body` is what stands in its block beside network
    /// and engine.
    pub fn in_containers(body: &str) -> Option<Self> {
        let host = daemon(HOST)?;
        let environment = TestEnvironment::new();
        environment.write("provider.simdb.hcl", &provider(&host));
        Some(Self::contained(environment, body))
    }

    /// Makes a cluster in containers of a daemon that this test has for itself.
    pub fn in_containers_on(engine: &Engine, body: &str) -> Self {
        let environment = TestEnvironment::new();
        environment.write("provider.simdb.hcl", &provider(&engine.host()));
        let mut scenario = Self::contained(environment, body);
        scenario.daemon = Some(engine.host());
        scenario
    }

    /// Makes a cluster in containers of a daemon that is reached through somebody who counts.
    pub fn in_containers_through(wire: &Wire, body: &str) -> Self {
        let environment = TestEnvironment::new();
        environment.write("provider.simdb.hcl", &provider(&wire.host()));
        Self::contained(environment, body)
    }

    /// Makes a cluster in containers of the newest version that the daemon has an image of.
    pub fn in_containers_of_newest(body: &str) -> Option<Self> {
        let host = daemon(HOST)?;
        let environment = TestEnvironment::new();
        environment.write("provider.simdb.hcl", &provider(&host));
        let network = subnet(&environment);
        let newest = versions().into_iter().max().expect("the daemon has images of versions");
        Some(Self::within(environment, &Version::of_major(newest), network, body))
    }

    /// Makes a cluster in containers of a daemon whose provider has an alias.
    pub fn in_containers_of_alias(alias: &str, body: &str) -> Option<Self> {
        let host = daemon(HOST)?;
        let environment = TestEnvironment::new();
        let provider = format!("provider \"docker\" {{\n  alias = \"{alias}\"\n  host  = \"{host}\"\n}}\n");
        environment.write("provider.simdb.hcl", &provider);
        let network = format!("\n  provider = docker.{alias}\n  {}\n", subnet(&environment));
        let body = format!("  provider = docker.{alias}\n{body}");
        Some(Self::within(environment, &Version::of_major(oldest()), network, &body))
    }

    /// Makes a cluster in containers of several daemons, each on a machine of its own, whose providers have these aliases. What names no
    /// provider is on the first.
    pub fn in_containers_across(environment: TestEnvironment, engines: &[(&str, &Engine)], body: &str) -> Self {
        let ports = environment.ports();
        let provider = |(alias, engine): &(&str, &Engine)| {
            format!(
                "provider \"docker\" {{\n  alias      = \"{alias}\"\n  host       = \"{}\"\n  publish    = \"{}\"\n  port_range = \
                 \"{}-{}\"\n}}\n",
                engine.host(),
                engine.address(),
                ports.start(),
                ports.end()
            )
        };
        let providers: String = engines.iter().map(provider).collect();
        environment.write("provider.simdb.hcl", &providers);
        let (first, engine) = engines.first().expect("there is an engine");
        let network = format!(
            "\n  provider  = docker.{first}\n  reachable = true\n  {}\n",
            subnet(&environment)
        );
        let body = format!("  provider = docker.{first}\n{body}");
        let mut scenario = Self::within(environment, &Version::of_major(oldest()), network, &body);
        scenario.daemon = Some(engine.host());
        scenario
    }

    /// Makes a cluster in containers of a daemon that is reached with TLS, and whose addresses are not: their ports are published.
    pub fn in_published_containers(body: &str) -> Option<Self> {
        let environment = TestEnvironment::new();
        environment.write("provider.simdb.hcl", &published(&environment, &certificates()?)?);
        Some(Self::contained(environment, body))
    }

    /// Makes a cluster of a version in containers of an image that the provider names.
    pub fn in_containers_of(image: &Image, body: &str) -> Option<Self> {
        let environment = TestEnvironment::new();
        image.declare(&environment);
        Some(Self::in_containers_within(environment, image, body))
    }

    /// Makes such a cluster in an environment that has its provider.
    pub fn in_containers_within(environment: TestEnvironment, image: &Image, body: &str) -> Self {
        let network = subnet(&environment);
        Self::within(environment, &Version::of_major(image.version), network, body)
    }

    fn contained(environment: TestEnvironment, body: &str) -> Self {
        let network = subnet(&environment);
        Self::within(environment, &Version::of_major(oldest()), network, body)
    }

    /// Lets simdb reach the daemon with other certificates, or with its own.
    pub fn declare_certificates(&self, directory: Option<&Path>) {
        let own = certificates().expect("the cluster was made with them");
        let provider = published(&self.environment, directory.unwrap_or(&own));
        self.environment
            .write("provider.simdb.hcl", &provider.expect("the cluster was made there"));
    }

    /// Lets simdb look for the daemon elsewhere, or where it is.
    pub fn declare_daemon(&self, host: Option<&str>) {
        let own = std::env::var(HOST).expect("the cluster was made there");
        self.environment
            .write("provider.simdb.hcl", &provider(host.unwrap_or(&own)));
    }

    /// Returns where its daemon listens.
    pub fn host(&self) -> &str {
        self.daemon.as_ref().expect("the cluster was made there")
    }

    /// Runs the daemon's own command, which must do what it is told, and returns what it prints.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        self.docker_at(self.host(), arguments)
    }

    /// Runs the command of a daemon.
    #[track_caller]
    pub fn docker_at(&self, host: &str, arguments: &[&str]) -> String {
        let output = Output::of(Command::new("docker").args(["--host", host]).args(arguments));
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        output.stdout.trim().to_owned()
    }

    /// Makes the container of a node's server anew from another image, as tools do that keep containers up to date: all else of it
    /// stays as it was.
    #[track_caller]
    pub fn recreate(&self, node: &str, image: &str) {
        let name = self.container(node);
        let found: Value = serde_json::from_str(&self.docker(&["inspect", &name])).expect("it is a document");
        let mut body = found[0]["Config"].clone();
        body["Image"] = image.into();
        body["HostConfig"] = found[0]["HostConfig"].clone();
        body["NetworkingConfig"]["EndpointsConfig"] = found[0]["NetworkSettings"]["Networks"].clone();
        self.docker(&["rm", "--force", &name]);
        let host = self.daemon.as_ref().expect("the cluster was made there");
        let socket = host.strip_prefix("unix://").expect("the daemon has a socket");
        let made = Output::of(
            Command::new("curl")
                .args(["--silent", "--show-error", "--fail-with-body", "--unix-socket", socket])
                .args([
                    "--header",
                    "Content-Type: application/json",
                    "--data",
                    &body.to_string(),
                ])
                .arg(format!("http://docker/containers/create?name={name}")),
        );
        assert_eq!(made.code, Some(0), "{made:?}");
        self.docker(&["start", &name]);
    }

    /// Returns the image that the record has of a node.
    pub fn recorded_image(&self, node: &str) -> String {
        let address = format!("cluster.{CLUSTER}.node.{node}");
        let shown = self.json(&["state", "show", "-json", &address]);
        let text = shown.to_string();
        let image = shown["values"]["image"].as_str();
        image.unwrap_or_else(|| panic!("no image in {text}")).to_owned()
    }

    /// Returns the name of the container of a node's server.
    pub fn container(&self, node: &str) -> String {
        let host = node.replace('[', "-").replace(']', "");
        format!("{}.{CLUSTER}.{host}", self.prefix())
    }

    /// Returns the name of the network.
    pub fn network_name(&self) -> String {
        format!("{}.lan", self.prefix())
    }

    /// Returns the name of the network of an endpoint.
    pub fn endpoint_network(&self, endpoint: &str) -> String {
        format!("{}.{CLUSTER}.{endpoint}", self.prefix())
    }

    fn prefix(&self) -> String {
        format!("simdb-{}", &self.lineage()[..8])
    }

    /// Returns what tells its record from others.
    pub fn lineage(&self) -> String {
        let state = self.json(&["state", "pull"]);
        state["lineage"].as_str().expect("a record has a lineage").to_owned()
    }

    /// Returns everything that the daemon has of this project.
    pub fn objects(&self, lineage: &str) -> String {
        self.objects_at(self.host(), lineage)
    }

    /// Returns everything that a daemon has of this project.
    pub fn objects_at(&self, host: &str, lineage: &str) -> String {
        let label = format!("label=dev.simdb.lineage={lineage}");
        let containers = self.docker_at(host, &["ps", "--all", "--format", "{{.Names}}", "--filter", &label]);
        let volumes = self.docker_at(host, &["volume", "ls", "--quiet", "--filter", &label]);
        let networks = self.docker_at(host, &["network", "ls", "--quiet", "--filter", &label]);
        format!("{containers}{volumes}{networks}")
    }

    /// Removes everything, and asserts that the daemon has nothing of it any more.
    #[track_caller]
    pub fn destroy_containers(self) {
        let lineage = self.lineage();
        assert_ne!(self.objects(&lineage), "", "what is there is found");
        self.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
        assert_eq!(self.objects(&lineage), "");
        self.environment.assert_nothing_left();
    }
}

impl Drop for Scenario {
    /// Removes what the daemon has of a test that failed: another one will have its addresses.
    fn drop(&mut self) {
        let (Some(host), true) = (self.daemon.clone(), thread::panicking()) else {
            return;
        };
        let state = self.environment.run(&["state", "pull"]).stdout;
        let state: serde_json::Value = serde_json::from_str(&state).unwrap_or_default();
        let Some(lineage) = state["lineage"].as_str() else {
            return;
        };
        let docker = |arguments: &[&str]| Output::of(Command::new("docker").args(["--host", &host]).args(arguments));
        let label = format!("label=dev.simdb.lineage={lineage}");
        for (list, remove) in [
            (&["ps", "--all", "--quiet"][..], &["rm", "--force", "--volumes"][..]),
            (&["volume", "ls", "--quiet"], &["volume", "rm"]),
            (&["network", "ls", "--quiet"], &["network", "rm"]),
        ] {
            let found = docker(&[list, &["--filter", &label]].concat()).stdout;
            for name in found.split_whitespace() {
                // What cannot be removed goes with the daemon.
                docker(&[remove, &[name]].concat());
            }
        }
    }
}

/// Returns the oldest version that the daemon has an image of. Those that have an image of their own run on the newest.
fn oldest() -> u16 {
    versions().into_iter().min().expect("the daemon has images of versions")
}

/// Returns the versions that the daemon has images of.
fn versions() -> Vec<u16> {
    let host = std::env::var(HOST).expect("there is a daemon");
    let arguments = ["--host", &host, "images", "postgres", "--format", "{{.Tag}}"];
    let tags = Output::of(Command::new("docker").args(arguments)).stdout;
    tags.lines().filter_map(|tag| tag.parse().ok()).collect()
}

/// Returns what the block of a network says that is an environment's alone, as its ports are.
fn subnet(environment: &TestEnvironment) -> String {
    let [high, low] = environment.ports().start().to_be_bytes();
    format!("subnet = \"10.{high}.{low}.0/24\"")
}

/// Returns where a daemon of the tests listens, where there is one.
pub(super) fn daemon(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok();
    if found.is_none() {
        let reason = std::env::var(MISSING);
        skip(&reason.unwrap_or_else(|_| "run it with tests/support/docker-engine.sh".to_owned()));
    }
    found
}

/// Returns the directory of the certificates with which the daemon lets clients in.
pub fn certificates() -> Option<PathBuf> {
    daemon(CERTIFICATES).map(PathBuf::from)
}

/// Returns where the daemon listens with TLS.
pub fn secure_daemon() -> Option<String> {
    daemon(TLS_HOST)
}

fn published(environment: &TestEnvironment, certificates: &Path) -> Option<String> {
    let (host, ports) = (secure_daemon()?, environment.ports());
    Some(format!(
        "provider \"docker\" {{\n  host       = \"{host}\"\n  cert_path  = \"{}\"\n  publish    = \"127.0.0.1\"\n  \
         port_range = \"{}-{}\"\n}}\n",
        certificates.display(),
        ports.start(),
        ports.end()
    ))
}

fn provider(host: &str) -> String {
    format!("provider \"docker\" {{\n  host = \"{host}\"\n}}\n")
}
