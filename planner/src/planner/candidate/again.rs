//! Whether a failover that was cut off is held again.

use simdb_state::name::NodeName;

use super::Field;
use crate::planner::{Assurance, ElectionKind, ElectionRequest};

impl Field<'_> {
    /// Returns the standby that a failover would choose now, and lose nothing, where the node that was elected says that it lacks what this
    /// one has.
    pub(in crate::planner) fn ahead_of_elected(&self) -> Option<NodeName> {
        let request = ElectionRequest {
            cluster: self.cluster.clone(),
            kind: ElectionKind::Failover,
            to: None,
            lossy: false,
            assurance: Assurance::Proof,
        };
        let best = self.failover(&request).ok()?;
        let survivors = self.survivors();
        // What one that does not answer has is not known.
        let elected = survivors.get(self.elected)?;
        (!elected.reaches(survivors.get(&best)?)).then_some(best)
    }
}
