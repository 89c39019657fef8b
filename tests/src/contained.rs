//! The clusters that tests make in containers, as what stands in their blocks beside network and engine.

use crate::Scenario;

/// A primary, a standby, and somebody who uses them.
pub const PAIR: &str = r#"
  node "a" {}
  node "r" { count = 1 }
  user "app" { login = true }
  database "app" { owner = "app" }
  endpoint "rw" { target = "primary" }
"#;

/// A primary and two standbys.
pub const THREE: &str = r#"
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
"#;

/// How many rows are written before and after a disturbance.
pub const ROWS: u64 = 50;

/// Makes a cluster of this machine's version, and then one of the newest, and lives through the same with each; given what makes them, and
/// makes none where they cannot run.
pub fn on_each_version(makes: [fn(&str) -> Option<Scenario>; 2], body: &str, live: impl Fn(Scenario)) {
    for make in makes {
        let Some(scenario) = make(body) else { return };
        live(scenario);
    }
}
