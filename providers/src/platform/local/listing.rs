//! Which instance directories there are below a data root.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use simdb_state::address::InstanceAddress;

use super::directory::{MARKER, Marker, fs_name};
use super::files::{self, At};
use super::folder::Folder;
use super::user::RunAs;
use crate::platform::PlatformError;

/// Returns the nodes whose instance directories below a root have the given lineage.
pub(super) fn list(root: &Path, user: &RunAs, lineage: &str) -> Result<BTreeSet<InstanceAddress>, PlatformError> {
    let mut found = BTreeSet::new();
    let root = match files::optional(Folder::open(root, user)) {
        Ok(Some(folder)) => folder,
        Ok(None) => return Ok(found),
        // What keeps instance directories from being made there is a problem of the platform, and told as one.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(found),
        Err(error) => return Err(error).at("read directory", root),
    };
    for cluster in subfolders(&root) {
        for directory in subfolders(&cluster) {
            let Ok(text) = directory.read(MARKER) else { continue };
            match serde_json::from_slice::<Marker>(&text) {
                Ok(marker) if marker.lineage == lineage => found.insert(marker.address),
                _ => false,
            };
        }
    }
    Ok(found)
}

/// Opens the directories in a directory. Those that are being made or removed have names that begin with a dot.
pub(super) fn subfolders(folder: &Folder) -> Vec<Folder> {
    let entries = folder.entries().unwrap_or_default();
    let names = entries.iter().map(fs_name).filter(|name| !name.starts_with('.'));
    // A file, or a symbolic link, is not entered.
    names.filter_map(|name| folder.enter(&name).ok()).collect()
}
