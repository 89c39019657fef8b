//! Describes the API for programs: one operation for each path of the router, so that none is left out.

mod writing;

use serde_json::{Map, Value, json};

use super::paths::{Target, paths, writes};
use super::patroni::Check;
use super::secured::Need;

/// Returns the document.
pub(super) fn document() -> Value {
    let mut described = Map::new();
    for (path, target) in paths() {
        let mut methods = Map::from_iter([("get".to_owned(), operation(&path, target))]);
        if matches!(target, Target::Check(_)) {
            let mut codes = operation(&path, target);
            codes["operationId"] = format!("options{}", identifier(&path)).into();
            codes["responses"] = codes_alone(target);
            methods.insert("options".to_owned(), codes);
        }
        described.insert(path, Value::Object(methods));
    }
    for (path, write) in writes() {
        described.insert(path.clone(), json!({ "post": writing::operation(&path, write) }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "simdb monitor",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a simdb monitor sees, and what it does when it is asked. Answers to reads are made of its last round; none reaches a server. HEAD answers as GET does, without the body. Writes take the token; where the API does not listen on loopback, reads that are not about health take it, too.",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "The token in the file that `token_file` of the monitor block names." },
            },
        },
        "paths": described,
    })
}

/// Returns a path as a part of a name: `/v1/clusters/{cluster}` is `_v1_clusters_cluster`.
fn identifier(path: &str) -> String {
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() {
            character
        } else {
            '_'
        }
    };
    let text: String = path
        .chars()
        .filter(|character| !"{}".contains(*character))
        .map(plain)
        .collect();
    text
}

fn operation(path: &str, target: Target) -> Value {
    json!({
        "operationId": format!("get{}", identifier(path)),
        "summary": summary(target),
        "parameters": parameters(path, target),
        "responses": responses(target),
    })
}

fn parameters(path: &str, target: Target) -> Vec<Value> {
    let parts = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parts =
        parts.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let asked = asked(target).iter();
    let asked = asked.map(
        |(name, kind, text)| json!({ "name": name, "in": "query", "description": text, "schema": { "type": kind } }),
    );
    parts.chain(asked).collect()
}

/// What may be asked with a path: the name, its type, and what it means.
type Asked = (&'static str, &'static str, &'static str);

const CLUSTER: Asked = (
    "cluster",
    "string",
    "The cluster; it may be left out where there is one.",
);
const LAG: Asked = (
    "lag",
    "string",
    "How far behind a replica may be: bytes, or a number with kB, MB, GB, TB.",
);
const STATE: Asked = (
    "replication_state",
    "string",
    "The state that its replication is to be in.",
);
const MODE: Asked = (
    "mode",
    "string",
    "`write` counts what was received, anything else what was replayed.",
);
const NODE: Asked = ("node", "string", "The node; the primary where it is left out.");
const AFTER: Asked = ("after", "integer", "The number of the event that is known already.");

fn asked(target: Target) -> &'static [Asked] {
    match target {
        Target::Check(Check::Readiness) => &[LAG, MODE],
        Target::Check(
            Check::Replica
            | Check::ReadOnly
            | Check::Sync
            | Check::Quorum
            | Check::Async
            | Check::ReadOnlySync
            | Check::ReadOnlyQuorum,
        ) => &[LAG, STATE],
        Target::ClusterStatus => &[CLUSTER, NODE],
        Target::ClusterNodes | Target::ClusterHealth | Target::Health => &[CLUSTER],
        Target::Events => &[AFTER],
        _ => &[],
    }
}

