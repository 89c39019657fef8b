//! What several blocks have: how often they are there, and rules.

use super::table::{Attribute, Kind, Schema};

/// How often a block is there.
pub(super) const COUNT: Attribute = Attribute::new(
    "count",
    Kind::Number,
    "The block stands for so many, told apart by count.index. It must be known when a plan is made.",
);

/// The keys for each of which a block is there.
pub(super) const FOR_EACH: Attribute = Attribute::new(
    "for_each",
    Kind::Any,
    "A map or a set of strings: the block stands for one of each element, told apart by each.key and each.value. It must \
     be known when a plan is made.",
);

/// The platform that something is on.
pub(super) const PROVIDER_CHOICE: Attribute = Attribute::new(
    "provider",
    Kind::Reference,
    "The platform that it is on, by the name of its provider: docker, or docker.ALIAS where several are declared.",
)
.or("the only provider without an alias");

/// The platform that a node is on.
pub(super) const NODE_PROVIDER: Attribute = Attribute::new(
    "provider",
    Kind::Reference,
    "The provider that it runs on, of the same kind as that of its cluster: docker.NAME. For a network with reachable = true.",
)
.or("that of its cluster");

/// A rule, whatever it judges.
pub(super) static RULE: Schema = Schema::new(
    "A rule that must hold.",
    &[
        Attribute::new(
            "condition",
            Kind::Bool,
            "What must be true. What is not known yet breaks no rule.",
        )
        .required(),
        Attribute::new("error_message", Kind::String, "What is said where it is false.").required(),
    ],
    &[],
);

/// What may drift.
pub(super) static DRIFT: Schema = Schema::new(
    "What `simdb drift` counts and does not report.",
    &[Attribute::new(
        "ignore",
        Kind::Strings,
        "Addresses, and attributes of them, in which * stands for any text: \"cluster.orders.user.app\", \
         \"cluster.*.node.*.parameters.work_mem\". Within a cluster its address may be left out: \"user.app.settings.*\".",
    )
    .or("[]")],
    &[],
);
