//! A record as one handle sees it: what was read last, and how it is read again and written.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use simdb_state::backend::{BackendError, Token};
use tokio::sync::Semaphore;

use super::contents::{Contents, Head, Layer, damaged, digest};
use super::names::{Names, Part, hex};
use super::objects::{self, is_copy, read_chunk, read_head, token_of};
use super::rows::{Rows, segments, unpacked};
use super::server::{Server, Trouble};

/// How many chunks are read at once.
const AT_ONCE: usize = 8;

/// A head that was read, with what it says.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) contents: Contents,
    /// Tells this head from every other one.
    uid: Option<String>,
    pub(super) version: Option<String>,
}

/// A record as one handle sees it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) server: Server,
    pub(super) names: Names,
    pub(super) namespace: String,
    is_copy: bool,
    seen: Mutex<Arc<Seen>>,
    /// Whose turn it is to write: tasks of this process wait for each other here, not by refusals of the API server.
    turn: Semaphore,
    /// The chunks that copies need, once they are looked for.
    copied: Mutex<Option<BTreeSet<String>>>,
}

impl Record {
    /// Opens a record; nothing where there was never one.
    pub(super) async fn open(server: Server, names: Names, namespace: &str) -> Result<Option<Self>, BackendError> {
        let found: Option<Secret> = server.get(&names.head).await.map_err(server.failed("read the state"))?;
        let Some(found) = found else {
            return match leftovers(&server, &names).await? {
                Left::Nothing => Ok(None),
                Left::Head => Box::pin(Self::open(server, names, namespace)).await,
                Left::Others(left) => Err(headless(&names, namespace, &left)),
            };
        };
        let nothing = Seen {
            contents: Contents::empty(),
            uid: None,
            version: None,
        };
        let record = Self {
            server,
            names,
            namespace: namespace.to_owned(),
            is_copy: is_copy(&found),
            seen: Mutex::new(Arc::new(nothing)),
            turn: Semaphore::new(1),
            copied: Mutex::default(),
        };
        record.load().await?;
        Ok(Some(record))
    }

