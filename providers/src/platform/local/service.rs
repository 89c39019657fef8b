//! The project's connection service file, in libpq's `pg_service.conf` format.
//!
//! ```text
//!   [orders-rw]
//!   # managed by simdb for cluster.orders.endpoint.rw
//!   host=127.0.0.1,127.0.0.1
//!   port=5432,5433
//!   dbname=postgres
//!   target_session_attrs=read-write
//! ```
//!
//! An entry is ours when the comment stands under its name; it ends at the first line that is no `key=value`. Everything
//! else is somebody else's and stays as it is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use simdb_planner::observed::{Observation, RouteFacts};
use simdb_state::address::EndpointAddress;
use simdb_state::route::Route;

use super::files::{self, At};
use super::folder::{Access, Folder};
use super::user::RunAs;
use super::warrant::Warrant;
use crate::engine::postgresql::entry;
use crate::platform::PlatformError;

const MANAGED: &str = "# managed by simdb for ";

/// The file, and the directory that it is in.
#[derive(Clone, Debug)]
pub(super) struct Services {
    path: PathBuf,
    user: RunAs,
}

impl Services {
    pub(super) fn new(path: &Path, user: RunAs) -> Self {
        let path = path.to_owned();
        Self { path, user }
    }

    /// Looks an entry up.
    pub(super) fn lookup(&self, name: &str) -> Result<Observation<RouteFacts>, PlatformError> {
        let text = self.read()?;
        let Some(section) = find(&text, name) else {
            return Ok(Observation::Absent);
        };
        if !section.ours {
            let reason = format!(
                "{} has an entry \"{name}\" that was not written by simdb",
                self.path.display()
            );
            return Ok(Observation::Unknown(reason));
        }
        // Ours, but no longer as we write it: it routes nowhere, and publishing it again mends it.
        Ok(parse(&text[section.start..section.end]).map_or(Observation::Absent, Observation::Seen))
    }

    /// Returns the endpoints that entries of ours are for.
    pub(super) fn routes(&self) -> Result<BTreeSet<EndpointAddress>, PlatformError> {
        let text = self.read()?;
        let endpoints = text.lines().filter_map(|line| line.trim().strip_prefix(MANAGED));
        Ok(endpoints.filter_map(|endpoint| endpoint.parse().ok()).collect())
    }

    /// Locks the file to be changed, by the directory that it is in: the file itself is another one after each change.
    pub(super) async fn lock(&self, warrant: &Warrant) -> Result<File, PlatformError> {
        let (folder, _) = self.folder()?;
        let file = folder.handle().at("open directory", &self.path)?;
        warrant.lock(file, &self.path).await
    }

    /// Writes an entry in place of the one of the same name.
    pub(super) fn publish(&self, route: &Route, _lock: &File, warrant: &Warrant) -> Result<(), PlatformError> {
        let mut text = self.read()?;
        let name = route.endpoint.service();
        match find(&text, &name) {
            Some(section) if section.ours => text.replace_range(section.start..section.end, &print(route)),
            Some(_) => {
                return Err(PlatformError::ForeignEntry {
                    name,
                    path: self.path.clone(),
                });
            }
            None => {
                if !text.is_empty() {
                    text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
                }
                text.push_str(&print(route));
            }
        }
        self.write(&text, warrant)
    }

    /// Removes an entry, and with the last text the file.
    pub(super) fn withdraw(&self, name: &str, _lock: &File, warrant: &Warrant) -> Result<(), PlatformError> {
        let mut text = self.read()?;
        let Some(section) = find(&text, name).filter(|section| section.ours) else {
            return Ok(());
        };
        // The empty line before it was written with it.
        let start = if text[..section.start].ends_with("\n\n") {
            section.start - 1
        } else {
            section.start
        };
        text.replace_range(start..section.end, "");
        if !text.trim().is_empty() {
            return self.write(&text, warrant);
        }
        warrant.check_here()?;
        let (folder, _) = self.folder()?;
        folder.remove(&file_name(&self.path)).at("remove file", &self.path)
    }

