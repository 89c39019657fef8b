//! Which blocks there are, and what each may hold.

use hcl_edit::structure::Block;

use super::title;

/// What a body may hold.
pub(in super::super) struct Schema {
    /// The attributes, and whether each is required.
    pub(super) attributes: &'static [(&'static str, bool)],
    /// Whether any attribute is allowed.
    pub(super) open: bool,
    pub(super) blocks: &'static [Nested],
}

/// A kind of block within a body.
pub(super) struct Nested {
    pub(super) name: &'static str,
    /// What its label is called; absent where it has none.
    pub(super) label: Option<&'static str>,
    pub(super) schema: &'static Schema,
    pub(super) count: Count,
}

/// How many blocks of a kind there may be.
#[derive(PartialEq)]
pub(super) enum Count {
    /// One with the same label.
    AtMostOne,
    /// One, whatever its label, and it is required.
    One,
    Many,
}

impl Nested {
    /// Returns what may be there only once.
    pub(super) fn identity(&self, block: &Block) -> String {
        if self.count == Count::One {
            self.name.to_owned()
        } else {
            title(block)
        }
    }
}

const fn body(attributes: &'static [(&'static str, bool)], blocks: &'static [Nested]) -> Schema {
    Schema {
        attributes,
        open: false,
        blocks,
    }
}

const fn nested(name: &'static str, label: Option<&'static str>, count: Count, schema: &'static Schema) -> Nested {
    Nested {
        name,
        label,
        schema,
        count,
    }
}

pub(super) static FILE: Schema = body(
    &[],
    &[
        nested("simdb", None, Count::AtMostOne, &SIMDB),
        nested("variable", Some("name"), Count::AtMostOne, &VARIABLE),
        nested("locals", None, Count::Many, &LOCALS),
        nested("output", Some("name"), Count::AtMostOne, &OUTPUT),
        nested("check", Some("name"), Count::AtMostOne, &CHECK),
        nested("provider", Some("platform"), Count::AtMostOne, &PROVIDER),
        nested("network", Some("name"), Count::AtMostOne, &NETWORK),
        nested("cluster", Some("name"), Count::AtMostOne, &CLUSTER),
        nested("module", Some("name"), Count::AtMostOne, &MODULE),
    ],
);
static SIMDB: Schema = body(
    &[("required_version", false)],
    &[nested("state", Some("backend"), Count::AtMostOne, &STATE)],
);
static STATE: Schema = body(&[("path", false)], &[]);
static VARIABLE: Schema = body(
    &[
        ("type", false),
        ("default", false),
        ("description", false),
        ("sensitive", false),
        ("nullable", false),
    ],
    &[nested("validation", None, Count::Many, &VALIDATION)],
);
static VALIDATION: Schema = body(&[("condition", true), ("error_message", true)], &[]);
static LOCALS: Schema = Schema {
    attributes: &[],
    open: true,
    blocks: &[],
};
static OUTPUT: Schema = body(
    &[("value", true), ("sensitive", false), ("description", false)],
    &[nested("precondition", None, Count::Many, &VALIDATION)],
);
static CHECK: Schema = body(&[], &[nested("assert", None, Count::One, &VALIDATION)]);
static PROVIDER: Schema = body(
    &[
        ("run_as", false),
        ("data_root", false),
        ("port_range", false),
        ("binaries", false),
    ],
    &[],
);
static NETWORK: Schema = body(
    &[
        ("provider", false),
        ("subnet", false),
        ("count", false),
        ("for_each", false),
    ],
    &[],
);
pub(super) static CLUSTER: Schema = body(
    &[
        ("network", false),
        ("provider", false),
        ("primary", false),
        ("depends_on", false),
        ("count", false),
        ("for_each", false),
    ],
    &[
        nested("engine", Some("engine"), Count::One, &ENGINE),
        nested("replication", None, Count::AtMostOne, &REPLICATION),
        nested("node", Some("name"), Count::AtMostOne, &NODE),
        nested("user", Some("name"), Count::AtMostOne, &USER),
        nested("database", Some("name"), Count::AtMostOne, &DATABASE),
        nested("seed", Some("name"), Count::AtMostOne, &SEED),
        nested("endpoint", Some("name"), Count::AtMostOne, &ENDPOINT),
        nested("lifecycle", None, Count::AtMostOne, &LIFECYCLE),
    ],
);
/// What else there may be is what the variables of the module are called.
static MODULE: Schema = Schema {
    attributes: &[("source", true), ("count", false), ("for_each", false)],
    open: true,
    blocks: &[],
};
static ENGINE: Schema = body(&[("version", false), ("parameters", false)], &[]);
static REPLICATION: Schema = body(
    &[
        ("mode", false),
        ("synchronous_standbys", false),
        ("synchronous_commit", false),
        ("on_standby_loss", false),
        ("max_lag", false),
        ("password_version", false),
    ],
    &[],
);
static USER: Schema = body(
    &[
        ("login", false),
        ("replication", false),
        ("superuser", false),
        ("createdb", false),
        ("createrole", false),
        ("inherit", false),
        ("connection_limit", false),
        ("member_of", false),
        ("password", false),
        ("password_version", false),
        ("name", false),
        ("count", false),
        ("for_each", false),
    ],
    &[nested("lifecycle", None, Count::AtMostOne, &LIFECYCLE_WITHIN)],
);
static DATABASE: Schema = body(
    &[
        ("owner", true),
        ("encoding", false),
        ("locale", false),
        ("name", false),
        ("count", false),
        ("for_each", false),
    ],
    &[nested("lifecycle", None, Count::AtMostOne, &LIFECYCLE_WITHIN)],
);
static SEED: Schema = body(
    &[
        ("database", true),
        ("file", true),
        ("count", false),
        ("for_each", false),
    ],
    &[nested("lifecycle", None, Count::AtMostOne, &LIFECYCLE_WITHIN)],
);
static NODE: Schema = body(
    &[
        ("count", false),
        ("for_each", false),
        ("port", false),
        ("follows", false),
        ("apply_delay", false),
        ("parameters", false),
    ],
    &[nested("lifecycle", None, Count::AtMostOne, &LIFECYCLE_WITHIN)],
);
static ENDPOINT: Schema = body(
    &[
        ("target", true),
        ("via", false),
        ("port", false),
        ("pool_mode", false),
        ("count", false),
        ("for_each", false),
    ],
    &[],
);
static LIFECYCLE: Schema = body(
    &[("prevent_destroy", false), ("ignore_changes", false)],
    &[
        nested("precondition", None, Count::Many, &VALIDATION),
        nested("postcondition", None, Count::Many, &VALIDATION),
    ],
);

/// Of what is within a cluster.
static LIFECYCLE_WITHIN: Schema = body(&[("ignore_changes", false)], &[]);

/// Returns what a file may hold.
pub(in super::super) fn file() -> &'static Schema {
    &FILE
}

impl Schema {
    /// Returns how many labels the blocks of a kind have, and what they may hold; nothing where there is no such kind.
    pub(in super::super) fn labels_of(&self, kind: &str) -> Option<(usize, &'static Schema)> {
        let kind = self.blocks.iter().find(|known| known.name == kind)?;
        Some((usize::from(kind.label.is_some()), kind.schema))
    }

    /// Lists what there is: attributes first.
    pub(super) fn allowed(&self) -> String {
        let attributes = self.attributes.iter().map(|(name, _)| *name);
        let names: Vec<String> = attributes
            .chain(self.blocks.iter().map(|kind| kind.name))
            .map(|name| format!("\"{name}\""))
            .collect();
        match names.split_last() {
            None => "nothing".to_owned(),
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        }
    }
}
