//! What reviewers read of a plan: each object before and after, attribute by attribute.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use simdb_state::address::Address;
use simdb_state::json::Json;

/// What happens to one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What it happens to.
    pub address: Address,
    /// What happens.
    pub action: ChangeAction,
    /// Why, as a fragment that follows "because"; absent where the configuration simply asks for it.
    pub reason: Option<String>,
    /// What it is known by without simdb, where it is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importing: Option<String>,
    /// The attributes, in the order they are shown; unchanged ones have equal sides. Documents of the plan share them.
    pub attributes: Arc<[AttributeChange]>,
}

/// What happens to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeAction {
    /// It comes to be.
    Create,
    /// It is changed in place.
    Update,
    /// It goes.
    Delete,
    /// It stays where it is, and the record forgets it.
    Forget,
}

/// One attribute before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeChange {
    /// Its name, dotted where it is nested: `role`, `parameters.max_connections`.
    pub name: Cow<'static, str>,
    /// What it was; absent where it was not there.
    pub before: Option<Shown>,
    /// What it will be; absent where it will not be there.
    pub after: Option<Shown>,
}

/// A value as a reader of a plan may see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// The value.
    Value(Json),
    /// Only the apply will tell: `(known after apply)`.
    KnownAfterApply,
    /// The apply makes it up, and nobody is shown it: `(generated at apply)`.
    GeneratedAtApply,
    /// Nobody is shown it: `(sensitive value)`.
    Sensitive,
}