fn summary(target: Target) -> &'static str {
    match target {
        Target::Check(Check::Primary) => "200 where the node leads and takes writes",
        Target::Check(Check::StandbyLeader) => "503: no cluster follows a server of another one",
        Target::Check(Check::Replica) => "200 where the node is a replica that runs",
        Target::Check(Check::ReadOnly) => "200 where the node is the primary or a replica",
        Target::Check(Check::Sync) => "200 where commits wait for the node",
        Target::Check(Check::Quorum) => "200 where commits wait for the node or others",
        Target::Check(Check::Async) => "200 where the node is a replica for which no commit waits",
        Target::Check(Check::ReadOnlySync) => "200 where the node is the primary or commits wait for it",
        Target::Check(Check::ReadOnlyQuorum) => "200 where the node is the primary or commits wait for it or others",
        Target::Check(Check::Health) => "200 where the server runs",
        Target::Check(Check::Liveness) => "200 where the monitor's loop runs",
        Target::Check(Check::Readiness) => "200 where the node leads, or streams and is near enough",
        Target::Check(Check::Patroni) => "What the node is, always with 200",
        Target::PatroniCluster => "The members of the cluster",
        Target::PatroniHistory => "The last role change",
        Target::PatroniConfig => "502: what Patroni keeps there is declared in the configuration",
        Target::PatroniMetrics => "Metrics of the node by Patroni's names",
        Target::ClusterStatus => "Role, election, replication and failover of a node",
        Target::ClusterNodes => "All nodes",
        Target::ClusterHealth => "Whether a cluster is as it should be, and why not",
        Target::Health => "Whether primaries and replicas are reached",
        Target::Clusters => "All that the monitor knows of its clusters",
        Target::Cluster => "All that the monitor knows of a cluster",
        Target::Runs => "The runs that are kept, the newest first",
        Target::Run => "A run with its steps; `last` is the newest one",
        Target::Plan => "What an apply of the configuration would do, planned within the last minute or so",
        Target::Drift => "What differs from what the last apply left, looked at within the last minute or so",
        Target::Events => "What happened, the oldest first",
        Target::Stream => "Events as they happen, and clusters each second",
        Target::Metrics => "Metrics, for Prometheus",
        Target::Live => "Whether the monitor's loop runs",
        Target::Ready => "Whether the monitor has seen a round and reads the state",
        Target::OpenApi => "This document",
    }
}

/// Returns the codes of answers, each with what it says and in which form.
fn responses(target: Target) -> Value {
    let forms: &[(&str, &str)] = match target {
        Target::Check(Check::Liveness | Check::Readiness) => &[("200", ""), ("503", ""), ("404", "application/json")],
        Target::Check(Check::Patroni) => &[("200", "application/json"), ("404", "application/json")],
        Target::Check(_) => &[
            ("200", "application/json"),
            ("503", "application/json"),
            ("404", "application/json"),
        ],
        Target::PatroniConfig => &[("502", ""), ("404", "application/json")],
        Target::PatroniMetrics => &[("200", "text/plain"), ("404", "application/json")],
        Target::PatroniCluster | Target::PatroniHistory | Target::Cluster | Target::ClusterNodes => {
            &[("200", "application/json"), ("404", "application/json")]
        }
        Target::ClusterStatus => &[
            ("200", "application/json"),
            ("300", "application/json"),
            ("404", "application/json"),
        ],
        Target::ClusterHealth => &[
            ("200", "application/json"),
            ("300", "application/json"),
            ("404", "application/json"),
            ("503", "application/json"),
        ],
        Target::Health | Target::Run => &[
            ("200", "application/json"),
            ("404", "application/json"),
            ("503", "application/json"),
        ],
        Target::Clusters | Target::OpenApi | Target::Plan | Target::Drift | Target::Events => {
            &[("200", "application/json")]
        }
        Target::Runs => &[("200", "application/json"), ("503", "application/json")],
        Target::Stream => &[("200", "text/event-stream")],
        Target::Metrics => &[("200", "text/plain")],
        Target::Live | Target::Ready => &[("200", "text/plain"), ("503", "text/plain")],
    };
    // What is asked cannot be read, bears no token, or was asked too often.
    let denied: &[(&str, &str)] = match target.need() {
        Need::Nothing => &[("400", "")],
        _ => &[("400", ""), ("401", "application/json"), ("429", "application/json")],
    };
    described(forms.iter().chain(denied))
}

/// Describes codes of answers with their forms.
fn described<'a>(forms: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Value {
    let responses = forms.map(|(code, kind)| {
        let mut response = json!({ "description": meaning(code) });
        if !kind.is_empty() {
            response["content"] = json!({ *kind: {} });
        }
        ((*code).to_owned(), response)
    });
    Value::Object(responses.collect())
}

/// Returns the codes without bodies, as OPTIONS has them.
fn codes_alone(target: Target) -> Value {
    let mut responses = responses(target);
    for response in responses.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(members) = response.as_object_mut() {
            members.remove("content");
        }
    }
    responses
}

fn meaning(code: &str) -> &'static str {
    match code {
        "200" => "It is so, it is done, or here it is",
        "202" => "It was begun, and goes on",
        "300" => "There are several clusters to choose from",
        "400" => "The question cannot be read",
        "401" => "The request does not bear the token",
        "403" => "The monitor has no token: its API is only read",
        "404" => "There is no such cluster, node or run",
        "408" => "The body did not arrive in time",
        "409" => "The monitor does something else at this moment",
        "412" => "What the request says does not hold, or the planner refused it",
        "413" => "The body is too large",
        "422" => "The planner refused it, and says why",
        "429" => "Too many requests, or too many streams",
        "502" => "There is none",
        _ => "It is not so, or not known",
    }
}
