//! Rows in memory: for tests, and for records nobody needs afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Backend, BackendError, Expect, Key, Lease, LockOutcome, Row, Token, Version, Write};
use crate::extent::Extent;
use crate::leases::Leases;
use crate::lock::Owner;

/// Rows in memory. Clones share them, as two processes share a file.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    rows: BTreeMap<Key, (Version, Vec<u8>)>,
    commits: u64,
    leases: Leases,
}

impl MemoryBackend {
    /// Makes a backend that holds the rows.
    pub fn new(rows: Vec<(Key, Vec<u8>)>) -> Self {
        let rows = rows.into_iter().map(|(key, bytes)| (key, (Version(0), bytes)));
        Self(Arc::new(Mutex::new(Contents {
            rows: rows.collect(),
            ..Contents::default()
        })))
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // Every change below is made in one piece, so a panic elsewhere leaves the rows whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn check(&self, write: &Write) -> Result<(), BackendError> {
        let found = self.rows.get(&write.key).map(|(version, _)| *version);
        let expected = match write.expect {
            Expect::Any => return Ok(()),
            Expect::Absent => None,
            Expect::Version(version) => Some(version),
        };
        if found == expected {
            Ok(())
        } else {
            Err(BackendError::Conflict(write.key.clone()))
        }
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn get(&self, key: &Key) -> Result<Option<Row>, BackendError> {
        Ok(self.contents().rows.get(key).map(|(version, bytes)| Row {
            key: key.clone(),
            version: *version,
            bytes: bytes.clone().into(),
        }))
    }

    async fn list(&self, prefixes: &[&str]) -> Result<Vec<Row>, BackendError> {
        let contents = self.contents();
        let wanted = |key: &Key| prefixes.iter().any(|prefix| key.as_str().starts_with(prefix));
        let rows = contents.rows.iter().filter(|(key, _)| wanted(key));
        Ok(rows
            .map(|(key, (version, bytes))| Row {
                key: key.clone(),
                version: *version,
                bytes: bytes.clone().into(),
            })
            .collect())
    }

    async fn commit(&self, token: Token, writes: Vec<Write>) -> Result<Version, BackendError> {
        let mut contents = self.contents();
        contents.leases.of(token)?;
        for write in &writes {
            contents.check(write)?;
        }
        contents.commits += 1;
        let version = Version(contents.commits);
        for Write { key, bytes, .. } in writes {
            match bytes {
                Some(bytes) => drop(contents.rows.insert(key, (version, bytes))),
                None => drop(contents.rows.remove(&key)),
            }
        }
        Ok(version)
    }

    async fn swap(&self, write: Write) -> Result<Version, BackendError> {
        let mut contents = self.contents();
        contents.check(&write)?;
        contents.commits += 1;
        let version = Version(contents.commits);
        match write.bytes {
            Some(bytes) => drop(contents.rows.insert(write.key, (version, bytes))),
            None => drop(contents.rows.remove(&write.key)),
        }
        Ok(version)
    }

    async fn holders(&self) -> Result<Vec<Lease>, BackendError> {
        Ok(self.contents().leases.held.clone())
    }

    async fn lock(&self, owner: &Owner, take_over: &[Lease]) -> Result<LockOutcome, BackendError> {
        Ok(self.contents().leases.take(owner, take_over))
    }

    async fn change(&self, token: Token, extent: &Extent) -> Result<LockOutcome, BackendError> {
        self.contents().leases.change(token, extent)
    }

    async fn renew(&self, token: Token) -> Result<(), BackendError> {
        self.contents().leases.renew(token)
    }

    async fn keep_copy(&self, _: &str) -> Result<Option<std::path::PathBuf>, BackendError> {
        Ok(None)
    }

    async fn unlock(&self, token: Token) -> Result<(), BackendError> {
        self.contents().leases.free(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{check_backend, check_locks};

    #[tokio::test(flavor = "multi_thread")]
    async fn memory_keeps_the_contract_of_backends() {
        check_backend(async || Arc::new(MemoryBackend::default()) as Arc<dyn Backend>).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn memory_keeps_the_contract_of_locks() {
        let a = MemoryBackend::default();
        check_locks(Arc::new(a.clone()), Arc::new(a)).await;
    }
}
