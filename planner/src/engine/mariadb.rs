//! MariaDB, as far as it can be told without a server.

pub mod facts;
mod parameters;
mod settings;

pub(super) use self::parameters::Parameters;

/// How the programs are installed.
pub(super) const INSTALLATION: &str = "on Debian: apt-get install mariadb-server mariadb-backup";
