//! A primary hands over only to a standby that keeps up: what holds that up is told before anything is stopped.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use simdb_tests::{Scenario, Version, wait_until};

const PAIR: &str = r#"
  node "a" {}
  node "r" {
    count      = 1
    parameters = { max_standby_streaming_delay = "-1" }
  }
  endpoint "rw" { target = "primary" }
"#;

const SWITCHOVER: [&str; 5] = ["switchover", "orders", "-to", "r[0]", "-auto-approve"];

/// How long a switchover may take to say no: the standby gets ten seconds, and this machine may be busy.
const LIMIT: Duration = Duration::from_secs(25);

/// Asserts that a switchover is refused in time, says this, and leaves the primary as it was.
#[track_caller]
fn assert_refused(scenario: &Scenario, texts: &[&str]) {
    let (postmaster, start) = (scenario.postmaster("a"), Instant::now());
    let output = scenario.environment.run(&SWITCHOVER);
    assert!(start.elapsed() < LIMIT, "it took {:?}", start.elapsed());
    let said = output.text();
    assert_eq!(output.code, Some(1), "{said}");
    for text in texts {
        assert!(said.contains(text), "no {text:?} in {said}");
    }
    assert_eq!(scenario.postmaster("a"), postmaster, "{said}");
    assert_eq!(scenario.primary(), "a");
    scenario.environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
}

#[test]
fn a_switchover_names_what_holds_up_the_standby_and_stops_nothing() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, PAIR);
        scenario.ask("a", "CREATE TABLE kept (n int); SELECT 1");
        wait_until("the table is there", || {
            scenario.answer("r[0]", "SELECT count(*) FROM kept").is_some()
        });
        scenario.begin("r[0]", &["BEGIN", "SELECT count(*) FROM kept", "SELECT pg_sleep(3600)"]);
        wait_until("a query runs", || !scenario.processes("r[0]", "SELECT").is_empty());
        scenario.ask("a", "ALTER TABLE kept ADD COLUMN m int; SELECT 1");
        let pid = scenario.processes("r[0]", "SELECT")[0].to_string();
        assert_refused(
            &scenario,
            &[
                "hand over to cluster.orders.node.r[0]",
                &format!("process {pid} (active, user postgres, database postgres, query of 2"),
                "holds table public.kept",
                "nothing was stopped",
            ],
        );
        scenario.signal("r[0]", "SELECT", Signal::SIGTERM);
        scenario.simdb(&SWITCHOVER);
        assert_eq!(scenario.primary(), "r[0]");
        scenario.destroy();
    }
}
