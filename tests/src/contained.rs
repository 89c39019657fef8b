//! The clusters that tests make in containers, as what stands in their blocks beside network and engine.

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
