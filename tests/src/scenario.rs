//! A cluster under load whose servers are disturbed, and what must hold when that is over.
//!
//! Every scenario ends with [`Scenario::assert_settled`]: exactly one node writes, every node has exactly the slots and
//! names it should, all are in sync, and the next plan is empty. What was written meanwhile is judged by
//! [`Writing::expect_nothing_lost`].

mod containers;
mod declared;
mod engine;
mod image;
mod load;
mod machine;
mod monitor;
mod pods;
mod processes;
mod version;
mod watch;
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use simdb_planner::engine::postgresql::instance::superuser_password;
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::name::NodeName;
use simdb_state::place::{Bind, Place};
use simdb_state::sensitive::{Secrets, Sensitive};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::environment::{Output, TestEnvironment, wait_until};

pub use containers::{certificates, secure_daemon};
pub use declared::Declared;
pub use engine::Engine;
pub use image::{Image, Registry};
pub use load::Writing;
pub use machine::Machine;
pub use monitor::{Monitor, WATCHED};
pub use pods::{NOTICED, has_faults};
pub use version::Version;
pub use wire::Wire;

/// Set to run every scenario in full, on every version: `make test-faults`.
const THOROUGH: &str = "SIMDB_TEST_FAULTS";

/// The cluster that every scenario is about.
const CLUSTER: &str = "orders";

/// Returns whether scenarios are run in full.
pub fn is_thorough() -> bool {
    std::env::var_os(THOROUGH).is_some()
}

/// A cluster that was made, and everything that disturbs and judges it.
#[derive(Debug)]
pub struct Scenario {
    /// Where it runs.
    pub environment: Arc<TestEnvironment>,
    version: Version,
    /// What the block of the network says.
    network: String,
    /// Where the daemon of its containers listens, where it has some.
    daemon: Option<String>,
    /// The namespace of its pods, where it has some.
    pods: Option<pods::Pods>,
    runtime: Runtime,
    secrets: Secrets,
    servers: BTreeMap<String, Server>,
}

impl Scenario {
    /// Makes a cluster: `body` is what stands in its block beside network and engine.
    pub fn new(version: &Version, body: &str) -> Self {
        let environment = TestEnvironment::new();
        let mut provider = environment.provider();
        if let Some(programs) = &version.programs {
            provider = provider.replace("}\n", &format!("  binaries = [\"{programs}\"]\n}}\n"));
        }
        environment.write("provider.simdb.hcl", &provider);
        Self::within(environment, version, String::new(), body)
    }

    /// Makes a cluster in a project that has a `simdb` block.
    pub fn with_settings(version: &Version, settings: &str, body: &str) -> Self {
        let environment = TestEnvironment::new();
        environment.write("provider.simdb.hcl", &environment.provider());
        environment.write("settings.simdb.hcl", settings);
        Self::within(environment, version, String::new(), body)
    }

    /// Makes a cluster in an environment that has its provider.
    fn within(environment: TestEnvironment, version: &Version, network: String, body: &str) -> Self {
        let mut scenario = Self::prepared(environment, version, network);
        scenario.apply(body);
        scenario
    }

    /// Prepares a cluster that is yet to be made.
    fn prepared(environment: TestEnvironment, version: &Version, network: String) -> Self {
        Self {
            environment: Arc::new(environment),
            version: version.clone(),
            network,
            daemon: std::env::var(containers::HOST).ok(),
            pods: None,
            runtime: Runtime::new().expect("threads can be started"),
            secrets: Secrets::new(),
            servers: BTreeMap::new(),
        }
    }

    /// Changes the configuration, and nothing else.
    pub fn declare(&self, body: &str) {
        self.declare_in(&self.network, body);
    }

    /// Changes the configuration, what the block of the network says included.
    pub fn declare_in(&self, network: &str, body: &str) {
        let engine = self.version.engine();
        let text = format!(
            "network \"lan\" {{ {network} }}\n\ncluster \"{CLUSTER}\" {{\n  network = network.lan\n{engine}{body}\n}}\n"
        );
        self.environment.write("main.simdb.hcl", &text);
    }

    /// Changes the configuration and applies it.
    #[track_caller]
    pub fn apply(&mut self, body: &str) {
        self.declare(body);
        self.simdb(&["apply", "-auto-approve"]);
        self.look();
    }

    /// Runs simdb, which must do what it is told.
    #[track_caller]
    pub fn simdb(&self, arguments: &[&str]) -> Output {
        let output = self.environment.run(arguments);
        assert_eq!(
            output.code,
            Some(0),
            "{arguments:?}\nstdout:\n{}\nstderr:\n{}\n{}",
            output.stdout,
            output.stderr,
            self.logs()
        );
        output
    }

    /// Asserts that simdb refuses, or fails, and says a text.
    #[track_caller]
    pub fn expect_refusal(&self, arguments: &[&str], text: &str) {
        let output = self.environment.run(arguments);
        let said = output.text();
        assert!(
            output.code == Some(1) && said.contains(text),
            "no {text:?} with {:?} in {said}",
            output.code
        );
    }

