//! The image that a server is made from, where its platform has images.

use simdb_state::object::Election;

use super::cluster::Declaration;
use crate::observed::{NodeFacts, Observation, ProcessFacts};
use crate::planner::intended::Lead;

impl Declaration<'_> {
    /// Returns the image that the server of a node is made from: the one that it has, as long as that is the one of its version,
    /// or nobody knows which one that is.
    pub(super) fn image(&self, version: u16, facts: Option<&NodeFacts>) -> Option<String> {
        let names = self
            .inputs
            .observed
            .platform(&self.spec.platform)
            .images(self.spec.engine, version);
        let has = facts.and_then(|facts| facts.image.as_ref());
        let has = has.filter(|has| names.is_empty() || names.contains(has));
        has.or(names.first()).cloned()
    }

    /// Returns the election of a standby in place of a primary that gets another image: standbys are replaced while it serves, and
    /// it is replaced while one of them does. Where `primary` says who leads, or nobody can take over, it stays, and is
    /// replaced in place.
    pub(super) fn replaced(&self, last: &Election) -> Option<Election> {
        let version = self.before.clusters.get(self.name)?.version;
        let facts = self
            .inputs
            .observed
            .nodes
            .get(&self.address(&last.primary))
            .and_then(Observation::seen)?;
        let runs = matches!(facts.process, ProcessFacts::Running { .. });
        let outdated = runs && facts.image.is_some() && self.image(version, Some(facts)) != facts.image;
        let free = self.inputs.proposal.is_none() && self.spec.primary.is_none();
        let settled = self.lead(&last.primary) == Lead::Stays && !self.field(last).is_pending();
        if !(outdated && free && settled) {
            return None;
        }
        self.switchover(last, None)
            .ok()
            .filter(|next| next.primary != last.primary)
    }
}
