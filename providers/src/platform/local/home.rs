//! The home of a node: one directory that everything of the node lives under, and how we know that it is ours.
//!
//! ```text
//!   <root>/<cluster>/<node>/home.json      (or <endpoint>.pooler/) whose home it is; written before anything else, removed after everything else
//!                           server.json    the server that was last started
//!                           files.json     what the instance's files held when they were written
//!                           token.json     the fencing token of whoever last changed the home
//!                           task.json      who runs the task that was last started
//!                           task.lock      held by whoever changes the home, and by the commands of a task
//!                           log, task.log  what servers and tasks wrote
//!                           …              files and directories of the engine
//! ```
//!
//! A directory without the marker, or with another project's, is never touched. An empty one is nobody's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use postgres_protocol::password::scram_sha_256;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use simdb_planner::observed::FileFacts;
use simdb_state::address::{EndpointAddress, HomeAddress, NodeAddress};
use simdb_state::backend::Token;
use simdb_state::digest::sha256;
use simdb_state::instance::{FilePart, FileText};
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};

use super::files::{self, At};
use super::user::RunAs;
use crate::platform::PlatformError;

/// The format of every file that simdb keeps in a home for itself.
pub(super) const FORMAT: u32 = 1;

const MARKER: &str = "home.json";

const FILES: &str = "files.json";

const TOKEN: &str = "token.json";

/// Under which lock of the state the home was last changed. Later locks have greater tokens.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    format: u32,
    token: Token,
}

/// The files that were last written for an instance.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Files {
    format: u32,
    files: BTreeMap<String, Written>,
}

/// What a file was written from, and what it held then.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    text: String,
    bytes: String,
}

/// Says whose home a directory is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    format: u32,
    lineage: String,
    address: HomeAddress,
}

/// Whether a home is there. One that is somebody else's is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    Ours,
}

/// The home of one node.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) node: HomeAddress,
    pub(super) path: PathBuf,
    pub(super) user: RunAs,
    lineage: String,
}

/// Returns where a home is. No node has a dot in its name, so no pooler takes the place of one.
fn path(root: &Path, home: &HomeAddress) -> PathBuf {
    match home {
        HomeAddress::Node(NodeAddress { cluster, node }) => root.join(cluster.as_str()).join(node.host()),
        HomeAddress::Pooler(EndpointAddress { cluster, endpoint }) => {
            root.join(cluster.as_str()).join(format!("{endpoint}.pooler"))
        }
    }
}

impl Home {
    /// Names the home of a node; it may not be there.
    pub(super) fn new(root: &Path, lineage: &str, user: RunAs, node: &HomeAddress) -> Self {
        Self {
            node: node.clone(),
            path: path(root, node),
            user,
            lineage: lineage.to_owned(),
        }
    }

