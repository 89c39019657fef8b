//! The objects of a state as values: made of what the record is, and read back.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use simdb_state::backend::{BackendError, Token};
use simdb_state::leases::Leases;

use super::contents::{Contents, Head, damaged};
use super::names::{Names, PART, Pairs, Part, TOKEN, TYPE, pairs};

/// What a Secret holds.
const HEAD: &str = "head";
const ROWS: &str = "rows";

/// Makes the head of a record. With the version of an object it replaces that one, and no other.
pub(super) fn head(names: &Names, contents: &Contents, version: Option<&str>) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(names.head.clone()),
            labels: Some(names.labels(Part::Head)),
            annotations: Some(names.annotations()),
            resource_version: version.map(str::to_owned),
            ..ObjectMeta::default()
        },
        ..held(contents)
    }
}

/// Makes a copy of a head, under which no lock is held.
pub(super) fn copy(names: &Names, name: &str, contents: &Contents) -> Secret {
    let head = contents.head.held_by(&Leases::default());
    let contents = Contents {
        head,
        ..contents.clone()
    };
    Secret {
        metadata: ObjectMeta {
            name: Some(names.copy(name)),
            labels: Some(names.labels(Part::Copy)),
            ..ObjectMeta::default()
        },
        ..held(&contents)
    }
}

fn held(contents: &Contents) -> Secret {
    let data = [(HEAD, contents.head.write()), (ROWS, contents.segments.clone())];
    let data = data.map(|(key, bytes)| (key.to_owned(), ByteString(bytes)));
    Secret {
        type_: Some(TYPE.to_owned()),
        data: Some(data.into()),
        ..Secret::default()
    }
}

/// Makes a chunk, which the API server lets nobody change.
pub(super) fn chunk(names: &Names, name: &str, bytes: Vec<u8>, token: Token) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(names.labels(Part::Chunk)),
            annotations: Some(pairs([(TOKEN, &token.0.to_string())])),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.to_owned()),
        immutable: Some(true),
        data: Some([(ROWS.to_owned(), ByteString(bytes))].into()),
        ..Secret::default()
    }
}

/// Reads a head: what it says, and the rows that it holds.
pub(super) fn read_head(secret: &Secret) -> Result<(Head, Vec<u8>), BackendError> {
    if secret.type_.as_deref() != Some(TYPE) {
        return Err(BackendError::Unusable {
            problem: "the Secret of its name was made by another program, and is no state of simdb".to_owned(),
            hint: "It was left as it is. Give \"name\" in state \"kubernetes\" another value.".to_owned(),
        });
    }
    let data = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let head = data(HEAD).ok_or_else(|| damaged("its head is empty"))?;
    let rows = data(ROWS).map(|rows| rows.0.clone());
    Ok((Head::read(&head.0)?, rows.unwrap_or_default()))
}

/// Returns the rows of a chunk.
pub(super) fn read_chunk(secret: Secret) -> Option<Vec<u8>> {
    Some(secret.data?.remove(ROWS)?.0)
}

/// Returns whether a head is a copy of one.
pub(super) fn is_copy(head: &Secret) -> bool {
    let label = |labels: &Pairs| labels.get(PART).is_some_and(|part| part == Part::Copy.label());
    head.metadata.labels.as_ref().is_some_and(label)
}

/// Returns the token of the lock that a chunk was written under.
pub(super) fn token_of(metadata: &ObjectMeta) -> Option<Token> {
    let token = metadata.annotations.as_ref()?.get(TOKEN)?;
    Some(Token(token.parse().ok()?))
}
