//! What the planner noticed and does not act on, each a sentence.

use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::instance::LOOPBACK;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Damage, Node, Power, Role, State, Witness};
use simdb_state::relocation::Move;
use simdb_state::shared::Shared;

use super::intended::{DataGoal, Intended, IntendedCluster, IntendedNode, Lead, Postponed};
use super::{Inputs, Proposal, addressing, astray, before};
use crate::desired::{ClusterSpec, Desired};
use crate::engine::instance::{REPLICATION_USER, user};
use crate::engine::parameters::Release;
use crate::engine::replay::ReplayLimits;
use crate::observed::Observed;
use crate::plan::Impact;

/// Returns all of them, in the order in which they are shown.
pub(super) fn notes(inputs: Inputs<'_>, before: &State, intended: &Intended) -> Vec<String> {
    let all = [
        held(intended, before),
        out_of_reach(intended),
        unprotected(intended),
        damaged(intended, before),
        given_up(inputs, intended),
        pins(inputs.desired, intended),
        later(inputs, intended, before),
        adopted(before, intended, inputs.observed),
        led_within(before, intended),
        ignored(inputs.desired, intended),
        left(before, intended),
        unmoved(inputs),
    ];
    all.concat()
}

/// Data that was imported and whose node goes.
fn left(before: &State, intended: &Intended) -> Vec<String> {
    let goes = before
        .nodes
        .iter()
        .filter(|(address, _)| !intended.nodes.contains_key(*address));
    let note = |(address, node): (&NodeAddress, &Shared<Node>)| {
        let directory = node.data.as_ref()?.outside.as_ref()?;
        Some(format!(
            "{address} was imported: its server is stopped, and its data stays in {directory}."
        ))
    };
    goes.filter_map(note).collect()
}

/// New endpoints of clusters on several platforms: what leads clients on a platform leads to nodes on that platform alone.
fn led_within(before: &State, intended: &Intended) -> Vec<String> {
    let is_spread = |cluster: &ClusterName| intended.has_peers_elsewhere(cluster, None);
    let is_new = |address: &&EndpointAddress| !before.endpoints.contains_key(*address) && is_spread(&address.cluster);
    let note = |address: &EndpointAddress| {
        format!(
            "{address} leads clients that reach it by its name on a platform to the nodes on that platform alone. Others reach all nodes \
             at their published addresses, which its service and its URL have."
        )
    };
    intended.endpoints.keys().filter(is_new).map(note).collect()
}

/// What does not move, because something is recorded where it would.
fn unmoved(inputs: Inputs<'_>) -> Vec<String> {
    let Inputs { desired, recorded, .. } = inputs;
    if desired.moved.is_empty() {
        return Vec::new();
    }
    let there = recorded.addresses();
    let stays = desired
        .moved
        .iter()
        .filter(|moved| there.contains(&moved.from) && there.contains(&moved.to));
    let note =
        |Move { from, to }: &Move| format!("{from} does not move to {to}: the record has an object there already.");
    stays.map(note).collect()
}

/// Nodes that were stopped on request.
fn held(intended: &Intended, before: &State) -> Vec<String> {
    let held = |address: &&NodeAddress| before.nodes.get(*address).is_some_and(|node| node.stopped_by_request);
    let stopped = intended
        .nodes
        .iter()
        .filter(|(_, node)| node.power == Power::Stopped)
        .map(|(address, _)| address);
    let note = |address: &NodeAddress| {
        format!(
            "{address} is stopped on request. To start it, run: simdb start {}.{}",
            address.cluster, address.node
        )
    };
    stopped.filter(held).map(note).collect()
}

/// Nodes that led, cannot be looked at, and are left as they are.
fn out_of_reach(intended: &Intended) -> Vec<String> {
    let note = |(address, node): (&NodeAddress, &IntendedNode)| {
        let Role::Fenced { witness, .. } = node.role else {
            return None;
        };
        let known = match witness {
            Witness::NodeFenced => "an operator attests that its machine is off",
            _ => "whether it takes writes is not known, and what it writes is lost",
        };
        Some(format!(
            "{address} led, and cannot be looked at: {known}. It is left as it is; once its machine is back, `simdb apply` makes it a \
             standby."
        ))
    };
    intended.nodes.iter().filter_map(note).collect()
}

