//! Words of Terraform, Compose and Kubernetes that simdb has not, and what to use instead.

/// Returns what to write in place of a block.
pub(super) fn block(name: &str) -> Option<&'static str> {
    Some(match name {
        "terraform" => "Settings of simdb itself stand in a block of its own: simdb { ... }.",
        "resource" => {
            "simdb has no resources: declare a cluster \"NAME\" { ... }, and in it nodes, users and databases."
        }
        "data" => "simdb has no data sources. Pass what exists already in with a variable.",
        "backend" | "cloud" => {
            "Where the state is kept is said by: simdb { state \"sqlite\" { path = ... } }, or state \"kubernetes\"."
        }
        "required_providers" => "Providers are part of simdb and need no declaration of versions.",
        "provisioner" => "simdb runs no programs of yours. Load data with a seed block.",
        "connection" | "timeouts" => "simdb decides this itself.",
        "services" | "service" => "A server is a node within a cluster: cluster \"NAME\" { node \"a\" {} }.",
        "volume" | "volumes" => "Where data lives is said by the provider: provider \"local\" { data_root = ... }.",
        "ephemeral" => {
            "simdb has no ephemeral resources. Passwords are made and kept by simdb itself, and a variable can be ephemeral = true."
        }
        "var" | "vars" | "input" | "inputs" => "An input is declared with a block: variable \"NAME\" {}.",
        "local" => "Local values stand in a block called locals.",
        "outputs" => "Each output has a block of its own: output \"NAME\" { value = ... }.",
        "role" | "roles" => "Logins and roles are user blocks; one that cannot log in has login = false.",
        "replica" | "standby" | "secondary" => "A standby is a node like the others: node \"b\" {}.",
        "schema" | "table" | "extension" => "A seed makes the objects of a database: seed \"NAME\" { file = ... }.",
        _ => return None,
    })
}

/// Returns what to write in place of an attribute.
pub(super) fn attribute(name: &str) -> Option<&'static str> {
    Some(match name {
        "create_before_destroy" => "simdb adds nodes before it removes others, by itself.",
        "ignore_changes" => "It belongs into the lifecycle block of a cluster, node, user, database or seed.",
        "replace_triggered_by" => {
            "It belongs into the lifecycle block of a node: the data of a standby is copied anew. A seed runs again under another name."
        }
        "depends_on" => "Only a cluster depends on others; within one, simdb knows what has to come first.",
        "provider" | "providers" => {
            "A provider is chosen for a cluster, for one of its nodes, or for a network, in its own block."
        }
        "image" => "Which programs run is said by the version of the engine, or by binaries of the provider.",
        "restart" => "simdb starts a server that is down with the next apply.",
        "username" | "user_name" => "The name of a user is the label of its block.",
        "replicas" => "Nodes are counted with: node \"r\" { count = 2 }.",
        "settings" | "config" | "configuration" | "options" | "environment" | "env" => {
            "Settings of a server are parameters = { NAME = VALUE }."
        }
        _ => return None,
    })
}

/// Returns what to write in place of a reference, given its first name.
pub(super) fn reference(name: &str) -> Option<String> {
    let advice = match name {
        "data" => "simdb has no data sources. What exists already is passed in with variables.",
        "terraform" => "The selected workspace is simdb.workspace.",
        "resource" => {
            "simdb has no resources: a cluster is declared with a cluster block, and referred to as cluster.NAME."
        }
        "provider" => "The settings of a provider cannot be referred to. Put the value into a local.",
        "output" => "An output cannot be referred to. Put its value into a local, and refer to that.",
        "node" | "user" | "database" | "endpoint" | "seed" => {
            return Some(format!(
                "A block of a cluster is referred to through its cluster: cluster.NAME.{name}.NAME."
            ));
        }
        _ => return None,
    };
    Some(advice.to_owned())
}
