//! A cluster of a primary and two standbys, with the hands that disturb it: those of somebody who knows nothing of simdb.

use std::cell::Cell;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use simdb_tests::{TestEnvironment, processes_below, wait_until};

use crate::line::Line;

/// A primary and two standbys that are followed by nobody.
pub(crate) const ORDERS: &str = r#"network "lan" {}

cluster "orders" {
  network = network.lan
  engine "postgresql" {
    parameters = { work_mem = "8MB" }
  }
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
  endpoint "ro" { target = "standby" }
}
"#;

pub(crate) const APPLY: [&str; 2] = ["apply", "-auto-approve"];

/// What somebody does to a cluster.
type Deed = fn(&World);

/// What happens behind simdb's back, the plan that it must give, and the way out where there is nothing to plan.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) happen: Deed,
    pub(crate) plan: &'static [Line],
    /// What a person does where the plan is refused or empty, and the plan that this must give.
    pub(crate) then: Option<(Deed, &'static [Line])>,
}

/// A disturbance that a plan mends by itself.
pub(crate) fn mended(what: &'static str, happen: Deed, plan: &'static [Line]) -> Case {
    Case {
        what,
        happen,
        plan,
        then: None,
    }
}

/// A disturbance that takes a person.
pub(crate) fn settled(
    what: &'static str,
    happen: Deed,
    plan: &'static [Line],
    way_out: Deed,
    next: &'static [Line],
) -> Case {
    Case {
        what,
        happen,
        plan,
        then: Some((way_out, next)),
    }
}

