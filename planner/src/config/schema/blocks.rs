//! The blocks that stand at the top of a file, all but what is within a cluster.

use super::cluster::CLUSTER;
use super::common::{COUNT, DRIFT, FOR_EACH, PROVIDER_CHOICE, RULE};
use super::table::{Attribute, Count, Kind, Nested, Schema};
use crate::platform::PLATFORMS;

const DESCRIPTION: Attribute = Attribute::new("description", Kind::String, "What it is for, to people who read it.");

/// Everything that a file may hold.
pub(super) static FILE: Schema = Schema::new(
    "A configuration is the files *.simdb.hcl and *.simdb.json of one directory, in any order.",
    &[],
    &[
        Nested {
            name: "simdb",
            label: None,
            labels: &[],
            count: Count::AtMostOne,
            schema: &SIMDB,
            example: "simdb {\n  required_version = \"~> 0.1\"\n\n  state \"sqlite\" {\n    path = \"state/orders.db\"\n  }\n}\n",
        },
        Nested {
            name: "variable",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &VARIABLE,
            example: "variable \"standbys\" {\n  type        = number\n  default     = 2\n  description = \"How many standbys there are.\"\n\n  \
                      validation {\n    condition     = var.standbys > 0\n    error_message = \"A standby is needed.\"\n  }\n}\n",
        },
        Nested {
            name: "locals",
            label: None,
            labels: &[],
            count: Count::Many,
            schema: &LOCALS,
            example: "locals {\n  name = \"orders\"\n  port = 15432\n}\n",
        },
        Nested {
            name: "output",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &OUTPUT,
            example: "output \"url\" {\n  value     = cluster.orders.user.app.url\n  sensitive = true\n}\n",
        },
        Nested {
            name: "check",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &CHECK,
            example: "check \"primary\" {\n  assert {\n    condition     = cluster.orders.primary == \"a\"\n    error_message = \
                      \"The primary is ${cluster.orders.primary}.\"\n  }\n}\n",
        },
        Nested {
            name: "provider",
            label: Some("platform"),
            labels: PLATFORMS,
            count: Count::Many,
            schema: &PROVIDER,
            example: "provider \"local\" {\n  data_root  = \"/srv/simdb\"\n  port_range = \"15432-15532\"\n}\n\nprovider \"docker\" {\n  \
                      alias = \"east\"\n  host  = \"tcp://db-east.example.org:2376\"\n}\n",
        },
        Nested {
            name: "network",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &NETWORK,
            example: "network \"lan\" {\n  subnet = \"127.20.0.0/24\"\n}\n",
        },
        Nested {
            name: "cluster",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &CLUSTER,
            example: "cluster \"orders\" {\n  network = network.lan\n  primary = \"a\"\n\n  engine \"postgresql\" {\n    version = \"17\"\n  }\n\n  \
                      node \"a\" {}\n  node \"b\" {}\n\n  user \"app\" {}\n  database \"orders\" {\n    owner = \"app\"\n  }\n}\n",
        },
        Nested {
            name: "import",
            label: None,
            labels: &[],
            count: Count::Many,
            schema: &IMPORT,
            example: "import {\n  to = cluster.orders.node.a\n  id = \"/var/lib/postgresql/15/main\"\n}\n",
        },
        Nested {
            name: "removed",
            label: None,
            labels: &[],
            count: Count::Many,
            schema: &REMOVED,
            example: "removed {\n  from = cluster.orders.database.archive\n\n  lifecycle {\n    destroy = false\n  }\n}\n",
        },
        Nested {
            name: "moved",
            label: None,
            labels: &[],
            count: Count::Many,
            schema: &MOVED,
            example: "moved {\n  from = cluster.orders.node.r[0]\n  to   = cluster.orders.node.b\n}\n",
        },
        Nested {
            name: "module",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &MODULE,
            example: "module \"team\" {\n  source   = \"./modules/team\"\n  for_each = toset([\"eu\", \"us\"])\n\n  standbys = 2\n}\n",
        },
        Nested {
            name: "drift",
            label: None,
            labels: &[],
            count: Count::AtMostOne,
            schema: &DRIFT,
            example: "drift {\n  ignore = [\"cluster.*.node.*.parameters.work_mem\"]\n}\n",
        },
        Nested {
            name: "monitor",
            label: None,
            labels: &[],
            count: Count::AtMostOne,
            schema: &MONITOR,
            example: "monitor {\n  listen = \"127.0.0.1:8008\"\n  lease  = \"3s\"\n}\n",
        },
    ],
);

