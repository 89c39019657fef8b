//! What simdb records, under which names, and where it keeps it.
//!
//! ```text
//!   names ─► addresses ─► objects ─► State      in memory, values only
//!                                      │ Delta: what one step changes
//!                                      ▼
//!   Store, Writer (serial, journal, secrets) ─► Backend: rows by key, locks of clusters
//! ```
//!
//! The crate knows no plan: the journal keeps a run's plan as an opaque document. What a backend stores is bytes.

pub mod address;
pub mod backend;
pub mod claim;
pub mod cluster_event;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod delta;
pub mod digest;
mod disk;
mod error;
pub mod extent;
mod format;
mod grant;
pub mod gtid;
pub mod identity;
pub mod instance;
pub mod journal;
pub mod json;
pub mod leases;
pub mod lock;
pub mod lsn;
pub mod maps;
pub mod name;
pub mod object;
mod owner;
pub mod place;
pub mod position;
mod record;
pub mod relocation;
pub mod repair;
pub mod route;
mod run;
pub mod secret;
pub mod sensitive;
pub mod shared;
pub mod store;
pub mod sync;
pub mod transfer;
mod writer;
pub mod writers;

#[cfg(feature = "testing")]
pub use grant::BEFORE_CHECK;
