//! The `failover` and `maintenance` blocks of a cluster: what a monitor may do with it by itself, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use simdb_language::reference::Names;
use simdb_language::suggest::{choice, did_you_mean};
use simdb_state::object::{
    FAILOVER_PRIORITY, FailoverMode, FailoverPolicy, Impact, MaintenanceWindow, MaxLoss, Prefer, ReplicationMode,
    Weekday,
};

use crate::desired::ReplicationSpec;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::settings;

use super::nodes::Nodes;
use super::read::Reader;

const MODES: [FailoverMode; 2] = [FailoverMode::Manual, FailoverMode::Automatic];
const PREFERENCES: [Prefer; 2] = [Prefer::Failover, Prefer::Restart];
const IMPACTS: [Impact; 6] = [
    Impact::None,
    Impact::Reload,
    Impact::Restart,
    Impact::WritePause,
    Impact::Downtime,
    Impact::DataLoss,
];

/// What `max_loss` says where any loss is accepted.
const UNLIMITED: &str = "unlimited";

/// The most failovers within an hour that may be asked for.
const MOST_PER_HOUR: u32 = 60;

/// Reads what a monitor may do with a cluster. It is whole only where no diagnostic was added.
pub(super) fn read(
    cluster: Reader<'_>,
    nodes: &Nodes,
    replication: &ReplicationSpec,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> FailoverPolicy {
    let mut policy = FailoverPolicy {
        priorities: nodes.priorities.clone(),
        maintenance: windows(cluster, names, diagnostics),
        ..FailoverPolicy::default()
    };
    policy.priorities.retain(|_, priority| *priority != FAILOVER_PRIORITY);
    let Some((header, block)) = cluster.blocks("failover").next() else {
        return policy;
    };
    let header = cluster.header(header);
    let mode = block.word("mode", &MODES, names, diagnostics);
    policy.mode = mode.as_ref().map_or_else(FailoverMode::default, |(mode, _)| *mode);
    if let Some(prefer) = block.word("prefer", &PREFERENCES, names, diagnostics) {
        policy.prefer = prefer.0;
    }
    if let Some(rebuild) = block.word("rebuild", &MODES, names, diagnostics) {
        policy.rebuild = rebuild.0;
    }
    if let Some(allow) = block.word("allow", &IMPACTS, names, diagnostics) {
        policy.allow = allow.0;
    }
    duration(block, "restart_within", &mut policy.restart_within, names, diagnostics);
    duration(block, "cooldown", &mut policy.cooldown, names, diagnostics);
    if let Some(most) = block.whole("max_per_hour", (1, MOST_PER_HOUR), names, diagnostics) {
        policy.max_per_hour = most.value;
    }
    max_loss(block, replication.mode, &mut policy, names, diagnostics);
    if policy.mode == FailoverMode::Automatic && nodes.whole {
        let span = mode.map_or(header, |(_, span)| span);
        automatic(block, span, nodes, (replication.mode, &policy), diagnostics);
    }
    policy
}

fn duration(
    block: Reader<'_>,
    name: &str,
    duration: &mut Duration,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(read) = block.text(name, names, diagnostics) else {
        return;
    };
    if let Some(milliseconds) = settings::read_milliseconds(&read.value) {
        *duration = Duration::from_millis(milliseconds.into());
    } else {
        let detail = format!(
            "\"{name}\" is a time such as \"10s\" or \"5min\", not {:?}.",
            read.value
        );
        diagnostics.push(block.error(read.span, "Invalid time", detail));
    }
}

fn max_loss(
    block: Reader<'_>,
    mode: ReplicationMode,
    policy: &mut FailoverPolicy,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(read) = block.text("max_loss", names, diagnostics) else {
        return;
    };
    let loss = match read.value.as_str() {
        UNLIMITED => Some(MaxLoss::Unlimited),
        text => settings::read_bytes(text).map(MaxLoss::Bytes),
    };
    match loss {
        None => {
            let detail = format!(
                "\"max_loss\" is a number of bytes, a size such as \"16MB\", or \"{UNLIMITED}\", not {:?}.",
                read.value
            );
            diagnostics.push(block.error(read.span, "Invalid size", detail));
        }
        Some(loss) if !loss.is_nothing() && mode != ReplicationMode::Async => {
            let detail = format!(
                "In mode \"{mode}\" a failover loses nothing, so \"max_loss\" can only be 0. Remove it, or set mode = \"async\" in the \
                 replication block."
            );
            diagnostics.push(block.error(read.span, "Setting without meaning", detail));
        }
        Some(loss) => policy.max_loss = loss,
    }
}

/// Says why a monitor could not fail over by itself.
fn automatic(
    block: Reader<'_>,
    span: Span,
    nodes: &Nodes,
    (mode, policy): (ReplicationMode, &FailoverPolicy),
    diagnostics: &mut Vec<Diagnostic>,
) {
    if nodes.specs.len() == 1 {
        let detail = "An automatic failover needs a standby that takes over, and the cluster has one node. Declare another one, or \
                      set mode = \"manual\".";
        return diagnostics.push(block.error(span, "No standby to take over", detail));
    }
    if nodes.specs.keys().all(|node| policy.priority(node) == 0) {
        let detail = "Every node has failover_priority = 0, so none could take over. Give one another priority, or set mode = \
                      \"manual\".";
        return diagnostics.push(block.error(span, "No node may take over", detail));
    }
    if mode == ReplicationMode::Async && block.attribute("max_loss").is_none() {
        let detail = "In mode \"async\" a failover may lose writes that were acknowledged, so an automatic one needs to be told how \
                      many: max_loss = \"16MB\", or \"unlimited\", or 0 to fail over only where nothing is lost. With mode = \
                      \"sync\" or \"quorum\" in the replication block it loses nothing.";
        diagnostics.push(block.error(span, "Loss is not limited", detail));
    }
}

fn windows(cluster: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<MaintenanceWindow> {
    let mut windows = Vec::new();
    for (header, block) in cluster.blocks("maintenance") {
        let before = diagnostics.len();
        let days = days(block, names, diagnostics);
        let from = minute(block, "from", names, diagnostics);
        let to = minute(block, "to", names, diagnostics);
        let (Some(from), Some(to), true) = (from, to, diagnostics.len() == before) else {
            continue;
        };
        if from == to {
            let detail = "A maintenance window that ends when it begins is never open. Give it another end.";
            diagnostics.push(block.error(cluster.header(header), "Empty maintenance window", detail));
            continue;
        }
        windows.push(MaintenanceWindow { days, from, to });
    }
    windows
}

fn days(block: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> BTreeSet<Weekday> {
    let all: BTreeMap<String, Weekday> = Weekday::ALL.into_iter().map(|day| (day.to_string(), day)).collect();
    let Some(attribute) = block.attribute("days") else {
        return Weekday::ALL.into();
    };
    let mut days = BTreeSet::new();
    for given in block.texts("days", names, diagnostics) {
        if let Some(day) = all.get(&given) {
            days.insert(*day);
            continue;
        }
        let words = || Weekday::ALL.iter().map(ToString::to_string).collect::<Vec<_>>();
        let words = words();
        let known = || words.iter().map(String::as_str);
        let detail = format!(
            "A day is {}, not \"{given}\".{}",
            choice(known()),
            did_you_mean(&given, known())
        );
        diagnostics.push(block.error(block.span(&attribute.value), "Unknown day", detail));
    }
    days
}

/// Reads a time of the day.
fn minute(block: Reader<'_>, name: &str, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<u16> {
    let read = block.text(name, names, diagnostics)?;
    let parsed = read.value.split_once(':').and_then(|(hour, minute)| {
        let two = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let (hour, minute): (u16, u16) = (
            two(hour).then(|| hour.parse().ok())??,
            two(minute).then(|| minute.parse().ok())??,
        );
        (hour < 24 && minute < 60).then_some(hour * 60 + minute)
    });
    if parsed.is_none() {
        let detail = format!(
            "\"{name}\" is a time of the day in UTC such as \"02:30\", not {:?}.",
            read.value
        );
        diagnostics.push(block.error(read.span, "Invalid time", detail));
    }
    parsed
}
