//! A cluster in containers of a daemon that the tests have for themselves (`tests/support/docker-engine.sh`).

use std::process::Command;
use std::thread;

use super::{CLUSTER, Scenario, Version};
use crate::environment::{Output, TestEnvironment};
use crate::require::skip;

/// Where the daemon of the tests listens.
const HOST: &str = "SIMDB_TEST_DOCKER_HOST";

/// Why there is none.
const MISSING: &str = "SIMDB_TEST_DOCKER_MISSING";

impl Scenario {
    /// Makes a cluster in containers, where there is a daemon to run them: `body` is what stands in its block beside network
    /// and engine.
    pub fn in_containers(body: &str) -> Option<Self> {
        let Ok(host) = std::env::var(HOST) else {
            let reason = std::env::var(MISSING);
            skip(&reason.unwrap_or_else(|_| "run it with tests/support/docker-engine.sh".to_owned()));
            return None;
        };
        let environment = TestEnvironment::new();
        environment.write("provider.simdb.hcl", &provider(&host));
        // What is this environment's alone in its addresses, as its ports are.
        let [high, low] = environment.ports().start().to_be_bytes();
        let network = format!("subnet = \"10.{high}.{low}.0/24\"");
        Some(Self::within(environment, &Version::installed(), network, body))
    }

    /// Lets simdb look for the daemon elsewhere, or where it is.
    pub fn declare_daemon(&self, host: Option<&str>) {
        let own = std::env::var(HOST).expect("the cluster was made there");
        self.environment
            .write("provider.simdb.hcl", &provider(host.unwrap_or(&own)));
    }

    /// Runs the daemon's own command, which must do what it is told, and returns what it prints.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        let host = std::env::var(HOST).expect("the cluster was made there");
        let output = Output::of(Command::new("docker").args(["--host", &host]).args(arguments));
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        output.stdout.trim().to_owned()
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

    fn prefix(&self) -> String {
        format!("simdb-{}", &self.lineage()[..8])
    }

    fn lineage(&self) -> String {
        let state = self.json(&["state", "pull"]);
        state["lineage"].as_str().expect("a record has a lineage").to_owned()
    }

    /// Returns everything that the daemon has of this project.
    pub fn objects(&self, lineage: &str) -> String {
        let label = format!("label=dev.simdb.lineage={lineage}");
        let containers = self.docker(&["ps", "--all", "--format", "{{.Names}}", "--filter", &label]);
        let volumes = self.docker(&["volume", "ls", "--quiet", "--filter", &label]);
        let networks = self.docker(&["network", "ls", "--quiet", "--filter", &label]);
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
        let (Ok(host), true) = (std::env::var(HOST), thread::panicking()) else {
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

fn provider(host: &str) -> String {
    format!("provider \"docker\" {{\n  host = \"{host}\"\n}}\n")
}
