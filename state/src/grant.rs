//! The right to change the world on behalf of a record.
//!
//! A commit carries the token of the lock, so whoever lost the lock records nothing more. What is done to servers is no
//! commit: whoever does it asks its grant right before, and where the world can keep a token, shows it that.

use std::sync::Arc;
#[cfg(feature = "testing")]
use std::sync::OnceLock;

use crate::backend::Token;
use crate::error::StoreError;
use crate::record::Record;

/// What a test does right before a grant is asked, in place of the machine that halts a process there.
#[cfg(feature = "testing")]
pub static BEFORE_CHECK: OnceLock<fn()> = OnceLock::new();

/// What the lock gives to its holder, for as long as it is held.
#[derive(Clone, Debug)]
pub struct Grant {
    record: Arc<Record>,
    token: Token,
}

impl Grant {
    pub(crate) fn new(record: Arc<Record>, token: Token) -> Self {
        Self { record, token }
    }

    /// Returns the fencing token: whoever holds the lock later has a greater one.
    pub fn token(&self) -> Token {
        self.token
    }

    /// Asks whether the lock is still held; an error where it was taken over, or cannot be looked at.
    pub async fn check(&self) -> Result<(), StoreError> {
        #[cfg(feature = "testing")]
        if let Some(happens) = BEFORE_CHECK.get() {
            happens();
        }
        let mut held = self.record.holders().await?.into_iter();
        if held.any(|lease| lease.token == self.token) {
            return Ok(());
        }
        let path = self.record.path.clone();
        Err(StoreError::LockLost { path })
    }
}
