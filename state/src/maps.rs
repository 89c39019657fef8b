//! Maps that take no more memory than they hold: those of a few entries, of which plans hold tens of thousands, and those of tens of
//! thousands of entries.

use std::collections::BTreeMap;
use std::mem;
use std::ops::{Deref, DerefMut};

use litemap::LiteMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Makes a map anew whose entries were added in their order: they left the leaves of its B-tree half empty.
pub(crate) fn pack<K: Ord, V>(map: &mut BTreeMap<K, V>) {
    *map = mem::take(map).into_iter().collect();
}

/// A few values by name, in the order of the names: a vector, where the smallest B-tree has room for eleven. It is written as a map,
/// even where it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<V>(LiteMap<String, V>);

impl<V> Few<V> {
    /// Makes a map without entries.
    pub fn new() -> Self {
        Self(LiteMap::new())
    }
}

impl<V> Default for Few<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Deref for Few<V> {
    type Target = LiteMap<String, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<V> DerefMut for Few<V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<V> FromIterator<(String, V)> for Few<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<'a, V> IntoIterator for &'a Few<V> {
    type Item = (&'a String, &'a V);
    type IntoIter = <&'a LiteMap<String, V> as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        (&self.0).into_iter()
    }
}

impl<V> IntoIterator for Few<V> {
    type Item = (String, V);
    type IntoIter = <LiteMap<String, V> as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<V: Serialize> Serialize for Few<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Few<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LiteMap::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_written_as_one_and_read_again() {
        for text in ["{}", r#"{"a":1,"b":2}"#] {
            let read: Few<u8> = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }
}
