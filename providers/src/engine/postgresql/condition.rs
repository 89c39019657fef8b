//! What keeps a standby from streaming, and from being in sync: pure judgement of what two servers say.
//!
//! A standby's slot bears its `application_name`. No single view tells the truth: a standby whose replay is paused still
//! counts as `streaming` on its upstream, and one whose slot is lost still accepts connections.

use std::collections::BTreeSet;

use simdb_planner::observed::{SenderFacts, ServerFacts};
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::place::HostPort;

use super::observe::Snapshot;

/// Returns what keeps a standby from streaming; nothing when it does.
pub(crate) fn streaming(name: &str, upstream: &Snapshot, standby: &Snapshot) -> Vec<String> {
    let mut unmet = Vec::new();
    match upstream.connected.iter().filter(|connected| *connected == name).count() {
        0 => unmet.push(format!("no standby streams as {name:?}")),
        1 => {}
        count => unmet.push(format!("{count} stream as {name:?}, and must be told apart")),
    }
    if let Some(sender) = upstream.facts.senders.get(name)
        && sender.state != "streaming"
    {
        unmet.push(format!("its sender is in state {:?}", sender.state));
    }
    match &standby.facts.receiver {
        None => unmet.push("it receives nothing".to_owned()),
        Some(receiver) => {
            if receiver.status != "streaming" {
                unmet.push(format!("its receiver is in state {:?}", receiver.status));
            }
            match receiver.slot.as_deref() {
                Some(slot) if slot == name => {}
                Some(slot) => unmet.push(format!("it streams through slot {slot:?}, and must through {name:?}")),
                None => unmet.push(format!("it streams through no slot, and must through {name:?}")),
            }
        }
    }
    unmet.extend(slot(name, upstream));
    unmet
}

/// Returns how a standby streams from another server than the one that listens there, or from its past.
pub(crate) fn elsewhere(at: &HostPort, upstream: &Snapshot, standby: &Snapshot) -> Vec<String> {
    let mut unmet = Vec::new();
    // Before it streams there is more to say, and this is not known.
    let receiver = standby.facts.receiver.as_ref();
    let Some(receiver) = receiver.filter(|receiver| receiver.status == "streaming") else {
        return unmet;
    };
    if receiver.host != at.host.to_string() || receiver.port != at.port {
        unmet.push(format!(
            "it streams from {}:{}, and must from {at}",
            receiver.host, receiver.port
        ));
    }
    if standby.facts.timeline != upstream.facts.timeline {
        unmet.push(format!(
            "it is on timeline {}, and its upstream on {}",
            standby.facts.timeline, upstream.facts.timeline
        ));
    }
    unmet
}

/// Returns why a standby can never stream: it has replayed all it has, and its upstream has no log from there on.
pub(crate) fn starved(node: &NodeAddress, upstream: &ServerFacts, standby: &ServerFacts) -> Option<String> {
    let oldest = upstream.oldest.filter(|oldest| standby.position < *oldest)?;
    let ends = standby.exhausted && standby.in_recovery && standby.receiver.is_none();
    ends.then(|| {
        let node = &node.node;
        let needs = standby.position;
        format!("it needs WAL from {needs} on, and the oldest that {node} has is {oldest}")
    })
}

/// What a standby is to be in sync with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// The server it streams from: the primary, or another standby.
    pub upstream: &'a Snapshot,
    /// The primary.
    pub primary: &'a Snapshot,
    /// How far the standby must have come.
    pub marker: Lsn,
    /// Whether it may replay later.
    pub delayed: bool,
}

/// Returns whether too few standbys count for commits to be acknowledged.
pub(crate) fn too_few(synchronous: &BTreeSet<String>, awaited: u32, primary: &Snapshot) -> Option<String> {
    let counts = |sender: &SenderFacts| matches!(sender.sync_state.as_str(), "sync" | "quorum");
    let senders = primary.facts.senders.iter();
    let counted = senders
        .filter(|(name, sender)| synchronous.contains(*name) && counts(sender))
        .count();
    let enough = usize::try_from(awaited).is_ok_and(|awaited| counted >= awaited);
    (!enough).then(|| format!("commits wait for {awaited} standbys, and {counted} of those listed count"))
}

/// Returns what keeps a standby from being in sync with its primary up to a marker; nothing when it is.
pub(crate) fn in_sync(name: &str, target: Target<'_>, standby: &Snapshot) -> Vec<String> {
    let Target {
        upstream,
        primary,
        marker,
        delayed,
    } = target;
    let mut unmet = streaming(name, upstream, standby);
    let (there, here) = (&primary.facts, &standby.facts);
    if !here.in_recovery {
        unmet.push("it writes, and must only replay".to_owned());
    }
    if here.system_identifier != there.system_identifier {
        unmet.push(format!(
            "it holds the data of system {}, and the primary that of {}",
            here.system_identifier, there.system_identifier
        ));
    }
    if here.timeline != there.timeline {
        unmet.push(format!(
            "it is on timeline {}, and the primary on {}",
            here.timeline, there.timeline
        ));
    }
    if here.replay_paused {
        unmet.push("its replay is paused".to_owned());
    }
    if let Some(sender) = upstream.facts.senders.get(name)
        && sender.flushed.is_none_or(|flushed| flushed < marker)
    {
        let flushed = sender.flushed.unwrap_or(Lsn(0));
        unmet.push(format!("it has flushed up to {flushed}, and the marker is at {marker}"));
    }
    if !delayed && here.replayed < marker {
        unmet.push(format!(
            "it has replayed up to {}, and the marker is at {marker}",
            here.replayed
        ));
    }
    unmet
}

fn slot(name: &str, upstream: &Snapshot) -> Option<String> {
    let Some(slot) = upstream.facts.slots.get(name) else {
        return Some(format!("slot {name:?} is missing on its upstream"));
    };
    if !slot.active {
        return Some(format!("slot {name:?} is inactive"));
    }
    match slot.wal_status.as_deref() {
        Some("reserved" | "extended") => None,
        status => Some(format!("slot {name:?} has wal_status {:?}", status.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests;
