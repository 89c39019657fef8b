//! A record that is locked for writing.

mod hold;
mod passwords;
mod rekey;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::address::Address;
use crate::backend::{BackendError, Expect, Key, Token, Version, Write};
use crate::cluster_event::{ClusterEvent, cluster_events};
use crate::delta::{Edit, Outputs};
use crate::error::StoreError;
use crate::format::{FORMAT, Head, encode, excerpt, made_as_key, now, object_rows};
use crate::journal::{Event, EventKind, JournalError, Progress, Run, StepRow, event_key, step_key};
use crate::lock;
use crate::object::{Output, ProviderSettings, State};
use crate::owner::Owner;
use crate::record::Record;
use crate::relocation::{self, Move};
use crate::repair::{self, Dangling};
use crate::run::{Entry, Lineage, RunId, Snapshot};
use crate::secret;
use crate::sensitive::{SecretName, Secrets, Sensitive};
use crate::transfer::{PREFIXES, Transfer};

/// A record that is locked for writing. Dropping it without [`Writer::unlock`] leaves the lock to be taken over.
///
/// Others may write at the same time, each what is of its own clusters: the head, which all of them write, tells a writer that it has to
/// take over what they recorded. A commit whose future is dropped halfway may or may not have happened; the next one finds out.
#[derive(Debug)]
pub struct Writer {
    record: Arc<Record>,
    token: Token,
    owner: Owner,
    heartbeat: Heartbeat,
    lost: watch::Receiver<bool>,
    head: Head,
    /// The version of `meta/record` that `head` is.
    version: Version,
    snapshot: Snapshot,
    run: Option<Run>,
    has_run: bool,
    upgrade: Option<Upgrade>,
}

/// A record that was brought up to the present format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The format that it had.
    pub from: u32,
    /// Where a copy of it is, as it was; absent where the record is not kept, either.
    pub copy: Option<PathBuf>,
}

/// The task that keeps the lock; it ends with its owner.
#[derive(Debug)]
struct Heartbeat(JoinHandle<()>);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What one commit is made of, before it is made.
#[derive(Debug, Default)]
struct Commit {
    writes: Vec<Write>,
    moves: Vec<(u32, Progress)>,
    events: Vec<Event>,
}

impl Writer {
    /// Makes a writer of a lock just taken. If the record cannot be read, the lock is given back.
    pub(crate) async fn load(
        record: Arc<Record>,
        token: Token,
        owner: Owner,
        lease: Duration,
    ) -> Result<Self, StoreError> {
        let (to_lost, lost) = watch::channel(false);
        let keep = lock::keep(Arc::clone(&record.backend), token, lease, to_lost);
        let heartbeat = Heartbeat(tokio::spawn(keep));
        let loaded = match record.confirm_key().await {
            Ok(()) => record.load().await,
            Err(error) => Err(error),
        };
        let upgraded = match loaded {
            Ok(loaded) => {
                let mut writer = Self {
                    record: Arc::clone(&record),
                    token,
                    owner,
                    heartbeat,
                    lost,
                    head: loaded.head,
                    version: loaded.version,
                    snapshot: loaded.snapshot,
                    run: None,
                    has_run: false,
                    upgrade: None,
                };
                writer.bring_up().await.map(|()| writer)
            }
            Err(error) => Err(error),
        };
        match upgraded {
            Ok(writer) => Ok(writer),
            Err(error) => {
                // The reading error is the one to report; a lock that stays is taken over once this process is gone.
                let _ = record.backend.unlock(token).await;
                Err(error)
            }
        }
    }

    /// Brings a record of an older format up to this one, in one commit, once a copy of it is kept.
    async fn bring_up(&mut self) -> Result<(), StoreError> {
        let from = self.head.format;
        while self.head.format != FORMAT {
            let kept = self.record.backend.keep_copy(&format!("format-{from}")).await;
            let copy = kept.map_err(|error| self.record.failed(error))?;
            let state = self.state();
            let commit = Commit {
                writes: object_rows(state, &state.addresses()),
                ..Commit::default()
            };
            let mut head = self.head.clone();
            head.format = FORMAT;
            if self.attempt(&commit, head).await? {
                self.upgrade = Some(Upgrade { from, copy });
            }
        }
        Ok(())
    }

