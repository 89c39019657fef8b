//! The image that a server is made from, where its platform has images.

use simdb_state::address::NodeAddress;
use simdb_state::object::Election;

use super::cluster::Declaration;
use crate::observed::{NodeFacts, Observation, ProcessFacts};
use crate::planner::intended::{ImageGoal, Lead};

impl Declaration<'_> {
    /// Returns the image that the server of a node is made from: the one that it has, as long as that is the one of its version,
    /// or nobody knows which one that is. A record that stands for a configuration declares the one that it holds.
    pub(super) fn image(&self, address: &NodeAddress, version: u16, facts: Option<&NodeFacts>) -> ImageGoal {
        let spec = self.spec.nodes.get(&address.node);
        if let Some(declared) = spec.and_then(|spec| spec.image.as_ref()) {
            return ImageGoal::Known(declared.clone());
        }
        let name = spec.map_or(&self.spec.platform, |spec| self.spec.platform_of(spec));
        let platform = self.inputs.observed.platform(name);
        let names = platform.images(self.spec.engine, version);
        let before = self.before.nodes.get(address).and_then(|node| node.image.as_ref());
        let has = before.or(facts.and_then(|facts| facts.image.as_ref()));
        let fits = |has: &&_| facts.is_none() || names.is_empty() || names.iter().any(|name| name.is_same(has));
        match has.filter(fits).or(names.first()) {
            Some(image) => ImageGoal::Known(image.clone()),
            None if platform.images.contains_key(&self.spec.engine) => ImageGoal::Fetched,
            None => ImageGoal::None,
        }
    }

    /// Returns the election of a standby in place of a primary that gets another image: standbys are replaced while it serves, and
    /// it is replaced while one of them does. Where `primary` says who leads, or nobody can take over, it stays, and is
    /// replaced in place.
    pub(super) fn replaced(&self, last: &Election) -> Option<Election> {
        let version = self.before.clusters.get(self.name)?.version;
        let address = self.address(&last.primary);
        let facts = self.inputs.observed.nodes.get(&address).and_then(Observation::seen)?;
        let runs = matches!(facts.process, ProcessFacts::Running { .. });
        let wanted = self.image(&address, version, Some(facts));
        let wanted = wanted.known().zip(facts.image.as_ref());
        let outdated = runs && wanted.is_some_and(|(wanted, has)| !wanted.is_same(has));
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
