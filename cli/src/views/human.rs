//! What people read. Everything is rendered with colours; `ui` takes them out where nobody can see them.

pub mod diagnostic;
pub mod drift;
pub mod env;
pub mod events;
pub mod gc;
pub mod layout;
pub mod outcome;
pub mod plan;
pub(crate) mod progress;
pub mod ps;
pub mod runs;
pub mod state;
pub mod status;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod value;
pub mod verify;
