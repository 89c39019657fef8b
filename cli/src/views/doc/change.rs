//! What happens to one object, or to one output, in the shape of Terraform's plan document.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use simdb_planner::plan::{AttributeChange, Change, ChangeAction, Impact, Shown};
use simdb_state::address::Address;
use simdb_state::json::{Json, Members};
use simdb_state::name::ClusterName;

use super::Cause;

/// What happens to one address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeDoc {
    /// The address.
    pub address: Address,
    /// Where it was until now, where it has moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_address: Option<Address>,
    /// The kind of thing: `node`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The name of its block: `r` of `r[0]`.
    pub name: String,
    /// Its number among the nodes of its block: `0` of `r[0]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// What it was and will be.
    pub change: Sides,
    /// The worst impact of the steps that are about it.
    pub impact: Impact,
    /// Why, as an identifier in Terraform's manner; absent where the configuration simply asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_reason: Option<String>,
    /// Why, in words, where the configuration does not simply ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is due to.
    #[serde(rename = "reason_code")]
    pub cause: Cause,
    /// For people: what of it has drifted. Programs read it in `resource_drift`.
    #[serde(skip)]
    pub drift: Vec<String>,
}

impl ChangeDoc {
    /// Makes the document of a change.
    pub(super) fn new(change: &Change, cause: Cause, impact: Impact) -> Self {
        let Change {
            address,
            action,
            reason,
            importing,
            attributes,
        } = change;
        let (name, index) = name_and_index(address);
        Self {
            kind: address.kind(),
            name,
            index,
            cluster: address.cluster().cloned(),
            address: address.clone(),
            previous_address: None,
            change: Sides {
                action: *action,
                importing: importing.clone(),
                attributes: attributes.clone(),
            },
            impact,
            action_reason: cause.of_action(*action),
            reason: reason.clone(),
            cause,
            drift: Vec::new(),
        }
    }
}

/// Takes the name of a block and the number in it apart.
pub(super) fn name_and_index(address: &Address) -> (String, Option<u32>) {
    match address {
        Address::Node(node) => (node.node.block().to_string(), node.node.index()),
        _ => (address.name(), None),
    }
}

/// What something was and will be. In JSON the attributes are spread over `before`, `after` and what says more of them:
/// `after_unknown` (only the apply will tell), `before_sensitive` and `after_sensitive` (never shown; with
/// `after_unknown`, made up by the apply). `parameters.max_connections` is nested.
#[derive(Clone, Debug, PartialEq)]
pub struct Sides {
    /// What happens.
    pub action: ChangeAction,
    /// What it is known by without simdb, where it is imported.
    pub importing: Option<String>,
    /// The attributes, in the order in which people are shown them.
    pub attributes: Arc<[AttributeChange]>,
}

impl Serialize for Sides {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut before, mut after) = (Side::default(), Side::default());
        for attribute in &*self.attributes {
            before.add(&attribute.name, attribute.before.as_ref());
            after.add(&attribute.name, attribute.after.as_ref());
        }
        let document = SidesDoc {
            actions: actions(self.action),
            after: (!matches!(self.action, ChangeAction::Delete | ChangeAction::Forget)).then_some(after.values),
            after_sensitive: after.sensitive,
            after_unknown: after.unknown,
            before: (self.action != ChangeAction::Create).then_some(before.values),
            before_sensitive: before.sensitive,
            importing: self.importing.as_ref().map(|id| ImportingDoc { id }),
        };
        document.serialize(serializer)
    }
}

/// The shape of [`Sides`] in JSON.
#[derive(Serialize)]
struct SidesDoc<'a> {
    actions: [ChangeAction; 1],
    after: Option<Members>,
    after_sensitive: Members,
    after_unknown: Members,
    before: Option<Members>,
    before_sensitive: Members,
    #[serde(skip_serializing_if = "Option::is_none")]
    importing: Option<ImportingDoc<'a>>,
}

#[derive(Serialize)]
struct ImportingDoc<'a> {
    id: &'a str,
}

/// Lists an action as Terraform does, whose replacements are two.
fn actions(action: ChangeAction) -> [ChangeAction; 1] {
    [action]
}

/// One side of a change, taken apart.
#[derive(Default)]
struct Side {
    values: Members,
    unknown: Members,
    sensitive: Members,
}

impl Side {
    fn add(&mut self, name: &str, shown: Option<&Shown>) {
        let Some(shown) = shown else { return };
        let facets = Facets::of(shown);
        insert(&mut self.values, name, facets.value);
        if facets.unknown {
            insert(&mut self.unknown, name, Json::Bool(true));
        }
        if facets.sensitive {
            insert(&mut self.sensitive, name, Json::Bool(true));
        }
    }
}

/// What there is to say about one value.
struct Facets {
    value: Json,
    unknown: bool,
    sensitive: bool,
}

impl Facets {
    fn of(shown: &Shown) -> Self {
        let (value, unknown, sensitive) = match shown {
            Shown::Value(value) => (value.clone(), false, false),
            Shown::KnownAfterApply => (Json::Null, true, false),
            Shown::GeneratedAtApply => (Json::Null, true, true),
            Shown::Sensitive => (Json::Null, false, true),
        };
        Self {
            value,
            unknown,
            sensitive,
        }
    }
}

/// Puts a value under a name; what follows the first dot is a name within.
fn insert(object: &mut Members, name: &str, value: Json) {
    let Some((outer, inner)) = name.split_once('.') else {
        object.insert(name.to_owned(), value);
        return;
    };
    let within = object
        .entry(outer.to_owned())
        .or_insert_with(|| Json::Object(Members::new()));
    if let Json::Object(within) = within {
        within.insert(inner.to_owned(), value);
    }
}

/// What happens to the value of an `output` block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputChangeDoc {
    /// The output and its two sides.
    pub change: AttributeChange,
    /// What happens.
    pub action: ChangeAction,
}

/// The shape of an [`OutputChangeDoc`] in JSON.
#[derive(Serialize)]
struct OutputSidesDoc {
    actions: [ChangeAction; 1],
    after: Json,
    after_sensitive: bool,
    after_unknown: bool,
    before: Json,
    before_sensitive: bool,
}

/// Writes the changes of outputs by name, each with its sides as values.
pub(super) fn by_name<S: Serializer>(changes: &[OutputChangeDoc], serializer: S) -> Result<S::Ok, S::Error> {
    let side = |shown: &Option<Shown>| Facets::of(shown.as_ref().unwrap_or(&Shown::Value(Json::Null)));
    let documents = changes.iter().map(|output| {
        let (before, after) = (side(&output.change.before), side(&output.change.after));
        let document = OutputSidesDoc {
            actions: actions(output.action),
            after: after.value,
            after_sensitive: after.sensitive,
            after_unknown: after.unknown,
            before: before.value,
            before_sensitive: before.sensitive,
        };
        (output.change.name.clone(), document)
    });
    documents.collect::<BTreeMap<_, _>>().serialize(serializer)
}
