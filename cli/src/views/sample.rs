//! Values that the tests of several views are about.

use std::collections::BTreeMap;

use serde_json::json;
use simdb_planner::plan::{AttributeChange, ChangeAction, Impact, Shown};
use simdb_state::address::Address;

use crate::views::doc::{Cause, ChangeDoc, ComparedDoc, FORMAT_VERSION, Operation, PlanDoc, Sides, StepDoc, Summary};

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(crate) fn value(value: impl Into<Option<serde_json::Value>>) -> Option<Shown> {
    value.into().map(|value| Shown::Value(value.into()))
}

pub(crate) fn attribute(name: &str, before: Option<Shown>, after: Option<Shown>) -> AttributeChange {
    AttributeChange {
        name: name.to_owned().into(),
        before,
        after,
    }
}

pub(crate) fn change(address_text: &str, action: ChangeAction, attributes: Vec<AttributeChange>) -> ChangeDoc {
    let address = address(address_text);
    ChangeDoc {
        previous_address: None,
        kind: address.kind(),
        name: address.name(),
        index: None,
        cluster: address.cluster().cloned(),
        address,
        change: Sides {
            action,
            importing: None,
            attributes: attributes.into(),
        },
        impact: Impact::None,
        action_reason: None,
        reason: None,
        cause: Cause::Configuration,
        drift: Vec::new(),
    }
}

pub(crate) fn step(id: u32, name: &'static str, address_text: &str, after: &[u32], reason: &str) -> StepDoc {
    StepDoc {
        id,
        name,
        address: address(address_text),
        cluster: address(address_text).cluster().cloned(),
        after: after.to_vec(),
        impact: Impact::None,
        cause: Cause::Configuration,
        reason: reason.to_owned(),
        estimate_seconds: None,
    }
}

pub(crate) fn document(operation: Operation, changes: Vec<ChangeDoc>, steps: Vec<StepDoc>) -> PlanDoc {
    let mut counts = BTreeMap::new();
    for change in &changes {
        *counts.entry(change.change.action).or_default() += 1;
    }
    let count = |action| counts.get(&action).copied().unwrap_or_default();
    PlanDoc {
        format_version: FORMAT_VERSION,
        operation,
        summary: Summary {
            add: count(ChangeAction::Create),
            change: count(ChangeAction::Update),
            remove: count(ChangeAction::Delete),
            forget: count(ChangeAction::Forget),
            moved: 0,
            import: 0,
        },
        impact: steps.iter().map(|step| step.impact).max().unwrap_or_default(),
        resource_moves: Vec::new(),
        resource_changes: changes,
        resource_drift: Vec::new(),
        output_changes: Vec::new(),
        steps,
        compared: ComparedDoc::default(),
        applyable: true,
        complete: true,
        errored: false,
        not_compared: Vec::new(),
        interrupted: None,
        notes: Vec::new(),
        diagnostics: Vec::new(),
    }
}

/// A new cluster with a primary and a standby.
pub(crate) fn creation() -> PlanDoc {
    use ChangeAction::Create;
    let changes = vec![
        change("network.lan", Create, vec![]),
        change(
            "cluster.orders.node.a",
            Create,
            vec![
                attribute("listen", None, value(json!("127.0.0.1:5433"))),
                attribute("role", None, value(json!("primary"))),
                attribute("parameters.max_connections", None, value(json!("50"))),
                attribute("parameters.shared_buffers", None, value(json!("64MB"))),
                attribute("system_identifier", None, Some(Shown::KnownAfterApply)),
            ],
        ),
        change(
            "cluster.orders.user.replication",
            Create,
            vec![
                attribute("login", None, value(json!(true))),
                attribute("password", None, Some(Shown::GeneratedAtApply)),
            ],
        ),
    ];
    let steps = vec![
        step(1, "network", "network.lan", &[], "network \"lan\" is declared"),
        step(
            2,
            "primary",
            "cluster.orders.node.a",
            &[1],
            "cluster \"orders\" is new, and a is declared first",
        ),
        step(
            3,
            "replication-user",
            "cluster.orders.user.replication",
            &[2],
            "standbys stream with it, and with it alone",
        ),
        step(
            4,
            "basebackup",
            "cluster.orders.node.r[0]",
            &[1, 2, 3],
            "r[0] streams from a",
        ),
    ];
    document(Operation::Apply, changes, steps)
}

/// A plan that removes a node with its data.
pub(crate) fn destruction() -> PlanDoc {
    let listen = attribute("listen", value(json!("127.0.0.1:5433")), None);
    let mut removed = change("cluster.orders.node.a", ChangeAction::Delete, vec![listen]);
    removed.cause = Cause::NotDeclared;
    removed.reason = Some("the configuration no longer declares it".to_owned());
    let mut drop = step(
        1,
        "drop-node",
        "cluster.orders.node.a",
        &[],
        "the configuration no longer declares it",
    );
    drop.impact = Impact::DataLoss;
    document(Operation::Destroy, vec![removed], vec![drop])
}
