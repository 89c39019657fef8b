//! A cluster in pods of a Kubernetes cluster that the tests have for themselves (`tests/support/kubernetes/bed.sh`).

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use simdb_planner::desired::LocalSettings;
use simdb_providers::platform::bridge::Bridge;
use simdb_providers::platform::registry::{self, Setup};
use simdb_providers::platform::{Dial, Provider};
use simdb_state::address::InstanceAddress;
use simdb_state::place::{Bind, Place};
use tokio::runtime::Runtime;

use super::{CLUSTER, Scenario, Version};
use crate::environment::{Output, TestEnvironment, wait_until};
use crate::require::skip;

/// The kubeconfig of the tests' cluster.
const KUBECONFIG: &str = "SIMDB_TEST_KUBECONFIG";

/// The directory of the test bed, where the cluster is one.
const BED: &str = "SIMDB_TEST_KUBERNETES_BED";

/// Why there is none.
const MISSING: &str = "SIMDB_TEST_KUBERNETES_MISSING";

/// What the objects that the tests are about are.
const KINDS: &str = "statefulsets,pods,services,persistentvolumeclaims,poddisruptionbudgets,networkpolicies";

/// A namespace of a test, and the ways to the servers in it.
#[derive(Debug)]
pub(super) struct Pods {
    kubeconfig: String,
    namespace: String,
    provider: Option<Arc<dyn Provider>>,
    ways: BTreeMap<String, Bridge>,
}

impl Pods {
    /// Makes a namespace for an environment.
    fn new(environment: &TestEnvironment, kubeconfig: String) -> Self {
        static COUNT: AtomicU16 = AtomicU16::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut pods = Self {
            kubeconfig,
            namespace: format!("scenario-{}-{count}", std::process::id()),
            provider: None,
            ways: BTreeMap::new(),
        };
        pods.kubectl(&["create", "namespace", &pods.namespace]);
        let pair = |name: &str, value: &String| (name.to_owned(), value.clone());
        let arguments = BTreeMap::from([pair("kubeconfig", &pods.kubeconfig), pair("namespace", &pods.namespace)]);
        let local = LocalSettings {
            others: BTreeMap::from([("kubernetes".to_owned(), arguments)]),
            ..LocalSettings::default()
        };
        let directory = environment.project();
        let mut all = registry::open(&Setup {
            directory: &directory,
            servers: &directory,
            lineage: None,
            local: &local,
            grant: None,
        });
        pods.provider = all.remove(&"kubernetes".parse().expect("it is a name"));
        pods
    }

    fn command(&self) -> Command {
        let mut command = Command::new("kubectl");
        command.args(["--kubeconfig", &self.kubeconfig, "--namespace", &self.namespace]);
        command
    }

    #[track_caller]
    fn kubectl(&self, arguments: &[&str]) -> String {
        let output = Output::of(self.command().args(arguments));
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        output.stdout.trim().to_owned()
    }

    fn provider(&self) -> String {
        format!(
            "provider \"kubernetes\" {{\n  kubeconfig   = \"{}\"\n  namespace    = \"{}\"\n  image        = \
             \"simdb.test/postgres:{{version}}\"\n  pooler_image = \"simdb.test/pgbouncer:1\"\n  storage      = \"512MB\"\n}}\n",
            self.kubeconfig, self.namespace
        )
    }

    /// Returns where this machine reaches a node's server, as simdb does: from its own loopback address.
    pub(super) fn way(&mut self, runtime: &Runtime, node: &str) -> SocketAddr {
        if let Some(bridge) = self.ways.get(node) {
            return bridge.at;
        }
        let provider = Arc::clone(self.provider.as_ref().expect("simdb was built with it"));
        let address: InstanceAddress = format!("cluster.{CLUSTER}.node.{node}")
            .parse()
            .expect("it is an address");
        let place = Place::shared(Bind {
            host: Ipv4Addr::UNSPECIFIED.into(),
            port: 5432,
        });
        let bridge = runtime.block_on(Bridge::open(provider as Arc<dyn Dial>, address, place));
        let bridge = bridge.expect("this machine has free ports");
        let at = bridge.at;
        self.ways.insert(node.to_owned(), bridge);
        at
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        if thread::panicking() && std::env::var_os("SIMDB_TEST_KEEP").is_some() {
            return;
        }
        let delete = ["delete", "namespace", &self.namespace, "--wait=false"];
        Output::of(self.command().args(delete));
    }
}

/// Returns the name of a node's pod.
fn pod(node: &str) -> String {
    format!("{}-0", set(node))
}

/// Returns the name of a node's set, volume and service.
fn set(node: &str) -> String {
    format!("{CLUSTER}-{}", node.replace('[', "-").replace(']', ""))
}

impl Scenario {
    /// Makes a cluster in pods, where there are machines to run them: `body` is what stands in its block beside network and engine.
    pub fn in_pods(body: &str) -> Option<Self> {
        let kubeconfig = kubeconfig()?;
        let environment = TestEnvironment::new();
        let pods = Pods::new(&environment, kubeconfig);
        environment.write("provider.simdb.hcl", &pods.provider());
        let mut scenario = Self::prepared(environment, &Version::of_major(15), String::new());
        scenario.pods = Some(pods);
        scenario.apply(body);
        Some(scenario)
    }

