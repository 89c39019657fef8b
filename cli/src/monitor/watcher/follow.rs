//! What the watcher takes over from the record: clusters, nodes, failovers, pauses, and whether it may decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use simdb_planner::desired::Desired;
use simdb_planner::watch::{Standing, WARM_UP, Work};
use simdb_state::address::NodeAddress;
use simdb_state::backend::Lease;
use simdb_state::claim::Right;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{ElectionReason, Node, State, Weekday};
use simdb_state::shared::Shared;
use simdb_state::store;

use super::{STORE_LIMIT, Watcher};
use crate::monitor::board::Kind;
use crate::monitor::node::{Asked, NodeWatch};
use crate::session;

impl Watcher {
    /// Finds out whether this monitor may decide, and tells of it where that changes.
    pub(super) fn stand(&mut self) {
        let away = self.seen.is_away(STORE_LIMIT);
        let standing = match (&self.seen.right, self.seen.until) {
            _ if away => Standing::Observes("the state does not answer".to_owned()),
            (Some(Right::Elsewhere(who)), _) => Standing::Observes(format!("the monitor of {who} decides")),
            _ if self.now() < WARM_UP => Standing::Observes("it has just started".to_owned()),
            (Some(Right::Held), Some(until)) if Instant::now() < until => Standing::Decides,
            (Some(Right::Held), _) => Standing::Observes("its right to decide ran out".to_owned()),
            (None, _) => Standing::Observes("it has not asked for the right to decide yet".to_owned()),
        };
        if standing == self.standing {
            return;
        }
        if !away && std::mem::take(&mut self.was_away) {
            self.tell(Kind::StoreBack, (None, None), "the state answers again");
        }
        self.was_away |= away;
        self.standing = standing.clone();
        match standing {
            Standing::Decides => self.tell(Kind::TookOver, (None, None), "this monitor decides"),
            Standing::Observes(why) => {
                let kind = if away { Kind::StoreAway } else { Kind::Passive };
                self.tell(kind, (None, None), format!("this monitor only observes: {why}"));
            }
        }
    }

    /// Returns what somebody else does on a cluster, under its lock.
    pub(super) fn at_work(&mut self, cluster: &ClusterName) -> Option<Work> {
        let works = self.seen.works.iter().filter(|seen| !seen.is_over());
        let works = works.map(|seen| &seen.work).filter(|work| {
            let owner = &work.lease.owner;
            owner.extent.contains(cluster) && owner.place != self.owner.place
        });
        let works: Vec<&store::Work> = works.collect();
        let watched = self.clusters.get_mut(cluster)?;
        watched.work.follow(cluster, &self.seen.state, &works, Instant::now())
    }

    /// Returns who else is at work, and on what.
    pub(super) fn others_at_work(&self) -> Option<String> {
        let works = self.seen.works.iter().filter(|seen| !seen.is_over());
        let owners = works.map(|seen| &seen.work.lease.owner);
        let others = owners.filter(|owner| owner.place != self.owner.place);
        let told: Vec<String> = others
            .map(|owner| format!("{} ({})", owner.who, owner.operation))
            .collect();
        (!told.is_empty()).then(|| told.join(", "))
    }

    /// Returns the holdings of the lock that stand still for longer than they may.
    pub(super) fn stale(&self) -> Vec<Lease> {
        let stale = self.seen.works.iter().filter(|seen| seen.is_over());
        stale.map(|seen| seen.work.lease.clone()).collect()
    }

    /// Takes over what the record says by now: clusters, nodes, pauses.
    pub(super) fn follow_record(&mut self) {
        let next = Arc::clone(&self.stored.borrow_and_update());
        let changed = next.serial != self.seen.serial || self.number <= 1;
        let before = std::mem::replace(&mut self.seen, next);
        if changed {
            self.follow_leads(&before.state);
            self.follow_failovers(&before.state);
            self.follow_nodes();
        }
        let names: Vec<ClusterName> = self.clusters.keys().cloned().collect();
        for name in names {
            self.follow_pause(&name);
        }
    }

    /// Notes who leads now where another node did before.
    fn follow_leads(&mut self, before: &State) {
        for (name, watched) in &mut self.clusters {
            let leader = self.seen.state.leader(name);
            if let Some(leader) = leader.filter(|leader| before.leader(name) != Some(*leader)) {
                watched.memory.led_by(&leader.node);
            }
        }
    }

