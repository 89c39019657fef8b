//! Data that was made without simdb and stays where it is: how it is found, and how an instance directory leads to it.
//!
//! A symbolic link stands in the instance directory for such data. simdb follows no link there but one whose target is noted in
//! `outside.json` and belongs to the servers' user: what simdb does in that directory, this user could do as well.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};
use simdb_planner::observed::Observation;
use simdb_state::instance::Outside;
use simdb_state::place::Bind;

use super::directory::{FORMAT, InstanceDirectory};
use super::folder::Folder;
use super::process::Process;
use super::user::RunAs;
use super::{ports, server};
use crate::platform::Unmanaged;

pub(super) const OUTSIDE: &str = "outside.json";

/// The directories that the links of an instance directory may lead to, each with where its server listened.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Targets {
    format: u32,
    directories: BTreeMap<PathBuf, Option<Bind>>,
}

impl Targets {
    /// Adds a directory to those that were noted before.
    pub(super) fn with(before: Option<Self>, outside: &Outside) -> Self {
        let mut directories = before.map(|noted| noted.directories).unwrap_or_default();
        directories.insert(outside.directory.clone().into(), outside.listen);
        Self {
            format: FORMAT,
            directories,
        }
    }
}

impl InstanceDirectory {
    /// Returns the links to data outside of the instance directory, by name.
    pub(super) fn links(&self) -> BTreeMap<String, PathBuf> {
        let Some((noted, folder)) = self.noted() else {
            return BTreeMap::new();
        };
        let entries = folder.entries().unwrap_or_default();
        let link = |entry: &fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let target = folder.link_target(&name)?;
            noted.directories.contains_key(&target).then_some((name, target))
        };
        entries.iter().filter_map(link).collect()
    }

    /// Returns where the server on data outside of the instance directory listened before simdb started it.
    pub(super) fn listened(&self) -> Option<Bind> {
        let (noted, _) = self.noted()?;
        let mut links = self.links().into_values();
        links.find_map(|target| noted.directories.get(&target).copied().flatten())
    }

    fn noted(&self) -> Option<(Targets, Folder)> {
        let noted: Targets = self.read_record(OUTSIDE)?;
        Some((noted, self.open().ok()??))
    }

    /// Opens a directory of the instance directory, or the data that a link there leads to.
    pub(super) fn enter(&self, folder: &Folder, name: &str) -> io::Result<Folder> {
        match self.links().get(name) {
            Some(target) => open(target, &self.user),
            None => folder.enter(name),
        }
    }

    /// Opens the directory that a path below the instance directory ends in, and returns it with the last name of the path.
    pub(super) fn walk<'a>(&self, folder: &Folder, path: &'a str) -> io::Result<(Folder, &'a str)> {
        match path.split_once('/') {
            Some((first, rest)) if self.links().contains_key(first) => self.enter(folder, first)?.walk(rest),
            _ => folder.walk(path),
        }
    }
}

/// Opens a directory that belongs to the servers' user.
pub(super) fn open(directory: &Path, user: &RunAs) -> io::Result<Folder> {
    let folder = Folder::open(directory, user)?;
    if folder.owner()? == user.uid() {
        Ok(folder)
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Looks for data by the directory that it is in, or by where its server listens.
pub(super) fn look(id: &str, user: &RunAs, files: &[String]) -> Observation<Unmanaged> {
    match find(id, user, files) {
        Ok(found) => Observation::Seen(found),
        Err(reason) => Observation::Unknown(reason),
    }
}

fn find(id: &str, user: &RunAs, files: &[String]) -> Result<Unmanaged, String> {
    let named = if id.starts_with('/') {
        PathBuf::from(id)
    } else {
        listener(id)?
    };
    let shown = named.display().to_string();
    let cannot = |error: io::Error| format!("{shown} cannot be entered ({error})");
    let directory = fs::canonicalize(&named).map_err(cannot)?;
    let meta = fs::metadata(&directory).map_err(cannot)?;
    if !meta.is_dir() {
        return Err(format!("{shown} is not a directory"));
    }
    if meta.uid() != user.uid() {
        return Err(format!(
            "{shown} belongs to user \"{}\", and servers run as \"{}\"; set run_as in provider \"local\" to the owner of the data",
            name_of(meta.uid()),
            user.name
        ));
    }
    let folder = open(&directory, user).map_err(cannot)?;
    let read = |name: &String| Some((name.clone(), String::from_utf8(folder.read(name).ok()?).ok()?));
    let process = server_on(&directory);
    let text = directory
        .to_str()
        .ok_or_else(|| format!("the path {shown} has no valid encoding"))?;
    Ok(Unmanaged {
        listen: process.as_ref().and_then(|process| ports::listen(process.pid)),
        process: process.map(|process| process.pid),
        owner: user.name.clone(),
        files: files.iter().filter_map(read).collect(),
        directory: text.to_owned(),
    })
}

fn name_of(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Returns the directory of the data whose server listens on a port.
fn listener(id: &str) -> Result<PathBuf, String> {
    let port = id.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let port = port.ok_or("an id is the absolute path of a data directory, or where its server listens: HOST:PORT")?;
    let listens = |process: &Process| ports::listen(process.pid).is_some_and(|listen| listen.port == port);
    let server = server::all().into_iter().find(listens);
    let server = server.and_then(|process| process.directory());
    server.ok_or_else(|| format!("no database server of this machine that simdb may look at listens on port {port}"))
}

/// Returns the first process of the server that uses a directory.
fn server_on(directory: &Path) -> Option<Process> {
    let uses = |process: &Process| process.directory().is_some_and(|its| its == directory);
    server::all().into_iter().find(uses)
}
