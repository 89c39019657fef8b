//! What a monitor beside real servers answers over HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use simdb_tests::{TestEnvironment, wait_until};

const CONFIGURATION: &str = r#"cluster "orders" {
  engine "postgresql" {}
  replication { mode = "sync" }
  node "a" {}
  node "r" { count = 1 }
}
monitor { listen = "127.0.0.1:0" }
"#;

/// A monitor with an API; it is ended when it is dropped.
struct Monitor {
    child: Child,
    address: String,
}

impl Monitor {
    fn start(environment: &TestEnvironment) -> Self {
        let log = environment.project().join("monitor.log");
        let child = environment
            .command(&["monitor"])
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let address = || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let (_, rest) = text.split_once("http://")?;
            rest.split_once('/').map(|(address, _)| address.to_owned())
        };
        wait_until("the API says where it is", || address().is_some());
        Self {
            child,
            address: address().unwrap(),
        }
    }

    /// Asks for a path, and returns the code and the body.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn code(&self, path: &str) -> u16 {
        self.get(path).0
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn checks_follow_the_servers_through_a_stop_and_a_switchover() {
    let environment = TestEnvironment::with_configuration(CONFIGURATION);
    environment.done(&["apply", "-auto-approve"]);
    let monitor = Monitor::start(&environment);
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
    environment.refuses(&["monitor", "-listen", "0.0.0.0:0"], "listens on loopback alone");
    environment.destroy();
}
