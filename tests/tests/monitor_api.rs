//! What a monitor beside real servers answers over HTTP.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use simdb_tests::{ServedMonitor, TOKEN, TestEnvironment, skip, wait_until};

const CONFIGURATION: &str = r#"cluster "orders" {
  engine "postgresql" {}
  replication { mode = "sync" }
  node "a" {}
  node "r" { count = 1 }
}
monitor { listen = "127.0.0.1:0" }
"#;

#[test]
fn checks_follow_the_servers_through_a_stop_and_a_switchover() {
    let environment = TestEnvironment::with_configuration(CONFIGURATION);
    environment.done(&["apply", "-auto-approve"]);
    let monitor = ServedMonitor::start(&environment);
    wait_until("the monitor has seen both nodes", || monitor.code("/health") == 200);
    assert_eq!(monitor.code("/patroni/orders/a/primary"), 200);
    assert_eq!(monitor.code("/patroni/orders/r-0/primary"), 503);
    assert_eq!(monitor.code("/patroni/orders/r-0/sync"), 200);
    assert_eq!(monitor.code("/patroni/orders/a/replica"), 503);
    let (_, status) = monitor.get("/cluster/status");
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["node"]["role"], "PRIMARY");
    assert_eq!(status["replication"]["replica_count"], 1);

    environment.done(&["switchover", "orders", "-to", "r[0]", "-auto-approve"]);
    wait_until("the checks have changed sides", || {
        monitor.code("/patroni/orders/r-0/primary") == 200 && monitor.code("/patroni/orders/a/sync") == 200
    });
    assert_eq!(monitor.code("/patroni/orders/a/primary"), 503);

    environment.done(&["stop", "orders.a", "-auto-approve"]);
    wait_until("the stopped node passes no check", || {
        monitor.code("/patroni/orders/a/health") == 503
    });
    assert_eq!(monitor.code("/patroni/orders/a/replica"), 503);
    let (code, metrics) = monitor.get("/metrics");
    assert_eq!(code, 200);
    assert!(
        metrics.contains("simdb_node_writable{cluster=\"orders\",node=\"r-0\"} 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("simdb_node_up{cluster=\"orders\",node=\"a\"} 0\n"),
        "{metrics}"
    );
    drop(monitor);
    environment.destroy();
}

#[test]
fn an_address_that_others_reach_is_refused_before_anything_is_watched() {
    let environment =
        TestEnvironment::with_configuration("cluster \"orders\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n");
    environment.done(&["apply", "-auto-approve"]);
    environment.refuses(&["monitor", "-listen", "0.0.0.0:0"], "needs a token and TLS");
    environment.destroy();
}