static MONITOR: Schema = Schema::new(
    "How simdb monitor runs. Its values are literals: nothing is evaluated before it is read.",
    &[
        Attribute::new(
            "listen",
            Kind::String,
            "The address and port of its HTTP API, such as \"127.0.0.1:8008\". One that other machines reach takes token_file and tls.",
        )
        .or("none"),
        Attribute::new(
            "token_file",
            Kind::String,
            "A file with the token that requests which change something must bear, relative to the configuration. Its owner alone may read \
             it. Where it is missing, the monitor makes it.",
        )
        .or("none: the API is only read"),
        Attribute::new(
            "lease",
            Kind::String,
            "How long a monitor may be silent before another one that uses the same state decides in its place.",
        )
        .or("3s; 4s where the state is not a file"),
    ],
    &[
        Nested {
            name: "tls",
            label: None,
            labels: &[],
            count: Count::OneOrNone,
            schema: &TLS,
            example: "tls {\n  certificate = \"monitor.crt\"\n  key         = \"monitor.key\"\n}\n",
        },
        Nested {
            name: "notify",
            label: Some("name"),
            labels: &[],
            count: Count::AtMostOne,
            schema: &NOTIFY,
            example: "notify \"ops\" {\n  webhook = \"https://alerts.example.org/simdb\"\n  events  = [\"failed-over\", \"refused\", \"alarm\", \
                      \"clear\"]\n}\n",
        },
    ],
);

static TLS: Schema = Schema::new(
    "The API of the monitor is served with TLS. SIGHUP lets the monitor read the files anew.",
    &[
        Attribute::new(
            "certificate",
            Kind::String,
            "The certificate in PEM, followed by those between it and a root; relative to the configuration.",
        )
        .required(),
        Attribute::new(
            "key",
            Kind::String,
            "Its private key in PEM; relative to the configuration.",
        )
        .required(),
    ],
    &[],
);

static NOTIFY: Schema = Schema::new(
    "Who is told of the monitor's events, each as a JSON object. What cannot be delivered is tried again with growing pauses for some \
     minutes.",
    &[
        Attribute::new("webhook", Kind::String, "The URL that events are posted to."),
        Attribute::new(
            "webhook_file",
            Kind::String,
            "A file that holds that URL, relative to the configuration: for a URL that is a secret.",
        ),
        Attribute::new(
            "command",
            Kind::Strings,
            "A program with its arguments, run for each event, which stands on its standard input.",
        ),
        Attribute::new("events", Kind::Strings, "The kinds of events that are told.").or("all"),
    ],
    &[],
);

static SIMDB: Schema = Schema::new(
    "Settings of simdb itself. Its values are literals: nothing is evaluated before it is read.",
    &[Attribute::new(
        "required_version",
        Kind::String,
        "Which versions of simdb may use the configuration: =, !=, >, >=, <, <= and ~> with a version, separated by commas.",
    )
    .or("every version")],
    &[Nested {
        name: "state",
        label: Some("backend"),
        labels: &["sqlite", "kubernetes"],
        count: Count::OneOrNone,
        schema: &STATE,
        example: "state \"kubernetes\" {\n  namespace = \"simdb-state\"\n  name      = \"orders\"\n  context   = \"production\"\n}\n",
    }],
);

static STATE: Schema = Schema::new(
    "Where the state is kept, in one block at most: a file of SQLite, or Secrets of a Kubernetes cluster with a Lease as the lock. \
     Whoever may read the Secrets of that namespace reads the state, though not the passwords in it, so give it a namespace of its own.",
    &[
        Attribute::new(
            "path",
            Kind::String,
            "The file of state \"sqlite\", seen from the directory of the configuration.",
        )
        .or(".simdb/state.db"),
        Attribute::new(
            "namespace",
            Kind::String,
            "The namespace of state \"kubernetes\", which is there already. It must be given.",
        ),
        Attribute::new(
            "name",
            Kind::String,
            "Tells the state from others in its namespace: its Secret and its Lease are called simdb-state-NAME. State \"kubernetes\" \
             must be given one.",
        ),
        Attribute::new(
            "kubeconfig",
            Kind::String,
            "The file that says where the API server of state \"kubernetes\" is, and as whom simdb works there; relative to the \
             configuration.",
        )
        .or("KUBECONFIG, else ~/.kube/config, else the service account of the pod that simdb runs in"),
        Attribute::new(
            "context",
            Kind::String,
            "The context of that file. Name it where several clusters are in use: in another cluster there is another state, or none.",
        )
        .or("the current context"),
    ],
    &[],
);

