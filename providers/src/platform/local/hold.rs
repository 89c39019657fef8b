//! The right to change an instance directory, and what is done with it.
//!
//! A platform that was opened to be looked at has no [`Warrant`], and without one nothing here can be had. A [`Hold`] is
//! an instance directory whose lock was taken. simdb may be halted at any place, and go on long after another process took the record's
//! lock over: so the warrant is asked again right before every change, and the instance directory's lock is kept from before that until
//! after the change. The later holder of the record's lock waits for the instance directory's, and so comes last.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Component, Path};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use simdb_state::backend::Token;
use simdb_state::digest::sha256;
use simdb_state::instance::{FileText, InstanceSpec, Outside};
use simdb_state::sensitive::Secrets;

use super::blocking;
use super::directory::{FILES, FORMAT, Files, InstanceDirectory, LOCK, LOG, Presence, TASK_LOG, TOKEN, Written};
use super::files::{self, At};
use super::folder::{Access, Folder};
use super::orphans::{self, Orphans};
use super::outside::{self, OUTSIDE, Targets};
use super::warrant::{self, Warrant};
use crate::platform::{PlatformError, text};

/// Under which lock of the state the instance directory was last changed. Later locks have greater tokens.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    format: u32,
    token: Token,
}

/// An instance directory that is there, locked by us.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) directory: InstanceDirectory,
    folder: Folder,
    lock: File,
    warrant: Warrant,
}

impl Hold {
    /// Locks an instance directory and leaves the token in it; absent where there is no instance directory. The lock is released when the file is
    /// closed here and by all commands that inherited it.
    pub(super) async fn take(
        directory: &InstanceDirectory,
        warrant: Warrant,
        orphans: Orphans,
    ) -> Result<Option<Self>, PlatformError> {
        let started = Instant::now();
        loop {
            let Some(hold) = Self::open(directory, warrant.clone())? else {
                return Ok(None);
            };
            while !warrant::try_lock(&hold.lock, &directory.path)? {
                orphans::end(directory, orphans, started.elapsed(), &warrant).await?;
                warrant.wait_for(&hold.lock, started).await?;
            }
            warrant.check().await?;
            // The instance directory that was waited for may be gone, and another one in its place.
            if directory
                .open()?
                .is_some_and(|now| now.is(&hold.folder).unwrap_or(false))
            {
                return blocking(move || hold.admit().map(|()| Some(hold))).await;
            }
        }
    }

    fn open(directory: &InstanceDirectory, warrant: Warrant) -> Result<Option<Self>, PlatformError> {
        if directory.look()? == Presence::Absent {
            return Ok(None);
        }
        let Some(folder) = directory.open()? else {
            return Ok(None);
        };
        let lock = folder.append(LOCK).at("open lock", &directory.path.join(LOCK))?;
        let directory = directory.clone();
        Ok(Some(Self {
            directory,
            folder,
            lock,
            warrant,
        }))
    }

    /// Leaves the token in the instance directory that is about to be changed; one that is lower than the one before is refused.
    fn admit(&self) -> Result<(), PlatformError> {
        let token = self.warrant.token();
        match self.directory.read_record::<Noted>(TOKEN) {
            Some(noted) if noted.token == token => Ok(()),
            Some(noted) if noted.token > token => Err(PlatformError::OlderState {
                node: self.directory.node.clone(),
                noted: noted.token.0,
                held: token.0,
                notes: self.directory.root().join("*/*").join(TOKEN).display().to_string(),
            }),
            _ => self.note(TOKEN, &Noted { format: FORMAT, token }),
        }
    }

    /// Returns the right that the instance directory is held with.
    pub(super) fn warrant(&self) -> &Warrant {
        &self.warrant
    }

    /// Opens the lock once more, for a command that keeps it as long as it lives.
    pub(super) fn hand_on(&self) -> Result<File, PlatformError> {
        self.lock
            .try_clone()
            .at("hand on lock", &self.directory.path.join(LOCK))
    }

    /// Writes one of simdb's own files: what was done is noted, also when the record's lock was lost since.
    pub(super) fn note(&self, name: &str, record: &impl Serialize) -> Result<(), PlatformError> {
        let text = serde_json::to_vec(record).expect("records have text keys and no failing parts");
        let written = self.folder.replace(name, &text, Access::Servers);
        written.at("write file", &self.directory.path.join(name))
    }

    /// Opens the server's log.
    pub(super) fn log(&self) -> Result<File, PlatformError> {
        self.folder.append(LOG).at("open log", &self.directory.path.join(LOG))
    }

    /// Opens the log of tasks.
    pub(super) fn task_log(&self) -> Result<File, PlatformError> {
        self.folder
            .append(TASK_LOG)
            .at("open log", &self.directory.path.join(TASK_LOG))
    }

    /// Looks what kind of thing is below the instance directory, if any.
    pub(super) fn kind(&self, name: &str) -> Result<Option<std::fs::FileType>, PlatformError> {
        let found = self.below(name, "look at", Folder::look)?.flatten();
        Ok(found.map(|meta| meta.file_type()))
    }

