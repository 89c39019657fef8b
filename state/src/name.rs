//! Names of things, each a type of its own; `FromStr` is the validation.
//!
//! A name starts with a lower-case letter and holds up to 30 lower-case letters, digits and hyphens, so that it is
//! legal as a container, host and file name as it stands, and as a slot and `application_name` once `-` becomes `_`.
//! Users and databases may also have underscores, as most of them do: nothing outside a server is called after them.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest name, so that cluster, node and index together stay under a host name's 63 characters.
pub const MAX_LENGTH: usize = 30;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{kind} name {text:?} must start with a lower-case letter and hold at most {MAX_LENGTH} lower-case letters, digits{} and hyphens",
    if allows_underscores(.kind) { ", underscores" } else { "" }
)]
pub struct NameError {
    kind: &'static str,
    text: String,
}

/// What platforms are called in messages.
const PLATFORM: &str = "platform";

fn allows_underscores(kind: &str) -> bool {
    matches!(kind, "user" | "database")
}

fn is_name(kind: &str, text: &str) -> bool {
    match text.split_once('.').filter(|_| kind == PLATFORM) {
        Some((platform, alias)) => is_word(PLATFORM, platform) && is_word("user", alias),
        None => is_word(kind, text),
    }
}

fn is_word(kind: &str, text: &str) -> bool {
    text.len() <= MAX_LENGTH
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || (b == b'_' && allows_underscores(kind))
        })
}

/// How many names are shared at most; further ones have a text of their own.
const MAX_SHARED: usize = 4096;

thread_local! {
    /// The names that were read. What is declared, recorded and seen of one cluster has the same few names thousands of times:
    /// they take the room of one, and are equal without a look at their letters.
    static SHARED: RefCell<HashSet<Arc<str>>> = RefCell::default();
}

/// Returns the text of a name, which equal ones have in common.
fn shared(text: &str) -> Arc<str> {
    SHARED.with_borrow_mut(|known| {
        if let Some(name) = known.get(text) {
            return Arc::clone(name);
        }
        let name: Arc<str> = text.into();
        if known.len() < MAX_SHARED {
            known.insert(Arc::clone(&name));
        }
        name
    })
}

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        // Shared: a plan names every node dozens of times.
        pub struct $type(Arc<str>);

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                // Most are compared with a copy of themselves, within the address of a node.
                if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $type {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if is_name($kind, text) { Ok(Self(shared(text))) } else { Err(NameError { kind: $kind, text: text.to_owned() }) }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )*};
}

names! {
    /// The name of a platform, where servers run: its kind, and, where several of that are set up, an alias after a dot.
    PlatformName = "platform";
    /// The name of a network.
    NetworkName = "network";
    /// The name of a cluster.
    ClusterName = "cluster";
    /// The name of a node block; with `count` several nodes share it.
    NodeBlock = "node";
    /// The name of a login in the database.
    UserName = "user";
    /// The name of a database.
    DatabaseName = "database";
    /// The name of a seed.
    SeedName = "seed";
    /// The name of an endpoint.
    EndpointName = "endpoint";
}

impl PlatformName {
    /// Returns what kind of platform it is, which is what stands before the dot.
    pub fn kind(&self) -> &str {
        self.as_str().split_once('.').map_or(self.as_str(), |(kind, _)| kind)
    }

    /// Returns what tells it from others of its kind, which is what stands after the dot.
    pub fn alias(&self) -> Option<&str> {
        self.as_str().split_once('.').map(|(_, alias)| alias)
    }
}

/// The name of one node: `a`, or `r[0]` where its block has a `count`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName {
    block: NodeBlock,
    index: Option<u32>,
}

impl NodeName {
    /// Names the node of a block without `count`.
    pub fn single(block: NodeBlock) -> Self {
        Self { block, index: None }
    }

    /// Names one node of a block with `count`.
    pub fn indexed(block: NodeBlock, index: u32) -> Self {
        Self {
            block,
            index: Some(index),
        }
    }

    /// Returns the block the node comes from.
    pub fn block(&self) -> &NodeBlock {
        &self.block
    }

    /// Returns the node's place in its block, where the block has a `count`.
    pub fn index(&self) -> Option<u32> {
        self.index
    }

    /// Returns the name as a host, container and directory name: `r[0]` is `r-0`.
    pub fn host(&self) -> String {
        match self.index {
            None => self.block.to_string(),
            Some(index) => format!("{}-{index}", self.block),
        }
    }

    /// Returns the name as a replication slot and `application_name`, which allow no hyphen: `r[0]` is `r_0`.
    pub fn identifier(&self) -> String {
        self.host().replace('-', "_")
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => f.pad(self.block.as_str()),
            Some(index) => f.pad(&format!("{}[{index}]", self.block)),
        }
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError {
            kind: "node",
            text: text.to_owned(),
        };
        let Some((block, rest)) = text.split_once('[') else {
            return Ok(Self::single(text.parse()?));
        };
        let digits = rest.strip_suffix(']').ok_or_else(wrong)?;
        let index: u32 = digits.parse().map_err(|_| wrong())?;
        // `r[00]` and `r[+1]` parse as numbers, and would be second spellings of one node.
        if index.to_string() != digits {
            return Err(wrong());
        }
        Ok(Self::indexed(block.parse().map_err(|_| wrong())?, index))
    }
}

impl TryFrom<String> for NodeName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> String {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_and_hyphens() {
        for good in ["a", "orders", "r-0", "a23456789012345678901234567890"] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "A",
            "0a",
            "-a",
            "a_b",
            "a.b",
            "a2345678901234567890123456789012",
            "ä",
        ] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
        assert!("app_rw".parse::<UserName>().is_ok() && "_a".parse::<UserName>().is_err());
    }

    #[test]
    fn equal_names_share_their_text() {
        let (one, other): (ClusterName, ClusterName) = ("orders".parse().unwrap(), "orders".parse().unwrap());
        assert!(Arc::ptr_eq(&one.0, &other.0));
        for number in 0..2 * MAX_SHARED {
            let name = format!("n{number}");
            assert_eq!(name.parse::<ClusterName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_node_name_has_one_spelling() {
        let node: NodeName = "r[10]".parse().unwrap();
        assert_eq!(
            (node.to_string(), node.host(), node.identifier()),
            ("r[10]".into(), "r-10".into(), "r_10".into())
        );
        for bad in ["r[", "r[]", "r[01]", "r[+1]", "r[-1]", "r[1]x", "[1]", "r[4294967296]"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nodes_sort_by_number_not_by_text() {
        let mut nodes: Vec<NodeName> = ["r[10]", "r[2]", "a"].iter().map(|n| n.parse().unwrap()).collect();
        nodes.sort();
        assert_eq!(
            nodes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["a", "r[2]", "r[10]"]
        );
    }
}
