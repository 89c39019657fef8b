//! Lets a test stand between the executor and its effects, to see or to cut off a run there.

use std::ffi::OsString;
use std::sync::{Arc, OnceLock};

use simdb_providers::effects::Effects;

use crate::exit::Exit;

/// Puts something around the effects.
pub type Wrap = fn(Arc<dyn Effects>) -> Arc<dyn Effects>;

static WRAP: OnceLock<Wrap> = OnceLock::new();

/// Runs the program with a command line, program name included, and something around its effects.
pub fn run(argv: impl IntoIterator<Item = OsString>, wrap: Wrap) -> Exit {
    WRAP.get_or_init(|| wrap);
    crate::run(argv)
}

/// Returns the effects as they are to be used.
pub(crate) fn wrapped(effects: Arc<dyn Effects>) -> Arc<dyn Effects> {
    match WRAP.get() {
        Some(wrap) => wrap(effects),
        None => effects,
    }
}