    /// Returns from which format the record was brought up to this one when its lock was taken, where it was.
    pub fn upgrade(&self) -> Option<&Upgrade> {
        self.upgrade.as_ref()
    }

    /// Returns the record as it is now, every commit of this writer included.
    pub fn state(&self) -> &State {
        &self.snapshot.state
    }

    /// Returns the record as it is now, with its serial and the run that was unfinished when the lock was taken.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Returns which record this is.
    pub fn lineage(&self) -> &Lineage {
        &self.record.lineage
    }

    /// Notes where the nodes are. The next commit stores it.
    pub fn settle(&mut self, settings: ProviderSettings) {
        self.snapshot.settings = Some(settings.clone());
        self.head.settings = Some(settings);
    }

    /// Returns the rows beneath, for tests.
    #[cfg(test)]
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Reads one secret.
    pub async fn secret(&self, name: &SecretName) -> Result<Option<Sensitive<String>>, StoreError> {
        self.record.secret(name).await
    }

    /// Reads all secrets.
    pub async fn secrets(&self) -> Result<Secrets, StoreError> {
        self.record.secrets().await
    }

    /// Returns the rows that belong to something that is not recorded.
    pub async fn dangling(&self) -> Result<Vec<Dangling>, StoreError> {
        Ok(repair::dangling(self.state(), &self.record.secret_names().await?))
    }

    /// Keeps a copy of the record as it is now, beside it, and returns where; nothing where it is only in memory.
    pub async fn back_up(&self) -> Result<Option<PathBuf>, StoreError> {
        let name = format!("backup-{}", self.snapshot.serial);
        let kept = self.record.backend.keep_copy(&name).await;
        kept.map_err(|error| self.record.failed(error))
    }

    /// Makes the record what a document says, in one commit. By force, also where it is another record's, or an older one.
    /// The writer is of no use afterwards.
    pub async fn push(mut self, transfer: &Transfer, force: bool) -> Result<(), StoreError> {
        let pushed = self.replace(transfer, force).await;
        let unlocked = self.unlock().await;
        pushed.and(unlocked)
    }

    async fn replace(&mut self, transfer: &Transfer, force: bool) -> Result<(), StoreError> {
        let refused = |source| StoreError::Transfer {
            path: self.record.path.clone(),
            source,
        };
        let (head, state) = transfer.open().map_err(refused)?;
        if !force {
            transfer.check(&self.head, self.state()).map_err(refused)?;
        }
        let there = self.record.list(&PREFIXES).await?;
        let commit = Commit {
            writes: transfer.writes(&there, head.format, &state),
            ..Commit::default()
        };
        // The counters go on: no number is given twice.
        self.head.serial = self.head.serial.max(head.serial);
        self.head.lineage = head.lineage;
        self.head.settings = head.settings;
        self.write(&commit).await
    }

    /// Moves what is recorded to other addresses, with its secrets, in one commit.
    pub async fn relocate(&mut self, moves: &[Move]) -> Result<(), StoreError> {
        let mut state = self.state().clone();
        for moved in moves {
            state.relocate(moved);
        }
        let mut touched = self.state().addresses();
        touched.extend(state.addresses());
        let mut commit = Commit {
            writes: object_rows(&state, &touched),
            ..Commit::default()
        };
        // What is back at the address that it was made at needs no note of that any more.
        let noted = self.state().made_as.keys();
        let back = noted.filter(|instance| !state.made_as.contains_key(*instance));
        commit.writes.extend(back.map(made_as_key).map(Write::delete));
        for (name, value) in &self.secrets().await? {
            let renamed = relocation::renamed(name, moves);
            if renamed != *name {
                commit.writes.push(Write::delete(secret::secret_key(name)));
                commit.writes.push(self.record.key().await?.seal_row(&renamed, value));
            }
        }
        self.write(&commit).await?;
        self.snapshot.state = state;
        Ok(())
    }

