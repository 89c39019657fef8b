//! What a holding of the lock is about: everything, or some clusters alone. Two that have nothing in common do not wait for each other.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::ClusterName;

/// What a holding of the lock is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// The whole record.
    #[default]
    Everything,
    /// These clusters, with all that is theirs.
    Clusters(BTreeSet<ClusterName>),
}

impl Extent {
    /// Returns the extent of one cluster.
    pub fn of(cluster: &ClusterName) -> Self {
        Extent::Clusters(BTreeSet::from([cluster.clone()]))
    }

    /// Returns whether a cluster is part of it.
    pub fn contains(&self, cluster: &ClusterName) -> bool {
        match self {
            Extent::Everything => true,
            Extent::Clusters(clusters) => clusters.contains(cluster),
        }
    }

    /// Returns whether the two have anything in common.
    pub fn overlaps(&self, other: &Extent) -> bool {
        match (self, other) {
            (Extent::Clusters(one), Extent::Clusters(other)) => !one.is_disjoint(other),
            _ => true,
        }
    }

    pub(crate) fn is_everything(&self) -> bool {
        *self == Extent::Everything
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Extent::Everything => f.write_str("everything"),
            Extent::Clusters(clusters) => {
                let names: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
                let noun = if names.len() == 1 { "cluster" } else { "clusters" };
                write!(f, "{noun} {}", names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clusters(names: &[&str]) -> Extent {
        Extent::Clusters(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn what_has_no_cluster_in_common_does_not_overlap() {
        assert!(!clusters(&["a", "b"]).overlaps(&clusters(&["c"])));
        assert!(clusters(&["a", "b"]).overlaps(&clusters(&["b", "c"])));
        assert!(Extent::Everything.overlaps(&clusters(&["c"])) && clusters(&["c"]).overlaps(&Extent::Everything));
        assert!(Extent::Everything.overlaps(&Extent::Everything));
        assert!(
            !clusters(&[]).overlaps(&clusters(&["a"])),
            "a plan of no cluster waits for none"
        );
    }

    #[test]
    fn an_extent_is_named_by_its_clusters() {
        assert_eq!(clusters(&["a"]).to_string(), "cluster a");
        assert_eq!(clusters(&["a", "b"]).to_string(), "clusters a, b");
        assert_eq!(Extent::Everything.to_string(), "everything");
    }
}
