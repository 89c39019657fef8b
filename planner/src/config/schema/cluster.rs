//! The `cluster` block and all that is within one.

use super::common::{COUNT, DRIFT, FOR_EACH, NODE_PROVIDER, PROVIDER_CHOICE, RULE};
use super::table::{Attribute, Count, Kind, Nested, Schema};

/// The name that a server knows something by.
const NAME: Attribute = Attribute::new(
    "name",
    Kind::String,
    "What servers call it, where that is not the label of the block and the key of the instance.",
);

const PASSWORD_VERSION: Attribute = Attribute::new(
    "password_version",
    Kind::Number,
    "Another number makes simdb generate and set another password.",
)
.or("1");

const PARAMETERS: Attribute = Attribute::new(
    "parameters",
    Kind::Map,
    "Settings of the server by name, as its configuration file takes them. null takes away what the engine block sets.",
);

const LIFECYCLE: Nested = Nested {
    name: "lifecycle",
    label: None,
    labels: &[],
    count: Count::AtMostOne,
    schema: &LIFECYCLE_WITHIN,
    example: "lifecycle {\n  ignore_changes = all\n}\n",
};

/// That of what can be kept from being destroyed.
const LIFECYCLE_KEPT: Nested = Nested {
    schema: &LIFECYCLE_OF_KEPT,
    example: "lifecycle {\n  prevent_destroy = true\n}\n",
    ..LIFECYCLE
};

/// What a cluster may hold.
pub(super) static CLUSTER: Schema = Schema::new(
    "Servers that hold the same data: one primary, and standbys that follow it.",
    &[
        Attribute::new("network", Kind::Reference, "The network that it is in: network.NAME.")
            .or("the only network that is declared; the default network of the platform where there is none"),
        PROVIDER_CHOICE,
        Attribute::new(
            "primary",
            Kind::String,
            "The node that leads. Another name is a switchover.",
        )
        .or("the node that leads already, at first the one that is declared first"),
        Attribute::new(
            "depends_on",
            Kind::References,
            "Clusters and modules that are made before this one, and removed after it: [cluster.NAME, module.NAME].",
        ),
        Attribute::new(
            "memory",
            Kind::String,
            "The most memory that each of its servers may take, such as \"512MB\": for containers only.",
        )
        .or("what its provider says"),
        Attribute::new(
            "cpus",
            Kind::Number,
            "How many processors each of its servers may keep busy, such as 1.5: for containers only.",
        )
        .or("what its provider says"),
        Attribute::new(
            "storage",
            Kind::String,
            "The size of the volume of each of its servers, such as \"100GB\": for pods only. None gets smaller.",
        )
        .or("what its provider says"),
        COUNT,
        FOR_EACH,
    ],
    &[
        Nested {
            name: "engine",
            label: Some("engine"),
            labels: &["postgresql"],
            count: Count::One,
            schema: &ENGINE,
            example: "engine \"postgresql\" {\n  version = \"17\"\n\n  parameters = {\n    work_mem = \"16MB\"\n  }\n}\n",
        },
        Nested {
            name: "replication",
            label: None,
            labels: &[],
            count: Count::AtMostOne,
            schema: &REPLICATION,
            example: "replication {\n  mode                 = \"sync\"\n  synchronous_standbys = 1\n  max_lag              = \"16MB\"\n}\n",
        },
        Nested {
            name: "failover",
            label: None,
            labels: &[],
            count: Count::AtMostOne,
            schema: &FAILOVER,
            example: "failover {\n  mode     = \"automatic\"\n  cooldown = \"60s\"\n}\n",
        },
        Nested {
            name: "maintenance",
            label: None,
            labels: &[],
            count: Count::Many,
            schema: &MAINTENANCE,
            example: "maintenance {\n  days = [\"sat\", \"sun\"]\n  from = \"02:00\"\n  to   = \"04:00\"\n}\n",
        },
        Nested {
            name: "node",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &NODE,
            example: "node \"r\" {\n  count = 2\n  port  = 15433 + count.index\n}\n",
        },
        Nested {
            name: "user",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &USER,
            example: "user \"report\" {\n  member_of        = [\"pg_read_all_data\"]\n  connection_limit = 5\n}\n",
        },
        Nested {
            name: "database",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &DATABASE,
            example: "database \"orders\" {\n  owner = \"app\"\n}\n",
        },
        Nested {
            name: "seed",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &SEED,
            example: "seed \"tables\" {\n  database = \"orders\"\n  file     = \"schema.sql\"\n}\n",
        },
        Nested {
            name: "endpoint",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &ENDPOINT,
            example: "endpoint \"rw\" {\n  target = \"primary\"\n  via    = \"pgbouncer\"\n}\n",
        },
        Nested {
            name: "lifecycle",
            label: None,
            labels: &[],
            count: Count::AtMostOne,
            schema: &LIFECYCLE_OF_CLUSTER,
            example: "lifecycle {\n  prevent_destroy = true\n}\n",
        },
        Nested {
            name: "drift",
            label: None,
            labels: &[],
            count: Count::AtMostOne,
            schema: &DRIFT,
            example: "drift {\n  ignore = [\"user.app.settings.*\"]\n}\n",
        },
    ],
);

