//! What becomes of an endpoint's pooler: started, led to another server, or removed; and held up while nobody writes.

use simdb_state::address::EndpointAddress;
use simdb_state::delta::Edit;
use simdb_state::instance::InstanceSpec;
use simdb_state::object::{Endpoint, EngineKind, Pooler, Power};

use crate::engine;
use crate::engine::instance::superuser_password;
use crate::engine::pgbouncer::{self, Action};
use crate::observed::{Observation, PoolerFacts, ProcessFacts};
use crate::plan::{FenceMethod, Impact, Server};
use crate::planner::lower::{Draft, Lowering, ORPHAN};

impl Lowering<'_> {
    pub(crate) fn pooler(&mut self, address: &EndpointAddress, old: Option<&Pooler>, new: Option<&Pooler>) {
        match (old, new) {
            (None, None) => {}
            (Some(_), None) => self.drop_pooler(address, "clients no longer go through it"),
            (old, Some(new)) if new.power == Power::Stopped => self.stop_pooler(address, old),
            (old, Some(new)) => {
                let pauses = old.is_some_and(|old| self.pause(address, old));
                self.lead(address, old, new);
                if pauses || old.is_some_and(|old| old.paused) {
                    self.unpause(address, new);
                }
            }
        }
    }

    /// Poolers that neither the record nor the configuration knows.
    pub(crate) fn orphaned_poolers(&mut self) {
        let (before, intended) = (&self.before.endpoints, &self.intended.endpoints);
        let knows = |endpoint: Option<&Endpoint>| endpoint.is_some_and(|endpoint| endpoint.pooler.is_some());
        let orphans: Vec<EndpointAddress> = self
            .observed
            .poolers
            .iter()
            .filter(|(address, found)| {
                found.seen().is_some() && !knows(before.get(*address)) && !knows(intended.get(*address))
            })
            .map(|(address, _)| address.clone())
            .collect();
        for orphan in &orphans {
            self.drop_pooler(orphan, ORPHAN);
        }
    }

    pub(crate) fn drop_pooler(&mut self, address: &EndpointAddress, reason: &str) {
        let action = engine::Action::from(Action::DropPooler {
            endpoint: address.clone(),
        });
        let delta = vec![Edit::Pooler(address.clone(), None)];
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    fn stop_pooler(&mut self, address: &EndpointAddress, old: Option<&Pooler>) {
        let Some(old) = old.filter(|old| old.power == Power::Running) else {
            return;
        };
        let stopped = Pooler {
            power: Power::Stopped,
            ..old.clone()
        };
        let action = engine::Action::from(Action::StopPooler {
            endpoint: address.clone(),
        });
        let delta = vec![
            Edit::Pooler(address.clone(), Some(Box::new(stopped))),
            Edit::Paused(address.clone(), false),
        ];
        self.push(Draft::new(address.clone(), action, "its cluster is stopped", delta));
    }

    /// While the lead passes from a node that serves, clients wait; who keeps a session of the server as long as it likes
    /// cannot be made to, and neither can anybody where the node is lost.
    fn pause(&mut self, address: &EndpointAddress, old: &Pooler) -> bool {
        let Some(cluster) = self.intended.clusters.get(&address.cluster) else {
            return false;
        };
        let planned = cluster.fencing == FenceMethod::ShutDown;
        let deposed = cluster
            .deposed
            .as_ref()
            .filter(|_| planned && old.pool_mode.can_pause());
        let place = deposed.and_then(|deposed| self.before.nodes.get(deposed)?.place.clone());
        let (Some(deposed), Some(place)) = (deposed, place) else {
            return false;
        };
        if old.power == Power::Stopped || matches!(self.pooler_process(address), Some(ProcessFacts::Foreign { .. })) {
            return false;
        }
        let action = engine::Action::from(Action::Pause {
            console: pgbouncer::console(address, old),
            server: Server {
                node: deposed.clone(),
                place: Box::new(place),
                password: superuser_password(&deposed.cluster),
            },
        });
        let reason = format!("its clients wait until {} writes", cluster.election.primary);
        let delta = vec![Edit::Paused(address.clone(), true)];
        self.push(Draft::new(address.clone(), action, reason, delta).costing(Impact::WritePause));
        true
    }

    fn lead(&mut self, address: &EndpointAddress, old: Option<&Pooler>, new: &Pooler) {
        let found = self.platform(&address.cluster).engines.get(&EngineKind::Pgbouncer);
        let Some(version) = found.and_then(|found| found.keys().next_back()) else {
            return;
        };
        let instance = Box::new(pgbouncer::server(address, new, *version));
        let console = pgbouncer::console(address, new);
        let mut delta = vec![Edit::Pooler(address.clone(), Some(Box::new(new.clone())))];
        if let Some(old) = old
            && old.power == Power::Running
            && old.place == new.place
            && old.upstream != new.upstream
            && !matches!(self.pooler_process(address), Some(ProcessFacts::Foreign { .. }))
        {
            let reason = if old.node == new.node {
                format!("{} listens elsewhere", new.node)
            } else {
                format!("{} leads instead of {}", new.node, old.node)
            };
            let action = engine::Action::from(Action::Repoint { instance, console });
            return self.push(Draft::new(address.clone(), action, reason, delta));
        }
        let Some((reason, impact)) = self.due(address, old, new, &instance) else {
            return;
        };
        let restart = impact == Impact::Restart;
        if restart || old.is_none_or(|old| old.power == Power::Stopped) {
            // One that starts holds nobody up.
            delta.push(Edit::Paused(address.clone(), false));
        }
        let action = engine::Action::from(Action::Pooler {
            instance,
            console,
            restart,
        });
        self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
    }

    /// Returns why a pooler is to be started or to read its settings again, and what that costs.
    fn due(
        &self,
        address: &EndpointAddress,
        old: Option<&Pooler>,
        new: &Pooler,
        instance: &InstanceSpec,
    ) -> Option<(String, Impact)> {
        let name = address.service();
        let Some(old) = old else {
            return Some((format!("clients of {name} connect through it"), Impact::None));
        };
        match self.pooler_process(address) {
            Some(ProcessFacts::Foreign { .. }) => {
                let reason = "drift: it was started without simdb, with settings of its own";
                return Some((reason.to_owned(), Impact::Restart));
            }
            Some(ProcessFacts::Frozen { .. }) => return Some(("drift: a signal halted it".to_owned(), Impact::None)),
            _ if old.power == Power::Stopped => return Some(("it is down".to_owned(), Impact::None)),
            _ => {}
        }
        if old.place != new.place {
            return Some((format!("it moves to {}", new.place.bind), Impact::Restart));
        }
        if old.pool_mode != new.pool_mode {
            return Some(("configuration: its settings change".to_owned(), Impact::Reload));
        }
        if old.node != new.node {
            return Some((format!("{} leads instead of {}", new.node, old.node), Impact::Reload));
        }
        let facts = self.pooler_facts(address)?;
        let edited: Vec<&str> = instance
            .written()
            .filter(|(file, text)| {
                let facts = facts.files.get(*file);
                facts.is_none_or(|facts| facts.edited || facts.digest != text.digest())
            })
            .map(|(file, _)| file.as_str())
            .collect();
        let reason = format!("drift: {} of {name} does not hold what simdb wrote", edited.join(", "));
        (!edited.is_empty()).then_some((reason, Impact::Reload))
    }

    fn unpause(&mut self, address: &EndpointAddress, new: &Pooler) {
        let action = engine::Action::from(Action::Unpause {
            console: pgbouncer::console(address, new),
        });
        let reason = format!("its clients can go on with {}", new.node);
        let delta = vec![Edit::Paused(address.clone(), false)];
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    fn pooler_facts(&self, address: &EndpointAddress) -> Option<&PoolerFacts> {
        self.observed.poolers.get(address).and_then(Observation::seen)
    }

    fn pooler_process(&self, address: &EndpointAddress) -> Option<&ProcessFacts> {
        self.pooler_facts(address).map(|facts| &facts.process)
    }
}
