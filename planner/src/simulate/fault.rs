//! What may happen to the world at any time, by itself or by somebody's hand.

use simdb_state::address::NodeAddress;
use simdb_state::sensitive::Sensitive;

use super::{PASSWORD, World};
use crate::engine::simulated::is_seal;

/// Something that happens. A number picks one of those that it could happen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A client of each cluster writes; the standbys that these bits pick receive it at once.
    Write(u8),
    /// A server dies.
    Kill(u8),
    /// A server is halted by a signal.
    Freeze(u8),
    /// A server that was halted goes on.
    Thaw(u8),
    /// A slot is dropped by hand.
    DropSlot(u8),
    /// An endpoint's route is removed by hand.
    RemoveRoute(u8),
    /// A server removes the log that no slot retains.
    ForgetLog(u8),
    /// A standby is promoted by hand.
    Promote(u8),
    /// A verification finds that a standby holds something else than the others.
    Differ(u8),
    /// A node's data directory is removed by hand, its server being down.
    RemoveData(u8),
    /// A standby's replay is paused by hand.
    PauseReplay(u8),
    /// An endpoint's pooler dies.
    KillPooler(u8),
    /// A login is given another password by hand, on a server that writes.
    AlterPassword(u8),
}

impl World {
    /// Lets something happen, and enforces the invariants.
    pub fn inject(&mut self, fault: &Fault) {
        let nodes: Vec<NodeAddress> = self.directories.keys().cloned().collect();
        let pick = |number: u8| nodes.get(usize::from(number) % nodes.len().max(1)).cloned();
        match *fault {
            Fault::Write(receivers) => self.write_everywhere(&nodes, receivers),
            Fault::Kill(number) => pick(number).iter().for_each(|node| self.kill(node)),
            Fault::Freeze(number) => pick(number).iter().for_each(|node| self.freeze(node, true)),
            Fault::Thaw(number) => pick(number).iter().for_each(|node| self.freeze(node, false)),
            Fault::DropSlot(number) => self.drop_slot(number),
            Fault::RemoveRoute(number) => {
                let route = self.routes.keys().nth(usize::from(number) % self.routes.len().max(1));
                if let Some(route) = route.cloned() {
                    self.routes.remove(&route);
                }
            }
            Fault::ForgetLog(number) => pick(number).iter().for_each(|node| self.forget_log(node)),
            Fault::Promote(number) => pick(number).iter().for_each(|node| self.promote_by_hand(node)),
            Fault::Differ(number) => pick(number).iter().for_each(|node| self.find_different(node)),
            Fault::RemoveData(number) => pick(number).iter().for_each(|node| self.remove_data(node)),
            Fault::PauseReplay(number) => pick(number).iter().for_each(|node| self.pause_replay(node)),
            Fault::KillPooler(number) => {
                let at = usize::from(number) % self.poolers.len().max(1);
                if let Some(pooler) = self.poolers.values_mut().nth(at) {
                    (pooler.runs, pooler.paused) = (false, false);
                }
            }
            Fault::AlterPassword(number) => self.alter_password(number),
        }
        self.sound();
    }

    fn write_everywhere(&mut self, nodes: &[NodeAddress], receivers: u8) {
        let picked = nodes
            .iter()
            .enumerate()
            .filter(|(at, _)| receivers >> (at % 8) & 1 == 1);
        let receivers = picked.map(|(_, node)| node.clone()).collect();
        let clusters: std::collections::BTreeSet<_> = nodes.iter().map(|node| node.cluster.clone()).collect();
        for cluster in clusters {
            self.write(&cluster, &receivers);
        }
    }

    /// Stops a server as `kill -9` would.
    pub fn kill(&mut self, node: &NodeAddress) {
        self.faulted.insert(node.clone());
        self.directories
            .get_mut(node)
            .expect("the node has an instance directory")
            .server = None;
    }

    fn freeze(&mut self, node: &NodeAddress, frozen: bool) {
        if let Some(server) = self
            .directories
            .get_mut(node)
            .and_then(|directory| directory.server.as_mut())
        {
            server.frozen = frozen;
            self.faulted.insert(node.clone());
        }
    }

    fn promote_by_hand(&mut self, node: &NodeAddress) {
        let server = self
            .directories
            .get_mut(node)
            .and_then(|directory| directory.server.as_mut());
        let Some(server) = server.filter(|server| server.replays && !server.frozen) else {
            return;
        };
        (server.replays, server.paused, server.lacking) = (false, false, None);
        let limits = server.limits;
        let directory = self.directory(node);
        (directory.by_hand, directory.led, directory.sealed) = (true, true, false);
        // The file that made it replay goes.
        directory.files.retain(|file, _| !is_seal(file));
        if let Some(log) = self.log_mut(node) {
            log.switches.push(log.writes.len());
            log.shut_down = false;
            log.limits = limits;
        }
        self.faulted.insert(node.clone());
    }

    fn pause_replay(&mut self, node: &NodeAddress) {
        let server = self
            .directories
            .get_mut(node)
            .and_then(|directory| directory.server.as_mut());
        if let Some(server) = server.filter(|server| server.replays) {
            server.paused = true;
        }
    }

    fn drop_slot(&mut self, number: u8) {
        let slots = self
            .directories
            .iter()
            .flat_map(|(node, directory)| directory.slots.iter().map(move |slot| (node.clone(), slot.clone())));
        let slots: Vec<_> = slots.collect();
        let Some((node, slot)) = slots.get(usize::from(number) % slots.len().max(1)) else {
            return;
        };
        self.directory(node).slots.remove(slot);
        // Whoever streamed through it is faulted as well.
        let streams = self.directories.keys().filter(|other| other.node.identifier() == *slot);
        let streams: Vec<NodeAddress> = streams.cloned().collect();
        self.faulted.extend(streams);
    }

    fn alter_password(&mut self, number: u8) {
        let writers = self.directories.iter().filter(|(_, directory)| directory.writes());
        let logins = writers.flat_map(|(node, directory)| directory.passwords.keys().map(move |login| (node, login)));
        let logins: Vec<_> = logins.map(|(node, login)| (node.clone(), login.clone())).collect();
        if let Some((node, login)) = logins.get(usize::from(number) % logins.len().max(1)) {
            let altered = Sensitive::new(format!("{PASSWORD}-altered"));
            self.directory(node).passwords.insert(login.clone(), altered);
        }
    }

    fn remove_data(&mut self, node: &NodeAddress) {
        self.faulted.insert(node.clone());
        let directory = self.directory(node);
        directory.server = None;
        directory.data.clear();
        directory.slots.clear();
        directory.forgotten = 0;
        (directory.sealed, directory.led, directory.by_hand) = (false, false, false);
    }
}