    /// Returns whether there is a directory of that name below the instance directory.
    pub(super) fn has_directory(&self, name: &str) -> Result<bool, PlatformError> {
        let enter = |above: &Folder, last: &str| self.directory.enter(above, last);
        let entered = self.below(name, "enter directory", enter)?;
        Ok(entered.is_some())
    }

    /// Reads a file below the instance directory, if it is there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, PlatformError> {
        self.below(name, "read file", Folder::read)
    }

    /// Removes what is below the instance directory, with all that is in it.
    pub(super) fn remove(&self, name: &str) -> Result<(), PlatformError> {
        self.warrant.check_here()?;
        self.below(name, "remove", Folder::remove).map(drop)
    }

    /// Removes a file that a task wrote for itself: it held a secret, and goes also when the record's lock was lost.
    pub(super) fn forget(&self, name: &str) -> Result<(), PlatformError> {
        self.below(name, "remove", Folder::remove).map(drop)
    }

    fn below<T>(
        &self,
        name: &str,
        doing: &'static str,
        work: impl FnOnce(&Folder, &str) -> io::Result<T>,
    ) -> Result<Option<T>, PlatformError> {
        let walked = self.directory.walk(&self.folder, name);
        let worked = walked.and_then(|(above, last)| work(&above, last));
        files::optional(worked).at(doing, &self.directory.path.join(name))
    }

    /// Renames a directory of the instance directory.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), PlatformError> {
        self.warrant.check_here()?;
        let renamed = self.folder.rename(from, to).and_then(|()| self.folder.sync());
        renamed.at("rename directory", &self.directory.path.join(from))
    }

    /// Makes what was written to a directory of the instance directory survive a power cut.
    pub(super) fn sync(&self, name: &str) -> Result<(), PlatformError> {
        let entered = self.directory.enter(&self.folder, name);
        let synced = entered.and_then(|folder| folder.sync());
        synced.at("sync directory", &self.directory.path.join(name))
    }

    /// Lets a name of the instance directory stand for data that is elsewhere. What may be linked is noted first.
    pub(super) fn link(&self, outside: &Outside, name: &str) -> Result<(), PlatformError> {
        self.warrant.check_here()?;
        let target = Path::new(&outside.directory);
        outside::open(target, &self.directory.user).at("enter directory", target)?;
        let noted = self.directory.read_record(OUTSIDE);
        self.note(OUTSIDE, &Targets::with(noted, outside))?;
        let linked = self.folder.link(target, name);
        linked.at("make a link", &self.directory.path.join(name))
    }

    /// Removes the instance directory. From one moment to the next it is gone for all who look, and what a crash leaves is removed by the
    /// next removal, or when the instance directory is made again.
    pub(super) fn drop_directory(&self) -> Result<(), PlatformError> {
        let Self { directory, warrant, .. } = self;
        directory.finish_removal(warrant)?;
        let Some(cluster) = directory.cluster()? else {
            return Ok(());
        };
        warrant.check_here()?;
        let renamed = cluster.rename(directory.name(), &directory.tombstone());
        files::optional(renamed).at("remove directory", &directory.path)?;
        directory.finish_removal(warrant)
    }

    /// Writes the files of an instance, and notes what they hold. What was written before and is no longer among them
    /// goes: a file's presence alone may tell a server what it is.
    pub(super) fn write_files(&self, spec: &InstanceSpec, secrets: &Secrets) -> Result<(), PlatformError> {
        let mut record = Files {
            format: FORMAT,
            files: BTreeMap::new(),
        };
        for (name, text) in spec.written() {
            let bytes = self.write_file(name, &text, secrets)?;
            let text = text.digest();
            record.files.insert(name.clone(), Written { text, bytes });
        }
        self.remove_all_but(&record.files)?;
        self.note(FILES, &record)
    }

    /// Removes the files that were written for an instance and are no longer among its files.
    fn remove_all_but(&self, files: &BTreeMap<String, Written>) -> Result<(), PlatformError> {
        let before = self.directory.read_record::<Files>(FILES).unwrap_or_default().files;
        // The note can be written by the servers' user, and must not lead out of the instance directory.
        let inside = |name: &str| {
            Path::new(name)
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        };
        let mut stale = before.keys().filter(|name| !files.contains_key(*name) && inside(name));
        stale.try_for_each(|name| self.remove(name))
    }

    /// Writes a file of an instance or task, unless it is already as it should be, and returns the digest of its bytes.
    pub(super) fn write_file(&self, name: &str, text: &FileText, secrets: &Secrets) -> Result<String, PlatformError> {
        let path = self.directory.path.to_string_lossy();
        let rendered = text::render(&self.directory.node, &path, (name, text), secrets)?;
        self.warrant.check_here()?;
        let mut names: Vec<&str> = name.split('/').collect();
        let last = names.pop().unwrap_or_default();
        let links = self.directory.links();
        let outside = names.first().is_some_and(|first| links.contains_key(*first));
        let directory = if outside {
            self.directory.enter(&self.folder, names.remove(0))
        } else {
            self.folder.enter(".")
        };
        let above = names
            .into_iter()
            .fold(directory, |above, name| above?.ensure(name, Access::Servers));
        let written = above.and_then(|above| above.ensure_private(last, rendered.expose().as_bytes()));
        written.at("write file", &self.directory.path.join(name))?;
        Ok(sha256(rendered.expose()))
    }
}