    fn follow_failovers(&mut self, before: &State) {
        let (now, state) = (self.now(), Arc::clone(&self.seen.state));
        for (name, election) in &state.elections {
            let known = before.elections.get(name).is_none_or(|last| last.term == election.term);
            if election.reason != ElectionReason::Failover {
                continue;
            }
            if let Some(watched) = self.clusters.get_mut(name)
                && !known
            {
                watched.memory.failed_over(Duration::ZERO, now);
            }
            let led = before.elections.get(name).and_then(|last| last.switch.as_ref());
            if let Some(switch) = election.switch.as_ref().filter(|switch| Some(*switch) != led) {
                let text = format!(
                    "{} leads since {} (term {}{}). Acknowledged writes: {}",
                    election.primary,
                    switch.point,
                    election.term,
                    switch.on_timeline(),
                    switch.verdict
                );
                self.tell(Kind::FailedOver, (Some(name), Some(&election.primary)), text);
            }
        }
    }

    fn follow_nodes(&mut self) {
        let (now, state) = (self.now(), Arc::clone(&self.seen.state));
        self.clusters.retain(|name, _| state.clusters.contains_key(name));
        for name in state.clusters.keys() {
            let watched = self.clusters.entry(name.clone()).or_default();
            let nodes = state.nodes_of(name).filter(|(_, node)| node.data.is_some());
            let names: BTreeSet<NodeName> = nodes.map(|(address, _)| address.node.clone()).collect();
            watched.memory.keep(&names);
            for node in &names {
                watched.memory.ask(node, now);
            }
        }
        let placed = |(address, node): (&NodeAddress, &Shared<Node>)| {
            let place = node.place.clone()?;
            let generation = node.data.as_ref()?.generation;
            Some((address.clone(), (place, generation)))
        };
        let wanted: BTreeMap<_, _> = state.nodes.iter().filter_map(placed).collect();
        self.nodes.retain(|address, (asked, _)| {
            wanted
                .get(address)
                .is_some_and(|(place, generation)| *place == asked.place && Some(*generation) == asked.generation)
        });
        let missing: Vec<_> = wanted
            .into_iter()
            .filter(|(address, _)| !self.nodes.contains_key(address))
            .collect();
        if missing.is_empty() {
            return;
        }
        let Some(settings) = self.seen.settings.clone() else {
            return;
        };
        let world = self.ground.project.world_of(
            self.ground.store.lineage(),
            settings,
            session::platforms(&state, &Desired::default()),
        );
        // What platforms find out once is known before a lost primary waits for it.
        let known = world.clone();
        tokio::spawn(async move { drop(known.facts().await) });
        for (node, (place, generation)) in missing {
            let asked = Asked {
                world: world.clone(),
                secrets: Arc::clone(&self.seen.secrets),
                node: node.clone(),
                place,
                generation: Some(generation),
            };
            let watch = NodeWatch::start(&asked, &self.to_inbox);
            self.nodes.insert(node, (asked, watch));
        }
    }

    fn follow_pause(&mut self, name: &ClusterName) {
        let at = Timestamp::now();
        let pause = self
            .seen
            .pauses
            .get(name)
            .filter(|pause| pause.holds(at.as_second()))
            .cloned();
        let windows = self
            .seen
            .state
            .clusters
            .get(name)
            .map(|cluster| &cluster.failover.maintenance);
        let utc = at.to_zoned(TimeZone::UTC);
        let day = Weekday::ALL[usize::from(utc.weekday().to_monday_zero_offset().unsigned_abs()) % 7];
        let minute = u16::from(utc.hour().unsigned_abs()) * 60 + u16::from(utc.minute().unsigned_abs());
        let maintained = windows.is_some_and(|windows| windows.iter().any(|window| window.is_open(day, minute)));
        let Some(watched) = self.clusters.get_mut(name) else {
            return;
        };
        let was = std::mem::replace(&mut watched.memory.paused, pause.is_some());
        watched.memory.maintained = maintained;
        watched.memory.cut_off = self.seen.cut_off.contains(name);
        watched.pause.clone_from(&pause);
        match (was, pause) {
            (false, Some(pause)) => {
                let why = pause.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                self.tell(
                    Kind::Paused,
                    (Some(name), None),
                    format!("paused by {}{why}", pause.who),
                );
            }
            (true, None) => self.tell(Kind::Unpaused, (Some(name), None), "goes on"),
            _ => {}
        }
    }
}
