//! Where a server listens, and where others reach it.
//!
//! ```text
//!   Place ─► bind      the socket, as the kernel of the place where the server runs knows it
//!         ─► peers     where the other nodes of its cluster reach it
//!         ─► clients   where clients reach it, if they do: there, or at a port that its platform publishes
//! ```
//!
//! On one machine all three are equal. How simdb itself gets there is the platform's business, and recorded nowhere.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest name of a host (RFC 1123).
const MAX_LENGTH: usize = 253;

/// The longest label of such a name.
const MAX_LABEL: usize = 63;

/// The socket that a server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bind {
    /// The address.
    pub host: IpAddr,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.host, self.port).fmt(f)
    }
}

/// Why a text is not the name of a host.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "host {0:?} must be an address, or labels of lower-case letters, digits and hyphens between dots, each of at most {MAX_LABEL} characters"
)]
pub struct HostError(String);

/// The name of a host, as DNS knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl FromStr for HostName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let is_label = |label: &str| {
            let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(letters)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // What ends in a number is an address, or the wrong spelling of one.
        let numeric = text
            .rsplit('.')
            .next()
            .is_some_and(|label| label.bytes().all(|c| c.is_ascii_digit()));
        if text.len() <= MAX_LENGTH && text.split('.').all(is_label) && !numeric {
            Ok(Self(text.into()))
        } else {
            Err(HostError(text.to_owned()))
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A host, by its address or by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// By its address.
    Ip(IpAddr),
    /// By its name.
    Name(HostName),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(address) => address.fmt(f),
            Host::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        text.parse().map(Host::Ip).or_else(|_| text.parse().map(Host::Name))
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> String {
        host.to_string()
    }
}

/// Where somebody reaches a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