static VARIABLE: Schema = Schema::new(
    "An input, referred to as var.NAME. Its value comes from SIMDB_VAR_NAME, from simdb.simdbvars.hcl and \
     *.auto.simdbvars.hcl, from -var-file and from -var; the last one counts.",
    &[
        Attribute::new(
            "type",
            Kind::Type,
            "What a value is converted to: string, number, bool, any, list(...), set(...), map(...), tuple([...]) or \
             object({...}), whose attributes may be optional(TYPE, DEFAULT).",
        )
        .or("any"),
        Attribute::new(
            "default",
            Kind::Any,
            "The value where none is given. Without a default a value is required.",
        ),
        DESCRIPTION,
        Attribute::new(
            "sensitive",
            Kind::Bool,
            "Whether the value is hidden wherever it would be shown.",
        )
        .or("false"),
        Attribute::new(
            "ephemeral",
            Kind::Bool,
            "Whether the value is kept nowhere: no saved plan holds it, and no setting or output can depend on it. A password can, as it \
             is kept encrypted; so can rules.",
        )
        .or("false"),
        Attribute::new("nullable", Kind::Bool, "Whether the value may be null.").or("true"),
    ],
    &[Nested {
        name: "validation",
        label: None,
        labels: &[],
        count: Count::Many,
        schema: &RULE,
        example: "validation {\n  condition     = var.standbys > 0\n  error_message = \"A standby is needed.\"\n}\n",
    }],
);

static LOCALS: Schema = Schema::new("Values with names, referred to as local.NAME.", &[], &[])
    .open("Each attribute is a value of that name. It may refer to others, in any order.");

static OUTPUT: Schema = Schema::new(
    "A value that an apply records and shows, and that a module gives to the module around it.",
    &[
        Attribute::new(
            "value",
            Kind::Any,
            "The value. It may refer to what clusters become: cluster.NAME.user.NAME.url.",
        )
        .required(),
        Attribute::new(
            "sensitive",
            Kind::Bool,
            "Whether the value is hidden. It must be true where the value depends on a sensitive one.",
        )
        .or("false"),
        Attribute::new(
            "ephemeral",
            Kind::Bool,
            "Whether the value is kept nowhere. An output of a module must say so where it depends on an ephemeral value; one of the \
             configuration itself cannot.",
        )
        .or("false"),
        DESCRIPTION,
    ],
    &[Nested {
        name: "precondition",
        label: None,
        labels: &[],
        count: Count::Many,
        schema: &RULE,
        example: "precondition {\n  condition     = length(cluster.orders.node) > 1\n  error_message = \"A standby is needed.\"\n}\n",
    }],
);

static CHECK: Schema = Schema::new(
    "A rule about the whole. Where it does not hold there is a warning, and nothing is held up.",
    &[],
    &[Nested {
        name: "assert",
        label: None,
        labels: &[],
        count: Count::One,
        schema: &RULE,
        example: "assert {\n  condition     = cluster.orders.primary == \"a\"\n  error_message = \"The primary is another node.\"\n}\n",
    }],
);

