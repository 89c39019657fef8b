//! One cluster, from declaration to intention.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::NodeAddress;
use simdb_state::digest::sha256;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Cluster, Election, Power, State};
use simdb_state::place::Place;

use crate::desired::{ClusterSpec, NodeSpec, ReplicationSpec};
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::engine;
use crate::engine::parameters::Release;
use crate::observed::{Observation, TriedParameters};
use crate::planner::addressing::Addressing;
use crate::planner::intended::{Intended, IntendedCluster, IntendedNode, Lead};
use crate::planner::{Inputs, before, imports, versions};

/// One cluster on its way from declaration to intention.
pub(crate) struct Declaration<'a> {
    pub(crate) inputs: Inputs<'a>,
    pub(crate) before: &'a State,
    pub(crate) name: &'a ClusterName,
    pub(crate) spec: &'a ClusterSpec,
}

impl Declaration<'_> {
    pub(crate) fn cluster(&self, addressing: &mut Addressing<'_>, intended: &mut Intended) -> Vec<Diagnostic> {
        let on_platform = self.stays_on_its_platform();
        if let Err(diagnostic) = on_platform.and_then(|()| self.is_in_a_network_of_its_platform()) {
            return vec![diagnostic];
        }
        let mut diagnostics = self.nodes_stay_on_their_platforms();
        if !diagnostics.is_empty() {
            return diagnostics;
        }
        let mut keep = |result: Result<(), Diagnostic>| diagnostics.extend(result.err());
        let platform = self.inputs.observed.platform(&self.spec.platform);
        let version = {
            let imported = imports::version(self.inputs, self.name);
            versions::choose(self.name, self.spec, self.before, imported, platform)
        };
        let election = self.election();
        // Without a user who could run them, programs were not looked for, and the platform says so.
        if platform.problems.is_empty() || !platform.searched.is_empty() {
            keep(version.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        keep(election.as_ref().map(|_| ()).map_err(Clone::clone));
        if let Ok(election) = &election {
            keep(self.enough_standbys(&election.primary));
            keep(self.unfinished(election));
            keep(self.winner_is_known(election));
            keep(self.deposed_can_be_fenced(election));
            keep(self.winner_does_not_differ(election));
        }
        let mut nodes = BTreeMap::new();
        for (node, spec) in &self.spec.nodes {
            let address = self.address(node);
            let old = self.before.node(&address);
            let power = self.power(&address, old, election.as_ref().ok());
            match addressing.node(&address, spec, self.before, power) {
                Ok(place) => {
                    let place = self.stays_at(&address, election.as_ref().ok()).unwrap_or(place);
                    nodes.insert(node.clone(), (address, spec, place));
                }
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }
        if let Ok(version) = version {
            diagnostics.extend(versions::missing_elsewhere(self.spec, version, self.inputs.observed));
            diagnostics.extend(self.parameters(version));
        }
        if let (Ok(version), Ok(election)) = (version, election) {
            for (address, spec, place) in nodes.into_values() {
                let node = self.node(&address, spec, place, version, &election);
                match node {
                    Ok(node) => drop(intended.nodes.insert(address, node)),
                    Err(diagnostic) => diagnostics.push(diagnostic),
                }
            }
            diagnostics.extend(self.endpoints(&election, addressing, intended));
            diagnostics.extend(self.access(&election, intended));
            self.finish(version, election, intended);
        }
        diagnostics
    }

    /// Data does not move from one platform to another, and no cluster spans two.
    fn stays_on_its_platform(&self) -> Result<(), Diagnostic> {
        let wanted = &self.spec.platform;
        let has = self.before.clusters.get(self.name).map(|cluster| &cluster.platform);
        let Some(has) = has.filter(|has| *has != wanted) else {
            return Ok(());
        };
        let name = self.name;
        let detail = format!(
            "Cluster {name} runs on platform \"{has}\", and its servers and data cannot move to \"{wanted}\". Set provider = \
             \"{has}\", or declare another cluster on \"{wanted}\" and destroy this one."
        );
        let span = self.spec.spans.provider.as_ref().unwrap_or(&self.spec.spans.cluster);
        Err(Diagnostic::error("Platform cannot be changed", detail).at(span.clone()))
    }

    /// Data does not move to another platform of a cluster, either.
    fn nodes_stay_on_their_platforms(&self) -> Vec<Diagnostic> {
        let moves = self.spec.nodes.iter().filter_map(|(node, spec)| {
            let address = self.address(node);
            let has = self.before.platform(&address)?;
            let wanted = self.spec.platform_of(spec);
            (has != wanted).then(|| {
                let detail = format!(
                    "{address} runs on provider {has}, and its server and data cannot move to {wanted}. Set provider = {has} for it \
                     again. To have a node on {wanted}, declare one of another name there, apply, and then remove this one."
                );
                let span = spec.provider_span.as_deref().unwrap_or(&spec.span);
                Diagnostic::error("Platform cannot be changed", detail).at(span.clone())
            })
        });
        moves.collect()
    }

    fn is_in_a_network_of_its_platform(&self) -> Result<(), Diagnostic> {
        let (name, platform, network) = (self.name, &self.spec.platform, &self.spec.network);
        let on = self
            .inputs
            .desired
            .networks
            .get(network)
            .map(|network| &network.platform);
        let Some(other) = on.filter(|on| *on != platform) else {
            return Ok(());
        };
        let detail = format!(
            "Cluster {name} runs on platform \"{platform}\", and network.{network} is on \"{other}\". Set provider = \
             \"{platform}\" in the network, or put the cluster into another one."
        );
        let span = self.spec.spans.provider.as_ref().unwrap_or(&self.spec.spans.cluster);
        Err(Diagnostic::error("Network is on another platform", detail).at(span.clone()))
    }

    /// Returns where a server stays for as long as this plan runs: one that runs while another node comes to lead is asked
    /// and followed where it listens, and one that was halted by a signal, or leads again, goes on there.
    fn stays_at(&self, address: &NodeAddress, election: Option<&Election>) -> Option<Place> {
        let node = self.before.nodes.get(address)?;
        let facts = self.inputs.observed.nodes.get(address).and_then(Observation::seen);
        let runs = facts.is_some_and(|facts| facts.process.is_alive());
        let resumes =
            |election: &Election| election.primary == address.node && self.lead(&address.node) == Lead::Resumes;
        let stays = before::is_halted(self.inputs.observed, address)
            || (node.power == Power::Running && self.moves(election?))
            || (runs && election.is_some_and(resumes));
        before::place(self.before, self.inputs.observed, address).filter(|_| stays)
    }

    /// Checks the declared parameters against those that the version has; one that several nodes share is told once.
    fn parameters(&self, version: u16) -> Vec<Diagnostic> {
        let release = Release {
            engine: self.spec.engine,
            version,
        };
        let mut problems = BTreeMap::new();
        for node in self.spec.nodes.values() {
            for (name, detail) in release.problems(&node.parameters) {
                problems.insert((parameter_span(node, Some(name)), name), (Severity::Error, detail));
            }
            self.tried(version, node, &mut problems);
        }
        let diagnostic = |((span, _), (severity, detail)): ((Span, &str), (Severity, String))| match severity {
            Severity::Error => Diagnostic::error("Parameter is not accepted", detail).at(span),
            Severity::Warning => Diagnostic::warning("Parameters could not be tried", detail).at(span),
        };
        problems.into_iter().map(diagnostic).collect()
    }

    /// Adds what a server of the version said of a node's parameters.
    fn tried<'a>(
        &'a self,
        version: u16,
        node: &'a NodeSpec,
        problems: &mut BTreeMap<(Span, &'a str), (Severity, String)>,
    ) {
        let mut tried = self.inputs.observed.tried.iter();
        let same = |tried: &&TriedParameters| {
            tried.platform == self.spec.platform && tried.version == version && tried.parameters == node.parameters
        };
        let Some(found) = tried.find(same) else {
            return;
        };
        let engine = engine::title(self.spec.engine);
        match &found.refusals {
            Observation::Absent => {}
            Observation::Unknown(reason) => {
                let detail = format!(
                    "Whether {engine} {version} accepts the parameters of {} is not known: {reason}.",
                    self.name
                );
                problems.insert((node.span.clone(), ""), (Severity::Warning, detail));
            }
            Observation::Seen(refusals) => {
                for refusal in refusals {
                    let name = refusal.parameter.as_deref();
                    let value = name.and_then(|name| Some((name, node.parameters.get(name)?)));
                    let given = value.map_or_else(
                        || "the parameters".to_owned(),
                        |(name, value)| format!("{name} = {value:?}"),
                    );
                    let detail = format!(
                        "{engine} {version} does not accept {given}. It says: {}.",
                        refusal.words
                    );
                    let key = (parameter_span(node, name), name.unwrap_or_default());
                    problems.entry(key).or_insert((Severity::Error, detail));
                }
            }
        }
    }

    pub(crate) fn address(&self, node: &NodeName) -> NodeAddress {
        NodeAddress {
            cluster: self.name.clone(),
            node: node.clone(),
        }
    }

    fn finish(&self, version: u16, election: Election, intended: &mut Intended) {
        let topology = topology(self.name, intended);
        let verified = self
            .before
            .clusters
            .get(self.name)
            .and_then(|cluster| cluster.verified.clone());
        let ReplicationSpec {
            mode,
            synchronous_standbys,
            synchronous_commit,
            on_standby_loss,
            max_lag,
        } = self.spec.replication;
        let sync = self.sync(&election.primary, intended);
        let cluster = Cluster {
            platform: self.spec.platform.clone(),
            network: self.spec.network.clone(),
            engine: self.spec.engine,
            version,
            replication: mode,
            synchronous_standbys,
            synchronous_commit,
            on_standby_loss,
            max_lag,
            sync_rule: sync.after.clone(),
            pending_sync_rules: BTreeSet::new(),
            degraded: None,
            verified,
            prevent_destroy: self.spec.prevent_destroy,
            failover: self.spec.failover.clone(),
        };
        let lead = self.lead(&election.primary);
        let deposed = self.deposed(&election);
        let fencing = self.fencing(&election);
        let verdict = self.verdict(&election);
        let postponed = self.postponed(&election);
        intended.clusters.insert(
            self.name.clone(),
            IntendedCluster {
                cluster,
                election,
                sync,
                lead,
                deposed,
                fencing,
                verdict,
                postponed,
                topology,
            },
        );
    }
}

/// Returns a short digest of who is in a cluster, where, and what they are to each other.
fn topology(cluster: &ClusterName, intended: &Intended) -> String {
    let mut text = String::new();
    for (address, IntendedNode { place, role, data, .. }) in intended.nodes_of(cluster) {
        let follows = role.follows().map(ToString::to_string).unwrap_or_default();
        let line = format!(
            "{} {} {role} {follows} {}\n",
            address.node,
            place.peers,
            data.generation()
        );
        text.push_str(&line);
    }
    // Half of it is enough to tell topologies apart, and fits a line of a plan.
    sha256(text)[..16].to_owned()
}

/// Returns where a parameter of a node stands; one that is not known may be any of them.
fn parameter_span(node: &NodeSpec, name: Option<&str>) -> Span {
    let spans = &node.parameter_spans;
    let span = name.and_then(|name| spans.get(name)).or_else(|| spans.values().next());
    span.unwrap_or(&node.span).clone()
}