/// A cluster that is disturbed again and again.
pub(crate) struct World {
    pub(crate) environment: TestEnvironment,
    /// What is declared and applied.
    configuration: &'static str,
    /// Where the servers' programs are.
    programs: PathBuf,
    /// As whom the servers run.
    owner: (u32, u32),
    rows: Cell<u32>,
    /// What keeps a port from a node until the case is over.
    occupant: Cell<Option<TcpListener>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_files(ORDERS, &[])
    }

    /// Makes what a configuration declares, whose cluster has the nodes `a`, `r[0]` and `r[1]`.
    pub(crate) fn with_files(configuration: &'static str, files: &[(&str, &str)]) -> Self {
        let environment = TestEnvironment::with_configuration(configuration);
        for (name, text) in files {
            environment.write(name, text);
        }
        environment.run(&APPLY).expect_code(0);
        let directory = environment.data().join("orders/a");
        let meta = fs::metadata(&directory).unwrap();
        let mut world = Self {
            configuration,
            programs: PathBuf::new(),
            owner: (meta.uid(), meta.gid()),
            rows: Cell::new(0),
            occupant: Cell::new(None),
            environment,
        };
        let program = fs::read_link(format!("/proc/{}/exe", world.server("a"))).unwrap();
        program.parent().unwrap().clone_into(&mut world.programs);
        world.ask("a", "CREATE TABLE kept (n int)");
        world
    }

    /// Lets one case after the other happen; each ends where it began, with everything in sync and every row there.
    pub(crate) fn face(&self, cases: &[Case]) {
        for case in cases {
            let what = case.what;
            (case.happen)(self);
            let plan = self.assert_planned(what, case.plan);
            self.assert_drifted(what, &plan);
            if let Some((way_out, next)) = &case.then {
                way_out(self);
                self.assert_planned(what, next);
            }
            let apply = self.answered(&APPLY);
            assert_eq!(apply.code, Some(0), "{what}: {}{}", apply.stdout, apply.stderr);
            self.assert_at_rest(what);
            self.occupant.take();
        }
        self.environment.destroy();
    }

    fn assert_planned(&self, what: &str, lines: &[Line]) -> Value {
        let expected: Vec<String> = lines.iter().map(Line::to_string).collect();
        let plan = self.plan();
        let (planned, expected) = (self.lines(&plan), expected.join("\n"));
        assert!(
            planned == expected,
            "{what}: planned is\n{planned}\nand expected\n{expected}"
        );
        plan
    }

    /// Asserts that what happened is told as drift, object by object: where the configuration is what is recorded, every step
    /// of the plan has its cause in what was seen.
    fn assert_drifted(&self, what: &str, plan: &Value) {
        let declared = fs::read_to_string(self.environment.project().join("main.simdb.hcl")).unwrap();
        if declared != self.configuration {
            return;
        }
        let output = self.answered(&["drift", "-json"]);
        let drift: Value =
            serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{what}: {error}: {output:?}"));
        let refused = !plan["diagnostics"].as_array().unwrap().is_empty();
        let steps = plan["steps"].as_array().unwrap();
        let code = match () {
            () if refused || plan["complete"] == false => 1,
            () if steps.is_empty() && left(plan).is_empty() => 0,
            () => 2,
        };
        assert_eq!(output.code, Some(code), "{what}: {drift:#}");
        let objects = drift["resource_drift"].as_array().unwrap();
        for step in steps.iter().filter(|step| step["name"] != "verify-sync") {
            let mut about = objects.iter().filter(|object| object["address"] == step["address"]);
            let told = about.any(|object| object["causes"].as_array().unwrap().contains(&step["reason"]));
            assert!(told, "{what}: {step} is not told in {drift:#}");
        }
    }

    /// Asserts that there is nothing to do, and that every member has every row that was ever written.
    fn assert_at_rest(&self, what: &str) {
        let plan = self.answered(&["plan", "-detailed-exitcode"]);
        assert_eq!(plan.code, Some(0), "{what}: {}{}", plan.stdout, plan.stderr);
        let drift = self.answered(&["drift"]);
        assert_eq!(drift.code, Some(0), "{what}: {}{}", drift.stdout, drift.stderr);
        assert!(drift.stdout.contains("No drift."), "{what}: {}", drift.stdout);
        wait_until(&format!("{what}: every node is healthy"), || {
            self.environment.run(&["status"]).code == Some(0)
        });
        self.rows.set(self.rows.get() + 1);
        let rows = self.rows.get();
        self.ask("a", &format!("INSERT INTO kept VALUES ({rows})"));
        for node in ["a", "r[0]", "r[1]"] {
            let count = || self.ask(node, "SELECT count(*), max(n) FROM kept");
            wait_until(&format!("{what}: {node} has {rows} rows"), || {
                count() == format!("{rows}|{rows}")
            });
        }
    }

    /// Runs simdb. A machine that is very busy may keep a server from answering in time: then it runs again.
    pub(crate) fn answered(&self, arguments: &[&str]) -> simdb_tests::Output {
        let mut output = self.environment.run(arguments);
        for _ in 0..10 {
            let said = output.text().split_whitespace().collect::<Vec<_>>().join(" ");
            if !said.contains("did not answer within") {
                break;
            }
            output = self.environment.run(arguments);
        }
        output
    }

    /// Returns the plan, as the document it is.
    fn plan(&self) -> Value {
        let output = self.answered(&["plan", "-json"]);
        let documents = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        let plan = documents
            .into_iter()
            .find_map(|mut document: Value| (document["type"] == "plan").then(|| document["plan"].take()));
        plan.unwrap_or_else(|| panic!("{}{}", output.stdout, output.stderr))
    }

    /// Returns the lines of a plan: one a step, with its impact and its reason, or why there is none.
    fn lines(&self, plan: &Value) -> String {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut lines = Vec::new();
        for diagnostic in plan["diagnostics"].as_array().unwrap() {
            lines.push(format!(
                "{}: {}",
                text(&diagnostic["summary"]),
                text(&diagnostic["detail"])
            ));
        }
        for step in plan["steps"].as_array().unwrap() {
            let address = text(&step["address"]);
            let name = address.strip_prefix("cluster.orders.").unwrap_or(&address);
            let (step, impact, reason) = (text(&step["name"]), text(&step["impact"]), text(&step["reason"]));
            lines.push(format!("{step} {name} [{impact}]: {reason}"));
        }
        lines.extend(left(plan));
        lines.extend(
            plan["notes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|note| format!("note: {}", text(note))),
        );
        without_process_numbers(&self.environment.redact(&lines.join("\n")))
    }

    /// Returns a node's instance directory.
    pub(crate) fn directory(&self, node: &str) -> PathBuf {
        self.environment.data().join("orders").join(host(node))
    }

    /// Returns the directory that holds a node's data now.
    pub(crate) fn data(&self, node: &str) -> PathBuf {
        let generations = fs::read_dir(self.directory(node)).unwrap().filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_prefix("data-")?.parse::<u32>().ok()
        });
        self.directory(node)
            .join(format!("data-{}", generations.max().unwrap()))
    }

    /// Returns where something is kept aside that belongs to a node.
    pub(crate) fn aside(&self, node: &str) -> PathBuf {
        self.environment.data().join(format!("aside-{}", host(node)))
    }

    /// Returns the process that leads a node's server.
    pub(crate) fn server(&self, node: &str) -> Pid {
        let pid = fs::read_to_string(self.data(node).join("postmaster.pid")).unwrap();
        Pid::from_raw(pid.lines().next().unwrap().parse().unwrap())
    }

    /// Asks a node's server, which may not answer.
    pub(crate) fn psql(&self, node: &str, query: &str) -> simdb_tests::Output {
        let node = format!("orders.{node}");
        let arguments = ["psql", &node, "--", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", query];
        self.environment.run(&arguments)
    }

    /// Asks a node's server.
    pub(crate) fn ask(&self, node: &str, query: &str) -> String {
        let answer = self.psql(node, query);
        answer.expect_code(0);
        answer.stdout.trim().to_owned()
    }

    /// Asks the primary in another database.
    pub(crate) fn ask_in(&self, database: &str, query: &str) -> String {
        let arguments = [
            "psql",
            "orders.a",
            "--",
            "-X",
            "-At",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
            "-c",
            query,
        ];
        let answer = self.environment.run(&arguments);
        answer.expect_code(0);
        answer.stdout.trim().to_owned()
    }

    /// Runs simdb to a good end.
    pub(crate) fn simdb(&self, arguments: &[&str]) {
        self.environment.run(arguments).expect_code(0);
    }

    /// Kills servers and waits until what they leave has noticed.
    pub(crate) fn kill(&self, nodes: &[&str]) {
        for node in nodes {
            kill(self.server(node), Signal::SIGKILL).unwrap();
        }
        for node in nodes {
            self.wait_down(node);
        }
    }

    pub(crate) fn halt(&self, node: &str) {
        kill(self.server(node), Signal::SIGSTOP).unwrap();
    }

    /// Halts the process of a node's server that a query names.
    pub(crate) fn halt_process(&self, node: &str, query: &str) {
        let pid = self.ask(node, query).parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    }

    /// Lets the number of a node's server, which was killed, belong to another process.
    pub(crate) fn give_number_to(&self, node: &str, process: Pid) {
        let (killed, process) = (self.server(node).to_string(), process.to_string());
        let pid_file = self.data(node).join("postmaster.pid");
        Self::edit(&pid_file, |text| text.replacen(&killed, &process, 1));
    }

    pub(crate) fn wait_down(&self, node: &str) {
        wait_until("the server and what it leaves are gone", || {
            processes_below(&self.directory(node)).is_empty()
        });
    }

    /// Runs a program of the servers' installation as their user.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.programs.join(program));
        command
            .args(arguments)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            command.uid(self.owner.0).gid(self.owner.1);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{program} {arguments:?}: {text}");
        output
    }

    /// Runs `pg_ctl` on a node's data, by hand and with nothing of what simdb would say.
    pub(crate) fn pg_ctl(&self, node: &str, arguments: &[&str]) {
        let data = self.data(node);
        let log = self.directory(node).join("by-hand.log");
        let (data, log) = (data.to_str().unwrap(), log.to_str().unwrap());
        let mut all = vec!["-D", data, "-s", "-w"];
        // What is started would keep our pipe open else.
        if ["start", "restart"].contains(&arguments[0]) {
            all.extend(["-l", log]);
        }
        all.extend(arguments);
        self.run("pg_ctl", &all);
    }

    /// Returns the options that let a server take simdb's files, as somebody would who starts it by hand.
    pub(crate) fn files(&self, node: &str) -> String {
        let directory = self.directory(node);
        format!(
            "-c config_file={0}/postgresql.conf -c hba_file={0}/pg_hba.conf",
            directory.display()
        )
    }

    /// Returns the file that endpoints are entries of.
    pub(crate) fn service_file(&self) -> PathBuf {
        self.environment.project().join(".simdb/pg_service.conf")
    }

    /// Returns the port that a node's configuration names.
    pub(crate) fn port(&self, node: &str) -> String {
        let conf = fs::read_to_string(self.directory(node).join("postgresql.conf")).unwrap();
        let port = conf.lines().find_map(|line| line.strip_prefix("port = '"));
        port.unwrap().trim_end_matches('\'').to_owned()
    }

    /// Takes the port of a node that is down.
    pub(crate) fn occupy(&self, node: &str) {
        let port = self.port(node).parse().unwrap();
        self.occupant.set(Some(TcpListener::bind(("127.0.0.1", port)).unwrap()));
    }

    /// Puts a data directory of another cluster where a node's data was, which is kept aside.
    pub(crate) fn swap_for_foreign(&self, node: &str) {
        let data = self.data(node);
        fs::rename(&data, self.aside(node)).unwrap();
        let foreign = self.directory(node).join("foreign");
        self.run("initdb", &["-D", foreign.to_str().unwrap(), "-A", "trust", "--no-sync"]);
        fs::rename(foreign, data).unwrap();
    }

    /// Puts back what was kept aside.
    pub(crate) fn put_back(&self, node: &str) {
        let data = self.directory(node).join("data-1");
        let _ = fs::remove_dir_all(&data);
        fs::rename(self.aside(node), data).unwrap();
    }

    /// Moves a node's data to where simdb does not look, and forgets it.
    pub(crate) fn give_up(&self, node: &str) {
        let aside = self.aside(node);
        let _ = fs::remove_dir_all(&aside);
        fs::rename(self.data(node), &aside).unwrap();
        fs::remove_dir_all(&aside).unwrap();
    }

    /// Changes a file by hand.
    pub(crate) fn edit(path: &Path, change: impl Fn(&str) -> String) {
        let before = fs::read_to_string(path).unwrap();
        let after = change(&before);
        assert_ne!(before, after, "{} holds what is to be edited", path.display());
        fs::write(path, after).unwrap();
    }

    /// Lets a server read its files again.
    pub(crate) fn reload(&self, node: &str) {
        kill(self.server(node), Signal::SIGHUP).unwrap();
    }

    /// Waits until a slot is free.
    pub(crate) fn wait_inactive(&self, slot: &str) {
        let query = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}' AND NOT active");
        wait_until("the slot is free", || self.ask("a", &query) == "1");
    }
}