static ENGINE: Schema = Schema::new(
    "The program that its servers are, and how it is set.",
    &[
        Attribute::new("version", Kind::String, "The major version, such as \"17\".")
            .or("the newest that the platform has; the recorded one where the cluster is there"),
        PARAMETERS,
    ],
    &[],
);

static REPLICATION: Schema = Schema::new(
    "What commits wait for, and how far behind a standby may be.",
    &[
        Attribute::new(
            "mode",
            Kind::String,
            "async: commits wait for no standby. sync: they wait for the first ones in order. quorum: they wait for any.",
        )
        .one_of(&["async", "sync", "quorum"])
        .or("sync with a standby, else async"),
        Attribute::new(
            "synchronous_standbys",
            Kind::Number,
            "How many standbys commits wait for.",
        )
        .or("1"),
        Attribute::new(
            "synchronous_commit",
            Kind::String,
            "What a standby must have done with a commit before it is acknowledged.",
        )
        .one_of(&["on", "remote_write", "remote_apply", "local"])
        .or("on"),
        Attribute::new(
            "on_standby_loss",
            Kind::String,
            "What commits do where too few standbys are left: block waits for them, degrade goes on without until one is back.",
        )
        .one_of(&["block", "degrade"])
        .or("block"),
        Attribute::new(
            "max_lag",
            Kind::String,
            "How far a standby may be behind before it counts as unhealthy, such as \"64MB\".",
        )
        .or("16MB"),
        PASSWORD_VERSION,
    ],
    &[],
);

static FAILOVER: Schema = Schema::new(
    "What simdb monitor may do with the cluster by itself.",
    &[
        Attribute::new(
            "mode",
            Kind::String,
            "manual: the monitor observes, warns, and names the command. automatic: it acts. In replication mode async, automatic needs a \
             max_loss.",
        )
        .one_of(&["manual", "automatic"])
        .or("manual"),
        Attribute::new(
            "max_loss",
            Kind::String,
            "How much of what was acknowledged a failover may lose in replication mode async: a size such as \"16MB\", or \"unlimited\".",
        )
        .or("0"),
        Attribute::new(
            "prefer",
            Kind::String,
            "What is tried first where the server of the primary ended and its data is in place: failover lets a standby take over, restart \
             starts it again. In replication mode async it is always started again first.",
        )
        .one_of(&["failover", "restart"])
        .or("failover"),
        Attribute::new(
            "restart_within",
            Kind::String,
            "How long a primary may take to start before a standby takes over.",
        )
        .or("10s"),
        Attribute::new(
            "cooldown",
            Kind::String,
            "How long after a failover another one is only held where the primary's process is known to have ended and nothing is lost.",
        )
        .or("60s"),
        Attribute::new(
            "max_per_hour",
            Kind::Number,
            "After how many failovers within an hour the monitor pauses itself for the cluster.",
        )
        .or("3"),
        Attribute::new(
            "rebuild",
            Kind::String,
            "Whether a standby is copied anew by itself: one whose log is gone or is another branch, one that is far behind, and one that has \
             been down for five minutes.",
        )
        .one_of(&["manual", "automatic"])
        .or("automatic"),
        Attribute::new(
            "allow",
            Kind::String,
            "The worst impact that anything else in a plan of the monitor may have.",
        )
        .one_of(&["none", "reload", "restart", "write-pause", "downtime", "data-loss"])
        .or("write-pause"),
    ],
    &[],
);

