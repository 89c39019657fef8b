//! What the platform notes in the volume of a node for itself, in `.simdb`.
//!
//! ```text
//!   .simdb/token.json      under which lock of the record the node was last changed
//!   .simdb/products.json   the directories that tasks were to make: what is looked for
//!   .simdb/files.json      the files that were last written for the server
//!   .simdb/new/            files on their way to their places
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use simdb_state::backend::Token;

use super::names::DIRECTORY;
use super::site::{NOTES, Site};
use crate::platform::PlatformError;

/// The format of each of them.
pub(super) const FORMAT: u32 = 1;

pub(super) const FILES: &str = "files.json";
pub(super) const PRODUCTS: &str = "products.json";
pub(super) const TOKEN: &str = "token.json";

/// The files that were last written for a server.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Files {
    pub(super) format: u32,
    pub(super) files: BTreeMap<String, WrittenFile>,
}

/// What a file was written from, and how it was left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WrittenFile {
    /// The digest of the text, secrets by name.
    pub(super) text: String,
    /// The digest of the bytes.
    pub(super) bytes: String,
    pub(super) size: u64,
    /// When it was written, in seconds since 1970: a file with the same size and time was not edited.
    pub(super) changed: i64,
}

/// The directories that tasks were to make.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Products {
    pub(super) format: u32,
    pub(super) products: BTreeSet<String>,
}

/// Under which lock of the record the node was last changed. Later locks have greater tokens.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) format: u32,
    pub(super) token: Token,
}

/// All notes of a node, as they were read at once.
#[derive(Debug, Default)]
pub(super) struct Notes(BTreeMap<String, Vec<u8>>);

impl Notes {
    /// Reads the notes through a container that has the volume.
    pub(super) async fn read(site: &Site, window: &str) -> Result<Self, PlatformError> {
        let found = site.read(window, &format!("{DIRECTORY}/{NOTES}")).await?;
        Ok(Self(found.unwrap_or_default()))
    }

    fn get<T: DeserializeOwned>(&self, name: &str) -> Option<Result<T, serde_json::Error>> {
        let bytes = self.0.get(&format!("{NOTES}/{name}"))?;
        Some(serde_json::from_slice(bytes))
    }

    /// Returns the files that were written. Where the note is damaged all of them are written anew.
    pub(super) fn files(&self) -> BTreeMap<String, WrittenFile> {
        let noted = self.get::<Files>(FILES).and_then(Result::ok);
        noted.unwrap_or_default().files
    }

    /// Returns the directories to look for, or why they are not known: data that nobody knows of is not data that is gone.
    pub(super) fn products(&self) -> Result<BTreeSet<String>, String> {
        match self.get::<Products>(PRODUCTS) {
            None => Ok(BTreeSet::new()),
            Some(Ok(noted)) => Ok(noted.products),
            Some(Err(error)) => Err(format!(
                "what was noted in {DIRECTORY}/{NOTES}/{PRODUCTS} of its volume cannot be read: {error}"
            )),
        }
    }

    /// Returns the token of the lock under which the node was last changed.
    pub(super) fn token(&self) -> Option<Token> {
        Some(self.get::<Noted>(TOKEN)?.ok()?.token)
    }
}

/// Returns a note as it is written.
pub(super) fn text(note: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(note).expect("notes have text keys and no failing parts")
}
