//! Chunks that no head needs any more, and when they may go.
//!
//! Names of chunks are random, so one that a head has left out is never named again. The holder of the lock therefore removes what its
//! own commits left out at once; a reader in the middle of an older head reads the head again. Chunks of a commit that came to nothing
//! carry the token of their writer: once it is not among those of the head any more, that writer can name them no more, and they go
//! without a look at any clock. What a copy needs stays.

use futures_util::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use simdb_state::backend::{BackendError, Token};

use super::names::Part;
use super::objects::token_of;
use super::record::Record;
use super::server::Trouble;

/// How many are removed at once.
const AT_ONCE: usize = 8;

/// Removes chunks that a commit of this process has just left out. What stays is found later.
pub(super) async fn drop_superseded(record: &Record, superseded: Vec<String>) {
    if superseded.is_empty() {
        return;
    }
    let Ok(copied) = record.copied().await else { return };
    let gone = superseded.into_iter().filter(|name| !copied.contains(name));
    let gone = gone.map(|name| ObjectMeta {
        name: Some(name),
        ..ObjectMeta::default()
    });
    remove(record, gone.collect()).await;
}

/// Removes the chunks that former holders of the lock left behind.
pub(super) async fn collect(record: &Record, token: Token) -> Result<(), BackendError> {
    let failed = record.server.failed("remove what is not needed");
    let chunks = record
        .server
        .list_metadata::<Secret>(&record.names.every(Part::Chunk))
        .await
        .map_err(&failed)?;
    // Read after the list: what another holder wrote meanwhile is named by now, or its holder is still among those of the head.
    let seen = record.read().await?;
    let head = &seen.contents.head;
    let needed = |name: &String| head.chunks().any(|chunk| chunk.name == *name);
    let is_former = |chunk: &ObjectMeta| token_of(chunk).is_some_and(|of| of < token && !head.is_held_by(of));
    let left = chunks
        .into_iter()
        .filter(|chunk| is_former(chunk) && !chunk.name.as_ref().is_some_and(needed));
    let left: Vec<ObjectMeta> = left.collect();
    if left.is_empty() {
        return Ok(());
    }
    record.forget_copies();
    let copied = record.copied().await.map_err(&failed)?;
    let left = left
        .into_iter()
        .filter(|chunk| !chunk.name.as_ref().is_some_and(|name| copied.contains(name)));
    remove(record, left.collect()).await;
    Ok(())
}

async fn remove(record: &Record, chunks: Vec<ObjectMeta>) {
    let removals = chunks.into_iter();
    let removals = removals.map(|chunk| async move { record.server.delete::<Secret>(&chunk).await });
    let removed: Vec<Result<(), Trouble>> = stream::iter(removals).buffer_unordered(AT_ONCE).collect().await;
    // What could not be removed is found by the next holder of the lock.
    drop(removed);
}
