//! Bodies of requests: what they may say, as Patroni's clients write it and in simdb's own words. What is not understood is refused, for
//! a condition that is passed over is worse than one that is not met.

use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use simdb_state::name::NodeName;

use super::{Asked, Write, named};
use crate::monitor::api::answer::Answer;
use crate::monitor::api::view::{ClusterView, NodeView};
use crate::monitor::order::Order;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Election {
    leader: Option<String>,
    candidate: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    role: Option<String>,
}

/// Where the data comes from is the planner's to say, and another run is never broken off.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reinitialize {
    #[serde(default, rename = "force")]
    _force: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switchover {
    to: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failover {
    to: Option<String>,
    allow: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfNode {
    node: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    seconds: Option<u32>,
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn unread(why: impl std::fmt::Display) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, format!("the body cannot be understood: {why}"))
}

/// Reads a body: a JSON object, or nothing where every member may be left out.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    let body = if body.iter().all(u8::is_ascii_whitespace) {
        b"{}"
    } else {
        body
    };
    // A struct is read from an array of its members, too.
    match serde_json::from_slice::<serde_json::Value>(body).map_err(unread)? {
        object @ serde_json::Value::Object(_) => serde_json::from_value(object).map_err(unread),
        _ => Err(unread("it is no JSON object")),
    }
}

/// Reads a body of simdb's own paths.
pub(super) fn own(write: Write, cluster: &ClusterView<'_>, body: &[u8]) -> Result<Asked, Answer> {
    let find = |name: &str| {
        let known = cluster.nodes().map(|node| node.name.to_string());
        named(cluster, name).ok_or_else(|| Answer::unknown("node", name, known))
    };
    let maybe = |name: Option<String>| name.map(|name| find(&name)).transpose();
    Ok(match write {
        Write::Failover => {
            let Failover { to, allow } = parse(body)?;
            let lossy = match allow.as_deref() {
                None => false,
                Some("data-loss") => true,
                Some(other) => return Err(unread(format!("\"allow\" can only be \"data-loss\", not {other:?}"))),
            };
            Asked::Order(Order::Failover { to: maybe(to)?, lossy })
        }
        Write::Restart => Asked::Order(Order::Restart {
            node: find(&parse::<OfNode>(body)?.node)?,
        }),
        Write::Resync => {
            let node = find(&parse::<OfNode>(body)?.node)?;
            if cluster.leader().is_some_and(|leader| *leader.name == node) {
                let why = format!("{node} leads the cluster: a copy of another node would lose what it has alone");
                return Err(Answer::error(StatusCode::UNPROCESSABLE_ENTITY, why));
            }
            Asked::Order(Order::Resync { node })
        }
        Write::Pause => {
            let Pause { seconds, reason } = parse(body)?;
            Asked::Pause { seconds, reason }
        }
        Write::Unpause => {
            let Nothing {} = parse(body)?;
            Asked::Unpause
        }
        _ => Asked::Order(Order::Switchover {
            to: maybe(parse::<Switchover>(body)?.to)?,
        }),
    })
}

/// Reads a body of Patroni's paths, and refuses what Patroni would.
pub(super) fn of_patroni(write: Write, node: &NodeView<'_>, body: &[u8]) -> Result<Order, Answer> {
    let cluster = node.cluster;
    match write {
        Write::PatroniRestart => {
            let role = parse::<Restart>(body)?.role;
            let is_met = match role.as_deref() {
                None => true,
                Some("primary" | "master") => node.leads(),
                Some("replica") => !node.leads(),
                Some(other) => return Err(unread(format!("\"role\" is \"primary\" or \"replica\", not {other:?}"))),
            };
            if !is_met {
                return Err(failed("restart conditions are not satisfied"));
            }
            Ok(Order::Restart {
                node: node.name.clone(),
            })
        }
        Write::PatroniReinitialize => {
            parse::<Reinitialize>(body)?;
            if node.leads() {
                return Err(failed("I am the leader, can not reinitialize"));
            }
            Ok(Order::Resync {
                node: node.name.clone(),
            })
        }
        _ => election(write, &cluster, &parse(body)?),
    }
}

fn failed(why: &str) -> Answer {
    Answer::text(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn election(write: Write, cluster: &ClusterView<'_>, body: &Election) -> Result<Order, Answer> {
    let wrong = |status, why: &str| Err(Answer::text(status, why));
    let leader = cluster.leader().map(|leader| leader.name.clone());
    let candidate = body.candidate.as_deref();
    let to: Option<NodeName> = candidate.and_then(|candidate| named(cluster, candidate));
    match (write, &body.leader, candidate) {
        (Write::PatroniSwitchover, None, _) => {
            return wrong(
                StatusCode::BAD_REQUEST,
                "Switchover could be performed only from a specific leader",
            );
        }
        (Write::PatroniFailover, _, None) => {
            return wrong(
                StatusCode::BAD_REQUEST,
                "Failover could be performed only to a specific candidate",
            );
        }
        _ => {}
    }
    if let Some(given) = body.leader.as_deref()
        && named(cluster, given) != leader
    {
        return wrong(StatusCode::PRECONDITION_FAILED, "leader name does not match");
    }
    if candidate.is_some() && to.is_none() {
        return wrong(StatusCode::PRECONDITION_FAILED, "candidate does not exists");
    }
    if to.is_some() && to == leader {
        return wrong(StatusCode::PRECONDITION_FAILED, "the candidate leads already");
    }
    // As with Patroni, a failover that names the leader asks for a switchover.
    Ok(if write == Write::PatroniSwitchover || body.leader.is_some() {
        Order::Switchover { to }
    } else {
        Order::Failover { to, lossy: false }
    })
}
