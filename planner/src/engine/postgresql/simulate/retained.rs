//! How much of its log a node still has, and what becomes of those who need what is gone.

use crate::simulate::{InstanceDirectory, World};
use simdb_state::address::NodeAddress;
use simdb_state::delta::{Delta, Edit, Outputs};
use simdb_state::object::Damage;

impl World {
    /// Lets a server remove the log that no slot retains. A slot that was made too late retains nothing of what its standby
    /// needs.
    pub(crate) fn forget_log(&mut self, node: &NodeAddress) {
        let Some(all) = self.log(node).map(|log| log.writes.len()) else {
            return;
        };
        let directory = &self.directories[node];
        let retained = self.directories.keys().filter_map(|other| {
            let slot = other.node.identifier();
            let streams =
                other.cluster == node.cluster && directory.slots.contains(&slot) && !directory.lost.contains(&slot);
            self.newest(other).filter(|has| streams && *has >= directory.forgotten)
        });
        let forgotten = retained.min().unwrap_or(all).min(all).max(directory.forgotten);
        self.begin_log(node, forgotten);
    }

    /// The log of a node begins there, and who has less can no longer stream from it.
    pub(crate) fn begin_log(&mut self, node: &NodeAddress, forgotten: usize) {
        self.directory(node).forgotten = forgotten;
        let of_cluster = self.directories.keys().filter(|other| other.cluster == node.cluster);
        let behind = of_cluster.filter(|other| self.newest(other).is_some_and(|has| has < forgotten));
        let behind: Vec<NodeAddress> = behind.cloned().collect();
        self.faulted.extend(behind);
    }

    /// Returns how many writes the newest data of a node holds.
    fn newest(&self, node: &NodeAddress) -> Option<usize> {
        let (generation, _) = self.directories.get(node)?.data.last_key_value()?;
        Some(self.logs.get(&(node.clone(), *generation))?.writes.len())
    }

    /// Returns whether a server needs log that another one no longer has.
    pub(crate) fn is_starved(&self, node: &NodeAddress, upstream: &NodeAddress) -> bool {
        let forgotten = self
            .directories
            .get(upstream)
            .map_or(0, |directory| directory.forgotten);
        self.log(node).is_some_and(|log| log.writes.len() < forgotten)
    }

    /// A standby that waits for log that is gone is found out by the step that waits for it, which records that.
    pub(crate) fn find_starved(&mut self, node: &NodeAddress, upstream: &NodeAddress) -> Result<(), String> {
        if !self.is_starved(node, upstream) {
            return Ok(());
        }
        let reason = format!("{upstream} no longer has the log that {node} needs");
        let damage = Damage::Unrecoverable(reason.clone());
        let found = Delta(vec![Edit::Damage(node.clone(), Some(damage))]);
        self.state.apply(&found, &Outputs::default());
        Err(reason)
    }

    /// A verification finds that the data of a standby differs from the others', and records it.
    pub(crate) fn find_different(&mut self, node: &NodeAddress) {
        let replays = self.directories[node]
            .server
            .as_ref()
            .is_some_and(|server| server.replays);
        let cluster = &node.cluster;
        let leader = self.state.leader(cluster);
        let elected = self.state.elections.get(cluster).map(|election| &election.primary);
        let compares = leader.is_some_and(|leader| {
            elected == Some(&leader.node) && self.directories.get(leader).is_some_and(InstanceDirectory::writes)
        });
        if replays && compares {
            self.faulted.insert(node.clone());
            let damage = Damage::Differs("a table holds fewer rows".to_owned());
            let found = Delta(vec![Edit::Damage(node.clone(), Some(damage))]);
            self.state.apply(&found, &Outputs::default());
        }
    }

    /// A node whose data was found to differ is neither elected nor promoted, unless a loss was accepted. One that led last
    /// has what was acknowledged: the lead stays with it where an election is taken back.
    pub(crate) fn is_not_known_to_differ(&self, node: &NodeAddress) {
        let recorded = self.state.nodes.get(node).and_then(|node| node.damage.as_ref());
        let differs = matches!(recorded, Some(Damage::Differs(_)));
        let led_last = self
            .directories
            .get(node)
            .is_some_and(|directory| directory.led && !directory.by_hand);
        assert!(
            !differs || led_last || self.lossy || self.faulted.contains(node),
            "{node} comes to lead, and its data is known to differ"
        );
    }
}
