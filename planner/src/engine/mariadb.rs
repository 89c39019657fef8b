//! MariaDB, as far as it can be told without a server.

pub mod facts;

/// How the programs are installed.
pub(super) const INSTALLATION: &str = "on Debian: apt-get install mariadb-server mariadb-backup";