    /// Opens the directory of the file, and makes it where it is not there. A link to a file of simdb's own user stays a
    /// link, and then the directory is that of the file that it leads to.
    fn folder(&self) -> Result<(Folder, String), PlatformError> {
        let above = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_owned();
        let open = |path: &Path| Folder::make_way(&above(path), &self.user).map(|folder| (folder, file_name(path)));
        let opened = open(&self.path).and_then(|(folder, name)| match folder.look(&name)? {
            Some(link) if link.is_symlink() && !self.user.distrusts(link.uid()) => {
                open(&fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone()))
            }
            _ => Ok((folder, name)),
        });
        opened.at("make the directories above", &self.path)
    }

    fn read(&self) -> Result<String, PlatformError> {
        if !self.path.parent().is_some_and(Path::exists) {
            return Ok(String::new());
        }
        let (folder, name) = self.folder()?;
        let bytes = files::optional(folder.read(&name)).at("read file", &self.path)?;
        String::from_utf8(bytes.unwrap_or_default())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
            .at("read file", &self.path)
    }

    fn write(&self, text: &str, warrant: &Warrant) -> Result<(), PlatformError> {
        warrant.check_here()?;
        let (folder, name) = self.folder()?;
        // Readable by all, as passwords are never in it: programs of other users follow it too.
        let written = folder.replace(&name, text.as_bytes(), Access::Everyone);
        written.at("write file", &self.path)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where an entry stands in the text.
struct Section {
    start: usize,
    end: usize,
    ours: bool,
}

fn find(text: &str, name: &str) -> Option<Section> {
    let header = format!("[{name}]");
    let mut found: Option<Section> = None;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let line = line.trim();
        match &mut found {
            None if line == header => {
                found = Some(Section {
                    start,
                    end: offset,
                    ours: false,
                });
            }
            None => {}
            Some(section) if section.end == start && line.starts_with(MANAGED) => {
                *section = Section {
                    end: offset,
                    ours: true,
                    ..*section
                }
            }
            Some(section) if line.contains('=') && !line.starts_with(['#', '[']) => section.end = offset,
            Some(_) => break,
        }
    }
    found
}

fn print(route: &Route) -> String {
    let pairs = entry::of(&route.hosts, &route.hints);
    let pairs: String = pairs.map(|(key, value)| format!("{key}={value}\n")).concat();
    format!("[{}]\n{MANAGED}{}\n{pairs}", route.endpoint.service(), route.endpoint)
}

