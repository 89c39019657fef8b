//! Finds the TCP ports that something listens on, by reading what the kernel knows: nothing is connected to or bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simdb_state::instance::LOOPBACK;
use simdb_state::place::Bind;

use super::process;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Who listens where we may not see it.
const UNKNOWN: &str = "a process of another user";

/// Where the kernel says from which port on a process without root's rights may listen.
const UNPRIVILEGED: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Returns the lowest port that servers may listen on, none of which runs as root. A kernel that does not say leaves it
/// to the server to find out.
pub(super) fn lowest() -> u16 {
    let text = fs::read_to_string(UNPRIVILEGED).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Returns the ports in use by address, with who uses them.
pub(super) fn busy() -> BTreeMap<u16, BTreeMap<IpAddr, String>> {
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
    let mut ports: BTreeMap<u16, BTreeMap<IpAddr, String>> = BTreeMap::new();
    for (inode, Bind { host, port }) in sockets {
        let hosts = ports.entry(port).or_default();
        match owners.get(&inode) {
            Some(owner) => drop(hosts.insert(host, owner.clone())),
            None => drop(hosts.entry(host).or_insert_with(|| UNKNOWN.to_owned())),
        }
    }
    ports
}

/// Returns where a process listens; of several places a loopback address comes first. Nothing where it does not listen,
/// or we may not see it.
pub(super) fn listen(process: u32) -> Option<Bind> {
    let own: BTreeSet<u64> = sockets_of(process).collect();
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let places = text.lines().filter_map(listener);
    let places = places.filter(|(inode, _)| own.contains(inode));
    let place = places.min_by_key(|(inode, place)| (!place.host.is_loopback(), *inode));
    place.map(|(_, place)| match place {
        // Who listens everywhere is reached on this machine, too.
        Bind { host, port } if host.is_unspecified() => Bind { host: LOOPBACK, port },
        place => place,
    })
}

/// Reads an address: the bytes as they are in memory, as numbers of 32 bits. Who listens on all addresses of IPv6 does on
/// those of IPv4, too, and clients that ask for `localhost` may come to the one of either.
fn address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for start in (0..text.len()).step_by(8) {
        let number = u32::from_str_radix(text.get(start..start + 8)?, 16).ok()?;
        bytes.extend(number.to_ne_bytes());
    }
    if let Ok(bytes) = <[u8; 4]>::try_from(&bytes[..]) {
        return Some(bytes.into());
    }
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    Some(match address.to_canonical() {
        address if address.is_unspecified() => Ipv4Addr::UNSPECIFIED.into(),
        address if address.is_loopback() && address.is_ipv6() => LOOPBACK,
        address => address,
    })
}

/// Reads the inode and the place of a listening socket from a line of `/proc/net/tcp` or `/proc/net/tcp6`.
fn listener(line: &str) -> Option<(u64, Bind)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (host, port) = fields.get(1)?.rsplit_once(':')?;
    let host = address(host)?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((fields.get(9)?.parse().ok()?, Bind { host, port }))
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
fn owners(sockets: &BTreeMap<u64, Bind>) -> BTreeMap<u64, String> {
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
            let at = listener.local_addr().unwrap();
            let host = if at.is_ipv4() { at.ip() } else { LOOPBACK };
            let owner = busy()[&at.port()][&host].clone();
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
        if cfg!(target_endian = "little") {
            let read = |text| address(text).map(|address| address.to_string()).unwrap_or_default();
            assert_eq!(read("0200007F"), "127.0.0.2");
            assert_eq!(read("00000000000000000000000001000000"), LOOPBACK.to_string());
            assert_eq!(read("0000000000000000FFFF00000200007F"), "127.0.0.2");
            assert_eq!(read("B80D0120000000000000000001000000"), "2001:db8::1");
        }
        assert_eq!(address(&"0".repeat(32)), Some("0.0.0.0".parse().unwrap()));
        assert_eq!((address(""), address("02"), address("lan")), (None, None, None));
    }

    #[test]
    fn only_listening_sockets_count() {
        let line = |state: &str| {
            format!(
                "   0: 0100007F:1538 00000000:0000 {state} 00000000:00000000 00:00000000 00000000   101        0 4711 1 0"
            )
        };
        let found = listener(&line("0A"));
        assert_eq!(found.map(|(inode, at)| (inode, at.port)), Some((4711, 5432)));
        assert_eq!(listener(&line("01")), None);
        assert_eq!(listener("  sl  local_address rem_address   st"), None);
    }
}
