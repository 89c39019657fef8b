//! The servers of all projects: found by what runs, and by the markers of instance directories.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use simdb_planner::observed::ProcessFacts;

use super::binaries::engine_of;
use super::directory::{InstanceDirectory, MARKER, Marker};
use super::files::{self, At};
use super::folder::Folder;
use super::listing::subfolders;
use super::process::{self, Process};
use super::user::RunAs;
use super::{ports, server};
use crate::platform::{PlatformError, Survey, Surveyed};

/// What the kernel writes behind a working directory that was removed.
const DELETED: &str = " (deleted)";

/// Looks for instance directories below the data roots that are known, below those of servers that run, and one directory
/// below each root, where root keeps the data of all projects.
pub(super) fn survey(roots: &[&Path], user: &RunAs) -> Result<Survey, PlatformError> {
    process::check_sight().map_err(PlatformError::Unusable)?;
    let mut survey = Survey::default();
    let mut all: BTreeSet<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
    let mut hidden = 0;
    for server in leaders() {
        match server.directory() {
            None => hidden += 1,
            Some(directory) => match marked(&directory) {
                Some(root) => drop(all.insert(root)),
                None => survey.servers.extend(bereft(&server, &directory)),
            },
        }
    }
    if hidden > 0 {
        survey.unseen.push(format!(
            "{hidden} servers belong to other users, and where they keep their data is not shown to this one. Run as root to \
             see all of them."
        ));
    }
    for root in all {
        survey.servers.extend(below(&root, user)?);
    }
    survey.servers.sort_by(|one, other| one.data.cmp(&other.data));
    survey.servers.dedup();
    Ok(survey)
}

/// Returns the first processes of all servers.
fn leaders() -> Vec<Process> {
    let mut servers = process::all();
    servers.retain(|process| engine_of(&process.name).is_some());
    let numbers: BTreeSet<u32> = servers.iter().map(|process| process.pid).collect();
    servers.retain(|process| !numbers.contains(&process.parent));
    servers
}

/// Returns the data root of the instance directory that a directory is, or is in.
fn marked(directory: &Path) -> Option<PathBuf> {
    let instance = directory
        .ancestors()
        .take(2)
        .find(|above| above.join(MARKER).is_file())?;
    instance.ancestors().nth(2).map(Path::to_path_buf)
}

/// Returns what is known of a server whose instance directory was removed under it: simdb starts servers with files that it
/// keeps beside the data.
fn bereft(server: &Process, directory: &Path) -> Option<Surveyed> {
    let data = directory.to_str()?.strip_suffix(DELETED)?;
    let beside = format!("{}/", Path::new(data).parent()?.display());
    let arguments = server.arguments()?;
    let named = |argument: &String| argument.contains(&beside) && !argument.contains(data);
    arguments.iter().any(named).then(|| Surveyed {
        lineage: None,
        project: None,
        address: None,
        process: if server.stopped {
            ProcessFacts::Frozen { pid: server.pid }
        } else {
            ProcessFacts::Running { pid: server.pid }
        },
        listen: ports::listen(server.pid),
        data: data.to_owned(),
    })
}

/// Returns the servers whose instance directories are below a root, or below a directory in it.
fn below(root: &Path, user: &RunAs) -> Result<Vec<Surveyed>, PlatformError> {
    let Some(folder) = files::optional(Folder::open(root, user)).at("read directory", root)? else {
        return Ok(Vec::new());
    };
    let mut found = in_root(&folder, root, user);
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let inner = entry.path();
        if let Ok(folder) = Folder::open(&inner, user) {
            found.extend(in_root(&folder, &inner, user));
        }
    }
    Ok(found)
}

fn in_root(folder: &Folder, root: &Path, user: &RunAs) -> Vec<Surveyed> {
    let clusters = subfolders(folder);
    let directories = clusters.iter().flat_map(subfolders);
    let marker = |directory: Folder| serde_json::from_slice::<Marker>(&directory.read(MARKER).ok()?).ok();
    directories
        .filter_map(marker)
        .map(|marker| {
            let directory = InstanceDirectory::new(root, &marker.lineage, user.clone(), &marker.address);
            let process = server::facts(&directory);
            Surveyed {
                listen: server::listen(&directory, &process),
                process,
                data: directory.path.display().to_string(),
                lineage: Some(marker.lineage),
                project: marker.project,
                address: Some(marker.address),
            }
        })
        .collect()
}
