//! The instance directory of a node: one directory that everything of the node lives under, and how we know that it is ours.
//!
//! ```text
//!   <root>/<cluster>/<node>/home.json      (or <endpoint>.pooler/) whose instance directory it is; written before anything else, removed after everything else
//!                           server.json    the server that was last started
//!                           files.json     what the instance's files held when they were written
//!                           token.json     the fencing token of whoever last changed the instance directory
//!                           task.json      who runs the task that was last started
//!                           outside.json   the directories that links to data elsewhere may lead to
//!                           task.lock      held by whoever changes the instance directory, and by the commands of a task
//!                           log, task.log  what servers and tasks wrote
//!                           …              files and directories of the engine
//! ```
//!
//! A directory without the marker, or with another project's, is never touched. An empty one is free to take, and
//! so is one that has nothing in it but simdb's own notes, as an interrupted removal leaves them. An instance directory that is removed is first
//! renamed to `.<node>.removed`, so that it is there as a whole or gone as a whole for all who look.
//!
//! Here instance directories are looked at, and made. What changes one that is there is in [`super::hold`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use simdb_planner::observed::FileFacts;
use simdb_state::address::{EndpointAddress, InstanceAddress, NodeAddress};
use simdb_state::digest::sha256;

use super::files::{self, At};
use super::folder::{self, Access, Folder, Link};
use super::user::RunAs;
use super::warrant::Warrant;
use crate::platform::PlatformError;

/// The format of every file that simdb keeps in an instance directory for itself.
pub(super) const FORMAT: u32 = 1;

pub(super) const MARKER: &str = "home.json";

pub(super) const FILES: &str = "files.json";

pub(super) const TOKEN: &str = "token.json";

pub(super) const LOCK: &str = "task.lock";

pub(super) const TASK: &str = "task.json";

pub(super) const LOG: &str = "log";

pub(super) const TASK_LOG: &str = "task.log";

/// The files that were last written for an instance.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Files {
    pub(super) format: u32,
    pub(super) files: BTreeMap<String, Written>,
}

/// What a file was written from, and what it held then.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) bytes: String,
}

/// Says whose instance directory a directory is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    pub(super) format: u32,
    pub(super) lineage: String,
    pub(super) address: InstanceAddress,
    /// The directory of the configuration that it was made for; absent where an earlier version made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<PathBuf>,
}

/// Whether an instance directory is there. One that is somebody else's is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    /// Nothing but what simdb notes for itself is left of it.
    Remains,
    Ours,
}

/// The instance directory of one node.
#[derive(Clone, Debug)]
pub(super) struct InstanceDirectory {
    pub(super) node: InstanceAddress,
    pub(super) path: PathBuf,
    pub(super) user: RunAs,
    lineage: String,
    project: Option<PathBuf>,
}

/// Returns where an instance directory is. No node has a dot in its name, so no pooler takes the place of one.
fn path(root: &Path, directory: &InstanceAddress) -> PathBuf {
    match directory {
        InstanceAddress::Node(NodeAddress { cluster, node }) => root.join(cluster.as_str()).join(node.host()),
        InstanceAddress::Pooler(EndpointAddress { cluster, endpoint }) => {
            root.join(cluster.as_str()).join(format!("{endpoint}.pooler"))
        }
    }
}

impl InstanceDirectory {
    /// Names the instance directory of a node; it may not be there.
    pub(super) fn new(root: &Path, lineage: &str, user: RunAs, node: &InstanceAddress) -> Self {
        Self {
            node: node.clone(),
            path: path(root, node),
            user,
            lineage: lineage.to_owned(),
            project: None,
        }
    }

    /// Names the directory of the configuration that the instance directory is made for, so that it is noted in it.
    #[must_use]
    pub(super) fn of_project(self, project: &Path) -> Self {
        Self {
            project: Some(project.to_owned()),
            ..self
        }
    }

    pub(super) fn root(&self) -> &Path {
        let root = self.path.ancestors().nth(2);
        root.expect("an instance directory is two directories below the root")
    }

    /// Returns the name of the instance directory in the directory of its cluster.
    pub(super) fn name(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.expect("names of nodes and endpoints are text")
    }

    fn cluster_name(&self) -> &str {
        self.node.cluster().as_str()
    }

    /// Returns the name that the instance directory has while it is being removed.
    pub(super) fn tombstone(&self) -> String {
        format!(".{}.removed", self.name())
    }

