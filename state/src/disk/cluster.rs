//! Clusters and elections on disk.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::name::{NetworkName, NodeName, PlatformName};
use crate::object::{
    self, CommitLevel, ElectionReason, EngineKind, FailoverPolicy, OnStandbyLoss, PendingSyncRule, ReplicationMode,
    Switch, Term, Verified,
};
use crate::position::Position;
use crate::sync::SyncRule;

/// A cluster.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    platform: PlatformName,
    network: NetworkName,
    engine: EngineKind,
    version: u16,
    replication: Replication,
    verified: Option<Verified>,
    prevent_destroy: bool,
    #[serde(default, skip_serializing_if = "FailoverPolicy::is_default")]
    failover: FailoverPolicy,
    detail: Detail,
}

/// When commits are acknowledged.
#[derive(Debug, Serialize, Deserialize)]
struct Replication {
    mode: ReplicationMode,
    synchronous_standbys: u32,
    synchronous_commit: CommitLevel,
    on_standby_loss: OnStandbyLoss,
    max_lag: u64,
}

/// What only clusters of one engine have.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Detail {
    Postgresql {
        synchronous_standby_names: SyncRule,
        pending_standby_names: BTreeSet<PendingSyncRule>,
        degraded: Option<Position>,
    },
    Mariadb {
        counting: SyncRule,
        pending: BTreeSet<PendingSyncRule>,
        degraded: Option<Position>,
    },
}

impl Detail {
    fn new(engine: EngineKind, rule: SyncRule, pending: BTreeSet<PendingSyncRule>, degraded: Option<Position>) -> Self {
        match engine {
            EngineKind::Mariadb => Self::Mariadb {
                counting: rule,
                pending,
                degraded,
            },
            EngineKind::Postgresql | EngineKind::Pgbouncer => Self::Postgresql {
                synchronous_standby_names: rule,
                pending_standby_names: pending,
                degraded,
            },
        }
    }

    fn parts(self) -> (SyncRule, BTreeSet<PendingSyncRule>, Option<Position>) {
        match self {
            Self::Postgresql {
                synchronous_standby_names: rule,
                pending_standby_names: pending,
                degraded,
            }
            | Self::Mariadb {
                counting: rule,
                pending,
                degraded,
            } => (rule, pending, degraded),
        }
    }
}

impl From<&object::Cluster> for Cluster {
    fn from(cluster: &object::Cluster) -> Self {
        let object::Cluster {
            platform,
            network,
            engine,
            version,
            replication,
            synchronous_standbys,
            synchronous_commit,
            on_standby_loss,
            max_lag,
            sync_rule,
            pending_sync_rules,
            degraded,
            verified,
            prevent_destroy,
            failover,
        } = cluster.clone();
        Self {
            platform,
            network,
            engine,
            version,
            replication: Replication {
                mode: replication,
                synchronous_standbys,
                synchronous_commit,
                on_standby_loss,
                max_lag,
            },
            verified,
            prevent_destroy,
            failover,
            detail: Detail::new(engine, sync_rule, pending_sync_rules, degraded),
        }
    }
}

impl From<Cluster> for object::Cluster {
    fn from(cluster: Cluster) -> Self {
        let Cluster {
            platform,
            network,
            engine,
            version,
            replication,
            verified,
            prevent_destroy,
            failover,
            detail,
        } = cluster;
        let Replication {
            mode,
            synchronous_standbys,
            synchronous_commit,
            on_standby_loss,
            max_lag,
        } = replication;
        let (sync_rule, pending_sync_rules, degraded) = detail.parts();
        Self {
            platform,
            network,
            engine,
            version,
            replication: mode,
            synchronous_standbys,
            synchronous_commit,
            on_standby_loss,
            max_lag,
            sync_rule,
            pending_sync_rules,
            degraded,
            verified,
            prevent_destroy,
            failover,
        }
    }
}

/// The election of a cluster.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Election {
    term: Term,
    primary: NodeName,
    pin: Option<NodeName>,
    reason: ElectionReason,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    chosen: bool,
    switch: Option<Switch>,
}

impl From<&object::Election> for Election {
    fn from(election: &object::Election) -> Self {
        let object::Election {
            term,
            primary,
            pin,
            reason,
            chosen,
            switch,
        } = election.clone();
        Self {
            term,
            primary,
            pin,
            reason,
            chosen,
            switch,
        }
    }
}

impl From<Election> for object::Election {
    fn from(election: Election) -> Self {
        let Election {
            term,
            primary,
            pin,
            reason,
            chosen,
            switch,
        } = election;
        Self {
            term,
            primary,
            pin,
            reason,
            chosen,
            switch,
        }
    }
}
