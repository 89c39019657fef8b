//! What a record holds at one moment, and what a commit makes of it: values only.
//!
//! ```text
//!   head ──► layers, the oldest first ──► chunks        rows of before; each layer is less than half as large as the one below it
//!     └────► segments                                   the latest rows; they become a layer when they are many
//! ```
//!
//! A row is in the newest place that has its key. Layers that are about as large are put together when a new one is made, so that
//! there are few, and a row is written again only as often as the record doubles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use simdb_state::backend::{BackendError, Expect, Key, Row, Token, Version, Write};
use simdb_state::leases::Leases;

use super::names::hex;
use super::rows::{Entry, Rows, append, packed};

/// The number of the format of heads and chunks.
pub(super) const FORMAT: u32 = 2;

/// The format of heads under which one process at a time held the lock.
const ONE_HOLDER: u32 = 1;

/// How many bytes of rows the head holds. Each commit writes all of them, and etcd keeps every version for five minutes: at a hundred
/// commits a second this is half a gigabyte of the two that etcd has.
const IN_HEAD: usize = 32 << 10;

/// How many bytes a chunk has. A Secret holds 1 MiB, and a request takes a third more for base64.
pub(super) const CHUNK: usize = 700 << 10;

/// How many commits the head remembers by their marks.
const MARKS: usize = 32;

/// The head, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    format: u32,
    /// How many commits there were; it only grows.
    commits: u64,
    /// The token of the last holder of the lock.
    token: u64,
    /// The tokens of those who hold the lock. They alone commit.
    holders: BTreeSet<u64>,
    /// The last commits, the newest last.
    marks: Vec<Mark>,
    /// The oldest first.
    layers: Vec<Layer>,
}

/// What tells a commit from all others, so that one whose answer was lost is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    pub(super) version: u64,
    pub(super) id: String,
}

/// Rows in chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layer {
    pub(super) chunks: Vec<Chunk>,
}

/// A part of a layer's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chunk {
    pub(super) name: String,
    pub(super) sha256: String,
    pub(super) bytes: usize,
}

impl Layer {
    fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

impl Head {
    /// Reads a head.
    pub(super) fn read(text: &[u8]) -> Result<Self, BackendError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let corrupt = |error: serde_json::Error| damaged(&format!("its head cannot be read: {error}"));
        let Format { format } = serde_json::from_slice(text).map_err(corrupt)?;
        if format > FORMAT {
            return Err(BackendError::Newer {
                found: format,
                known: FORMAT,
            });
        }
        if format == ONE_HOLDER {
            return serde_json::from_slice(text).map(FirstHead::into).map_err(corrupt);
        }
        serde_json::from_slice(text).map_err(corrupt)
    }

    /// Returns it as it is stored.
    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a head is numbers and texts")
    }

    /// Returns whether it came of the commit with this mark.
    pub(super) fn has(&self, mark: &Mark) -> bool {
        self.marks.contains(mark)
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Returns all chunks that it needs.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.layers.iter().flat_map(|layer| &layer.chunks)
    }

    pub(super) fn token(&self) -> Token {
        Token(self.token)
    }

    pub(super) fn is_held_by(&self, token: Token) -> bool {
        self.holders.contains(&token.0)
    }

    /// Returns the head under the holders of the lock, which is always one of the present format.
    pub(super) fn held_by(&self, leases: &Leases) -> Self {
        Self {
            format: FORMAT,
            token: self.token.max(leases.last.0),
            holders: leases.held.iter().map(|lease| lease.token.0).collect(),
            ..self.clone()
        }
    }
}

/// A head of the first format, as it is stored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstHead {
    format: u32,
    commits: u64,
    token: u64,
    held: bool,
    marks: Vec<Mark>,
    layers: Vec<Layer>,
}

impl From<FirstHead> for Head {
    fn from(first: FirstHead) -> Self {
        let FirstHead {
            format,
            commits,
            token,
            held,
            marks,
            layers,
        } = first;
        Self {
            format,
            commits,
            token,
            holders: held.then_some(token).into_iter().collect(),
            marks,
            layers,
        }
    }
}

/// A record at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) head: Head,
    /// The rows of each layer of the head.
    pub(super) layers: Vec<Arc<Rows>>,
    /// The latest rows, as the head holds them.
    pub(super) segments: Vec<u8>,
    /// The same, by key.
    pub(super) recent: Rows,
}

/// What a commit makes of a record.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) contents: Contents,
    /// The chunks to be written first.
    pub(super) chunks: Vec<(String, Vec<u8>)>,
    /// The chunks that the head needs no longer.
    pub(super) superseded: Vec<String>,
}

impl Contents {
    /// Returns a record without rows.
    pub(super) fn empty() -> Self {
        Self {
            head: Head {
                format: FORMAT,
                ..Head::default()
            },
            ..Self::default()
        }
    }

    /// Returns a row.
    pub(super) fn get(&self, key: &Key) -> Option<Row> {
        let layers = self.layers.iter().rev().map(|layer| &**layer);
        let entry = [&self.recent].into_iter().chain(layers).find_map(|rows| rows.get(key));
        row(key, entry?)
    }

