//! Programs of others against the API of a monitor: `HAProxy`, schemathesis, a browser. `make test` installs them (`tests/support/setup.sh`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use simdb_tests::{ServedMonitor, TOKEN, TestEnvironment, skip, wait_until};

const CONFIGURATION: &str = r#"cluster "orders" {
  engine "postgresql" {}
  replication { mode = "quorum" }
  failover {
    mode     = "automatic"
    cooldown = "1s"
  }
  node "a" {}
  node "r" { count = 2 }
}
monitor {
  listen     = "127.0.0.1:0"
  token_file = "token"
}
"#;

/// A cluster that was made, with a monitor beside it.
fn watched() -> (TestEnvironment, ServedMonitor) {
    let environment = TestEnvironment::with_configuration(CONFIGURATION);
    ServedMonitor::give_token(&environment);
    environment.done(&["apply", "-auto-approve"]);
    let monitor = ServedMonitor::start(&environment);
    wait_until("the monitor decides", || {
        ServedMonitor::events(&environment).contains(" took-over: ")
    });
    wait_until("the monitor has seen all nodes", || monitor.code("/health") == 200);
    (environment, monitor)
}

/// Returns where Python's tools are that the tests installed for themselves.
fn tools() -> PathBuf {
    let cache = if nix::unistd::geteuid().is_root() {
        PathBuf::from("/var/cache")
    } else {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"))
    };
    cache.join("simdb/tools/bin")
}

/// Returns whether a program can be started; says why the test does not run where not.
fn has(program: &Path, arguments: &[&str]) -> bool {
    let started = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match started {
        Ok(status) if status.success() => true,
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{} cannot be started: {error}", program.display()),
        _ => {
            skip(&format!("{} is not there; `make test` installs it", program.display()));
            false
        }
    }
}

/// Runs a program of the tools, which must find nothing wrong.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it was started before");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn schemathesis_finds_no_answer_that_the_document_does_not_tell() {
    let schemathesis = tools().join("st");
    if !has(&schemathesis, &["--version"]) {
        return;
    }
    let (environment, monitor) = watched();
    let settings = environment.project().join("schemathesis.toml");
    let known = "[parameters]\n\"path.cluster\" = \"orders\"\n\"path.node\" = \"r-0\"\n\"path.run\" = \"last\"\n";
    fs::write(&settings, known).unwrap();
    let start = || {
        let mut command = Command::new(&schemathesis);
        command.arg("--no-color").arg("--config-file").arg(&settings).arg("run");
        command.arg(format!("http://{}/openapi.json", monitor.address));
        command
            .args(["--max-examples", "10", "--seed", "4711"])
            .current_dir(environment.project());
        command
    };
    let conformance =
        "status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance";
    // A stream does not end. Health checks and what stands for Patroni's own settings answer with 5xx where they should.
    let read = run(start()
        .args(["--include-method", "GET", "--exclude-path", "/v1/stream"])
        .args(["--checks", conformance]));
    assert!(read.contains("passed"), "{read}");
    let sound = format!("{conformance},not_a_server_error");
    run(start()
        .args([
            "--include-path-regex",
            "^/v1/|^/metrics|^/openapi|^/cluster/(status|nodes)",
        ])
        .args([
            "--exclude-path",
            "/v1/stream",
            "--exclude-method",
            "POST",
            "--checks",
            &sound,
        ]));
    // What changes something: without a token first, then with it.
    let writes = [
        "--include-method",
        "POST",
        "--exclude-path-regex",
        "^/patroni",
        "--checks",
        &sound,
    ];
    run(start().args(writes));
    let ordered = |events: &str| events.matches(" ordered: ").count();
    assert_eq!(
        ordered(&ServedMonitor::events(&environment)),
        0,
        "a request without a token did something"
    );
    // The requests that were refused count, too.
    wait_until("requests are let in again", || {
        monitor.post("/v1/clusters/orders/unpause", TOKEN, "").0 == 200
    });
    run(start()
        .args(writes)
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")]));
    wait_until("the cluster is whole", || monitor.code("/cluster/health") == 200);
    drop(monitor);
    environment.destroy();
}

/// `HAProxy` before a cluster; it is ended when it is dropped.
struct Haproxy {
    child: Child,
    writes: u16,
    reads: u16,
}

