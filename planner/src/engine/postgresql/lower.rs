//! The steps that only PostgreSQL takes.

mod open;
mod resume;
mod slot;
mod sync;

pub(crate) use self::slot::leave_slot;
