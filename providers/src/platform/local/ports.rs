//! Finds the TCP ports that something listens on, by reading what the kernel knows: nothing is connected to or bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;

use simdb_state::instance::LOOPBACK;
use simdb_state::object::Listen;

use super::process;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Who listens where we may not see it.
const UNKNOWN: &str = "a process of another user";

/// Returns the ports in use, with who uses them.
pub(super) fn busy() -> BTreeMap<u16, String> {
    let mut sockets = BTreeMap::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A kernel without IPv6 has no second file.
        sockets.extend(
            fs::read_to_string(file)
                .unwrap_or_default()
                .lines()
                .filter_map(listener),
        );
    }
    let owners = owners(&sockets);
    let mut ports = BTreeMap::new();
    for (inode, port) in sockets {
        match owners.get(&inode) {
            Some(owner) => drop(ports.insert(port, owner.clone())),
            None => drop(ports.entry(port).or_insert_with(|| UNKNOWN.to_owned())),
        }
    }
    ports
}

/// Returns where a process listens; of several places a loopback address comes first. Nothing where it does not listen,
/// or we may not see it.
pub(super) fn listen(process: u32) -> Option<Listen> {
    let own: BTreeSet<u64> = sockets_of(process).collect();
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let places = text.lines().filter_map(|line| {
        let (inode, port) = listener(line).filter(|(inode, _)| own.contains(inode))?;
        Some((
            inode,
            Listen {
                host: address(line)?,
                port,
            },
        ))
    });
    let place = places.min_by_key(|(inode, place)| (!place.host.is_loopback(), *inode));
    place.map(|(_, place)| match place {
        // Who listens everywhere is reached on this machine, too.
        Listen { host, port } if host.is_unspecified() => Listen { host: LOOPBACK, port },
        place => place,
    })
}

/// Reads the local address from a line of `/proc/net/tcp`: the bytes as they are in memory, as one number.
fn address(line: &str) -> Option<IpAddr> {
    let (address, _) = line.split_ascii_whitespace().nth(1)?.rsplit_once(':')?;
    let number = u32::from_str_radix(address, 16).ok()?;
    Some(IpAddr::from(number.to_ne_bytes()))
}

/// Reads the inode and port of a listening socket from a line of `/proc/net/tcp`.
fn listener(line: &str) -> Option<(u64, u16)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    Some((fields.get(9)?.parse().ok()?, u16::from_str_radix(port, 16).ok()?))
}

/// Returns the inodes of the sockets that a process has open.
fn sockets_of(process: u32) -> impl Iterator<Item = u64> {
    let links = fs::read_dir(format!("/proc/{process}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let targets = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
}

/// Returns who holds the sockets. Of several processes the oldest counts: servers hand sockets down to their children.
fn owners(sockets: &BTreeMap<u64, u16>) -> BTreeMap<u64, String> {
    let mut owners = BTreeMap::new();
    if sockets.is_empty() {
        return owners;
    }
    let mut processes = process::all();
    processes.sort_by_key(process::Process::age_order);
    for process in processes {
        if owners.len() == sockets.len() {
            break;
        }
        for inode in sockets_of(process.pid).filter(|inode| sockets.contains_key(inode)) {
            let owner = || format!("{} (pid {})", process.name, process.pid);
            owners.entry(inode).or_insert_with(owner);
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listening_port_is_busy_with_its_process() {
        for address in ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"] {
            // A machine without IPv6 has nothing to see there.
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            let owner = busy().remove(&port).unwrap();
            assert!(owner.ends_with(&format!("(pid {})", std::process::id())), "{owner}");
        }
    }

    #[test]
    fn a_process_is_found_where_it_listens() {
        // Other tests of this process may listen elsewhere at the same time.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listen(std::process::id()).unwrap();
        assert!(found.host.is_loopback());
        assert_eq!(listen(u32::MAX), None);
        drop(listener);
        let line =
            "   0: 0200007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4711 1 0";
        if cfg!(target_endian = "little") {
            assert_eq!(address(line), Some("127.0.0.2".parse().unwrap()));
        }
    }

    #[test]
    fn only_listening_sockets_count() {
        let line = |state: &str| {
            format!(
                "   0: 0100007F:1538 00000000:0000 {state} 00000000:00000000 00:00000000 00000000   101        0 4711 1 0"
            )
        };
        assert_eq!(listener(&line("0A")), Some((4711, 5432)));
        assert_eq!(listener(&line("01")), None);
        assert_eq!(listener("  sl  local_address rem_address   st"), None);
    }
}