static PROVIDER: Schema = Schema::new(
    "Settings of the platform that servers run on. Without the block it has its defaults. Where servers run on several platforms of a \
     kind, such as the Docker Engines of several machines, each has a block with an alias.",
    &[
        Attribute::new(
            "alias",
            Kind::String,
            "What tells the provider from others of its kind: clusters and networks name it provider = docker.ALIAS. It is a literal.",
        )
        .or("the provider of clusters and networks that name none"),
        Attribute::new(
            "run_as",
            Kind::String,
            "The user that servers run as, where simdb runs as root.",
        )
        .or("postgres, else the owner of the data"),
        Attribute::new("data_root", Kind::String, "The directory of the data of all nodes.")
            .or(".simdb beside the configuration; below /var/lib/simdb where simdb runs as root"),
        Attribute::new(
            "port_range",
            Kind::String,
            "The first and the last port that simdb chooses from, as in \"15432-15532\".",
        )
        .or("15432-32767"),
        Attribute::new(
            "binaries",
            Kind::Strings,
            "Directories with the programs of engines, in addition to those that are found.",
        ),
        Attribute::new(
            "host",
            Kind::String,
            "Where the Docker Engine listens that runs the containers of provider \"docker\": unix:///PATH, or tcp://HOST:PORT.",
        )
        .or("DOCKER_HOST, else DOCKER_CONTEXT, else the current context of the Docker CLI, else unix:///var/run/docker.sock"),
        Attribute::new(
            "context",
            Kind::String,
            "The context of the Docker CLI that says where the Docker Engine listens, in place of \"host\"; or that of the kubeconfig which \
             says where the API server of provider \"kubernetes\" is, and as whom.",
        )
        .or("the current context"),
        Attribute::new(
            "cert_path",
            Kind::String,
            "The directory with ca.pem, cert.pem and key.pem, with which both sides of \"host\" prove who they are (TLS).",
        ),
        Attribute::new(
            "publish",
            Kind::String,
            "The address of the Docker Engine's machine at which the ports of servers are published. Clients and simdb reach them \
             there.",
        )
        .or("127.0.0.1 where the Docker Engine is rootless or in a virtual machine, else none: containers have addresses of their own"),
        Attribute::new(
            "image",
            Kind::String,
            "The image that containers and pods are made from; {version} stands for the major version.",
        )
        .or("postgres:{version}"),
        Attribute::new(
            "pooler_image",
            Kind::String,
            "The image with PgBouncer, for endpoints with via = \"pgbouncer\", such as \"edoburu/pgbouncer:latest\".",
        ),
        Attribute::new(
            "pull",
            Kind::String,
            "When images are fetched from their registry, with the credentials that the Docker CLI keeps: \"missing\" where they are not \
             there, \"always\" also where the registry has another one of that name, or \"never\". The machines of provider \
             \"kubernetes\" fetch them with those of \"pull_secret\".",
        )
        .or("missing"),
        Attribute::new(
            "kubeconfig",
            Kind::String,
            "The file that says where the API server of provider \"kubernetes\" is, and as whom simdb works there; relative to the \
             configuration.",
        )
        .or("KUBECONFIG, else ~/.kube/config, else the service account of the pod that simdb runs in"),
        Attribute::new("namespace", Kind::String, "The namespace of all objects of provider \"kubernetes\". It is there already.")
            .or("that of the context, else \"default\""),
        Attribute::new(
            "pull_secret",
            Kind::String,
            "The Secret with which the machines of provider \"kubernetes\" fetch images.",
        )
        .or("that of the namespace's service account"),
        Attribute::new(
            "user",
            Kind::Number,
            "The number of the user and group that pods run as, to whom the data belongs: 999 in the official images on Debian, 70 in those \
             on Alpine. It cannot be changed while there is data.",
        )
        .or("999"),
        Attribute::new(
            "storage",
            Kind::String,
            "The size of the volume of each server of provider \"kubernetes\", such as \"100GB\".",
        )
        .or("10GB"),
        Attribute::new("storage_class", Kind::String, "The StorageClass of these volumes.").or("the cluster's default"),
        Attribute::new(
            "node_selector",
            Kind::String,
            "The labels of the machines that pods run on, as in \"disk=ssd,zone=a\".",
        )
        .or("any machine"),
        Attribute::new(
            "tolerations",
            Kind::String,
            "The taints of machines that pods bear, as in \"dedicated=db:NoSchedule\", with commas in between.",
        ),
        Attribute::new(
            "spread",
            Kind::String,
            "Whether the nodes of a cluster run on machines of their own: \"preferred\" where there are enough, \"required\", or \"none\".",
        )
        .or("preferred"),
        Attribute::new("priority_class", Kind::String, "The PriorityClass of pods.").or("the cluster's default"),
        Attribute::new("memory", Kind::String, "The most memory that each server may take, such as \"512MB\": for containers and pods only.")
            .or("all that there is"),
        Attribute::new("cpus", Kind::Number, "How many processors each server may keep busy, such as 1.5: for containers and pods only.")
            .or("all that there are"),
    ],
    &[],
);