static MAINTENANCE: Schema = Schema::new(
    "A time in which people work on the cluster: simdb monitor observes and warns, and does nothing by itself.",
    &[
        Attribute::new(
            "days",
            Kind::Strings,
            "The days on which it begins: mon, tue, wed, thu, fri, sat, sun.",
        )
        .or("every day"),
        Attribute::new("from", Kind::String, "When it begins, in UTC, such as \"02:30\".").required(),
        Attribute::new(
            "to",
            Kind::String,
            "When it is over; where that is not later, on the next day.",
        )
        .required(),
    ],
    &[],
);

static NODE: Schema = Schema::new(
    "A server of the cluster. Which one leads is said by primary of the cluster; the others follow.",
    &[
        NODE_PROVIDER,
        COUNT,
        FOR_EACH,
        Attribute::new("port", Kind::Number, "The port that it listens on, from 1024 to 65535.")
            .or("a free one; the default port where the network has a subnet"),
        Attribute::new(
            "follows",
            Kind::String,
            "The node that it streams from while it is a standby.",
        )
        .or("the primary"),
        Attribute::new(
            "apply_delay",
            Kind::String,
            "How long it waits on purpose before it replays a commit, such as \"5min\".",
        )
        .or("0"),
        Attribute::new(
            "failover_priority",
            Kind::Number,
            "Which of several standbys that have as much takes over: the one with the greatest number, from 0 to 1000. One with 0 never does \
             unless a command names it.",
        )
        .or("100"),
        Attribute::new(
            "memory",
            Kind::String,
            "The most memory that its server may take, such as \"512MB\": for containers only.",
        )
        .or("what its cluster says"),
        Attribute::new(
            "cpus",
            Kind::Number,
            "How many processors its server may keep busy, such as 1.5: for containers only.",
        )
        .or("what its cluster says"),
        Attribute::new(
            "storage",
            Kind::String,
            "The size of the volume of its server, such as \"100GB\": for pods only. None gets smaller.",
        )
        .or("what its cluster says"),
        PARAMETERS,
    ],
    &[Nested {
        schema: &LIFECYCLE_OF_NODE,
        example: "lifecycle {\n  replace_triggered_by = [cluster.orders.node.a.parameters]\n}\n",
        ..LIFECYCLE
    }],
);

static USER: Schema = Schema::new(
    "A role of the servers. Its password and its URL are cluster.NAME.user.NAME.password and .url, both sensitive.",
    &[
        NAME,
        Attribute::new("login", Kind::Bool, "Whether it may log in.").or("true"),
        Attribute::new("password", Kind::String, "Its password. No plan shows it.").or("simdb generates one"),
        PASSWORD_VERSION,
        Attribute::new(
            "member_of",
            Kind::Strings,
            "The roles that it is a member of: users of the cluster, and those that servers have by themselves.",
        )
        .or("[]"),
        Attribute::new(
            "connection_limit",
            Kind::Number,
            "How many sessions it may have at once.",
        )
        .or("no limit"),
        Attribute::new("superuser", Kind::Bool, "Whether servers check none of its rights.").or("false"),
        Attribute::new("createdb", Kind::Bool, "Whether it may create databases.").or("false"),
        Attribute::new("createrole", Kind::Bool, "Whether it may create roles.").or("false"),
        Attribute::new("replication", Kind::Bool, "Whether it may stream.").or("false"),
        Attribute::new(
            "inherit",
            Kind::Bool,
            "Whether it has the rights of the roles that it is a member of.",
        )
        .or("true"),
        COUNT,
        FOR_EACH,
    ],
    &[LIFECYCLE],
);

