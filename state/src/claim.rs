//! What stands beside the record and changes without its lock, each row by compare-and-set: which monitor decides, and which
//! clusters a person has paused. A person who pauses a monitor does not wait for an apply.
//!
//! The right to decide is a lease without a clock, as the lock of the record is: its owner counts a beat up, and a contender takes
//! over what stood still for a whole lease time on its own clock, or whose owner is gone for certain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::backend::{BackendError, Expect, Key, Row, Version, Write};
use crate::error::StoreError;
use crate::format::{encode, now};
use crate::name::ClusterName;
use crate::owner::Owner;
use crate::record::Record;

const MONITOR: &str = "claim/monitor";
const PAUSES: &str = "claim/pause/";

/// That a monitor does nothing with a cluster by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it: `user@host`, or the monitor itself.
    pub who: String,
    /// Since when, by the wall clock, for people.
    pub since: String,
    /// Until when, in seconds since 1970; absent, until somebody lets it go on.
    pub until: Option<i64>,
    /// Why, in their words.
    pub reason: Option<String>,
}

impl Pause {
    /// Makes a pause from now on.
    pub fn new(who: impl Into<String>, until: Option<i64>, reason: Option<String>) -> Self {
        Self {
            who: who.into(),
            since: now(),
            until,
            reason,
        }
    }

    /// Returns whether it holds at a moment, in seconds since 1970.
    pub fn holds(&self, at: i64) -> bool {
        self.until.is_none_or(|until| at < until)
    }
}

/// Who decides, as it stands in its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Deciding {
    owner: Owner,
    beat: u64,
}

/// Reads the pauses of all clusters.
pub(crate) async fn pauses(record: &Record) -> Result<BTreeMap<ClusterName, Pause>, StoreError> {
    let mut pauses = BTreeMap::new();
    for row in record.list(&[PAUSES]).await? {
        if let Ok(cluster) = row.key.as_str()[PAUSES.len()..].parse() {
            pauses.insert(cluster, record.decode(&row)?);
        }
    }
    Ok(pauses)
}

/// Pauses a cluster, or lets it go on. Returns the pause that held before.
pub(crate) async fn set_pause(
    record: &Record,
    cluster: &ClusterName,
    pause: Option<&Pause>,
) -> Result<Option<Pause>, StoreError> {
    let key = Key::new(format!("{PAUSES}{cluster}"));
    let before = record.get(&key).await?;
    let before = before.map(|row| record.decode(&row)).transpose()?;
    let write = match pause {
        Some(pause) => Write::put(key, encode(pause)),
        None => Write::delete(key),
    };
    record.swap(write).await?;
    Ok(before)
}

/// The right of one monitor to decide.
#[derive(Debug)]
pub struct Claim {
    record: Arc<Record>,
    owner: Owner,
    lease: Duration,
    /// The row as this monitor last wrote it, and when it was sent that was confirmed last.
    held: Option<(Version, Instant)>,
    beat: u64,
    /// The row of somebody else, and since when it stands still.
    seen: Option<(Version, Instant)>,
}

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// This monitor.
    Held,
    /// Another one, `user@host`.
    Elsewhere(String),
}

impl Claim {
    pub(crate) fn new(record: Arc<Record>, lease: Duration) -> Self {
        Self {
            record,
            owner: Owner::this_process("monitor", lease),
            lease,
            held: None,
            beat: 0,
            seen: None,
        }
    }

    /// Returns how long it may stand still.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Returns whether this monitor may decide at this moment: its last renewal was sent less than a lease time ago.
    pub fn holds(&self) -> bool {
        self.held.is_some_and(|(_, sent)| sent.elapsed() < self.lease)
    }

