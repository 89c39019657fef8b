//! The paths, and what each asks for.

use super::patroni::{self, Check};
use super::secured::Need;
use super::write::{self, Write};

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Check(Check),
    PatroniCluster,
    PatroniHistory,
    PatroniConfig,
    PatroniMetrics,
    ClusterStatus,
    ClusterNodes,
    ClusterHealth,
    Health,
    Clusters,
    Cluster,
    Runs,
    Run,
    Plan,
    Drift,
    Events,
    Stream,
    Metrics,
    Live,
    Ready,
    OpenApi,
}

impl Target {
    /// Returns what reading it needs.
    pub(super) fn need(self) -> Need {
        match self {
            // What load balancers and supervisors ask for, and what is the same for everyone.
            Target::Check(_)
            | Target::ClusterHealth
            | Target::Health
            | Target::Live
            | Target::Ready
            | Target::OpenApi => Need::Nothing,
            _ => Need::Reading,
        }
    }
}

/// The paths beside Patroni's checks.
const PATHS: &[(&str, Target)] = &[
    ("/cluster/status", Target::ClusterStatus),
    ("/cluster/nodes", Target::ClusterNodes),
    ("/cluster/health", Target::ClusterHealth),
    ("/health", Target::Health),
    ("/livez", Target::Live),
    ("/readyz", Target::Ready),
    ("/metrics", Target::Metrics),
    ("/openapi.json", Target::OpenApi),
    ("/v1/clusters", Target::Clusters),
    ("/v1/clusters/{cluster}", Target::Cluster),
    ("/v1/runs", Target::Runs),
    ("/v1/runs/{run}", Target::Run),
    ("/v1/plan", Target::Plan),
    ("/v1/drift", Target::Drift),
    ("/v1/events", Target::Events),
    ("/v1/stream", Target::Stream),
    ("/patroni/{cluster}/{node}/cluster", Target::PatroniCluster),
    ("/patroni/{cluster}/{node}/history", Target::PatroniHistory),
    ("/patroni/{cluster}/{node}/config", Target::PatroniConfig),
    ("/patroni/{cluster}/{node}/metrics", Target::PatroniMetrics),
];

/// Returns every path with what it asks for.
pub(super) fn paths() -> Vec<(String, Target)> {
    let mut paths: Vec<(String, Target)> = PATHS
        .iter()
        .map(|(path, target)| ((*path).to_owned(), *target))
        .collect();
    let root = "/patroni/{cluster}/{node}";
    paths.push((root.to_owned(), Target::Check(Check::Primary)));
    for (check, names) in patroni::CHECKS {
        paths.extend(
            names
                .iter()
                .map(|name| (format!("{root}/{name}"), Target::Check(*check))),
        );
    }
    paths
}

/// Returns every path that changes something, with what it changes.
pub(super) fn writes() -> Vec<(String, Write)> {
    let own = write::OWN
        .iter()
        .map(|(name, write)| (format!("/v1/clusters/{{cluster}}/{name}"), *write));
    let patroni = write::PATRONI
        .iter()
        .map(|(name, write)| (format!("/patroni/{{cluster}}/{{node}}/{name}"), *write));
    own.chain(patroni).collect()
}
