//! Imports: a server that was made without simdb becomes a node.

use simdb_state::address::NodeAddress;
use simdb_state::delta::Edit;
use simdb_state::object::{Cluster, Origin, Power, Role};
use simdb_state::sync::SyncRule;

use super::{Draft, Lowering, cleared_by_start, instance_edit, server};
use crate::engine::NodeContext;
use crate::engine::instance::{self, superuser_password};
use crate::plan::{Action, Impact};
use crate::planner::intended::{IntendedCluster, IntendedNode};

impl Lowering<'_> {
    pub(super) fn import(
        &mut self,
        address: &NodeAddress,
        new: &IntendedNode,
        cluster: &IntendedCluster,
        context: &NodeContext<'_>,
    ) {
        let Some(import) = self.intended.imports.get(address) else {
            return;
        };
        let leads = matches!(new.role, Role::Primary { .. });
        let followed = context.upstream.as_ref().map(|upstream| &upstream.address);
        let upstream = followed.and_then(|followed| Some(server(followed, self.serving(followed)?)));
        if !leads && upstream.is_none() {
            // It goes on as it is until its upstream serves.
            return;
        }
        if let (Some(slot), Some(upstream)) = (&new.slot, &upstream) {
            self.slot(address, slot, None, false, upstream);
        }
        let mut delta = Vec::new();
        if leads {
            delta.extend(born(address, cluster));
        }
        delta.extend([
            Edit::Data {
                node: address.clone(),
                generation: context.generation,
                origin: Origin::Imported,
                outside: new.data.outside().cloned(),
            },
            instance_edit(address, new),
            Edit::Role(address.clone(), new.role.clone()),
            Edit::Power(address.clone(), Power::Running),
            cleared_by_start(address),
        ]);
        let unmanaged = import.facts.server.as_ref();
        let action = Action::Import {
            instance: Box::new(instance::server(context)),
            server: server(address, new),
            identity: import.identity.clone(),
            login: unmanaged
                .filter(|_| leads)
                .map(|unmanaged| Box::new(instance::login(context, unmanaged))),
            link: Box::new(instance::link(context, &import.facts, &import.identity)),
            upstream: upstream.clone(),
        };
        let reason = format!(
            "the server on {} becomes {}: it is restarted with the settings that are declared",
            import.facts.directory, address.node
        );
        let impact = match (unmanaged, leads) {
            (None, _) => Impact::None,
            (Some(_), true) => Impact::Downtime,
            (Some(_), false) => self.restart_impact(address),
        };
        let name = &address.cluster;
        let draft = Draft::new(address.clone(), action, reason, delta).costing(impact);
        let draft = draft.generating(superuser_password(name));
        self.push(draft.generating(self.intended.replication_password(name)));
        if let Some(upstream) = upstream {
            self.slot_before_import(address, import, new, upstream);
        }
    }
}

/// The cluster is on record from the moment its primary is.
pub(super) fn born(address: &NodeAddress, cluster: &IntendedCluster) -> [Edit; 2] {
    let name = &address.cluster;
    let made = Cluster {
        verified: None,
        sync_rule: SyncRule::default(),
        ..cluster.cluster.clone()
    };
    [
        Edit::Cluster(name.clone(), Box::new(made)),
        Edit::Election(name.clone(), cluster.election.clone()),
    ]
}
