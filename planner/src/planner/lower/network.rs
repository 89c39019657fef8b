//! Networks: made, made again where a platform lost them, and removed, as a whole or from one of several platforms.

use std::collections::BTreeSet;

use simdb_state::address::Address;
use simdb_state::delta::Edit;
use simdb_state::name::{NetworkName, PlatformName};
use simdb_state::object::Network;

use super::{Draft, Lowering, UNRECORDED};
use crate::plan::Action;
use crate::planner::pairs::pairs;

impl Lowering<'_> {
    pub(super) fn networks(&mut self) {
        for (name, old, new) in pairs(&self.before.networks, &self.intended.networks) {
            match (old, new) {
                (old, Some(new)) => {
                    self.network(name, old, new);
                    self.leave(name, old, new);
                }
                (Some(_), None) => {
                    let address = Address::Network(name.clone());
                    let delta = vec![Edit::Drop(address.clone())];
                    let action = Action::DropNetwork {
                        network: name.clone(),
                        on: BTreeSet::new(),
                    };
                    self.push(Draft::new(address, action, self.gone, delta));
                }
                (None, None) => {}
            }
        }
    }

    /// Makes a network where it is missing. On a platform that it is to leave it stays until no node there is in it.
    fn network(&mut self, name: &NetworkName, old: Option<&Network>, new: &Network) {
        let recorded = self.recorded.networks.get(name);
        let has = |network: Option<&Network>| network.is_some_and(|network| covers(network, new));
        if has(old) && has(recorded) {
            return;
        }
        let reason = match (recorded, old) {
            (Some(recorded), Some(old)) if covers(recorded, new) => lost(old, new),
            (Some(_), None) if has(recorded) => lost_by(None),
            _ if has(old) => UNRECORDED.to_owned(),
            (Some(recorded), _) if is_alike(recorded, new) => {
                let added = new.also_on.difference(&recorded.also_on);
                format!("nodes in it are on {} as well", listed(added))
            }
            _ => "the configuration declares it".to_owned(),
        };
        let stays = old.into_iter().flat_map(|old| &old.also_on);
        let attributes = Network {
            also_on: stays.chain(&new.also_on).cloned().collect(),
            ..new.clone()
        };
        let delta = vec![Edit::Network(name.clone(), attributes.clone())];
        let action = Action::Network {
            network: name.clone(),
            attributes,
        };
        self.push(Draft::new(Address::Network(name.clone()), action, reason, delta));
    }

    /// Removes a network from the platforms on which no node is in it any more.
    fn leave(&mut self, name: &NetworkName, old: Option<&Network>, new: &Network) {
        let recorded = self.recorded.networks.get(name);
        let had = old.into_iter().chain(recorded).flat_map(|network| &network.also_on);
        let left: BTreeSet<PlatformName> = had
            .filter(|platform| !new.also_on.contains(*platform))
            .cloned()
            .collect();
        if left.is_empty() {
            return;
        }
        let reason = format!("no node in it is on {} any more", listed(left.iter()));
        let delta = vec![Edit::Network(name.clone(), new.clone())];
        let action = Action::DropNetwork {
            network: name.clone(),
            on: left,
        };
        self.push(Draft::new(Address::Network(name.clone()), action, reason, delta));
    }
}

/// Returns whether a network is all that another one is to be, and maybe more.
fn covers(network: &Network, wanted: &Network) -> bool {
    is_alike(network, wanted) && wanted.also_on.is_subset(&network.also_on)
}

fn is_alike(network: &Network, wanted: &Network) -> bool {
    (&network.platform, &network.subnet) == (&wanted.platform, &wanted.subnet)
}

/// Says which platform lost a network, where it has parts on others.
fn lost(old: &Network, wanted: &Network) -> String {
    let missing = wanted.also_on.difference(&old.also_on);
    lost_by(is_alike(old, wanted).then(|| listed(missing)).as_deref())
}

fn lost_by(platforms: Option<&str>) -> String {
    let who = platforms.unwrap_or("the platform");
    format!("drift: {who} no longer has it as simdb made it")
}

fn listed<'a>(platforms: impl Iterator<Item = &'a PlatformName>) -> String {
    let names: Vec<&str> = platforms.map(PlatformName::as_str).collect();
    names.join(", ")
}
