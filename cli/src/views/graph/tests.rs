use expect_test::expect;
use simdb_state::object::{
    Cluster, Endpoint, EndpointTarget, EngineKind, Network, Node, Role, State, Term, first_platform,
};

use super::*;
use crate::views::sample::creation;

#[test]
fn the_steps_of_a_plan_are_drawn_in_both_languages() {
    let graph = GraphDoc::of_steps(&creation());
    expect![[r#"
        digraph plan {
          rankdir = "RL";
          node [shape = rect, fontname = "sans-serif"];
          "network.lan network" [label="network\nnetwork.lan"];
          "cluster.orders.node.a primary" [label="primary\ncluster.orders.node.a"];
          "cluster.orders.user.replication replication-user" [label="replication-user\ncluster.orders.user.replication"];
          "cluster.orders.node.r[0] basebackup" [label="basebackup\ncluster.orders.node.r[0]"];
          "cluster.orders.node.a primary" -> "network.lan network";
          "cluster.orders.user.replication replication-user" -> "cluster.orders.node.a primary";
          "cluster.orders.node.r[0] basebackup" -> "network.lan network";
          "cluster.orders.node.r[0] basebackup" -> "cluster.orders.node.a primary";
          "cluster.orders.node.r[0] basebackup" -> "cluster.orders.user.replication replication-user";
        }
    "#]].assert_eq(&dot(&graph));
    expect![[r#"
        flowchart RL
          s1["network<br/>network.lan"]
          s2["primary<br/>cluster.orders.node.a"]
          s3["replication-user<br/>cluster.orders.user.replication"]
          s4["basebackup<br/>cluster.orders.node.r[0]"]
          s2 --> s1
          s3 --> s2
          s4 --> s1
          s4 --> s2
          s4 --> s3
    "#]]
    .assert_eq(&mermaid(&graph));
}

#[test]
fn two_steps_of_one_kind_at_one_address_are_two_boxes() {
    let mut plan = creation();
    plan.steps[3] = plan.steps[1].clone();
    plan.steps[3].id = 4;
    let names: Vec<String> = GraphDoc::of_steps(&plan)
        .vertices
        .into_iter()
        .map(|vertex| vertex.name)
        .collect();
    assert_eq!(names[1], "cluster.orders.node.a primary");
    assert_eq!(names[3], "cluster.orders.node.a primary (2)");
}

#[test]
fn what_is_recorded_is_drawn_where_nothing_changes() {
    let mut state = State::default();
    state.networks.insert(
        "lan".parse().unwrap(),
        Network {
            platform: first_platform(),
            subnet: None,
            also_on: std::collections::BTreeSet::new(),
        },
    );
    let cluster = Cluster::new(first_platform(), "lan".parse().unwrap(), EngineKind::Postgresql, 15);
    state.clusters.insert("orders".parse().unwrap(), cluster);
    let mut node = |name: &str, role| {
        let node = Node {
            role: Some(role),
            ..Node::default()
        };
        state
            .nodes
            .insert(format!("cluster.orders.node.{name}").parse().unwrap(), node.into());
    };
    node("a", Role::Primary { term: Term(1) });
    node(
        "r[0]",
        Role::Standby {
            follows: "a".parse().unwrap(),
        },
    );
    node(
        "r[1]",
        Role::Standby {
            follows: "r[0]".parse().unwrap(),
        },
    );
    let endpoint = Endpoint {
        target: EndpointTarget::Primary,
        nodes: vec!["a".parse().unwrap(), "r[0]".parse().unwrap()],
        hosts: vec![],
        pooler: None,
    };
    state
        .endpoints
        .insert("cluster.orders.endpoint.rw".parse().unwrap(), endpoint);
    expect![[r#"
        digraph record {
          rankdir = "RL";
          node [shape = rect, fontname = "sans-serif"];
          "network.lan" [label="network.lan"];
          "cluster.orders" [label="cluster.orders"];
          "cluster.orders.node.a" [label="cluster.orders.node.a"];
          "cluster.orders.node.r[0]" [label="cluster.orders.node.r[0]"];
          "cluster.orders.node.r[1]" [label="cluster.orders.node.r[1]"];
          "cluster.orders.endpoint.rw" [label="cluster.orders.endpoint.rw"];
          "cluster.orders" -> "network.lan";
          "cluster.orders.node.a" -> "cluster.orders";
          "cluster.orders.node.r[0]" -> "cluster.orders.node.a";
          "cluster.orders.node.r[1]" -> "cluster.orders.node.r[0]";
          "cluster.orders.endpoint.rw" -> "cluster.orders.node.a";
        }
    "#]]
    .assert_eq(&dot(&GraphDoc::of_record(&state)));
}