    /// Moves the lead to a node, or to whichever is best suited.
    #[track_caller]
    pub fn switchover(&self, to: Option<&str>) -> Output {
        let mut arguments = vec!["switchover", CLUSTER, "-auto-approve"];
        arguments.extend(to.into_iter().flat_map(|node| ["-to", node]));
        self.simdb(&arguments)
    }

    /// Promotes another node in place of one that is lost.
    #[track_caller]
    pub fn failover(&self) -> Output {
        self.simdb(&["failover", CLUSTER, "-auto-approve"])
    }

    /// Returns the end of every server's log, for messages of failures.
    fn logs(&self) -> String {
        let nodes = self.servers.values().map(|server| {
            let target = format!("{CLUSTER}.{}", server.node.node);
            let log = self.environment.run(&["logs", &target]).stdout;
            // Clients that knock all the time, and looks.
            let noise = ["FATAL:  the database system is", " simdb "];
            let lines = log
                .lines()
                .filter(|line| !noise.iter().any(|noise| line.contains(noise)));
            format!("log of {target}:\n{}\n", lines.collect::<Vec<_>>().join("\n"))
        });
        nodes.collect()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.environment.run(arguments);
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    /// Returns what `status` says of the cluster.
    pub fn status(&self) -> Value {
        self.json(&["status", "-json"])["clusters"][0].clone()
    }

    /// Finds out which nodes there are, where they listen, and how the superuser gets in.
    pub fn look(&mut self) {
        let env = self.json(&["env", CLUSTER, "-json"]);
        let password = env["variables"]["PGPASSWORD"].as_str().expect("the password is known");
        let name = superuser_password(&CLUSTER.parse().expect("it is a name"));
        self.secrets.insert(name, Sensitive::new(password.to_owned()));
        let status = self.status();
        let nodes = status["nodes"].as_array().expect("a status lists nodes");
        let (pods, runtime) = (&mut self.pods, &self.runtime);
        self.servers = nodes
            .iter()
            .filter_map(|node| {
                let name: NodeName = node["node"].as_str()?.parse().ok()?;
                let listen = match pods {
                    Some(pods) => pods.way(runtime, &name.to_string()),
                    None => node["address"].as_str()?.parse().ok()?,
                };
                let address = NodeAddress {
                    cluster: CLUSTER.parse().ok()?,
                    node: name,
                };
                let server = Server {
                    password: superuser_password(&address.cluster),
                    node: address,
                    place: Box::new(Place::shared(Bind {
                        host: listen.ip(),
                        port: listen.port(),
                    })),
                };
                Some((server.node.node.to_string(), server))
            })
            .collect();
    }

    /// Returns the names of the nodes.
    pub fn nodes(&self) -> Vec<&str> {
        self.servers.keys().map(String::as_str).collect()
    }

    fn password(&self) -> &Sensitive<String> {
        self.secrets.values().next().expect("the password was asked for")
    }

    /// Returns how the superuser gets into a server.
    fn session(&self, server: &Server) -> Config {
        let mut config = Config::new();
        config
            .host(server.place.bind.host.to_string())
            .port(server.place.bind.port)
            .user("postgres")
            .password(self.password().expose())
            .dbname("postgres")
            .connect_timeout(Duration::from_secs(10));
        config
    }

    /// Returns where all servers listen, separated by commas, and the password of the superuser: for programs that are not simdb.
    pub fn entrance(&self) -> (String, &str) {
        let hosts = self.servers.values().map(|server| server.place.peers.to_string());
        (hosts.collect::<Vec<_>>().join(","), self.password().expose())
    }

    /// Opens a session with a node's server.
    pub fn connect(&self, node: &str) -> Result<Client, tokio_postgres::Error> {
        let config = self.session(&self.servers[node]);
        self.runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok(client)
        })
    }

    /// Asks a node, and returns the first value; `None` where its server does not answer, or says no.
    pub fn answer(&self, node: &str, sql: &str) -> Option<String> {
        let client = self.connect(node).ok()?;
        self.runtime
            .block_on(async { first(client.simple_query(sql).await.ok()?) })
    }

    /// Lets a node do something that may never end.
    pub fn begin(&self, node: &str, statements: &'static [&'static str]) {
        let client = self.connect(node).expect("the server lets clients in");
        self.runtime.spawn(async move {
            for statement in statements {
                if client.batch_execute(statement).await.is_err() {
                    break;
                }
            }
        });
    }

    /// Returns where the programs are that the primary runs with.
    pub fn programs(&self) -> PathBuf {
        self.programs_of(&self.primary())
    }

    /// Returns where the programs are that a node runs with.
    pub fn programs_of(&self, node: &str) -> PathBuf {
        self.ask(node, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
            .into()
    }

    /// Waits until a node says that something is so.
    pub fn wait_for(&self, node: &str, question: &str) {
        wait_until(question, || self.answer(node, question).as_deref() == Some("t"));
    }

    /// Starts a node's server as somebody would who knows nothing of simdb.
    pub fn start_by_hand(&self, node: &str, programs: &Path) {
        let path = self.directory(node).join("server.json");
        let text = fs::read_to_string(path).expect("the server was started before");
        let record: Value = serde_json::from_str(&text).expect("it is a document");
        let arguments = record["arguments"].as_array().expect("it has arguments").iter();
        let arguments = arguments.map(|argument| argument.as_str().expect("it is text").to_owned());
        // A number that belongs to somebody else by now, or to a process that nobody reaped; gone where a start has failed.
        let _ = fs::remove_file(self.data(node).join("postmaster.pid"));
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
        command
            .arg(programs.join("postgres"))
            .args(arguments)
            .current_dir(self.directory(node));
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        drop(command.spawn().expect("it can be started"));
    }

    /// Returns the log of a node's server.
    pub fn log(&self, node: &str) -> String {
        self.simdb(&["logs", &format!("{CLUSTER}.{node}"), "-n", "100000"])
            .stdout
    }

    /// Asks a node, which must answer.
    #[track_caller]
    pub fn ask(&self, node: &str, sql: &str) -> String {
        self.answer(node, sql)
            .unwrap_or_else(|| panic!("{node} does not answer {sql:?}\n{}", self.logs()))
    }

    /// Returns the node that writes; there must be exactly one.
    #[track_caller]
    pub fn primary(&self) -> String {
        let writes = |node: &&str| self.answer(node, "SELECT pg_is_in_recovery()").as_deref() == Some("f");
        let found: Vec<&str> = self.nodes().into_iter().filter(writes).collect();
        assert_eq!(found.len(), 1, "nodes that write: {found:?}\n{}", self.logs());
        found[0].to_owned()
    }

    /// Returns the nodes that replay.
    #[track_caller]
    pub fn standbys(&self) -> Vec<String> {
        let primary = self.primary();
        let others = self.nodes().into_iter().filter(|node| *node != primary);
        others.map(str::to_owned).collect()
    }

    /// Asserts what must hold after anything that happens: one node writes, everybody else streams from it through a slot
    /// of its own, commits wait for whom they should, everything is healthy, and there is nothing to do.
    #[track_caller]
    pub fn assert_settled(&self, names: impl Fn(&[String]) -> String) {
        // Standbys that came up before their primary stream some seconds later.
        self.assert_healthy();
        let primary = self.primary();
        let identifiers = |nodes: &[String]| -> Vec<String> {
            nodes
                .iter()
                .map(|node| self.servers[node].node.node.identifier())
                .collect()
        };
        let standbys = identifiers(&self.standbys());
        for node in self.nodes() {
            let slots = self.ask(
                node,
                "SELECT coalesce(string_agg(slot_name || CASE WHEN active THEN '' ELSE ' inactive' END, ' '
                    ORDER BY slot_name), '') FROM pg_replication_slots",
            );
            let listed = self.ask(node, "SHOW synchronous_standby_names");
            let expected = if node == primary {
                (standbys.join(" "), names(&standbys))
            } else {
                (String::new(), String::new())
            };
            assert_eq!((slots, listed), expected, "slots and names of {node}\n{}", self.logs());
        }
        let plan = self.environment.run(&["plan", "-detailed-exitcode"]);
        plan.expect_code(0);
    }

    /// Asserts that every node is in sync. A look waits no longer than a user would, so a slow machine may need another.
    #[track_caller]
    pub fn assert_healthy(&self) {
        wait_until("the cluster is healthy", || {
            self.environment.run(&["status"]).code == Some(0)
        });
    }

    /// Returns where a node keeps its files.
    pub fn directory(&self, node: &str) -> PathBuf {
        let name = node.replace('[', "-").replace(']', "");
        self.environment.data().join(CLUSTER).join(name)
    }

    /// Returns where a node has its data now.
    pub fn data(&self, node: &str) -> PathBuf {
        let entries = fs::read_dir(self.directory(node)).expect("the node has an instance directory");
        let data = entries.flatten().filter_map(|entry| {
            let generation: u32 = entry.file_name().to_str()?.strip_prefix("data-")?.parse().ok()?;
            Some((generation, entry.path()))
        });
        data.max().expect("the node has data").1
    }

    /// Asserts that no copy of a primary's data that was broken off lies about.
    #[track_caller]
    pub fn assert_no_partial_copy(&self, node: &str) {
        let entries = fs::read_dir(self.directory(node))
            .expect("the node has an instance directory")
            .flatten();
        let partial = entries.filter(|entry| entry.file_name().to_string_lossy().contains("partial"));
        assert_eq!(partial.count(), 0, "partial copies of {node}");
    }

    /// Removes everything, and asserts that nothing is left.
    #[track_caller]
    pub fn destroy(self) {
        self.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
        self.environment.assert_nothing_left();
    }
}

fn first(messages: Vec<SimpleQueryMessage>) -> Option<String> {
    messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
