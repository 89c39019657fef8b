use simdb_state::object::{Cluster, EngineKind, Node, Role, Term};

use super::*;

fn state(clusters: &[&str]) -> State {
    let mut state = State::default();
    for name in clusters {
        let cluster = Cluster::new(
            simdb_state::object::first_platform(),
            "lan".parse().unwrap(),
            EngineKind::Postgresql,
            15,
        );
        state.clusters.insert(name.parse().unwrap(), cluster);
        let primary = Node {
            role: Some(Role::Primary { term: Term(1) }),
            ..Node::default()
        };
        state
            .nodes
            .insert(format!("cluster.{name}.node.a").parse().unwrap(), primary.into());
        state.nodes.insert(
            format!("cluster.{name}.node.r[0]").parse().unwrap(),
            Node::default().into(),
        );
    }
    state
}

fn detail(error: CliError) -> String {
    error.into_documents().remove(0).detail
}

#[test]
fn a_node_has_a_full_a_short_and_a_shortest_form() {
    let state = state(&["orders"]);
    for text in ["r[0]", "orders.r[0]", "cluster.orders.node.r[0]"] {
        assert_eq!(node(&state, text).unwrap().to_string(), "cluster.orders.node.r[0]");
    }
    assert_eq!(
        detail(node(&state, "orders.r[1]").unwrap_err()),
        "There is no node \"orders.r[1]\". Did you mean \"orders.r[0]\"?"
    );
}

#[test]
fn the_shortest_form_must_not_be_ambiguous() {
    let state = state(&["billing", "orders"]);
    assert_eq!(
        detail(node(&state, "a").unwrap_err()),
        "Several clusters have a node \"a\". Say which one: billing.a, orders.a."
    );
    assert!(node(&state, "orders.a").is_ok());
}

#[test]
fn a_server_is_a_node_a_primary_or_the_only_primary() {
    let one = state(&["orders"]);
    for text in [
        None,
        Some("orders"),
        Some("cluster.orders"),
        Some("a"),
        Some("orders.a"),
    ] {
        assert_eq!(
            server(&one, text).unwrap().to_string(),
            "cluster.orders.node.a",
            "{text:?}"
        );
    }
    assert_eq!(
        server(&one, Some("r[0]")).unwrap().to_string(),
        "cluster.orders.node.r[0]"
    );
    let two = state(&["billing", "orders"]);
    assert_eq!(
        detail(server(&two, None).unwrap_err()),
        "There are several clusters. Name one of them: billing, orders."
    );
    assert!(server(&State::default(), None).is_err());
}

#[test]
fn an_unknown_cluster_is_answered_with_the_nearest() {
    let state = state(&["orders"]);
    assert_eq!(
        detail(cluster(&state, "order").unwrap_err()),
        "There is no cluster \"order\". Did you mean \"orders\"?"
    );
    assert_eq!(
        detail(cluster(&state, "xx").unwrap_err()),
        "There is no cluster \"xx\", but: orders."
    );
}