/// Says where commits wait for fewer standbys than declared, because others were stopped on request or cannot be reached.
fn unprotected(intended: &Intended) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, cluster) in &intended.clusters {
        let declared = cluster.cluster.synchronous_standbys;
        let sync = &cluster.sync;
        let primary_runs = intended.running_primary(name).is_some();
        if sync.awaited >= declared || !primary_runs {
            continue;
        }
        let stopped = || intended.nodes_of(name).filter(|(_, node)| node.power == Power::Stopped);
        let held: Vec<String> = stopped().map(|(address, _)| address.node.to_string()).collect();
        let is_left = stopped().any(|(_, node)| matches!(node.role, Role::Fenced { .. }));
        let why = if is_left { "down" } else { "stopped on request" };
        let wait = match sync.awaited {
            0 => "wait for no standby".to_owned(),
            awaited => format!("wait for {awaited} of {declared} standbys"),
        };
        notes.push(format!(
            "Commits of cluster.{name} {wait} while {} is {why}.",
            held.join(", ")
        ));
    }
    notes
}

/// Nodes that keep data which a verification found to be different.
fn damaged(intended: &Intended, before: &State) -> Vec<String> {
    let note = |(address, node): (&NodeAddress, &IntendedNode)| {
        let Some(Damage::Differs(reason)) = &before.nodes.get(address)?.damage else {
            return None;
        };
        if !matches!(node.data, DataGoal::Keep(_)) {
            return None;
        }
        let (cluster, name) = (&address.cluster, &address.node);
        Some(match node.role {
            Role::Primary { .. } => format!(
                "{address} leads, and a verification found that it differs from all others ({reason}). Let another node \
                 lead with `simdb switchover {cluster}`, and then run: simdb resync {cluster} {name}"
            ),
            Role::Standby { .. } | Role::Fenced { .. } => format!(
                "A verification found that {address} differs from its primary ({reason}). It takes no lead until its data \
                 is made anew with: simdb resync {cluster} {name}"
            ),
        })
    };
    intended.nodes.iter().filter_map(note).collect()
}

/// Where a person says which branch of a cluster is kept: what each of them holds.
fn given_up(inputs: Inputs<'_>, intended: &Intended) -> Vec<String> {
    let Some(Proposal::Election(request)) = inputs.proposal else {
        return Vec::new();
    };
    let nodes = || inputs.recorded.nodes_of(&request.cluster);
    let torn = nodes().any(|(address, node)| astray::is_astray(address, Some(node), inputs.observed));
    match intended.primary(&request.cluster) {
        Some(kept) if request.settles() && torn => astray::notes(&kept, nodes(), inputs.observed),
        _ => Vec::new(),
    }
}

/// Clusters that another node leads than the one their configuration names: only an edit or a command moves the lead.
fn pins(desired: &Desired, intended: &Intended) -> Vec<String> {
    let pinned = desired
        .clusters
        .iter()
        .filter_map(|(name, spec)| Some((name, spec.primary.as_ref()?)));
    let note = |(name, pin): (&ClusterName, &NodeName)| {
        let IntendedCluster {
            election,
            postponed,
            lead,
            ..
        } = intended.clusters.get(name)?;
        let leads = &election.primary;
        if let Some(Postponed { winner, reason, .. }) = postponed {
            let led = match lead {
                Lead::Stays => format!("stays led by {leads} while this plan runs"),
                Lead::Resumes | Lead::Passes => format!("comes to be led by {leads} with this plan"),
            };
            return Some(format!(
                "cluster.{name} {led}, since {winner} cannot take over yet: {reason}. \
                 {winner} becomes primary with the next apply."
            ));
        }
        (leads != pin).then(|| {
            format!(
                "cluster.{name} is led by {leads}, since the lead was moved there, and its configuration says primary = \
                 \"{pin}\". To keep it so, set primary = \"{leads}\"; to move it back, run: simdb switchover {name} -to \
                 {pin}"
            )
        })
    };
    pinned.filter_map(note).collect()
}

/// What is declared and due with the next apply: one thing at a time.
fn later(inputs: Inputs<'_>, intended: &Intended, state: &State) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, spec) in &inputs.desired.clusters {
        let subnet = inputs.desired.subnet(spec);
        for (address, node) in intended.nodes_of(name) {
            let declared = spec.nodes.get(&address.node).and_then(|spec| spec.port);
            let has = node.place.published().unwrap_or(node.place.bind).port;
            if let Some(port) = declared.filter(|port| *port != has) {
                notes.push(format!(
                    "{address} stays on port {has} while this plan runs, and moves to {port} with the next apply."
                ));
            }
            if !addressing::belongs(subnet, node.place.bind.host) {
                let place = subnet.map_or_else(|| LOOPBACK.to_string(), |subnet| format!("an address of {subnet}"));
                notes.push(format!(
                    "{address} stays at {} while this plan runs, and moves to {place} with the next apply.",
                    node.place.bind.host
                ));
            }
            notes.extend(postponed_settings(spec, intended, address, node));
            notes.extend(fitted_settings(spec, intended, address));
            notes.extend(moving_settings(state, intended, address, node));
            if intended.limits.waiting.contains(address) {
                notes.push(format!(
                    "{address} keeps more of what replay depends on than is declared, until its primary runs again."
                ));
            }
            if before::is_halted(inputs.observed, address) && intended.restarts(address, state) {
                notes.push(format!(
                    "{address} was halted by a signal and goes on as it was; it is restarted for its other settings with the \
                     next apply."
                ));
            }
        }
        let declared = spec.access.replication_password_version.unwrap_or(1);
        let user = user(name, REPLICATION_USER);
        if intended
            .users
            .get(&user)
            .is_some_and(|user| user.password_version != declared)
        {
            notes.push(format!(
                "The password of {user} stays while this plan runs, and changes with the next apply."
            ));
        }
    }
    notes
}

