//! The steps that only PostgreSQL takes.

mod admit;
mod resume;
mod slot;
mod sync;

pub(crate) use self::slot::leave_slot;