    /// Says that this monitor is alive, or takes the right over where nobody has it any more.
    pub async fn renew(&mut self) -> Result<Right, StoreError> {
        let sent = Instant::now();
        let row = self.record.get(&Key::new(MONITOR)).await?;
        let expect = match (&row, self.held) {
            (None, _) => Expect::Absent,
            (Some(row), Some((version, _))) if row.version == version => Expect::Version(version),
            (Some(row), _) => {
                self.held = None;
                let deciding: Deciding = self.record.decode(row)?;
                if !self.is_free(row, &deciding.owner, sent) {
                    return Ok(Right::Elsewhere(deciding.owner.who));
                }
                Expect::Version(row.version)
            }
        };
        self.beat += 1;
        let deciding = Deciding {
            owner: self.owner.clone(),
            beat: self.beat,
        };
        let write = Write {
            key: Key::new(MONITOR),
            expect,
            bytes: Some(encode(&deciding)),
        };
        match self.record.backend.swap(write).await {
            Ok(version) => {
                self.held = Some((version, sent));
                Ok(Right::Held)
            }
            Err(BackendError::Conflict(_)) => {
                self.held = None;
                Ok(Right::Elsewhere("another monitor".to_owned()))
            }
            Err(error) => Err(self.record.failed(error)),
        }
    }

    /// Returns whether a row of somebody else stands still for good.
    fn is_free(&mut self, row: &Row, owner: &Owner, now: Instant) -> bool {
        if owner.is_dead() {
            return true;
        }
        match self.seen {
            Some((version, since)) if version == row.version => {
                now.duration_since(since) >= Duration::from_millis(owner.lease_ms)
            }
            _ => {
                self.seen = Some((row.version, now));
                false
            }
        }
    }

    /// Gives the right up, so that another monitor need not wait.
    pub async fn release(self) -> Result<(), StoreError> {
        let Some((version, _)) = self.held else { return Ok(()) };
        let write = Write {
            key: Key::new(MONITOR),
            expect: Expect::Version(version),
            bytes: None,
        };
        match self.record.backend.swap(write).await {
            Ok(_) | Err(BackendError::Conflict(_)) => Ok(()),
            Err(error) => Err(self.record.failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::store::Store;

    use super::*;

    #[tokio::test]
    async fn one_monitor_decides_and_another_takes_over_when_it_gives_up() {
        let store = Store::in_memory().await.unwrap();
        let lease = Duration::from_mins(1);
        let (mut one, mut other) = (store.claim(lease), store.claim(lease));
        assert_eq!(one.renew().await.unwrap(), Right::Held);
        assert!(matches!(other.renew().await.unwrap(), Right::Elsewhere(_)));
        assert_eq!(one.renew().await.unwrap(), Right::Held);
        assert!(one.holds() && !other.holds());
        one.release().await.unwrap();
        assert_eq!(other.renew().await.unwrap(), Right::Held);
    }

    #[tokio::test]
    async fn what_stood_still_for_a_lease_is_taken_over_and_its_owner_finds_out() {
        let store = Store::in_memory().await.unwrap();
        let (mut asleep, mut other) = (store.claim(Duration::ZERO), store.claim(Duration::from_mins(1)));
        asleep.renew().await.unwrap();
        assert!(!asleep.holds(), "its lease is over at once");
        // The first look only sees it.
        assert!(matches!(other.renew().await.unwrap(), Right::Elsewhere(_)));
        assert_eq!(other.renew().await.unwrap(), Right::Held);
        assert!(matches!(asleep.renew().await.unwrap(), Right::Elsewhere(_)));
    }

    #[tokio::test]
    async fn a_pause_needs_no_lock_and_ends_by_itself() {
        let store = Store::in_memory().await.unwrap();
        let _writer = store.lock("apply", Duration::ZERO).await.unwrap();
        let orders: ClusterName = "orders".parse().unwrap();
        let pause = Pause::new("ann@host", Some(100), Some("a new disk".to_owned()));
        assert_eq!(store.set_pause(&orders, Some(&pause)).await.unwrap(), None);
        assert_eq!(store.pauses().await.unwrap()[&orders], pause);
        assert!(pause.holds(99) && !pause.holds(100));
        assert_eq!(store.set_pause(&orders, None).await.unwrap(), Some(pause));
        assert!(store.pauses().await.unwrap().is_empty());
    }
}