fn parse(section: &str) -> Option<RouteFacts> {
    entry::read(|key| {
        let mut pairs = section.lines().filter_map(|line| line.trim().split_once('='));
        pairs.find(|(found, _)| *found == key).map(|(_, value)| value)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{lchown, symlink};

    use simdb_state::place::HostPort;
    use simdb_state::route::{Hints, Wanted};

    use super::*;
    use crate::conformance::grant;
    use crate::platform::local::blocking;

    const THEIRS: &str = "# mine\n[orders-theirs]\nhost=db.example.org\n\n# about [orders-rw]\n";

    fn route(name: &str, ports: &[u16]) -> Route {
        let at = |port: &u16| HostPort {
            host: "127.0.0.1".parse().unwrap(),
            port: *port,
        };
        Route {
            endpoint: format!("cluster.orders.endpoint.{name}").parse().unwrap(),
            to: vec!["a".parse().unwrap()],
            hosts: ports.iter().map(at).collect(),
            hints: Hints {
                database: "app".to_owned(),
                wanted: Wanted::Writer,
            },
        }
    }

    fn facts(route: &Route) -> Observation<RouteFacts> {
        let Route { hosts, hints, .. } = route.clone();
        Observation::Seen(RouteFacts { hosts, hints })
    }

    /// A service file as its only holder sees it.
    struct Held {
        services: Services,
        warrant: Warrant,
    }

    impl Held {
        fn new(path: &Path) -> Self {
            Self {
                services: Services::new(path, RunAs::resolve(None).unwrap()),
                warrant: Warrant::new(grant(), "services".to_owned()),
            }
        }

        fn lookup(&self, name: &str) -> Observation<RouteFacts> {
            self.services.lookup(name).unwrap()
        }

        async fn publish(&self, route: Route) -> Result<(), PlatformError> {
            let lock = self.services.lock(&self.warrant).await?;
            let (services, warrant) = (self.services.clone(), self.warrant.clone());
            blocking(move || services.publish(&route, &lock, &warrant)).await
        }

        async fn withdraw(&self, name: &'static str) {
            let lock = self.services.lock(&self.warrant).await.unwrap();
            let (services, warrant) = (self.services.clone(), self.warrant.clone());
            blocking(move || services.withdraw(name, &lock, &warrant))
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn an_entry_is_found_as_it_was_published() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/pg_service.conf");
        let held = Held::new(&path);
        assert_eq!(held.lookup("orders-rw"), Observation::Absent);
        for ports in [&[5432, 5433][..], &[5433]] {
            held.publish(route("rw", ports)).await.unwrap();
            held.publish(route("ro", ports)).await.unwrap();
            assert_eq!(held.lookup("orders-rw"), facts(&route("rw", ports)));
            assert_eq!(held.lookup("orders-ro"), facts(&route("ro", ports)));
        }
    }

    #[tokio::test]
    async fn the_file_goes_with_its_last_entry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pg_service.conf");
        let held = Held::new(&path);
        held.publish(route("a", &[1])).await.unwrap();
        held.publish(route("b", &[2])).await.unwrap();
        held.withdraw("orders-a").await;
        assert_eq!(
            fs::read_to_string(&path).unwrap().trim_start(),
            print(&route("b", &[2]))
        );
        held.withdraw("orders-b").await;
        held.withdraw("orders-b").await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_others_wrote_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pg_service.conf");
        let held = Held::new(&path);
        fs::write(&path, THEIRS).unwrap();
        held.publish(route("rw", &[5432])).await.unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("# their comment\n[more]\nport=1\n");
        fs::write(&path, text).unwrap();
        held.publish(route("rw", &[5433])).await.unwrap();
        held.withdraw("orders-rw").await;
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{THEIRS}# their comment\n[more]\nport=1\n")
        );
    }

    #[tokio::test]
    async fn an_entry_of_somebody_else_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pg_service.conf");
        let held = Held::new(&path);
        fs::write(&path, THEIRS).unwrap();
        assert!(matches!(held.lookup("orders-theirs"), Observation::Unknown(_)));
        assert!(matches!(
            held.publish(route("theirs", &[1])).await,
            Err(PlatformError::ForeignEntry { .. })
        ));
        held.withdraw("orders-theirs").await;
        assert_eq!(fs::read_to_string(&path).unwrap(), THEIRS);
    }

    #[tokio::test]
    async fn an_entry_that_was_damaged_can_be_published_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pg_service.conf");
        let held = Held::new(&path);
        held.publish(route("a", &[1, 2])).await.unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("port=1,2", "port=1")).unwrap();
        assert_eq!(held.lookup("orders-a"), Observation::Absent);
        held.publish(route("a", &[1, 2])).await.unwrap();
        assert_eq!(held.lookup("orders-a"), facts(&route("a", &[1, 2])));
    }

    #[tokio::test]
    async fn a_link_is_followed_unless_the_servers_user_made_it() {
        let directory = tempfile::tempdir().unwrap();
        let (path, theirs) = (
            directory.path().join("pg_service.conf"),
            directory.path().join("theirs"),
        );
        let held = Held::new(&path);
        fs::write(&theirs, THEIRS).unwrap();
        symlink(&theirs, &path).unwrap();
        held.publish(route("a", &[1])).await.unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        let published = fs::read_to_string(&theirs).unwrap();
        assert!(
            published.starts_with(THEIRS) && published.contains("[orders-a]"),
            "{published}"
        );
        let servers = held.services.user.uid();
        if held.services.user.distrusts(servers) {
            lchown(&path, Some(servers), None).unwrap();
            let error = held.publish(route("b", &[2])).await.unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("is a symbolic link to"), "{cause}");
            assert_eq!(fs::read_to_string(&theirs).unwrap(), published);
        }
    }
}