#[test]
fn the_lead_passes_and_servers_are_mended_by_requests_as_those_of_patroni() {
    let monitored = r#"monitor {
  listen     = "127.0.0.1:0"
  token_file = "token"
  notify "log" {
    command = ["/bin/sh", "-c", "cat >>hook.log"]
    events  = ["ordered", "done"]
  }
}
"#;
    let (cluster, _) = CONFIGURATION.split_once("monitor {").unwrap();
    // What a monitor that decides by itself sees of an order is no reason to do anything.
    let cluster = cluster.replace("  node \"a\"", "  failover { mode = \"automatic\" }\n  node \"a\"");
    let guarded = format!("{cluster}{monitored}");
    let environment = TestEnvironment::with_configuration(&guarded);
    ServedMonitor::give_token(&environment);
    environment.done(&["apply", "-auto-approve"]);
    let monitor = ServedMonitor::start(&environment);
    wait_until("the monitor has seen both nodes", || monitor.code("/health") == 200);

    let switchover = "/patroni/orders/a/switchover";
    let body = r#"{"leader": "a", "candidate": "r-0"}"#;
    assert_eq!(monitor.post(switchover, "another token", body).0, 401);
    assert_eq!(monitor.code("/patroni/orders/a/primary"), 200);
    let (code, answer) = monitor.post(switchover, TOKEN, body);
    assert_eq!((code, answer.as_str()), (200, "Successfully switched over to \"r-0\""));
    wait_until("the checks have changed sides", || {
        monitor.code("/patroni/orders/r-0/primary") == 200 && monitor.code("/patroni/orders/a/sync") == 200
    });
    // A second one names a leader that is none any more.
    assert_eq!(monitor.post(switchover, TOKEN, body).0, 412);

    let (code, answer) = monitor.post("/patroni/orders/a/restart", TOKEN, "{}");
    assert_eq!((code, answer.as_str()), (200, "restarted successfully"));
    let (code, answer) = monitor.post("/v1/clusters/orders/resync", TOKEN, r#"{"node": "a"}"#);
    assert_eq!(code, 200, "{answer}");
    wait_until("the standby streams again", || {
        monitor.code("/patroni/orders/a/sync") == 200
    });
    // The primary has what no other node has.
    let (code, answer) = monitor.post("/v1/clusters/orders/resync", TOKEN, r#"{"node": "r[0]"}"#);
    assert_eq!(code, 422, "{answer}");

    let (code, runs) = monitor.get("/v1/runs");
    assert_eq!(code, 200);
    let runs: Value = serde_json::from_str(&runs).unwrap();
    let operations: Vec<&str> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["operation"].as_str().unwrap())
        .collect();
    assert!(
        operations.starts_with(&["resync", "start", "stop", "switchover"]),
        "{operations:?}"
    );
    let (code, last) = monitor.get("/v1/runs/last");
    assert_eq!(code, 200);
    assert!(last.contains("\"status\":\"done\""), "{last}");
    for path in ["/v1/plan", "/v1/drift"] {
        wait_until("it was looked", || !monitor.get(path).1.contains("\"at\":null"));
    }
    environment.done(&["plan", "-detailed-exitcode"]);
    let events = ServedMonitor::events(&environment);
    for kind in [" decided: ", " lost: ", " alarm: "] {
        assert!(!events.contains(kind), "{events}");
    }
    let heard = || std::fs::read_to_string(environment.project().join("hook.log")).unwrap_or_default();
    wait_until("the hook has heard of it", || heard().contains("\"kind\":\"done\""));
    for place in ["monitor.events", "monitor.log", "hook.log"] {
        let text = std::fs::read_to_string(environment.project().join(place)).unwrap();
        assert!(!text.contains(TOKEN), "{place}");
    }
    let state = environment.run(&["state", "pull"]).stdout;
    assert!(!state.contains(TOKEN));
    drop(monitor);
    environment.destroy();
}

const ARCHIVED: &str = r#"cluster "orders" {
  engine "postgresql" {
    parameters = { archive_mode = "on", archive_command = "false" }
  }
  node "a" {}
}
monitor { listen = "127.0.0.1:0" }
"#;

#[test]
fn log_that_cannot_be_archived_is_an_alarm_until_it_can() {
    let environment = TestEnvironment::with_configuration(ARCHIVED);
    environment.done(&["apply", "-auto-approve"]);
    let monitor = ServedMonitor::start(&environment);
    let metric = |value: u8| {
        let line = format!("simdb_archive_failing{{cluster=\"orders\",node=\"a\"}} {value}\n");
        monitor.get("/metrics").1.contains(&line)
    };
    wait_until("the monitor has seen the archive", || metric(0));
    environment.done(&["psql", "orders", "--", "-X", "-c", "SELECT pg_switch_wal()"]);
    wait_until("the log cannot be archived", || metric(1));
    wait_until("the alarm is raised", || {
        ServedMonitor::events(&environment).contains(" alarm: the log of a cannot be archived")
    });
    environment.write("main.simdb.hcl", &ARCHIVED.replace("\"false\"", "\"true\""));
    environment.done(&["apply", "-auto-approve"]);
    environment.done(&["psql", "orders", "--", "-X", "-c", "SELECT pg_switch_wal()"]);
    wait_until("the alarm is over", || {
        ServedMonitor::events(&environment).contains(" clear: over: the log of a cannot be archived")
    });
    drop(monitor);
    environment.destroy();
}

