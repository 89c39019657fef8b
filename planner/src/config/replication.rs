//! The `replication` block: what commits wait for, and what a standby may be behind.

use simdb_language::reference::Names;
use simdb_state::object::{CommitLevel, OnStandbyLoss, ReplicationMode};

use crate::desired::ReplicationSpec;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::settings;

use super::nodes::Nodes;
use super::read::Reader;

const MODES: [ReplicationMode; 3] = [ReplicationMode::Async, ReplicationMode::Sync, ReplicationMode::Quorum];
const LEVELS: [CommitLevel; 4] = [
    CommitLevel::On,
    CommitLevel::RemoteWrite,
    CommitLevel::RemoteApply,
    CommitLevel::Local,
];
const LOSSES: [OnStandbyLoss; 2] = [OnStandbyLoss::Block, OnStandbyLoss::Degrade];

/// What only a mode that waits for standbys has.
const SYNCHRONOUS_ONLY: [&str; 3] = ["synchronous_standbys", "synchronous_commit", "on_standby_loss"];

/// Reads the `replication` block of a cluster, and where its number of standbys stands. It is whole only where no diagnostic was added.
pub(super) fn read(
    cluster: Reader<'_>,
    nodes: &Nodes,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (ReplicationSpec, Option<Span>) {
    let mut spec = ReplicationSpec::of(nodes.specs.len());
    let Some((_, block)) = cluster.blocks("replication").next() else {
        return (spec, None);
    };
    if let Some((mode, span)) = block.word("mode", &MODES, names, diagnostics) {
        spec.mode = mode;
        spec.synchronous_standbys = u32::from(mode != ReplicationMode::Async);
        if mode != ReplicationMode::Async && nodes.whole && nodes.specs.len() == 1 {
            let detail = format!(
                "Mode \"{mode}\" needs a standby to wait for, and the cluster has one node. Declare another one, or set \
                 mode = \"async\"."
            );
            diagnostics.push(block.error(span, "No standby to wait for", detail));
            return (spec, None);
        }
    }
    if let Some(read) = block.text("max_lag", names, diagnostics) {
        if let Some(bytes) = settings::read_bytes(&read.value) {
            spec.max_lag = bytes;
        } else {
            let detail = format!("\"max_lag\" is a size such as \"16MB\", not {:?}.", read.value);
            diagnostics.push(block.error(read.span, "Invalid size", detail));
        }
    }
    if spec.mode == ReplicationMode::Async {
        not_in_async(block, nodes, diagnostics);
        return (spec, None);
    }
    let mut span = None;
    let most = u32::try_from(nodes.specs.len().saturating_sub(1))
        .unwrap_or(u32::MAX)
        .max(1);
    if let Some(read) = block.whole("synchronous_standbys", (1, most), names, diagnostics) {
        spec.synchronous_standbys = read.value;
        span = Some(read.span);
    }
    if let Some((level, _)) = block.word("synchronous_commit", &LEVELS, names, diagnostics) {
        spec.synchronous_commit = level;
    }
    if let Some((loss, _)) = block.word("on_standby_loss", &LOSSES, names, diagnostics) {
        spec.on_standby_loss = loss;
    }
    (spec, span)
}

fn not_in_async(block: Reader<'_>, nodes: &Nodes, diagnostics: &mut Vec<Diagnostic>) {
    for name in SYNCHRONOUS_ONLY {
        let Some(attribute) = block.attribute(name).filter(|_| nodes.whole) else {
            continue;
        };
        let way_out = if block.attribute("mode").is_some() {
            "Remove it, or set mode = \"sync\" or mode = \"quorum\"."
        } else {
            "Without a standby the mode is async: declare another node, or remove it."
        };
        let detail = format!("In mode \"async\" commits wait for no standby, so \"{name}\" has no meaning. {way_out}");
        diagnostics.push(block.error(block.span(&attribute.value), "Setting without meaning", detail));
    }
}