static NETWORK: Schema = Schema::new(
    "A network that clusters are in.",
    &[
        PROVIDER_CHOICE,
        Attribute::new(
            "subnet",
            Kind::String,
            "The addresses of its nodes, each of which has one of its own, and the default port: within 127.0.0.0/8 for processes \
             of this machine, private ones for containers, which cannot be without.",
        )
        .or("all nodes have 127.0.0.1, and each a port of its own"),
        Attribute::new(
            "reachable",
            Kind::Bool,
            "Whether the machines of several providers reach each other at the addresses where these publish their servers (publish). Nodes \
             of one cluster may then be on several of them.",
        )
        .or("false"),
        COUNT,
        FOR_EACH,
    ],
    &[],
);

static IMPORT: Schema = Schema::new(
    "Servers of this machine that were made without simdb, and become nodes that are declared. Their data stays where it is. Once they \
     are on record the block has no effect, and may stay.",
    &[
        Attribute::new(
            "to",
            Kind::Reference,
            "The node: cluster.NAME.node.NAME. Or cluster.NAME, for all nodes of a cluster.",
        )
        .required(),
        Attribute::new(
            "id",
            Kind::String,
            "The directory of the node's data, or where its server listens, as in \"127.0.0.1:5432\". For a cluster: what each node is \
             known by, as in \"a=/srv/pg/a, r[0]=/srv/pg/b\"; or the directory that holds the data of all nodes in directories of \
             their names.",
        )
        .required(),
        FOR_EACH,
    ],
    &[],
);

static MOVED: Schema = Schema::new(
    "Something that is declared at another address than before, and is the same: its server, its data and its passwords stay. Once the \
     record has it there the block has no effect, and may stay for other records.",
    &[
        Attribute::new(
            "from",
            Kind::Reference,
            "Where it was: a cluster, node, endpoint, seed or network, such as cluster.NAME.node.NAME, or a module: module.NAME.",
        )
        .required(),
        Attribute::new("to", Kind::Reference, "Where it is: an address of the same kind.").required(),
    ],
    &[],
);

static REMOVED: Schema = Schema::new(
    "A user, a database or a seed that simdb manages no more and leaves where it is. Its own block goes from the configuration. Once \
     the record has forgotten it the block has no effect, and may go, too.",
    &[Attribute::new(
        "from",
        Kind::Reference,
        "What is forgotten: cluster.NAME.user.NAME, cluster.NAME.database.NAME or cluster.NAME.seed.NAME.",
    )
    .required()],
    &[Nested {
        name: "lifecycle",
        label: None,
        labels: &[],
        count: Count::AtMostOne,
        schema: &LIFECYCLE_OF_REMOVED,
        example: "lifecycle {\n  destroy = false\n}\n",
    }],
);

static LIFECYCLE_OF_REMOVED: Schema = Schema::new(
    "What becomes of the object.",
    &[Attribute::new(
        "destroy",
        Kind::Bool,
        "Whether it is destroyed, as what is declared no more is anyway; false leaves it where it is.",
    )],
    &[],
);

static MODULE: Schema = Schema::new(
    "The configuration of another directory or repository, with values for its variables. What it declares is called after the module: \
     cluster \"orders\" in module \"team\" is cluster.team-orders, and module.team.NAME is its output NAME.",
    &[
        Attribute::new(
            "source",
            Kind::String,
            "The directory, seen from this one: \"./modules/team\" or \"../team\". Or a repository, a directory in it and a tag, a \
             branch or a commit: \"git::https://HOST/REPOSITORY.git//DIRECTORY?ref=v1\"; simdb init gets it and writes the commit \
             into .simdb.lock.hcl. It is a literal.",
        )
        .required(),
        Attribute::new(
            "depends_on",
            Kind::References,
            "Clusters and modules that are made before all clusters of this one, and removed after them.",
        ),
        Attribute::new(
            "providers",
            Kind::Map,
            "The providers that the module knows, by what it calls them: { docker = docker.east }.",
        )
        .or("those without an alias"),
        COUNT,
        FOR_EACH,
    ],
    &[],
)
.open("Each attribute is the value of the module's variable of that name.");
