//! PostgreSQL, as far as it can be told without a server: what to run, with which files, and what a setting costs.

pub mod conf;
pub mod instance;
pub mod limits;
mod observed;
pub mod script;
pub mod settings;
pub mod sync;
pub mod trial;