/// Returns what no step mends, a line each. How much log a slot retains is another thing in each run.
fn left(plan: &Value) -> Vec<String> {
    let objects = plan["resource_drift"].as_array().unwrap().iter();
    let found = objects.flat_map(|object| {
        object["by_hand"]
            .as_array()
            .unwrap()
            .iter()
            .map(move |one| (object, one))
    });
    let line = |(object, one): (&Value, &Value)| {
        let address = object["address"].as_str().unwrap();
        let name = address.strip_prefix("cluster.orders.").unwrap_or(address);
        let cause = one["cause"].as_str().unwrap();
        let cause = match (cause.split_once("retains "), cause.split_once(" of WAL")) {
            (Some((before, _)), Some((_, after))) => format!("{before}retains [SIZE] of WAL{after}"),
            _ => cause.to_owned(),
        };
        format!("by hand {name}: {cause}")
    };
    found.map(line).collect()
}

/// The name of a node's directory.
fn host(node: &str) -> String {
    node.replace('[', "-").replace(']', "")
}

/// Process numbers differ from run to run, and so does the name of the test's own process.
fn without_process_numbers(text: &str) -> String {
    let own = fs::read_to_string("/proc/self/comm").unwrap();
    let text = text.replace(own.trim(), "[TEST]");
    let mut rest = text.split("(pid ");
    let mut redacted = rest.next().unwrap_or_default().to_owned();
    for part in rest {
        redacted += "(pid [PID]";
        redacted += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    redacted
}
