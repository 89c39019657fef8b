//! What end-to-end tests share: a project of their own in a world of their own, the `simdb` binary, and proof that
//! nothing is left of it.
//!
//! ```text
//!   TestEnvironment   one temporary directory, which user postgres can enter
//!     project/        the configuration and .simdb/: where simdb runs
//!     home/           HOME and the keys of the state's secrets
//!     data/           the servers' data (`data_root`), so that tests as root stay out of /var/lib
//! ```
//!
//! Every environment holds a range of ports that no other one has, on this machine, at this time. When it goes, every
//! process below it is killed, whatever the test did.

mod chance;
pub mod contained;
mod disturb;
mod environment;
mod failpoint;
mod leftovers;
mod lookers;
mod redact;
mod require;
mod scenario;
mod served;
mod versions;

pub use chance::Chance;
pub use disturb::{THREE, TWO, any, disturb, disturb_under_load, first};
pub use environment::{Output, TestEnvironment, has_pgbouncer, simdb, wait_until};
pub use failpoint::{Moment, Run, Step, errors_of, json_lines, plan_of, run_to};
pub use leftovers::{files_below, listening_ports, processes_below, started_with};
pub use lookers::{Look, Lookers, Looks};
pub use redact::Redactions;
pub use require::{leave_to_faults, skip};
pub use scenario::{
    Declared, Engine, Image, Machine, Monitor, NOTICED, Registry, Scenario, Version, WATCHED, Wire, Writing,
    certificates, has_faults, is_thorough, secure_daemon,
};
pub use served::{ServedMonitor, TOKEN};
pub use versions::versions;