/// Settings that take a restart, and wait for it until another node has come to lead.
fn postponed_settings(
    spec: &ClusterSpec,
    intended: &Intended,
    address: &NodeAddress,
    node: &IntendedNode,
) -> Option<String> {
    let declared = spec.nodes.get(&address.node)?;
    let cluster = intended.clusters.get(&address.cluster)?;
    let release = Release::from(&cluster.cluster);
    let mut names = release.restarting(&node.parameters, &declared.parameters);
    if cluster.lead == Lead::Passes
        && let Some(drift) = intended.drift.get(address).filter(|_| node.role.writes().is_some())
    {
        let restarts = |name: &&String| release.impact(name) == Impact::Restart;
        names.extend(drift.settings.keys().filter(restarts).cloned());
    }
    let names: Vec<String> = names.into_iter().collect();
    (!names.is_empty()).then(|| {
        format!(
            "{address} keeps {} while this plan runs, and is restarted with the declared values with the next apply.",
            names.join(", ")
        )
    })
}

/// Says what a node that paused its replay gets more of than is declared, because its log asks for it.
fn fitted_settings(spec: &ClusterSpec, intended: &Intended, address: &NodeAddress) -> Option<String> {
    let cluster = intended.clusters.get(&address.cluster)?;
    let lacking = intended.limits.lacking.get(address)?;
    let declared = &spec.nodes.get(&address.node)?.parameters;
    let names = lacking
        .needs
        .above(&ReplayLimits::of(cluster.cluster.version, declared));
    (!names.is_empty()).then(|| {
        format!(
            "{address} is restarted with as much {} as its log asks for, and gets the declared values with the next apply.",
            names.join(", ")
        )
    })
}

/// Says that a standby which moves may be restarted before its log asks for less: it is not where it is spoken to meanwhile.
fn moving_settings(before: &State, intended: &Intended, address: &NodeAddress, node: &IntendedNode) -> Option<String> {
    let cluster = intended.clusters.get(&address.cluster)?;
    let old = before.nodes.get(address)?;
    let limits = |parameters| ReplayLimits::with_parameters(cluster.cluster.version, parameters);
    let moves = old.place.as_ref().is_some_and(|place| *place != node.place);
    let gets_less = limits(&old.parameters).exceeds(&limits(&node.parameters));
    (moves && gets_less && node.role.follows().is_some()).then(|| {
        format!(
            "{address} moves and gets less of what replay depends on. If its log still asks for more when it is restarted, it gets \
             the declared values with the next apply."
        )
    })
}

/// Says what is taken over: roles and databases that somebody else made, and are declared now.
fn adopted(before: &State, intended: &Intended, observed: &Observed) -> Vec<String> {
    let server = |cluster| before::primary_server(before, observed, cluster);
    let users = intended.users.keys().filter(|address| {
        !before.users.contains_key(*address)
            && server(&address.cluster).is_some_and(|server| server.users.contains_key(address.user.as_str()))
    });
    let databases = intended.databases.keys().filter(|address| {
        !before.databases.contains_key(*address)
            && server(&address.cluster).is_some_and(|server| server.databases.contains_key(address.database.as_str()))
    });
    users
        .map(|address| {
            format!(
                "{address} is a role already. It is adopted: its attributes and its password become those declared."
            )
        })
        .chain(databases.map(|address| {
            format!("{address} is a database already. It is adopted: its owner becomes the one declared.")
        }))
        .collect()
}

/// Says where a declared upstream has no meaning: who leads follows nobody.
fn ignored(desired: &Desired, intended: &Intended) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, spec) in &desired.clusters {
        let Some(primary) = intended.primary(name) else {
            continue;
        };
        let Some(follows) = spec.nodes.get(&primary.node).and_then(|spec| spec.follows.as_ref()) else {
            continue;
        };
        notes.push(format!(
            "{primary} is declared to follow {follows}. It leads the cluster, so it follows no node."
        ));
    }
    notes
}
