//! What a system still has of something that should be gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Returns the processes whose working directory is a directory or below it. Zombies have none and do not count.
pub fn processes_below(directory: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let working = fs::read_link(entry.path().join("cwd")).ok()?;
            working.starts_with(directory).then_some(process)
        })
        .collect()
}

/// Returns the processes whose standard input is a file.
pub fn started_with(file: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let input = fs::read_link(entry.path().join("fd/0")).ok()?;
            (input == file).then_some(process)
        })
        .collect()
}

/// Returns the TCP ports that something listens on, whatever the address.
pub fn listening_ports() -> BTreeSet<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (_, port) = fields.next()?.rsplit_once(':')?;
            (fields.nth(1)? == LISTEN).then(|| u16::from_str_radix(port, 16).ok())?
        })
        .collect()
}

/// Returns every file below a directory, or none where the directory is not there. Empty directories do not count.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_below(&entry.path())),
            _ => files.push(entry.path()),
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listening_port_is_seen_until_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listening_ports().contains(&port));
        drop(listener);
        assert!(!listening_ports().contains(&port));
    }

    #[test]
    fn files_are_found_at_any_depth_and_empty_directories_are_not_files() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        assert_eq!(files_below(root.path()), Vec::<PathBuf>::new());
        fs::write(root.path().join("a/b/c"), "").unwrap();
        assert_eq!(files_below(root.path()), [root.path().join("a/b/c")]);
    }
}