    /// Removes rows that belong to something that is not recorded.
    pub async fn remove(&mut self, dangling: &[Dangling]) -> Result<(), StoreError> {
        let commit = Commit {
            writes: dangling.iter().map(Dangling::removal).collect(),
            ..Commit::default()
        };
        self.write(&commit).await?;
        self.snapshot = self.record.load().await?.snapshot;
        Ok(())
    }

    /// Stores secrets before anything uses them.
    pub async fn keep(&mut self, secrets: &Secrets) -> Result<(), StoreError> {
        let mut commit = Commit::default();
        for (name, value) in secrets {
            commit.writes.push(self.record.key().await?.seal_row(name, value));
        }
        self.write(&commit).await
    }

    /// Commits entries, all or none, under the lock's fencing token.
    pub async fn commit(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let commit = self.commit_of(entries).await?;
        let ends = self.run.as_ref().map(|run| run.check(&commit.moves)).transpose()?;
        self.write(&commit).await?;
        if let (Some(run), Some(ends)) = (&mut self.run, ends) {
            run.make(ends);
        }
        for entry in entries {
            match entry {
                Entry::Done { delta, outputs, .. } => self.snapshot.state.apply(delta, outputs),
                Entry::Outputs(values) => {
                    let values = values.iter().map(|(name, (value, _))| (name.clone(), value.clone()));
                    self.snapshot.state.outputs = values.collect();
                }
                Entry::Started { delta, .. } => self.snapshot.state.begin(delta),
                Entry::Found(delta) => self.snapshot.state.apply(delta, &Outputs::default()),
                Entry::Failed { .. } | Entry::Noticed(_) => {}
            }
        }
        Ok(())
    }

    /// Takes over what others have recorded since.
    pub async fn follow(&mut self) -> Result<(), StoreError> {
        if self.record.serial().await? != self.head.serial {
            self.reload().await?;
        }
        Ok(())
    }

    async fn reload(&mut self) -> Result<(), StoreError> {
        let loaded = self.record.load().await?;
        let (unfinished, settings) = (self.snapshot.unfinished.take(), self.head.settings.take());
        (self.head, self.version, self.snapshot) = (loaded.head, loaded.version, loaded.snapshot);
        self.snapshot.unfinished = unfinished;
        // What this writer notes where the nodes are is stored with its next commit.
        self.head.settings.clone_from(&settings);
        self.snapshot.settings = settings;
        Ok(())
    }

    /// Writes a commit with its events and the head.
    async fn write(&mut self, commit: &Commit) -> Result<(), StoreError> {
        while !self.attempt(commit, self.head.clone()).await? {}
        Ok(())
    }

    /// Writes a commit with its events and a head, and learns the new head. Returns false, and takes over what others have recorded,
    /// where those who hold other parts of the lock were faster: nothing was written then.
    async fn attempt(&mut self, commit: &Commit, mut head: Head) -> Result<bool, StoreError> {
        head.serial += 1;
        let mut writes = commit.writes.clone();
        for event in &commit.events {
            head.events += 1;
            writes.push(Write::put(event_key(head.events), encode(event)));
        }
        writes.push(Write {
            key: Head::key(),
            expect: Expect::Version(self.version),
            bytes: Some(encode(&head)),
        });
        match self.record.backend.commit(self.token, writes).await {
            Ok(version) => {
                self.version = version;
                self.snapshot.serial = head.serial;
                self.head = head;
                Ok(true)
            }
            Err(BackendError::Conflict(key)) if key == Head::key() => {
                self.reload().await?;
                Ok(false)
            }
            Err(BackendError::Lost) => Err(self.lost().await),
            Err(error) => Err(self.record.failed(error)),
        }
    }