impl Haproxy {
    /// Leads clients by Patroni's check lines, as README has them.
    fn start(environment: &TestEnvironment, monitor: &ServedMonitor) -> Self {
        let (writes, reads) = (free_port(), free_port());
        let (host, port) = monitor.address.rsplit_once(':').unwrap();
        let (_, nodes) = monitor.get("/cluster/nodes");
        let nodes: Value = serde_json::from_str(&nodes).unwrap();
        let server = |node: &Value| format!("  server {} 127.0.0.1:{}\n", node["id"].as_str().unwrap(), node["port"]);
        let servers: Vec<String> = nodes.as_array().unwrap().iter().map(server).collect();
        let servers = servers.concat();
        let listen = |name: &str, port_of_clients: u16, check: &str| {
            format!(
                "listen {name}\n  bind 127.0.0.1:{port_of_clients}\n  option httpchk\n  http-check send meth OPTIONS uri-lf \
                 /patroni/orders/%[srv_name]/{check}\n  http-check expect status 200\n  default-server inter 500ms fall 1 rise 1 \
                 on-marked-down shutdown-sessions check addr {host} port {port}\n{servers}"
            )
        };
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 1m\n  timeout server 1m\n  timeout check 1s\n{}{}",
            listen("writes", writes, "primary"),
            listen("reads", reads, "replica")
        );
        let path = environment.project().join("haproxy.cfg");
        fs::write(&path, text).unwrap();
        let log = fs::File::create(environment.project().join("haproxy.log")).unwrap();
        let child = Command::new(haproxy())
            .arg("-db")
            .arg("-f")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, writes, reads }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An ordinary user's PATH lacks its place.
fn haproxy() -> PathBuf {
    let usual = PathBuf::from("/usr/sbin/haproxy");
    if usual.exists() { usual } else { "haproxy".into() }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks through a port, and returns the first value of the answer.
fn asked(port: u16, password: &str, sql: &str) -> Option<String> {
    let at = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres connect_timeout=3");
    let output = Command::new("psql")
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", &at, "-c", sql])
        .env("PGPASSWORD", password)
        .output();
    let output = output.expect("psql can be started");
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn haproxy_leads_writes_and_reads_through_a_failover() {
    if !has(&haproxy(), &["-v"]) {
        return;
    }
    let (environment, monitor) = watched();
    let env: Value = serde_json::from_str(&environment.run(&["env", "orders", "-json"]).stdout).unwrap();
    let password = env["variables"]["PGPASSWORD"].as_str().unwrap();
    let proxy = Haproxy::start(&environment, &monitor);
    let write = |row: u32| {
        asked(
            proxy.writes,
            password,
            &format!("INSERT INTO led VALUES ({row}) RETURNING inet_server_port()"),
        )
    };
    let replays = || asked(proxy.reads, password, "SELECT pg_is_in_recovery()");
    wait_until("writes are led to the primary", || {
        asked(proxy.writes, password, "CREATE TABLE led (row int)").is_some()
    });
    // It takes a server for up until it has checked it once.
    wait_until("every server was checked", || (0..5).all(|_| write(1).is_some()));
    let before = write(1).unwrap();
    wait_until("reads are led to a standby", || replays().as_deref() == Some("t"));
    let pid = asked(
        proxy.writes,
        password,
        "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)",
    )
    .unwrap();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    wait_until("writes are led to the new primary", || {
        write(2).is_some_and(|after| after != before)
    });
    wait_until("reads are led to a standby again", || replays().as_deref() == Some("t"));
    wait_until("the failover is over", || monitor.code("/cluster/health") == 200);
    // No session that writes is led to a server that only replays.
    for row in 3..20 {
        assert!(write(row).is_some_and(|at| at != before));
        assert_eq!(replays().as_deref(), Some("t"));
    }
    let rows = asked(proxy.writes, password, "SELECT count(DISTINCT row) FROM led");
    assert_eq!(rows.as_deref(), Some("19"));
    drop((proxy, monitor));
    environment.destroy();
}

#[test]
fn a_browser_shows_the_page_by_keyboard_in_both_widths_and_colours() {
    let python = tools().join("python3");
    if !has(&python, &["-c", "import playwright"])
        || !has(Path::new("/usr/bin/chromium-headless-shell"), &["--version"])
    {
        return;
    }
    let (environment, monitor) = watched();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/browse.py");
    let pictures = environment.project().join("pictures");
    let mut command = Command::new(python);
    command
        .arg(script)
        .arg(format!("http://{}/", monitor.address))
        .arg(&pictures)
        .arg(environment.project().join("token"));
    let said = run(&mut command);
    assert!(said.contains("seen: switchover"), "{said}");
    assert_eq!(fs::read_dir(&pictures).unwrap().count(), 4);
    drop(monitor);
    environment.destroy();
}
