//! What a server is made from, and how much of its machine it may take.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How much of its machine a server may take, where its platform can limit that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes of memory; absent where it may take all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Thousandths of a processor; absent where it may take all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Bytes of its volume, where the platform gives each server a volume of some size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<u64>,
}

impl Resources {
    /// Returns whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the same with a volume of no size that anybody knows.
    #[must_use]
    pub fn without_storage(self) -> Self {
        Self { storage: None, ..self }
    }

    /// Returns whether some limit of others is none any more. Platforms change limits of a server that runs, and lift none.
    pub fn lifts(&self, others: &Resources) -> bool {
        let Self {
            memory,
            cpus,
            storage: _,
        } = self;
        (memory.is_none() && others.memory.is_some()) || (cpus.is_none() && others.cpus.is_some())
    }

    /// Returns these limits, and where there is none, that of others.
    #[must_use]
    pub fn or(self, others: Resources) -> Self {
        Self {
            memory: self.memory.or(others.memory),
            cpus: self.cpus.or(others.cpus),
            storage: self.storage.or(others.storage),
        }
    }
}

/// The image that a server is made from. Its names are shared: every stage of a plan has them for every node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Image(Arc<ImageNames>);

/// What an image is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImageNames {
    /// The name that it was asked for by; empty where nobody noted that.
    pub reference: String,
    /// What tells it from all other images.
    pub digest: String,
}

impl Image {
    /// Returns whether two names are those of one image.
    pub fn is_same(&self, other: &Image) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reference.as_str() {
            "" => f.write_str(&self.digest),
            reference => write!(f, "{reference}@{}", self.digest),
        }
    }
}

impl From<&str> for Image {
    fn from(text: &str) -> Self {
        let (reference, digest) = text.rsplit_once('@').unwrap_or(("", text));
        ImageNames {
            reference: reference.to_owned(),
            digest: digest.to_owned(),
        }
        .into()
    }
}

impl From<ImageNames> for Image {
    fn from(names: ImageNames) -> Self {
        Self(Arc::new(names))
    }
}

impl Deref for Image {
    type Target = ImageNames;

    fn deref(&self) -> &ImageNames {
        &self.0
    }
}