static DATABASE: Schema = Schema::new(
    "A database of the cluster.",
    &[
        NAME,
        Attribute::new("owner", Kind::String, "The user of the cluster that owns it.").required(),
        Attribute::new("encoding", Kind::String, "The encoding of its texts.").or("that of the server"),
        Attribute::new("locale", Kind::String, "How its texts are sorted.").or("that of the server"),
        COUNT,
        FOR_EACH,
    ],
    &[LIFECYCLE_KEPT],
);

static SEED: Schema = Schema::new(
    "A file of SQL that runs once, as the owner of the database, in one transaction.",
    &[
        Attribute::new("database", Kind::String, "The database of the cluster that it runs in.").required(),
        Attribute::new(
            "file",
            Kind::String,
            "The file, seen from the directory of the configuration.",
        )
        .required(),
        COUNT,
        FOR_EACH,
    ],
    &[LIFECYCLE],
);

static ENDPOINT: Schema = Schema::new(
    "A name by which clients find the servers, whichever leads.",
    &[
        Attribute::new("target", Kind::String, "The servers that it leads to.")
            .one_of(&["primary", "standby"])
            .required(),
        Attribute::new("via", Kind::String, "The pooler that clients go through.")
            .one_of(&["pgbouncer"])
            .or("clients reach the nodes themselves"),
        Attribute::new("port", Kind::Number, "The port of the pooler, from 1024 to 65535.").or("a free one"),
        Attribute::new(
            "pool_mode",
            Kind::String,
            "For how long a client keeps a session of the pooler.",
        )
        .one_of(&["transaction", "session", "statement"])
        .or("transaction"),
        COUNT,
        FOR_EACH,
    ],
    &[],
);

static LIFECYCLE_OF_CLUSTER: Schema = Schema::new(
    "What holds over the life of the cluster.",
    &[
        Attribute::new(
            "prevent_destroy",
            Kind::Bool,
            "Whether plans that destroy the cluster, or a database of it, are refused. It is kept in the state, so that removing \
             the block does not remove the protection.",
        )
        .or("false"),
        IGNORE_CHANGES,
    ],
    &[
        Nested {
            name: "precondition",
            label: None,
            labels: &[],
            count: Count::Many,
            schema: &RULE,
            example: "precondition {\n  condition     = var.standbys > 0\n  error_message = \"A standby is needed.\"\n}\n",
        },
        Nested {
            name: "postcondition",
            label: None,
            labels: &[],
            count: Count::Many,
            schema: &RULE,
            example: "postcondition {\n  condition     = self.primary == \"a\"\n  error_message = \"The primary is ${self.primary}.\"\n}\n",
        },
    ],
);

const IGNORE_CHANGES: Attribute = Attribute::new(
    "ignore_changes",
    Kind::References,
    "Attributes that stay as they are recorded, whatever is declared: all, or names without quotes. One parameter is \
     parameters[\"NAME\"].",
)
.or("[]");

const PREVENT_DESTROY: Attribute = Attribute::new(
    "prevent_destroy",
    Kind::Bool,
    "Whether plans that destroy it are refused. It is kept in the state, so that removing the block does not remove the \
     protection.",
)
.or("false");

static LIFECYCLE_OF_KEPT: Schema = Schema::new(
    "What holds over the life of the object.",
    &[PREVENT_DESTROY, IGNORE_CHANGES],
    &[],
);

static LIFECYCLE_OF_NODE: Schema = Schema::new(
    "What holds over the life of the node.",
    &[
        PREVENT_DESTROY,
        IGNORE_CHANGES,
        Attribute::new(
            "replace_triggered_by",
            Kind::References,
            "The data of a standby is copied anew with a plan that changes one of these: addresses of blocks, or of their attributes, without \
             quotes. The data of a primary stays as it is, with a warning.",
        )
        .or("[]"),
    ],
    &[],
);

static LIFECYCLE_WITHIN: Schema = Schema::new("What stays as it is recorded.", &[IGNORE_CHANGES], &[]);