    fn pods(&self) -> &Pods {
        self.pods.as_ref().expect("the cluster was made there")
    }

    /// Returns the namespace of the test.
    pub fn namespace(&self) -> &str {
        &self.pods().namespace
    }

    /// Lets simdb be a service account that is made, and has no rights yet. What the test itself does it goes on doing as an administrator.
    #[track_caller]
    pub fn become_account(&self, name: &str) {
        self.kubectl(&["create", "serviceaccount", name]);
        let token = self.kubectl(&["create", "token", name, "--duration=1h"]);
        let path = self.environment.project().join("account.conf");
        fs::copy(&self.pods().kubeconfig, &path).expect("the kubeconfig can be read");
        let path = path.display().to_string();
        let configure = |arguments: &[&str]| {
            let output = Output::of(
                Command::new("kubectl")
                    .args(["--kubeconfig", &path, "config"])
                    .args(arguments),
            );
            assert_eq!(output.code, Some(0), "{output:?}");
        };
        configure(&["set-credentials", name, &format!("--token={token}")]);
        configure(&["set-context", "--current", &format!("--user={name}")]);
        let provider = self.pods().provider().replace(&self.pods().kubeconfig, &path);
        self.environment.write("provider.simdb.hcl", &provider);
    }

    /// Runs kubectl in the namespace of the test, which must do what it is told, and returns what it prints.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.pods().kubectl(arguments)
    }

    /// Runs kubectl in the namespace of the test, and returns what came of it.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Output {
        Output::of(self.pods().command().args(arguments))
    }

    /// Runs a script in the pod of a node.
    #[track_caller]
    pub fn in_pod(&self, node: &str, script: &str) -> String {
        self.kubectl(&["exec", &pod(node), "--", "sh", "-c", script])
    }

    /// Returns the name of a node's pod.
    pub fn pod(node: &str) -> String {
        pod(node)
    }

    /// Returns the name of a node's set, volume and service.
    pub fn set(node: &str) -> String {
        set(node)
    }

    /// Waits until the pod of a node is another one than before, and can be asked.
    #[track_caller]
    pub fn wait_for_another_pod(&self, node: &str, before: &str) {
        let now = ["get", "pod", &pod(node), "--ignore-not-found", "-o"];
        let path = "jsonpath={.metadata.uid} {.status.containerStatuses[0].state.running.startedAt}";
        wait_until("the set makes another pod", || {
            let found = self.kubectl(&[&now[..], &[path]].concat());
            matches!(found.split_once(' '), Some((uid, started)) if uid != before && !started.is_empty())
        });
    }

    /// Returns what tells the pod of a node from others of its name.
    #[track_caller]
    pub fn uid(&self, node: &str) -> String {
        self.kubectl(&["get", "pod", &pod(node), "-o", "jsonpath={.metadata.uid}"])
    }

    /// Returns what the API server logged of requests, where it is one of a test bed.
    pub fn audit(&self) -> Option<String> {
        let bed = std::env::var(BED).ok()?;
        fs::read_to_string(Path::new(&bed).join("audit.log")).ok()
    }

    /// Breaks a part of the test bed, or mends it.
    #[track_caller]
    pub fn fault(&self, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/kubernetes/fault.sh");
        let output = Output::of(Command::new(script).args(arguments));
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
    }

    /// Returns all objects of the namespace that simdb made.
    pub fn objects_in_pods(&self) -> String {
        let label = "app.kubernetes.io/managed-by=simdb";
        self.kubectl(&["get", KINDS, "--selector", label, "-o", "name"])
    }

    /// Removes everything, and asserts that the namespace has nothing of it any more.
    #[track_caller]
    pub fn destroy_pods(self) {
        assert_ne!(self.objects_in_pods(), "", "what is there is found");
        self.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
        assert_eq!(self.objects_in_pods(), "");
    }
}

/// Returns the kubeconfig of a cluster with machines, where there is one.
fn kubeconfig() -> Option<String> {
    let bed = std::env::var(BED).ok();
    let has_nodes = bed.is_none_or(|bed| Path::new(&bed).join("n1").exists());
    let found = std::env::var(KUBECONFIG).ok().filter(|_| has_nodes);
    if found.is_none() {
        let reason = std::env::var(MISSING);
        skip(&reason.unwrap_or_else(|_| "run it with tests/support/kubernetes/bed.sh".to_owned()));
    }
    found
}

/// Returns whether the cluster of the tests is a test bed, parts of which can be broken, and nothing else runs on it.
pub fn has_faults() -> bool {
    let has = std::env::var_os(BED).is_some() && super::is_thorough();
    if !has {
        crate::require::leave_to_faults("it breaks machines that other tests run on");
    }
    has
}

/// How long a machine that is cut off may take until the cluster says so.
pub const NOTICED: Duration = Duration::from_mins(1);