/// Asks with curl, which believes the certificate, and returns the code.
fn curl(environment: &TestEnvironment, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--cacert",
            "monitor.crt",
        ])
        .args(arguments)
        .current_dir(environment.project())
        .output()
        .expect("curl can be started");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Hears of events over TLS, says at which port, and writes the bodies to a file.
const HOOK: &str = "
import http.server, ssl

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        with open('heard', 'ab') as heard:
            heard.write(body + b'\\n')
        self.send_response(204)
        self.end_headers()

server = http.server.HTTPServer(('127.0.0.1', 0), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('monitor.crt', 'monitor.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
";

/// A hook that listens; it ends when it is dropped.
struct Hook(Child);

impl Hook {
    /// Starts it with the certificate of the project, and lets the project's monitor tell it of events.
    fn start(environment: &TestEnvironment) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", HOOK])
            .current_dir(environment.project())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 can be started");
        let mut port = String::new();
        let said = child.stdout.take().expect("it is piped");
        BufReader::new(said)
            .read_line(&mut port)
            .expect("the hook says where it listens");
        let url = environment.project().join("hook.url");
        std::fs::write(&url, format!("https://localhost:{}/a-secret", port.trim())).expect("the directory is ours");
        std::fs::set_permissions(&url, Permissions::from_mode(0o600)).expect("the file is ours");
        Self(child)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was killed");
    }
}

#[test]
fn elsewhere_the_api_takes_tls_and_its_token_and_both_are_read_anew() {
    let environment = TestEnvironment::with_configuration(
        r#"cluster "orders" {
  engine "postgresql" {}
  node "a" {}
}
monitor {
  listen     = "0.0.0.0:0"
  token_file = "token"
  tls {
    certificate = "monitor.crt"
    key         = "monitor.key"
  }
  notify "ops" {
    webhook_file = "hook.url"
  }
}
"#,
    );
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        // That of an authority is no server's.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "monitor.key", "-out", "monitor.crt"])
        .current_dir(environment.project())
        .output();
    let Ok(made) = made else {
        return skip("there is no program \"openssl\"");
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    ServedMonitor::give_token(&environment);
    let hook = Hook::start(&environment);
    environment.done(&["apply", "-auto-approve"]);
    let trusted = environment.project().join("monitor.crt");
    let monitor = ServedMonitor::start_with(&environment, &[("SSL_CERT_FILE", &trusted)]);
    let heard = || std::fs::read_to_string(environment.project().join("heard")).unwrap_or_default();
    wait_until("the hook has heard over TLS that the monitor started", || {
        heard().contains("\"kind\":\"started\"")
    });
    let port = monitor.address.rsplit(':').next().unwrap();
    let url = |path: &str| format!("https://localhost:{port}{path}");
    let bearing = |token: &str| format!("Authorization: Bearer {token}");
    wait_until("the monitor has seen the node", || {
        curl(&environment, &[&url("/health")]) == "200"
    });
    assert_eq!(curl(&environment, &[&url("/v1/clusters")]), "401");
    assert_eq!(
        curl(&environment, &["--header", &bearing(TOKEN), &url("/v1/clusters")]),
        "200"
    );
    assert_eq!(curl(&environment, &[&format!("http://localhost:{port}/health")]), "000");
    let other = "fedcba9876543210fedcba9876543210";
    std::fs::write(environment.project().join("token"), other).unwrap();
    monitor.reload();
    wait_until("the other token counts", || {
        curl(&environment, &["--header", &bearing(other), &url("/v1/clusters")]) == "200"
    });
    assert_eq!(
        curl(&environment, &["--header", &bearing(TOKEN), &url("/v1/clusters")]),
        "401"
    );
    drop(monitor);
    drop(hook);
    environment.destroy();
}
