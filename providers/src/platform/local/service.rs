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
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use simdb_planner::observed::Observation;
use simdb_state::address::EndpointAddress;
use simdb_state::instance::ServiceEntry;
use simdb_state::object::Listen;

use super::files::{self, At};
use crate::platform::PlatformError;

const MANAGED: &str = "# managed by simdb for ";

/// Looks an entry up.
pub(super) fn lookup(path: &Path, name: &str) -> Result<Observation<ServiceEntry>, PlatformError> {
    let text = read(path)?;
    let Some(section) = find(&text, name) else {
        return Ok(Observation::Absent);
    };
    if !section.ours {
        let reason = format!(
            "{} has an entry \"{name}\" that was not written by simdb",
            path.display()
        );
        return Ok(Observation::Unknown(reason));
    }
    // Ours, but no longer as we write it: it leads nowhere, and publishing it again mends it.
    Ok(parse(name, &text[section.start..section.end]).map_or(Observation::Absent, Observation::Seen))
}

/// Returns the endpoints that entries of ours are for.
pub(super) fn entries(path: &Path) -> Result<BTreeSet<EndpointAddress>, PlatformError> {
    let text = read(path)?;
    let endpoints = text.lines().filter_map(|line| line.trim().strip_prefix(MANAGED));
    Ok(endpoints.filter_map(|endpoint| endpoint.parse().ok()).collect())
}

/// Writes an entry in place of the one of the same name.
pub(super) fn publish(path: &Path, entry: &ServiceEntry) -> Result<(), PlatformError> {
    let mut text = read(path)?;
    match find(&text, &entry.name) {
        Some(section) if section.ours => text.replace_range(section.start..section.end, &print(entry)),
        Some(_) => {
            return Err(PlatformError::ForeignEntry {
                name: entry.name.clone(),
                path: path.to_owned(),
            });
        }
        None => {
            if !text.is_empty() {
                text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
            }
            text.push_str(&print(entry));
        }
    }
    write(path, &text)
}

/// Removes an entry, and with the last text the file.
pub(super) fn withdraw(path: &Path, name: &str) -> Result<(), PlatformError> {
    let mut text = read(path)?;
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
    if text.trim().is_empty() {
        files::optional(fs::remove_file(path)).at("remove file", path)?;
        return Ok(());
    }
    write(path, &text)
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

fn print(entry: &ServiceEntry) -> String {
    let join = |part: &dyn Fn(&Listen) -> String| entry.hosts.iter().map(part).collect::<Vec<_>>().join(",");
    format!(
        "[{}]\n{MANAGED}{}\nhost={}\nport={}\ndbname={}\ntarget_session_attrs={}\n",
        entry.name,
        entry.endpoint,
        join(&|listen| listen.host.to_string()),
        join(&|listen| listen.port.to_string()),
        entry.database,
        entry.session
    )
}

fn parse(name: &str, section: &str) -> Option<ServiceEntry> {
    let value = |key: &str| {
        let pairs = section.lines().filter_map(|line| line.trim().split_once('='));
        pairs.filter(|(found, _)| *found == key).map(|(_, value)| value).next()
    };
    let hosts: Vec<IpAddr> = value("host")?
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let ports: Vec<u16> = value("port")?
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    if hosts.len() != ports.len() {
        return None;
    }
    Some(ServiceEntry {
        endpoint: section
            .lines()
            .find_map(|line| line.trim().strip_prefix(MANAGED))?
            .parse()
            .ok()?,
        name: name.to_owned(),
        hosts: hosts
            .into_iter()
            .zip(ports)
            .map(|(host, port)| Listen { host, port })
            .collect(),
        database: value("dbname")?.to_owned(),
        session: value("target_session_attrs")?.to_owned(),
    })
}

fn read(path: &Path) -> Result<String, PlatformError> {
    Ok(files::optional(fs::read_to_string(path))
        .at("read file", path)?
        .unwrap_or_default())
}

fn write(path: &Path, text: &str) -> Result<(), PlatformError> {
    // A link to a file of the user's stays a link.
    let real: PathBuf = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    files::ensure_parents(&real).at("make the directories above", &real)?;
    // Readable by all, as passwords are never in it: programs of other users follow it too.
    files::replace(&real, text.as_bytes(), 0o644, None).at("write file", &real)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "# mine\n[theirs]\nhost=db.example.org\n\n# about [orders-rw]\n";

    fn entry(name: &str, ports: &[u16]) -> ServiceEntry {
        let host = "127.0.0.1".parse().unwrap();
        ServiceEntry {
            endpoint: "cluster.orders.endpoint.rw".parse().unwrap(),
            name: name.to_owned(),
            hosts: ports.iter().map(|port| Listen { host, port: *port }).collect(),
            database: "postgres".to_owned(),
            session: "read-write".to_owned(),
        }
    }

    #[test]
    fn an_entry_is_found_as_it_was_published() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/pg_service.conf");
        assert_eq!(lookup(&path, "orders-rw").unwrap(), Observation::Absent);
        for ports in [&[5432, 5433][..], &[5433]] {
            publish(&path, &entry("orders-rw", ports)).unwrap();
            publish(&path, &entry("orders-ro", ports)).unwrap();
            assert_eq!(
                lookup(&path, "orders-rw").unwrap(),
                Observation::Seen(entry("orders-rw", ports))
            );
            assert_eq!(
                lookup(&path, "orders-ro").unwrap(),
                Observation::Seen(entry("orders-ro", ports))
            );
        }
    }

    #[test]
    fn the_file_goes_with_its_last_entry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pg_service.conf");
        publish(&path, &entry("a", &[1])).unwrap();
        publish(&path, &entry("b", &[2])).unwrap();
        withdraw(&path, "a").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap().trim_start(),
            print(&entry("b", &[2]))
        );
        withdraw(&path, "b").unwrap();
        withdraw(&path, "b").unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_others_wrote_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pg_service.conf");
        fs::write(&path, THEIRS).unwrap();
        publish(&path, &entry("orders-rw", &[5432])).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("# their comment\n[more]\nport=1\n");
        fs::write(&path, text).unwrap();
        publish(&path, &entry("orders-rw", &[5433])).unwrap();
        withdraw(&path, "orders-rw").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{THEIRS}# their comment\n[more]\nport=1\n")
        );
    }

    #[test]
    fn an_entry_of_somebody_else_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pg_service.conf");
        fs::write(&path, THEIRS).unwrap();
        assert!(matches!(lookup(&path, "theirs").unwrap(), Observation::Unknown(_)));
        assert!(matches!(
            publish(&path, &entry("theirs", &[1])),
            Err(PlatformError::ForeignEntry { .. })
        ));
        withdraw(&path, "theirs").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), THEIRS);
    }

    #[test]
    fn an_entry_that_was_damaged_can_be_published_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pg_service.conf");
        publish(&path, &entry("a", &[1, 2])).unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("port=1,2", "port=1")).unwrap();
        assert_eq!(lookup(&path, "a").unwrap(), Observation::Absent);
        publish(&path, &entry("a", &[1, 2])).unwrap();
        assert_eq!(lookup(&path, "a").unwrap(), Observation::Seen(entry("a", &[1, 2])));
    }
}
