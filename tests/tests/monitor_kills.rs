//! Primaries that are killed beside a monitor, again and again, with clients and an account of what was acknowledged that are not
//! simdb's own (`tests/support/kills.py`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "how long clients had to wait is worth knowing")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use simdb_tests::{Scenario, Version, any, first, is_thorough, leave_to_faults};

/// How long clients may have to wait at most, the time until the loss is noticed included, on a machine that is busy with other
/// tests and with a program that is not optimised. What it takes otherwise `make bench` measures.
const LIMIT: f64 = 6.0;

fn kills(mode: &str, names: impl Fn(&[String]) -> String) {
    if !is_thorough() {
        return leave_to_faults("twenty kills in a row take minutes");
    }
    for version in Version::all() {
        let body = format!(
            "  replication {{ mode = \"{mode}\" }}\n  failover {{\n    mode         = \"automatic\"\n    max_per_hour = 60\n  }}\n  node \
             \"n\" {{ count = 3 }}\n"
        );
        let scenario = Scenario::new(&version, &body);
        let monitor = scenario.monitor("monitor");
        let report = killed(&scenario, 20);
        println!("{version:?} in mode {mode}: {report}");
        let lost: u64 = report["lost"]
            .as_object()
            .unwrap()
            .values()
            .map(|lost| lost.as_u64().unwrap())
            .sum();
        assert_eq!(lost, 0, "{report}");
        let gaps = report["gaps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|gap| gap.as_f64().unwrap());
        assert!(
            gaps.clone().count() == 20 && gaps.fold(0.0, f64::max) < LIMIT,
            "{report}"
        );
        assert!(monitor.stop(), "it ends well");
        scenario.assert_settled(&names);
        scenario.destroy();
    }
}

/// Kills the primary so often, and returns what the clients saw.
fn killed(scenario: &Scenario, rounds: u32) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/kills.py");
    let (hosts, password) = scenario.entrance();
    let output = Command::new("python3")
        .arg(script)
        .args([rounds.to_string(), hosts])
        .arg(scenario.environment.project().join("monitor.log"))
        .env("PGPASSWORD", password)
        .output()
        .expect("python3 can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints a document")
}

#[test]
fn twenty_kills_in_mode_quorum_lose_nothing_that_was_acknowledged() {
    kills("quorum", any(1));
}

#[test]
fn twenty_kills_in_mode_sync_lose_nothing_that_was_acknowledged() {
    kills("sync", first(1));
}
