//! The operations that change something: what their bodies say, and what is answered.

use serde_json::{Value, json};

use super::{described, identifier, parameters};
use crate::monitor::api::paths::Target;
use crate::monitor::api::write::Write;

/// Describes the operation of a path.
pub(super) fn operation(path: &str, write: Write) -> Value {
    let (properties, required) = body(write);
    let needed = !required.is_empty();
    json!({
        "operationId": format!("post{}", identifier(path)),
        "summary": summary(write),
        "security": [{ "token": [] }],
        "parameters": parameters(path, Target::OpenApi),
        "requestBody": {
            "required": needed,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": properties,
                        "required": required,
                        "additionalProperties": false,
                    },
                },
            },
        },
        "responses": responses(write),
    })
}

/// Returns the members of a body, and those that must be there.
fn body(write: Write) -> (Value, Vec<&'static str>) {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let maybe = |description: &str| json!({ "type": ["string", "null"], "description": description });
    match write {
        Write::Switchover => (
            json!({ "to": maybe("The node; absent, the one that is best suited.") }),
            vec![],
        ),
        Write::Failover => {
            let allow = json!({ "type": ["string", "null"], "enum": ["data-loss", null], "description": "Whether acknowledged writes may be lost." });
            (
                json!({ "to": maybe("The node; absent, the one that has most."), "allow": allow }),
                vec![],
            )
        }
        Write::Restart | Write::Resync => (json!({ "node": text("The node.") }), vec!["node"]),
        Write::Pause => {
            let seconds = json!({ "type": ["integer", "null"], "minimum": 0, "maximum": u32::MAX, "description": "For how long; absent, until it is unpaused." });
            (
                json!({ "seconds": seconds, "reason": maybe("Why, for people.") }),
                vec![],
            )
        }
        Write::Unpause => (json!({}), vec![]),
        Write::PatroniSwitchover => (
            json!({ "leader": text("The node that leads."), "candidate": maybe("The node that takes the lead.") }),
            vec!["leader"],
        ),
        Write::PatroniFailover => (
            json!({ "candidate": text("The node that takes the lead."), "leader": maybe("The node that leads: then it hands over.") }),
            vec!["candidate"],
        ),
        Write::PatroniRestart => {
            let role = json!({ "type": ["string", "null"], "enum": ["primary", "master", "replica", null], "description": "The role that the node must have." });
            (json!({ "role": role }), vec![])
        }
        Write::PatroniReinitialize => {
            let force = json!({ "type": "boolean", "description": "Accepted as Patroni does; a run that goes on is never broken off." });
            (json!({ "force": force }), vec![])
        }
    }
}

fn summary(write: Write) -> &'static str {
    match write {
        Write::Switchover | Write::PatroniSwitchover => "Lets another node lead, while the one that does hands over",
        Write::Failover | Write::PatroniFailover => "Lets another node lead, for the one that does is lost",
        Write::Restart | Write::PatroniRestart => "Stops a server and starts it",
        Write::Resync | Write::PatroniReinitialize => "Brings the data of a standby in line again",
        Write::Pause => "Lets the monitor do nothing with the cluster by itself",
        Write::Unpause => "Lets the monitor act again",
    }
}

fn responses(write: Write) -> Value {
    const DENIED: [(&str, &str); 7] = [
        ("400", "application/json"),
        ("401", "application/json"),
        ("403", "application/json"),
        ("404", "application/json"),
        ("408", "application/json"),
        ("413", "application/json"),
        ("429", "application/json"),
    ];
    let own: &[(&str, &str)] = match write {
        Write::Pause | Write::Unpause => &[("200", "application/json"), ("503", "application/json")],
        _ if write.is_of_patroni() => &[
            ("200", "text/plain"),
            ("202", "text/plain"),
            ("412", "text/plain"),
            ("503", "text/plain"),
        ],
        _ => &[
            ("200", "application/json"),
            ("202", "application/json"),
            ("409", "application/json"),
            ("422", "application/json"),
            ("503", "application/json"),
        ],
    };
    let mut responses = described(own.iter().chain(&DENIED));
    if write.is_of_patroni() {
        // What Patroni says itself is text.
        responses["400"]["content"] = json!({ "application/json": {}, "text/plain": {} });
    }
    responses
}