    /// Returns what was read last.
    pub(super) fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn see(&self, seen: Seen) -> Arc<Seen> {
        let seen = Arc::new(seen);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&seen);
        seen
    }

    /// Returns whether the holder of the token held the lock when it was looked last.
    pub(super) fn believes_in(&self, token: Token) -> bool {
        self.seen().contents.head.is_held_by(token)
    }

    /// Returns the record as it is now.
    pub(super) async fn read(&self) -> Result<Arc<Seen>, BackendError> {
        let found = self.server.metadata::<Secret>(&self.names.head).await;
        let found = found.map_err(self.server.failed("read the state"))?;
        let seen = self.seen();
        // The API server promises no order of versions, but that two of one object are not equal.
        let is_seen = |found: ObjectMeta| (&found.uid, &found.resource_version) == (&seen.uid, &seen.version);
        if found.is_some_and(is_seen) {
            Ok(seen)
        } else {
            self.load().await
        }
    }

    /// Reads the head, and the chunks that were not read yet.
    pub(super) async fn load(&self) -> Result<Arc<Seen>, BackendError> {
        let mut before: Option<Option<String>> = None;
        loop {
            let found: Option<Secret> = self
                .server
                .get(&self.names.head)
                .await
                .map_err(self.server.failed("read the state"))?;
            let Some(found) = found else {
                match leftovers(&self.server, &self.names).await? {
                    Left::Head => continue,
                    Left::Nothing => return Err(headless(&self.names, &self.namespace, &[])),
                    Left::Others(left) => return Err(headless(&self.names, &self.namespace, &left)),
                }
            };
            let version = found.metadata.resource_version.clone();
            let (head, segments) = read_head(&found)?;
            match self.contents(head, segments).await? {
                Ok(contents) => {
                    return Ok(self.see(Seen {
                        contents,
                        uid: found.metadata.uid,
                        version,
                    }));
                }
                // A chunk that the head needed no longer goes: then there is a later head. Else it is missing.
                Err(missing) if before.as_ref() == Some(&version) => return Err(self.lacks(&missing)),
                Err(_) => before = Some(version),
            }
        }
    }

    /// Reads what a head names; where a chunk is missing, returns which.
    async fn contents(&self, head: Head, bytes: Vec<u8>) -> Result<Result<Contents, String>, BackendError> {
        let recent = segments(&bytes).map_err(damaged)?;
        let seen = self.seen();
        let known = |layer: &Layer| {
            let at = seen.contents.head.layers().iter().position(|known| known == layer)?;
            seen.contents.layers.get(at).cloned()
        };
        let mut layers = Vec::new();
        for layer in head.layers() {
            let rows = match known(layer) {
                Some(rows) => rows,
                None => match self.layer(layer).await? {
                    Ok(rows) => Arc::new(rows),
                    Err(missing) => return Ok(Err(missing)),
                },
            };
            layers.push(rows);
        }
        Ok(Ok(Contents {
            head,
            layers,
            segments: bytes,
            recent,
        }))
    }

    async fn layer(&self, layer: &Layer) -> Result<Result<Rows, String>, BackendError> {
        let chunks: Vec<Option<Secret>> = stream::iter(layer.chunks.clone())
            .map(|chunk| async move { self.server.get(&chunk.name).await })
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .map_err(self.server.failed("read the state"))?;
        let mut bytes = Vec::new();
        for (chunk, found) in layer.chunks.iter().zip(chunks) {
            let Some(found) = found else {
                return Ok(Err(chunk.name.clone()));
            };
            let part = read_chunk(found).unwrap_or_default();
            if digest(&part) != chunk.sha256 {
                return Err(self.without(&chunk.name, "does not hold what was written to it"));
            }
            bytes.extend(part);
        }
        unpacked(&bytes).map(Ok).map_err(damaged)
    }

    /// Waits until no other task of this process writes.
    pub(super) async fn turn(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.turn.acquire().await.expect("the semaphore is never closed")
    }

    /// Puts a head in place of the one that was seen.
    pub(super) async fn put(&self, seen: &Seen, contents: Contents) -> Result<Arc<Seen>, Trouble> {
        let head = objects::head(&self.names, &contents, seen.version.as_deref());
        let put = self.server.replace(&head).await?;
        Ok(self.see(Seen {
            contents,
            uid: put.metadata.uid,
            version: put.metadata.resource_version,
        }))
    }

    /// Keeps a copy of the head, under another name. The chunks that it needs stay as long as it does.
    pub(super) async fn keep_copy(&self, name: &str) -> Result<String, BackendError> {
        let _turn = self.turn().await;
        let failed = self.server.failed("keep a copy");
        let seen = self.read().await?;
        let copy = objects::copy(&self.names, name, &seen.contents);
        let made = match self.server.create(&copy).await {
            Err(trouble) if trouble.is_passing() => self.server.replace(&copy).await,
            made => made,
        };
        made.map_err(&failed)?;
        self.forget_copies();
        // Another process may have dropped a chunk before it could see the copy.
        for chunk in seen.contents.head.chunks() {
            let found = self.server.metadata::<Secret>(&chunk.name).await;
            found.map_err(&failed)?.ok_or_else(|| self.lacks(&chunk.name))?;
        }
        Ok(self.names.copy(name))
    }

    /// Lets copies be looked for again.
    pub(super) fn forget_copies(&self) {
        *self.copied.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns the chunks that copies need.
    pub(super) async fn copied(&self) -> Result<BTreeSet<String>, Trouble> {
        if let Some(known) = &*self.copied.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(known.clone());
        }
        let copies: Vec<Secret> = self.server.list(&self.names.every(Part::Copy)).await?;
        let mut needed = BTreeSet::new();
        for copy in &copies {
            // One that cannot be read may need anything.
            let (head, _) = read_head(copy).map_err(|error| Trouble::Unclear(error.to_string()))?;
            needed.extend(head.chunks().map(|chunk| chunk.name.clone()));
        }
        *self.copied.lock().unwrap_or_else(PoisonError::into_inner) = Some(needed.clone());
        Ok(needed)
    }

    /// Fails where the head is a copy: what becomes of it is not for its chunks' owner to know.
    pub(super) fn refuse_copy(&self) -> Result<(), BackendError> {
        if !self.is_copy {
            return Ok(());
        }
        Err(BackendError::Unusable {
            problem: "it is a copy that simdb kept of a state, and is only read".to_owned(),
            hint: "To go back to it: simdb state pull > FILE; then, with the former \"name\" in state \"kubernetes\": simdb state push \
                   -force FILE"
                .to_owned(),
        })
    }

    fn lacks(&self, chunk: &str) -> BackendError {
        self.without(chunk, "is missing")
    }

    fn without(&self, chunk: &str, how: &str) -> BackendError {
        let Self { names, namespace, .. } = self;
        BackendError::Unusable {
            problem: format!("Secret \"{chunk}\", which holds rows of it, {how}"),
            hint: format!(
                "Nothing was changed. Restore that Secret from a backup of the cluster; or push what simdb state pull wrote before, \
                 after removing what is left: kubectl -n {namespace} delete secret,lease -l {}. Copies that simdb kept of it: kubectl \
                 -n {namespace} get secret -l {}",
                names.everything(),
                names.every(Part::Copy)
            ),
        }
    }
}

