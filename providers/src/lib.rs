//! Effects: what the planner wrote down is done here, and what is there is looked at.

pub mod backend;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod effects;
pub mod engine;
pub mod event;
pub mod executor;
pub mod observe;
pub mod password;
pub mod platform;
pub mod sessions;
pub mod signs;