impl From<Bind> for HostPort {
    fn from(Bind { host, port }: Bind) -> Self {
        Self {
            host: Host::Ip(host),
            port,
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Where a server listens, and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Place {
    /// What it listens on.
    pub bind: Bind,
    /// Where the other nodes of its cluster reach it.
    pub peers: HostPort,
    /// Where clients reach it; absent where they do not.
    pub clients: Option<HostPort>,
}

impl Place {
    /// Returns the place of a server that everybody reaches where it listens.
    pub fn shared(bind: Bind) -> Self {
        Self {
            bind,
            peers: bind.into(),
            clients: Some(bind.into()),
        }
    }

    /// Returns the place of a server that clients reach where its platform publishes it, if it does.
    pub fn at(bind: Bind, published: Option<Bind>) -> Self {
        Self {
            clients: Some(published.unwrap_or(bind).into()),
            ..Self::shared(bind)
        }
    }

    /// Returns whether the server is found by its name, and listens on every address that it has.
    pub fn is_named(&self) -> bool {
        self.bind.host.is_unspecified()
    }

    /// Returns the address at which the platform publishes the server: nothing where clients reach it where it listens.
    pub fn published(&self) -> Option<Bind> {
        let HostPort { host, port } = self.clients.as_ref()?;
        let Host::Ip(host) = *host else { return None };
        let published = Bind { host, port: *port };
        (published != self.bind).then_some(published)
    }

    /// Returns where whoever is no node of its cluster reaches the server.
    pub fn outer(&self) -> &HostPort {
        self.clients.as_ref().unwrap_or(&self.peers)
    }

    /// Returns the place as servers on other machines have it: they reach the server where clients do, for its own address is known
    /// on its machine alone.
    #[must_use]
    pub fn from_elsewhere(self) -> Self {
        Self {
            peers: self.outer().clone(),
            ..self
        }
    }

    /// Returns the place of a server that was seen to listen on a socket, and to be published: the recorded one, unless the
    /// server moved.
    pub fn seen(bind: Option<Bind>, published: Option<Bind>, recorded: Option<&Self>) -> Option<Self> {
        let moved = |bind: &Bind| recorded.is_none_or(|place| (place.bind, place.published()) != (*bind, published));
        match bind.filter(moved) {
            Some(bind) => Some(Self::at(bind, published)),
            None => recorded.cloned(),
        }
    }
}

/// A place in a document. One that everybody reaches where it listens is that address alone.
#[derive(Serialize, Deserialize)]
pub(crate) struct Written {
    host: IpAddr,
    port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reached: Option<Reached>,
}

/// Where a server is reached.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reached {
    peers: HostPort,
    clients: Option<HostPort>,
}

impl Reached {
    /// Returns where a server is reached, unless that is where it listens.
    pub(crate) fn of(place: Place) -> Option<Self> {
        let shared = Place::shared(place.bind) == place;
        let Place {
            bind: _,
            peers,
            clients,
        } = place;
        (!shared).then_some(Self { peers, clients })
    }

    /// Returns the place of a server.
    pub(crate) fn place(bind: Bind, reached: Option<Self>) -> Place {
        match reached {
            None => Place::shared(bind),
            Some(Self { peers, clients }) => Place { bind, peers, clients },
        }
    }
}

impl From<Place> for Written {
    fn from(place: Place) -> Self {
        let Bind { host, port } = place.bind;
        Self {
            host,
            port,
            reached: Reached::of(place),
        }
    }
}

impl From<Written> for Place {
    fn from(Written { host, port, reached }: Written) -> Self {
        Reached::place(Bind { host, port }, reached)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bind(port: u16) -> Bind {
        Bind {
            host: "127.0.0.1".parse().unwrap(),
            port,
        }
    }

    #[test]
    fn a_host_is_an_address_or_a_name() {
        let named = |text: &str| matches!(text.parse(), Ok(Host::Name(_)));
        assert_eq!("::1".parse(), Ok(Host::Ip("::1".parse().unwrap())));
        for name in ["a", "orders-a.simdb.svc", "0a", "1.example"] {
            assert!(named(name), "{name}");
        }
        for bad in [
            "",
            ".",
            "a.",
            "-a",
            "a-",
            "A",
            "a_b",
            "a b",
            "256.1.1.1",
            "a,b",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }

    #[test]
    fn where_a_server_is_reached_has_one_spelling() {
        let at = |host: &str| HostPort {
            host: host.parse().unwrap(),
            port: 5432,
        };
        assert_eq!(at("::1").to_string(), "[::1]:5432");
        assert_eq!(at("a.svc").to_string(), "a.svc:5432");
        assert_eq!(at("127.0.0.1"), bind(5432).into());
        assert_eq!(
            serde_json::to_value(at("a.svc")).unwrap(),
            json!({ "host": "a.svc", "port": 5432 })
        );
        assert!(serde_json::from_value::<HostPort>(json!({ "host": "a b", "port": 5432 })).is_err());
    }

    #[test]
    fn clients_reach_a_published_server_where_it_is_published() {
        let own = Bind {
            host: "172.30.0.1".parse().unwrap(),
            port: 5432,
        };
        let place = Place::at(own, Some(bind(15432)));
        assert_eq!(
            (place.published(), place.outer()),
            (Some(bind(15432)), &bind(15432).into())
        );
        assert_eq!(place.peers, own.into());
        assert_eq!(Place::at(own, None), Place::shared(own));
        assert_eq!(Place::shared(own).published(), None);
        // Its own address is known on its machine alone.
        assert_eq!(place.clone().from_elsewhere().peers, bind(15432).into());
        assert_eq!(Place::shared(own).from_elsewhere(), Place::shared(own));
        // The recorded one counts until the server is seen elsewhere, or published elsewhere.
        assert_eq!(Place::seen(None, None, Some(&place)), Some(place.clone()));
        assert_eq!(
            Place::seen(Some(own), Some(bind(15432)), Some(&place)),
            Some(place.clone())
        );
        for published in [None, Some(bind(15433))] {
            assert_eq!(
                Place::seen(Some(own), published, Some(&place)),
                Some(Place::at(own, published))
            );
        }
    }

    #[test]
    fn a_place_that_everybody_reaches_where_it_listens_is_written_as_that_address() {
        let written = json!({ "host": "127.0.0.1", "port": 5432 });
        assert_eq!(serde_json::to_value(Place::shared(bind(5432))).unwrap(), written);
        let named = Place {
            peers: HostPort {
                host: "orders-a.svc".parse().unwrap(),
                port: 5432,
            },
            clients: None,
            ..Place::shared(bind(5432))
        };
        for place in [Place::shared(bind(1)), named] {
            let written = serde_json::to_value(&place).unwrap();
            assert_eq!(serde_json::from_value::<Place>(written).unwrap(), place);
        }
    }
}