/// What there is of a record whose head was not found.
enum Left {
    /// Nothing that a record leaves.
    Nothing,
    /// The head, which was made in the meantime.
    Head,
    /// Other objects, each as a reader would name it.
    Others(Vec<String>),
}

async fn leftovers(server: &Server, names: &Names) -> Result<Left, BackendError> {
    let failed = server.failed("read the state");
    let secrets = server
        .list_metadata::<Secret>(&names.everything())
        .await
        .map_err(&failed)?;
    let leases = server
        .list_metadata::<LeaseObject>(&names.everything())
        .await
        .map_err(&failed)?;
    if secrets.iter().any(|secret| secret.name.as_ref() == Some(&names.head)) {
        return Ok(Left::Head);
    }
    let labelled = |kind: &'static str| move |name: String| format!("{kind} \"{name}\"");
    // A record that is being made, or whose making was broken off, has chunks already that were written under no lock.
    let secrets = secrets.into_iter().filter(|secret| token_of(secret) != Some(Token(0)));
    let secrets = secrets.filter_map(|secret| secret.name).map(labelled("Secret"));
    let leases = leases.into_iter().filter_map(|lease| lease.name).map(labelled("Lease"));
    let left: Vec<String> = secrets.chain(leases).collect();
    Ok(if left.is_empty() {
        Left::Nothing
    } else {
        Left::Others(left)
    })
}

fn headless(names: &Names, namespace: &str, left: &[String]) -> BackendError {
    const SHOWN: usize = 5;
    let shown = left.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = match left.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let left = if left.is_empty() {
        "nothing".to_owned()
    } else {
        format!("{shown}{more}")
    };
    BackendError::Unusable {
        problem: format!(
            "its head, Secret \"{}\", was deleted; of the rest is left: {left}",
            names.head
        ),
        hint: format!(
            "Nothing was changed. Restore that Secret from a backup of the cluster. Or remove the rest, and push what simdb state pull \
             wrote before: kubectl -n {namespace} delete secret,lease -l {}; simdb state push FILE",
            names.everything()
        ),
    }
}

/// Returns a name that nothing else has.
pub(super) fn random() -> String {
    hex(&random_bytes())
}

pub(super) fn random_bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel hands out random bytes");
    bytes
}