    /// Opens the directory that the instance directories of the cluster are in.
    pub(super) fn cluster(&self) -> Result<Option<Folder>, PlatformError> {
        let cluster = Folder::open(self.root(), &self.user).and_then(|root| root.enter(self.cluster_name()));
        self.entered(cluster)
    }

    /// Opens the instance directory, where there is anything in its place.
    pub(super) fn open(&self) -> Result<Option<Folder>, PlatformError> {
        match self.cluster()? {
            Some(cluster) => self.entered(cluster.enter(self.name())),
            None => Ok(None),
        }
    }

    fn entered(&self, entered: io::Result<Folder>) -> Result<Option<Folder>, PlatformError> {
        match files::optional(entered) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(self.foreign("it is not a directory".to_owned()))
            }
            Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Link>()) {
                Some(link) => Err(self.foreign(link.to_string())),
                None => Err(error).at("enter directory", &self.path),
            },
            Ok(entered) => Ok(entered),
        }
    }

    /// Looks whether the instance directory is there and ours.
    pub(super) fn look(&self) -> Result<Presence, PlatformError> {
        let Some(folder) = self.open()? else {
            return Ok(Presence::Absent);
        };
        let marker = files::optional(folder.read(MARKER)).at("read file", &self.path.join(MARKER))?;
        let Some(text) = marker else {
            return self.look_without_marker(&folder);
        };
        let found: Marker = match serde_json::from_slice(&text) {
            Ok(found) => found,
            Err(_) => return Err(self.foreign(format!("its {MARKER} is not one of simdb's"))),
        };
        if found.format > FORMAT {
            return Err(self.foreign(format!(
                "its {MARKER} has format {}, and this simdb knows formats up to {FORMAT}",
                found.format
            )));
        }
        if found.lineage != self.lineage {
            return Err(self.foreign(format!("it belongs to the project with lineage {}", found.lineage)));
        }
        if found.address != self.node {
            return Err(self.foreign(format!("it belongs to {}", found.address)));
        }
        Ok(Presence::Ours)
    }

    fn look_without_marker(&self, folder: &Folder) -> Result<Presence, PlatformError> {
        // One that was removed while it was looked at has nothing in it any more.
        let entries = folder.entries().at("read directory", &self.path)?;
        let names: Vec<_> = entries.iter().map(fs_name).collect();
        let marking = folder::temporary(MARKER);
        // A crash between making the directory and marking it leaves it like this.
        if names.iter().all(|name| **name == marking) {
            return Ok(Presence::Absent);
        }
        if names.iter().all(|name| *name == marking || is_note(folder, name)) {
            return Ok(Presence::Remains);
        }
        match self.open()? {
            Some(now) if now.is(folder).at("look at", &self.path)? => {
                Err(self.foreign(format!("it has files in it and no {MARKER}")))
            }
            // It was removed while it was looked at.
            _ => Ok(Presence::Absent),
        }
    }

    /// Says that the instance directory went away while it was being changed.
    pub(super) fn lost(&self) -> PlatformError {
        PlatformError::Io {
            doing: "change",
            path: self.path.clone(),
            source: io::ErrorKind::NotFound.into(),
        }
    }

    fn foreign(&self, reason: String) -> PlatformError {
        PlatformError::ForeignInstanceDirectory {
            node: self.node.clone(),
            path: self.path.clone(),
            reason,
        }
    }

    /// Makes the instance directory and marks it, unless that was done before.
    pub(super) fn claim(&self, warrant: &Warrant) -> Result<(), PlatformError> {
        if self.look()? == Presence::Ours {
            return Ok(());
        }
        let root = self.root();
        warrant.check_here()?;
        let above = root.parent().unwrap_or(root);
        let above = Folder::make_way(above, &self.user).at("make the directories above", root)?;
        let folder = match Folder::open(root, &self.user) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = root.file_name().unwrap_or_default();
                above.ensure(&name.to_string_lossy(), Access::Servers)
            }
            opened => opened,
        };
        let folder = folder.at("make directory", root)?;
        let cluster = folder.ensure(self.cluster_name(), Access::Servers);
        let cluster = self.entered(cluster)?.ok_or_else(|| self.lost())?;
        // What a removal that was cut off left would only take up room.
        cluster.remove(&self.tombstone()).at("remove", &self.path)?;
        let directory = self.entered(cluster.ensure(self.name(), Access::Servers))?;
        let directory = directory.ok_or_else(|| self.lost())?;
        directory.own().at("change the owner of", &self.path)?;
        let marker = Marker {
            format: FORMAT,
            lineage: self.lineage.clone(),
            address: self.node.clone(),
            project: self.project.clone(),
        };
        let text = serde_json::to_vec(&marker).expect("records have text keys and no failing parts");
        directory
            .replace(MARKER, &text, Access::Servers)
            .at("write file", &self.path.join(MARKER))
    }

    /// Finishes a removal that was cut off.
    pub(super) fn finish_removal(&self, warrant: &Warrant) -> Result<(), PlatformError> {
        let Some(cluster) = self.cluster()? else {
            return Ok(());
        };
        warrant.check_here()?;
        cluster.remove(&self.tombstone()).at("remove", &self.path)
    }

    /// Removes the directories above the instance directory that are empty, up to the root. One that is not empty belongs to others, and
    /// stays; so does one that cannot be entered.
    pub(super) fn remove_empty_parents(&self) {
        if let Ok(Some(cluster)) = self.cluster() {
            let _ = cluster.remove_empty(self.name());
        }
        if let Ok(root) = Folder::open(self.root(), &self.user) {
            let _ = root.remove_empty(self.cluster_name());
        }
        if let (Some(above), Some(name)) = (self.root().parent(), self.root().file_name())
            && let Ok(above) = Folder::open(above, &self.user)
        {
            let _ = above.remove_empty(&name.to_string_lossy());
        }
    }

    /// Returns the directories in the instance directory; none where it is gone.
    pub(super) fn directories(&self) -> Result<BTreeSet<String>, PlatformError> {
        let Some(folder) = self.open()? else {
            return Ok(BTreeSet::new());
        };
        let entries = folder.entries().at("read directory", &self.path)?;
        let directories = entries
            .iter()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        Ok(directories.map(fs_name).chain(self.links().into_keys()).collect())
    }

    /// Reads one of simdb's own files; one that is not there, or is damaged, tells nothing.
    pub(super) fn read_record<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&self.open().ok()??.read(name).ok()?).ok()
    }

    /// Returns the file that those who change the instance directory lock.
    pub(super) fn lock(&self) -> Option<Metadata> {
        let file = self.open().ok()??.file(LOCK).ok()?;
        file.metadata().ok()
    }

    /// Returns the last lines of the server's log, oldest first.
    pub(super) fn log(&self, lines: usize) -> Result<Vec<String>, PlatformError> {
        let Some(folder) = self.open()? else {
            return Ok(Vec::new());
        };
        let log = files::optional(folder.file(LOG)).and_then(|log| match log {
            Some(log) => files::tail(log, lines),
            None => Ok(Vec::new()),
        });
        log.at("read log", &self.path.join(LOG))
    }

    /// Returns the files last written for an instance, and whether they still hold that.
    pub(super) fn files(&self) -> BTreeMap<String, FileFacts> {
        let record = self.read_record::<Files>(FILES).unwrap_or_default();
        let folder = self.open().ok().flatten();
        let read = |name: &str| {
            let (above, last) = self.walk(folder.as_ref()?, name).ok()?;
            above.read(last).ok()
        };
        let facts = |(name, written): (String, Written)| {
            let holds = read(&name).is_some_and(|bytes| sha256(&bytes) == written.bytes);
            (
                name,
                FileFacts {
                    digest: written.text,
                    edited: !holds,
                },
            )
        };
        record.files.into_iter().map(facts).collect()
    }
}

pub(super) fn fs_name(entry: &std::fs::DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

/// Returns whether a file is one that simdb notes something in for itself, and that tells nothing without its instance directory: the
/// lock, which is empty, and what was noted of a task or a token.
fn is_note(folder: &Folder, name: &str) -> bool {
    let unfinished = [TASK, TOKEN].map(folder::temporary);
    let Ok(Some(meta)) = folder.look(name) else {
        return false;
    };
    match name {
        LOCK => meta.is_file() && meta.len() == 0,
        TASK | TOKEN => folder
            .read(name)
            .is_ok_and(|text| serde_json::from_slice::<Note>(&text).is_ok_and(|note| note.is_one())),
        other => meta.is_file() && unfinished.iter().any(|name| name == other),
    }
}

/// What tells a note from other people's files.
#[derive(Debug, Deserialize)]
struct Note {
    format: u32,
    task: Option<String>,
    token: Option<u64>,
}

impl Note {
    fn is_one(&self) -> bool {
        self.format <= FORMAT && (self.task.is_some() || self.token.is_some())
    }
}
