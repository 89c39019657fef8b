//! Nodes that more standbys would stream from than a server has room for.

use std::collections::BTreeMap;

use simdb_state::address::NodeAddress;

use crate::diagnostic::Diagnostic;
use crate::engine::replay;
use crate::planner::Inputs;
use crate::planner::intended::Intended;

/// How many streams of a server are left to those who copy its data.
const SPARE: usize = 4;

/// Returns a warning for each node that has more standbys than room for them: those beyond would never stream.
pub(super) fn crowded(inputs: Inputs<'_>, intended: &Intended) -> Vec<Diagnostic> {
    let room = replay::streams() - SPARE;
    let mut diagnostics = Vec::new();
    for (name, spec) in &inputs.desired.clusters {
        if spec.nodes.len() <= room {
            continue;
        }
        let mut standbys: BTreeMap<NodeAddress, usize> = BTreeMap::new();
        for (address, node) in intended.nodes_of(name) {
            if let Some(upstream) = node.role.follows() {
                *standbys.entry(address.sibling(upstream)).or_default() += 1;
            }
        }
        let crowded = standbys.into_iter().filter(|(_, number)| *number > room);
        diagnostics.extend(crowded.map(|(upstream, number)| {
            let detail = format!(
                "{number} standbys follow {upstream}, and a server has room for {room}. The steps of the others fail. Let some of them \
                 follow another standby: set follows in their node blocks."
            );
            Diagnostic::warning("More standbys than a server has room for", detail).at(spec.spans.cluster.clone())
        }));
    }
    diagnostics
}
