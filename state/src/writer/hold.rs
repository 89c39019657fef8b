//! What a writer holds of the lock, and how it learns that it holds it no longer.

use std::sync::Arc;

use super::Writer;
use crate::backend::{BackendError, LockOutcome};
use crate::error::{LockError, StoreError};
use crate::extent::Extent;
use crate::grant::Grant;
use crate::owner::Owner;

impl Writer {
    /// Returns what lets this writer's steps change the world.
    pub fn grant(&self) -> Grant {
        Grant::new(Arc::clone(&self.record), self.token)
    }

    /// Returns how this writer shows itself to those who wait for it.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Lets the lock be about this alone, or about this as well, from now on. It is an error where somebody else holds part of it; then
    /// it is about what it was.
    pub async fn cover(&mut self, extent: &Extent) -> Result<(), LockError> {
        let changed = match self.record.backend.change(self.token, extent).await {
            Err(BackendError::Lost) => return Err(self.lost().await.into()),
            changed => changed.map_err(|error| self.record.failed(error))?,
        };
        match changed {
            LockOutcome::Granted(_) => {
                self.owner.extent = extent.clone();
                Ok(())
            }
            LockOutcome::Held(lease) => Err(LockError::Held {
                path: self.record.path.clone(),
                owner: Box::new(lease.owner),
            }),
        }
    }

    /// Returns what ends when somebody else has the lock: what is done under it ends then, too.
    pub fn losing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut lost = self.lost.clone();
        async move {
            // A heartbeat that ended without a word ended with this writer.
            if lost.wait_for(|lost| *lost).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Says who has the lock now, where that is known.
    pub async fn lost(&self) -> StoreError {
        let path = self.record.path.clone();
        let held = self.record.holders().await.unwrap_or_default().into_iter();
        let mut later = held.filter(|lease| lease.token > self.token);
        match later.find(|lease| lease.owner.extent.overlaps(&self.owner.extent)) {
            Some(lease) => StoreError::Preempted {
                path,
                by: Box::new(lease.owner),
            },
            None => StoreError::LockLost { path },
        }
    }

    /// Gives the lock back.
    pub async fn unlock(self) -> Result<(), StoreError> {
        let Self {
            record,
            token,
            heartbeat,
            ..
        } = self;
        drop(heartbeat);
        record.backend.unlock(token).await.map_err(|error| record.failed(error))
    }
}