    /// Returns the rows whose keys start with one of the prefixes, by key.
    pub(super) fn list(&self, prefixes: &[&str]) -> Vec<Row> {
        let mut found: BTreeMap<&Key, &Entry> = BTreeMap::new();
        for rows in self.layers.iter().map(|layer| &**layer).chain([&self.recent]) {
            for prefix in prefixes {
                let from = rows.range(Key::new(*prefix)..);
                found.extend(from.take_while(|(key, _)| key.as_str().starts_with(prefix)));
            }
        }
        found.into_iter().filter_map(|(key, entry)| row(key, entry)).collect()
    }

    /// Fails where a row is not what a write expects.
    pub(super) fn check(&self, writes: &[Write]) -> Result<(), BackendError> {
        for write in writes {
            let expected = match write.expect {
                Expect::Any => continue,
                Expect::Absent => None,
                Expect::Version(version) => Some(version),
            };
            if self.get(&write.key).map(|row| row.version) != expected {
                return Err(BackendError::Conflict(write.key.clone()));
            }
        }
        Ok(())
    }

    /// Returns the version of the commit with this mark, if it is among the last ones.
    pub(super) fn version_of(&self, id: &str) -> Option<Version> {
        let mark = self.head.marks.iter().rev().find(|mark| mark.id == id)?;
        Some(Version(mark.version))
    }

    /// Returns whether a commit that would have had this version would still be among the last ones.
    pub(super) fn remembers(&self, version: u64) -> bool {
        let oldest = self.head.marks.first().map_or(0, |mark| mark.version);
        self.head.marks.len() < MARKS || oldest <= version
    }

    /// Returns the version that the next commit has.
    pub(super) fn next_version(&self) -> u64 {
        self.head.commits + 1
    }

    /// Returns what a commit makes of the record. New chunks are called as `name` says.
    pub(super) fn draft(&self, mark: Mark, writes: &[Write], name: impl FnMut() -> String) -> Draft {
        let version = Version(mark.version);
        let written = writes.iter().map(|write| {
            let bytes = write.bytes.as_deref().map(Into::into);
            (write.key.clone(), Entry { version, bytes })
        });
        let written: Rows = written.collect();
        let mut contents = self.clone();
        contents.head.format = FORMAT;
        contents.head.commits = mark.version;
        contents.head.marks.push(mark);
        let forgotten = contents.head.marks.len().saturating_sub(MARKS);
        contents.head.marks.drain(..forgotten);
        append(&mut contents.segments, &written);
        contents.recent.extend(written);
        if contents.segments.len() > IN_HEAD {
            contents.settle(name)
        } else {
            Draft {
                contents,
                chunks: Vec::new(),
                superseded: Vec::new(),
            }
        }
    }

    /// Makes a layer of the latest rows, and of the layers above those that are much larger.
    fn settle(mut self, mut name: impl FnMut() -> String) -> Draft {
        let mut size = self.segments.len();
        let mut rows = std::mem::take(&mut self.recent);
        self.segments.clear();
        let mut superseded = Vec::new();
        while let (Some(layer), Some(below)) = (self.head.layers.pop(), self.layers.pop()) {
            if layer.bytes() > 2 * size {
                self.head.layers.push(layer);
                self.layers.push(below);
                break;
            }
            size += layer.bytes();
            superseded.extend(layer.chunks.into_iter().map(|chunk| chunk.name));
            let mut merged = Arc::unwrap_or_clone(below);
            merged.extend(rows);
            rows = merged;
        }
        if self.layers.is_empty() {
            // No older row is hidden by these notes any more.
            rows.retain(|_, entry| entry.bytes.is_some());
        }
        let mut chunks = Vec::new();
        if !rows.is_empty() {
            let packed = packed(&rows);
            chunks = packed.chunks(CHUNK).map(|part| (name(), part.to_vec())).collect();
            self.head.layers.push(layer(&chunks));
            self.layers.push(Arc::new(rows));
        }
        Draft {
            contents: self,
            chunks,
            superseded,
        }
    }
}

fn layer(chunks: &[(String, Vec<u8>)]) -> Layer {
    let chunks = chunks.iter().map(|(name, bytes)| Chunk {
        name: name.clone(),
        sha256: digest(bytes),
        bytes: bytes.len(),
    });
    Layer {
        chunks: chunks.collect(),
    }
}

/// Says that what was read cannot be what was written.
pub(super) fn damaged(problem: &str) -> BackendError {
    BackendError::Unusable {
        problem: format!("it is damaged: {problem}"),
        hint: "Nothing was changed. Restore its Secrets from a backup of the cluster, or push what simdb state pull wrote before.".to_owned(),
    }
}

/// Returns what tells the bytes of a chunk from others.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn row(key: &Key, entry: &Entry) -> Option<Row> {
    Some(Row {
        key: key.clone(),
        version: entry.version,
        bytes: entry.bytes.as_deref()?.to_vec().into(),
    })
}

#[cfg(test)]
mod tests;
