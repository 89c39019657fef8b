//! Clusters whose addresses are not reached: each server has a port of the daemon's machine, and the daemon is reached with TLS.

use std::fs;
use std::net::TcpListener;

use simdb_tests::contained::ROWS;
use simdb_tests::{Scenario, certificates, first, secure_daemon, wait_until};

const PAIR: &str = r#"
  node "a" {}
  node "r" {}
  user "app" { login = true }
  database "app" { owner = "app" }
  endpoint "rw" { target = "primary" }
"#;

#[test]
fn a_cluster_is_reached_at_the_ports_that_the_daemon_publishes() {
    let Some(mut scenario) = Scenario::in_published_containers(PAIR) else {
        return;
    };
    scenario.assert_settled(first(1));
    let ports = scenario.environment.ports();
    for node in scenario.status()["nodes"].as_array().expect("a status lists nodes") {
        let address = node["address"].as_str().expect("it is reached somewhere");
        let port = address.strip_prefix("127.0.0.1:").expect("it is published").parse();
        assert!(ports.contains(&port.expect("it is a port")), "{address}");
    }
    let service = fs::read_to_string(scenario.environment.project().join(".simdb/pg_service.conf"));
    let service = service.expect("the endpoint has an entry");
    assert!(service.contains("host=127.0.0.1"), "{service}");
    let writing = scenario.load();
    writing.further(ROWS);
    scenario.switchover(None);
    writing.further(ROWS);
    scenario.docker(&["kill", &scenario.container("r")]);
    scenario.failover();
    writing.further(ROWS);
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
    // What was cut off from its network was cut off from its port, too.
    let standby = scenario.container("r");
    scenario.docker(&["network", "disconnect", &scenario.network_name(), &standby]);
    scenario.simdb(&["apply", "-auto-approve"]);
    scenario.assert_settled(first(1));
    // Another port takes another container.
    let declared = *ports.end();
    scenario.apply(&PAIR.replace("node \"r\" {}", &format!("node \"r\" {{ port = {declared} }}")));
    scenario.assert_settled(first(1));
    assert!(
        scenario
            .docker(&["port", &standby])
            .contains(&format!("127.0.0.1:{declared}"))
    );
    scenario.destroy_containers();
}

#[test]
fn a_port_that_another_program_took_meanwhile_is_given_up() {
    let Some(mut scenario) = Scenario::in_published_containers(PAIR) else {
        return;
    };
    let standby = scenario.container("r");
    let port = |scenario: &Scenario| {
        let nodes = scenario.status()["nodes"].clone();
        let address = nodes[1]["address"].as_str();
        address.expect("it is reached somewhere").to_owned()
    };
    let had = port(&scenario);
    scenario.docker(&["stop", &standby]);
    wait_until("the port is free", || TcpListener::bind(&had).is_ok());
    let taken = TcpListener::bind(&had).expect("it was free");
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_ne!(port(&scenario), had);
    drop(taken);
    scenario.look();
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn a_daemon_with_tls_lets_in_nobody_without_the_right_certificates() {
    let (Some(scenario), Some(own)) = (Scenario::in_published_containers(PAIR), certificates()) else {
        return;
    };
    let other = tempfile::tempdir().expect("a directory can be made");
    let write = |name: &str, from: &str| {
        fs::copy(own.join(from), other.path().join(name)).expect("it is there");
    };
    scenario.declare_certificates(Some(other.path()));
    scenario.expect_refusal(&["plan"], "cert.pem is no file with certificates in PEM");
    // The engine's own key is not one that it lets in, and a certificate is no authority.
    write("cert.pem", "server.pem");
    write("key.pem", "server-key.pem");
    write("ca.pem", "ca.pem");
    scenario.expect_refusal(&["plan"], "cannot be reached");
    write("cert.pem", "cert.pem");
    write("key.pem", "key.pem");
    write("ca.pem", "server.pem");
    scenario.expect_refusal(&["plan"], "The certificates that count are those in");
    scenario.declare_certificates(None);
    let provider = format!(
        "provider \"docker\" {{\n  host    = \"{}\"\n  publish = \"127.0.0.1\"\n}}\n",
        secure_daemon().expect("it listens there")
    );
    scenario.environment.write("provider.simdb.hcl", &provider);
    scenario.expect_refusal(&["plan"], "it asks for TLS");
    scenario.declare_certificates(None);
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}
