//! PostgreSQL, as far as it can be told without a server: what to run, with which files, and what a setting costs.

pub mod action;
mod before;
mod branch;
pub mod client;
pub mod conf;
pub mod facts;
pub(crate) mod gap;
pub mod instance;
pub(crate) mod last_run;
pub(crate) mod logins;
mod lower;
mod observed;
mod order;
mod parameters;
pub mod replay;
pub mod script;
pub mod settings;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulate;
mod strays;
pub mod sync;
pub mod trial;

pub use self::action::Action;
pub(crate) use self::before::correct_replication;
pub(crate) use self::lower::leave_slot;
pub(super) use self::parameters::Parameters;
pub use self::settings::limits;
pub(crate) use self::strays::strays;

/// How the programs are installed.
pub(super) const INSTALLATION: &str =
    "on Debian: apt-get install postgresql; versions that Debian does not have are at apt.postgresql.org";
