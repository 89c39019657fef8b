//! The servers of all projects: found by what runs, and by the markers of instance directories.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use simdb_planner::observed::{Halt, ProcessFacts};

use super::directory::{InstanceDirectory, MARKER, Marker};
use super::files;
use super::folder::Folder;
use super::listing::subfolders;
use super::process::{self, DELETED, Process};
use super::user::RunAs;
use super::{ports, server};
use crate::platform::{PlatformError, Survey, Surveyed};

/// Looks for instance directories below the data roots that are known, below those of servers that run, and one directory
/// below each root, where root keeps the data of all projects.
pub(super) fn survey(roots: &[&Path], user: &RunAs) -> Result<Survey, PlatformError> {
    process::check_sight().map_err(PlatformError::Unusable)?;
    let mut survey = Survey::default();
    let mut all: BTreeSet<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
    let mut hidden = 0;
    for server in server::all() {
        let Some(directory) = server.directory() else {
            hidden += 1;
            continue;
        };
        match root_of(&server, &directory) {
            Some(root) => drop(all.insert(root)),
            None => survey.servers.extend(bereft(&server, &directory)),
        }
    }
    if hidden > 0 {
        survey.unseen.push(format!(
            "{hidden} servers belong to other users, and where they keep their data is not shown to this one. Run as root to \
             see all of them."
        ));
    }
    for root in all {
        match below(&root, user) {
            Ok(found) => survey.servers.extend(found),
            Err(error) => survey.unseen.push(format!(
                "{} cannot be read ({error}): what is below it and does not run is not shown.",
                root.display()
            )),
        }
    }
    survey.servers.sort_by(|one, other| one.data.cmp(&other.data));
    survey.servers.dedup();
    Ok(survey)
}

/// Returns the data root that a server's instance directory is below. The server works in that directory or in one below it;
/// one on imported data works elsewhere, and was started with files of its instance directory.
fn root_of(server: &Process, directory: &Path) -> Option<PathBuf> {
    let given = paths(server);
    let near = [directory].into_iter().chain(given.iter().map(PathBuf::as_path));
    let mut instances = near.flat_map(|path| path.ancestors().take(2));
    let instance = instances.find(|above| above.join(MARKER).is_file())?;
    instance.ancestors().nth(2).map(Path::to_path_buf)
}

/// Returns the absolute paths among what a server was started with: `/a/data-1`, `config_file=/a/node.conf`.
fn paths(server: &Process) -> Vec<PathBuf> {
    let arguments = server.arguments().unwrap_or_default();
    let path = |argument: &String| Some(PathBuf::from(&argument[argument.find('/')?..]));
    arguments.iter().filter_map(path).collect()
}

/// Returns what is known of a server whose instance directory was removed under it: simdb starts servers with files that it
/// keeps beside the data.
fn bereft(server: &Process, directory: &Path) -> Option<Surveyed> {
    let data = directory.to_str()?.strip_suffix(DELETED)?;
    let instance = Path::new(data).parent()?;
    let is_beside = |path: &PathBuf| path.starts_with(instance) && !path.starts_with(data);
    paths(server).iter().any(is_beside).then(|| Surveyed {
        lineage: None,
        project: None,
        address: None,
        process: if server.stopped {
            ProcessFacts::Frozen {
                pid: server.pid,
                by: Halt::Signal,
            }
        } else {
            ProcessFacts::Running { pid: server.pid }
        },
        listen: ports::listen(server.pid),
        data: data.to_owned(),
    })
}

/// Returns the servers whose instance directories are below a root, or below a directory in it.
fn below(root: &Path, user: &RunAs) -> io::Result<Vec<Surveyed>> {
    let Some(folder) = files::optional(Folder::open(root, user))? else {
        return Ok(Vec::new());
    };
    let mut found = in_root(&folder, root, user);
    for entry in fs::read_dir(root)?.flatten() {
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
    let surveyed = |marker: Marker| {
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
    };
    directories.filter_map(marker).map(surveyed).collect()
}