    fn root(&self) -> &Path {
        let root = self.path.ancestors().nth(2);
        root.expect("a home is two directories below the root")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(super) fn task_log(&self) -> PathBuf {
        self.path.join("task.log")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.path.join("task.lock")
    }

    /// Looks whether the home is there and ours.
    pub(super) fn look(&self) -> Result<Presence, PlatformError> {
        let marker = self.path.join(MARKER);
        let Some(text) = files::optional(fs::read(&marker)).at("read file", &marker)? else {
            return self.look_without_marker();
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

    fn look_without_marker(&self) -> Result<Presence, PlatformError> {
        let ours = files::temporary(Path::new(MARKER));
        let is_ours = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| entry.file_name() == ours.as_os_str());
        match files::optional(fs::read_dir(&self.path)) {
            Ok(None) => Ok(Presence::Absent),
            Ok(Some(mut entries)) => {
                // A crash between making the directory and marking it leaves it like this.
                let unmarked = entries.all(is_ours);
                let reason = || format!("it has files in it and no {MARKER}");
                if unmarked {
                    Ok(Presence::Absent)
                } else {
                    Err(self.foreign(reason()))
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(self.foreign("it is not a directory".to_owned()))
            }
            Err(error) => Err(error).at("read directory", &self.path),
        }
    }

    fn foreign(&self, reason: String) -> PlatformError {
        PlatformError::ForeignHome {
            node: self.node.clone(),
            path: self.path.clone(),
            reason,
        }
    }

    /// Makes the home and marks it, unless that was done before.
    pub(super) fn claim(&self) -> Result<(), PlatformError> {
        if self.look()? == Presence::Ours {
            return Ok(());
        }
        let root = self.root();
        let cluster = self
            .path
            .parent()
            .expect("a home is below the directory of its cluster");
        files::ensure_parents(root).at("make the directories above", root)?;
        for directory in [root, cluster, &self.path] {
            files::ensure_directory(directory, 0o700, Some(&self.user)).at("make directory", directory)?;
        }
        self.user.own(&self.path).at("change the owner of", &self.path)?;
        let marker = Marker {
            format: FORMAT,
            lineage: self.lineage.clone(),
            address: self.node.clone(),
        };
        self.write_record(MARKER, &marker)
    }

    /// Removes the home, its marker last, so that a crash leaves a home that is still known as ours.
    pub(super) fn remove(&self) -> Result<(), PlatformError> {
        for entry in fs::read_dir(&self.path).at("read directory", &self.path)? {
            let entry = entry.at("read directory", &self.path)?;
            if entry.file_name() != MARKER {
                remove_whatever(&entry.path())?;
            }
        }
        remove_whatever(&self.path.join(MARKER))?;
        files::optional(fs::remove_dir(&self.path)).at("remove directory", &self.path)?;
        Ok(())
    }

    /// Removes the directories above the home that are empty, up to the root.
    pub(super) fn remove_empty_parents(&self) {
        for directory in self.path.ancestors().take(3) {
            // One that is not empty belongs to others, and stays.
            let _ = fs::remove_dir(directory);
        }
    }

    /// Takes note of the token of whoever is about to change the home, who holds its lock; one that is lower than the one
    /// before is refused.
    pub(super) fn admit(&self, token: Token) -> Result<(), PlatformError> {
        match self.read_record::<Noted>(TOKEN) {
            Some(noted) if noted.token == token => Ok(()),
            Some(noted) if noted.token > token => Err(PlatformError::OlderState {
                node: self.node.clone(),
                noted: noted.token.0,
                held: token.0,
                notes: self.root().join("*/*").join(TOKEN).display().to_string(),
            }),
            _ => self.write_record(TOKEN, &Noted { format: FORMAT, token }),
        }
    }

    /// Returns the directories in the home.
    pub(super) fn directories(&self) -> Result<BTreeSet<String>, PlatformError> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&self.path).at("read directory", &self.path)? {
            let entry = entry.at("read directory", &self.path)?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(found)
    }

    /// Writes one of simdb's own files.
    pub(super) fn write_record(&self, name: &str, record: &impl Serialize) -> Result<(), PlatformError> {
        let path = self.path.join(name);
        let text = serde_json::to_vec(record).expect("records have text keys and no failing parts");
        files::replace(&path, &text, 0o600, Some(&self.user)).at("write file", &path)
    }

    /// Reads one of simdb's own files; one that is not there, or is damaged, tells nothing.
    pub(super) fn read_record<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.path.join(name)).ok()?).ok()
    }

    /// Writes the files of an instance, and notes what they hold. What was written before and is no longer among them
    /// goes: a file's presence alone may tell a server what it is.
    pub(super) fn write_files(
        &self,
        files: &BTreeMap<String, FileText>,
        secrets: &Secrets,
    ) -> Result<(), PlatformError> {
        let mut record = Files {
            format: FORMAT,
            files: BTreeMap::new(),
        };
        for (name, text) in files {
            let bytes = self.write_file(name, text, secrets)?;
            record.files.insert(
                name.clone(),
                Written {
                    text: text.digest(),
                    bytes,
                },
            );
        }
        self.remove_all_but(files)?;
        self.write_record(FILES, &record)
    }

    /// Removes the files that were written for an instance and are no longer among its files.
    fn remove_all_but(&self, files: &BTreeMap<String, FileText>) -> Result<(), PlatformError> {
        let before = self.read_record::<Files>(FILES).unwrap_or_default().files;
        // The note can be written by the servers' user, and must not lead out of the home.
        let inside = |name: &str| {
            Path::new(name)
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        };
        let mut stale = before.keys().filter(|name| !files.contains_key(*name) && inside(name));
        stale.try_for_each(|name| remove_whatever(&self.path.join(name)))
    }

    /// Returns the files last written for an instance, and whether they still hold that.
    pub(super) fn files(&self) -> BTreeMap<String, FileFacts> {
        let record = self.read_record::<Files>(FILES).unwrap_or_default();
        let facts = |(name, written): (String, Written)| {
            let holds = fs::read(self.path.join(&name)).is_ok_and(|bytes| sha256(&bytes) == written.bytes);
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

    /// Writes a file of an instance or task, unless it is already as it should be, and returns the digest of its bytes.
    pub(super) fn write_file(&self, name: &str, text: &FileText, secrets: &Secrets) -> Result<String, PlatformError> {
        let path = self.path.join(name);
        let above: Vec<&Path> = path
            .ancestors()
            .skip(1)
            .take_while(|above| *above != self.path)
            .collect();
        for directory in above.into_iter().rev() {
            files::ensure_directory(directory, 0o700, Some(&self.user)).at("make directory", directory)?;
        }
        let text = self.render(name, text, secrets)?;
        files::ensure_private(&path, text.expose().as_bytes(), &self.user).at("write file", &path)?;
        Ok(sha256(text.expose()))
    }

    fn render(&self, file: &str, text: &FileText, secrets: &Secrets) -> Result<Sensitive<String>, PlatformError> {
        let secret = |name: &SecretName| {
            secrets.get(name).ok_or_else(|| PlatformError::SecretMissing {
                node: self.node.clone(),
                file: file.to_owned(),
                secret: name.clone(),
            })
        };
        let mut rendered = String::new();
        for part in &text.0 {
            match part {
                FilePart::Text(text) => rendered.push_str(text),
                FilePart::Home => rendered.push_str(&self.path.to_string_lossy()),
                FilePart::Secret(name) => rendered.push_str(secret(name)?.expose()),
                FilePart::ScramVerifier(name) => rendered.push_str(&scram_sha_256(secret(name)?.expose().as_bytes())),
            }
        }
        Ok(Sensitive::new(rendered))
    }
}

/// Removes a file, or a directory with all that is in it.
pub(super) fn remove_whatever(path: &Path) -> Result<(), PlatformError> {
    let Some(meta) = files::optional(fs::symlink_metadata(path)).at("look at", path)? else {
        return Ok(());
    };
    let removed = if meta.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    files::optional(removed).at("remove", path)?;
    Ok(())
}

/// Returns the nodes whose homes below a root have the given lineage.
pub(super) fn list(root: &Path, lineage: &str) -> Result<BTreeSet<HomeAddress>, PlatformError> {
    let mut found = BTreeSet::new();
    for cluster in subdirectories(root).at("read directory", root)? {
        for home in subdirectories(&cluster).at("read directory", &cluster)? {
            let Ok(text) = fs::read(home.join(MARKER)) else {
                continue;
            };
            match serde_json::from_slice::<Marker>(&text) {
                Ok(marker) if marker.lineage == lineage => found.insert(marker.address),
                _ => false,
            };
        }
    }
    Ok(found)
}

fn subdirectories(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match files::optional(fs::read_dir(directory)) {
        Ok(Some(entries)) => entries,
        Ok(None) => return Ok(Vec::new()),
        // What keeps homes from being made there is a problem of the platform, and told as one.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let directories = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(directories.map(|entry| entry.path()).collect())
}
