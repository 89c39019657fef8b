//! Two maps side by side: what is there, and what should be.

use std::collections::BTreeMap;

/// Returns the keys of both maps in order, each with what either holds for it.
pub(super) fn pairs<'a, K: Ord, A, B>(
    before: &'a BTreeMap<K, A>,
    after: &'a BTreeMap<K, B>,
) -> impl Iterator<Item = (&'a K, Option<&'a A>, Option<&'a B>)> {
    let gone = before
        .iter()
        .filter(|(key, _)| !after.contains_key(key))
        .map(|(key, old)| (key, Some(old), None));
    let there = after.iter().map(|(key, new)| (key, before.get(key), Some(new)));
    gone.chain(there)
}