    /// Turns entries into rows.
    async fn commit_of(&self, entries: &[Entry]) -> Result<Commit, StoreError> {
        let mut commit = Commit::default();
        let touched = touched(entries);
        // The steps are tried on a copy of what they touch: the record itself follows when they are committed.
        let mut part = excerpt(self.state(), &touched);
        for entry in entries {
            match entry {
                Entry::Started { step, delta, secrets } => {
                    part.begin(delta);
                    self.add_step(&mut commit, *step, &StepRow::Started, Vec::new())?;
                    for (name, value) in secrets {
                        commit.writes.push(self.record.key().await?.seal_row(name, value));
                    }
                }
                Entry::Done {
                    step,
                    delta,
                    outputs,
                    took,
                } => {
                    let happened = cluster_events(&part, delta, outputs);
                    part.apply(delta, outputs);
                    let addresses: BTreeSet<Address> = delta.0.iter().map(Edit::address).collect();
                    let row = StepRow::Done {
                        outputs: outputs.clone(),
                        took: Some(took.clone()),
                    };
                    self.add_step(&mut commit, *step, &row, addresses.into_iter().collect())?;
                    let run = self.run.as_ref().map(|run| &run.id);
                    commit.events.extend(told(run, Some(*step), &happened));
                    commit.writes.extend(self.drop_secrets(&delta.0).await?);
                }
                Entry::Failed { step, cause } => {
                    let row = StepRow::Failed { cause: cause.clone() };
                    self.add_step(&mut commit, *step, &row, Vec::new())?;
                }
                Entry::Found(delta) => part.apply(delta, &Outputs::default()),
                Entry::Noticed(happened) => commit.events.extend(told(None, None, happened)),
                Entry::Outputs(values) => self.add_outputs(&mut commit, values).await?,
            }
        }
        commit.writes.extend(object_rows(&part, &touched));
        Ok(commit)
    }

    fn add_step(
        &self,
        commit: &mut Commit,
        step: u32,
        row: &StepRow,
        addresses: Vec<Address>,
    ) -> Result<(), JournalError> {
        let run = &self.run.as_ref().ok_or(JournalError::NoRun)?.id;
        let (kind, progress) = match row {
            StepRow::Started => (EventKind::StepStarted, Progress::Started),
            StepRow::Done { .. } => (EventKind::StepDone, Progress::Done),
            StepRow::Failed { .. } => (EventKind::StepFailed, Progress::Failed),
        };
        commit.writes.push(Write::put(step_key(run, step), encode(row)));
        commit.moves.push((step, progress));
        commit.events.push(Event {
            addresses,
            ..event(Some(run), kind, Some(step))
        });
        Ok(())
    }

    async fn add_outputs(
        &self,
        commit: &mut Commit,
        values: &BTreeMap<String, (Output, Option<Sensitive<String>>)>,
    ) -> Result<(), StoreError> {
        let key = |name: &str| Key::new(format!("output/{name}"));
        for (name, old) in &self.state().outputs {
            let new = values.get(name).map(|(value, _)| value);
            if new.is_none() {
                commit.writes.push(Write::delete(key(name)));
            }
            if *old == Output::Sensitive && new != Some(&Output::Sensitive) {
                commit
                    .writes
                    .push(Write::delete(secret::secret_key(&SecretName::output(name))));
            }
        }
        for (name, (value, text)) in values {
            commit.writes.push(Write::put(key(name), encode(value)));
            if let Some(text) = text {
                let sealed = self.record.key().await?.seal_row(&SecretName::output(name), text);
                commit.writes.push(sealed);
            }
        }
        Ok(())
    }
}

/// Returns every address that the entries change.
fn touched(entries: &[Entry]) -> BTreeSet<Address> {
    let mut touched = BTreeSet::new();
    for entry in entries {
        match entry {
            Entry::Started { delta, .. } => touched.extend(delta.beginning().map(Edit::address)),
            Entry::Done { delta, .. } | Entry::Found(delta) => touched.extend(delta.0.iter().map(Edit::address)),
            Entry::Failed { .. } | Entry::Noticed(_) | Entry::Outputs(_) => {}
        }
    }
    touched
}

fn event(run: Option<&RunId>, kind: EventKind, step: Option<u32>) -> Event {
    Event {
        at: now(),
        run: run.cloned(),
        kind,
        step,
        addresses: Vec::new(),
        position: None,
        term: None,
    }
}

/// Returns cluster events as they are kept.
fn told(run: Option<&RunId>, step: Option<u32>, happened: &[ClusterEvent]) -> impl Iterator<Item = Event> {
    happened.iter().map(move |noticed| Event {
        addresses: vec![noticed.subject.clone()],
        position: noticed.position.clone(),
        term: noticed.term,
        ..event(run, noticed.kind, step)
    })
}
