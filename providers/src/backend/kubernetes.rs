//! State in a Kubernetes cluster: rows in Secrets, and a Lease as the lock.
//!
//! ```text
//!   commit: new chunks ──► PUT head with the version that was read      409: read the head, compare again
//!   lock:   PUT Lease with the version that was read ──► PUT head with the tokens of the holders
//! ```
//!
//! One object is all that the API server changes at once, so everything hangs on the head: a commit is there when the head is
//! ([`contents`]). The head names the holders of the lock by their tokens. A takeover rewrites it, and from then on the PUT of the
//! former holder is answered 409, however late it comes: no clock decides anything. The Lease holds what has nothing to do with rows:
//! who the holders are, what they hold, and their heartbeats ([`lock`]).
//!
//! A PUT whose answer was lost may have happened. Each carries a mark; the head is read, and where the mark is not in it, the same
//! is tried again on the same version: then one of the two happens, and not both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use simdb_state::backend::{Backend, BackendError, Key, Lease, LockOutcome, Row, Storage, Token, Version, Write};
use simdb_state::extent::Extent;
use simdb_state::lock::Owner;

mod commit;
mod contents;
mod garbage;
mod lock;
mod names;
mod objects;
mod record;
mod rows;
mod server;

use contents::{Contents, Mark};
use names::{Names, Part, WORKSPACE};
use record::{Record, random};
use server::Server;

/// The label of the block.
pub(super) const NAME: &str = "kubernetes";

/// The arguments of the block, checked by the planner.
#[derive(Clone, Debug)]
pub struct Settings {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    namespace: String,
    name: String,
}

impl Settings {
    /// Reads them for a configuration in a directory.
    pub(super) fn read(arguments: &BTreeMap<String, String>, directory: &Path) -> Self {
        let text = |name: &str| arguments.get(name).cloned();
        Self {
            kubeconfig: text("kubeconfig").map(|path| directory.join(path)),
            context: text("context"),
            namespace: text("namespace").unwrap_or_default(),
            name: text("name").unwrap_or_default(),
        }
    }
}

/// Where the state of one workspace is.
#[derive(Debug)]
pub(super) struct Secrets {
    settings: Settings,
    names: Names,
    place: PathBuf,
}

impl Secrets {
    pub(super) fn new(settings: &Settings, workspace: Option<&str>) -> Self {
        let names = Names::new(&settings.name, workspace);
        let place = format!("{NAME}:{}/{}", settings.namespace, names.head);
        Self {
            settings: settings.clone(),
            place: place.into(),
            names,
        }
    }
}

#[async_trait]
impl Storage for Secrets {
    fn place(&self) -> &Path {
        &self.place
    }

    async fn open(&self) -> Result<Option<Arc<dyn Backend>>, BackendError> {
        let server = Server::connect(&self.settings).await?;
        let record = Record::open(server, self.names.clone(), &self.settings.namespace).await?;
        Ok(record.map(|record| Arc::new(KubernetesBackend { record }) as Arc<dyn Backend>))
    }

    async fn create(&self, rows: Vec<(Key, Vec<u8>)>) -> Result<bool, BackendError> {
        let server = Server::connect(&self.settings).await?;
        let failed = server.failed("make the state");
        let mark = Mark {
            version: 0,
            id: random(),
        };
        let writes: Vec<Write> = rows.into_iter().map(|(key, bytes)| Write::put(key, bytes)).collect();
        let draft = Contents::empty().draft(mark.clone(), &writes, || names::chunk(record::random_bytes()));
        for (name, bytes) in draft.chunks {
            let chunk = objects::chunk(&self.names, &name, bytes, Token(0));
            server.create(&chunk).await.map_err(&failed)?;
        }
        match server.create(&objects::head(&self.names, &draft.contents, None)).await {
            Ok(_) => Ok(true),
            Err(trouble) if trouble.is_passing() => {
                let found: Option<Secret> = server.get(&self.names.head).await.map_err(&failed)?;
                let found = found.ok_or_else(|| failed(trouble))?;
                let (head, _) = objects::read_head(&found)?;
                Ok(head.has(&mark))
            }
            Err(trouble) => Err(failed(trouble)),
        }
    }
}

/// Returns the workspaces beside the default one that have a state.
pub(super) async fn workspaces(settings: &Settings) -> Result<Vec<String>, BackendError> {
    let server = Server::connect(settings).await?;
    let labels = Names::new(&settings.name, None).heads();
    let heads = server.list_metadata::<Secret>(&labels).await;
    let heads = heads.map_err(server.failed("list the states"))?;
    let workspace = |head: ObjectMeta| head.annotations?.remove(WORKSPACE);
    Ok(heads.into_iter().filter_map(workspace).collect())
}

/// Removes the state of a workspace with the copies of it. The head goes last but for the Lease: until then the state is found, and
/// removing it can be tried again.
pub(super) async fn remove(settings: &Settings, workspace: &str) -> Result<(), BackendError> {
    let server = Server::connect(settings).await?;
    let names = Names::new(&settings.name, Some(workspace));
    let failed = server.failed("remove the state");
    for part in [Part::Copy, Part::Chunk, Part::Head] {
        let found = server.list_metadata::<Secret>(&names.every(part)).await;
        for secret in found.map_err(&failed)? {
            server.delete::<Secret>(&secret).await.map_err(&failed)?;
        }
    }
    let leases = server.list_metadata::<LeaseObject>(&names.everything()).await;
    for lease in leases.map_err(&failed)? {
        server.delete::<LeaseObject>(&lease).await.map_err(&failed)?;
    }
    Ok(())
}

/// Rows in Secrets of a Kubernetes cluster.
#[derive(Debug)]
struct KubernetesBackend {
    record: Record,
}

#[async_trait]
impl Backend for KubernetesBackend {
    async fn get(&self, key: &Key) -> Result<Option<Row>, BackendError> {
        Ok(self.record.read().await?.contents.get(key))
    }

    async fn list(&self, prefixes: &[&str]) -> Result<Vec<Row>, BackendError> {
        Ok(self.record.read().await?.contents.list(prefixes))
    }

    async fn commit(&self, token: Token, writes: Vec<Write>) -> Result<Version, BackendError> {
        commit::commit(&self.record, Some(token), &writes).await
    }

    async fn swap(&self, write: Write) -> Result<Version, BackendError> {
        commit::commit(&self.record, None, &[write]).await
    }

    async fn holders(&self) -> Result<Vec<Lease>, BackendError> {
        Ok(lock::look(&self.record).await?.leases.held)
    }

    async fn lock(&self, owner: &Owner, take_over: &[Lease]) -> Result<LockOutcome, BackendError> {
        let outcome = lock::take(&self.record, owner, take_over).await?;
        self.record.forget_copies();
        Ok(outcome)
    }

    async fn change(&self, token: Token, extent: &Extent) -> Result<LockOutcome, BackendError> {
        lock::change(&self.record, token, extent).await
    }

    async fn renew(&self, token: Token) -> Result<(), BackendError> {
        lock::renew(&self.record, token).await
    }

    async fn keep_copy(&self, name: &str) -> Result<Option<PathBuf>, BackendError> {
        let name = self.record.keep_copy(name).await?;
        Ok(Some(format!("{NAME}:{}/{name}", self.record.namespace).into()))
    }

    async fn unlock(&self, token: Token) -> Result<(), BackendError> {
        if self.record.believes_in(token) {
            // What stays is found by the next holder of the lock.
            let _ = garbage::collect(&self.record, token).await;
        }
        lock::free(&self.record, token).await
    }
}
