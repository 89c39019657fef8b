//! Clusters whose nodes are on several providers, and what keeps them from being so.

use expect_test::expect;

use super::modules::load_files;
use super::providers::platforms;

/// A cluster with a node on another provider than its own, in a network that says this, with these providers.
fn across(providers: &str, network: &str, node: &str) -> String {
    let text = format!(
        r#"{providers}
network "lan" {{
  provider = docker.east
  subnet   = "172.30.0.0/24"
{network}}}
cluster "orders" {{
  provider = docker.east
  engine "postgresql" {{}}
  node "a" {{}}
  node "r" {{
    count = 2
    {node}
  }}
}}
"#
    );
    platforms(&[("main.simdb.hcl", &text)])
}

const PUBLISHED: &str = r#"provider "docker" {
  alias   = "east"
  publish = "192.0.2.7"
}
provider "docker" {
  alias   = "west"
  publish = "192.0.2.8"
}"#;

#[test]
fn a_node_is_on_another_provider_than_its_cluster_where_their_machines_reach_each_other() {
    let text = across(PUBLISHED, "  reachable = true\n", "provider = docker.west");
    assert!(text.ends_with("cluster orders on docker.east\n"), "{text}");
    let (config, said) = load_files(&[(
        "main.simdb.hcl",
        &format!(
            "{PUBLISHED}\nnetwork \"lan\" {{\n  provider = docker.east\n  subnet = \"172.30.0.0/24\"\n  reachable = true\n}}\ncluster \
             \"orders\" {{\n  provider = docker.east\n  engine \"postgresql\" {{}}\n  node \"a\" {{ provider = docker.east }}\n  node \
             \"b\" {{ provider = docker.west }}\n}}\n"
        ),
    )]);
    let desired = config.unwrap_or_else(|| panic!("{said}")).desired;
    let nodes = &desired.clusters.values().next().unwrap().nodes;
    let platforms: Vec<_> = nodes
        .values()
        .map(|node| node.platform.as_ref().map(ToString::to_string))
        .collect();
    // The one of its cluster is no other one.
    assert_eq!(platforms, [None, Some("docker.west".to_owned())]);
    assert_eq!(desired.also_on(&"lan".parse().unwrap()).len(), 1);
}

#[test]
fn a_node_on_a_provider_that_others_may_not_reach_is_refused_with_what_to_do() {
    let reachable = "  reachable = true\n";
    let west = "provider = docker.west";
    expect![[r#"
        main.simdb.hcl:19:16-27 error Machines may not reach each other (in cluster "orders")
          Node r[0] is on provider docker.west, and its cluster on docker.east: they stream from each other at the addresses where these publish their servers, which other machines may not reach. Where they do, say so in network "lan": reachable = true. Else remove provider from the node.
    "#]].assert_eq(&across(PUBLISHED, "", west));
    expect![[r#"
        main.simdb.hcl:20:16-21 error Cluster spans several kinds of providers (in cluster "orders")
          Node r[0] is on provider local, and cluster orders on docker.east. The nodes of a cluster are on providers of one kind. Choose another provider "docker", or declare another cluster.
    "#]].assert_eq(&across(PUBLISHED, reachable, "provider = local"));
    expect![[r#"
        main.simdb.hcl:20:16-28 error Undeclared provider (in cluster "orders")
          There is no provider "docker" with alias = "north" here. Did you mean "docker.east"?
    "#]]
    .assert_eq(&across(PUBLISHED, reachable, "provider = docker.north"));
    let (loopback, none) = (
        PUBLISHED.replace("192.0.2.8", "127.0.0.1"),
        PUBLISHED.replace("  publish = \"192.0.2.7\"\n", ""),
    );
    expect![[r#"
        main.simdb.hcl:20:16-27 error Servers are not reached from other machines (in cluster "orders")
          Nodes of this cluster are on several providers, so docker.west must be reached from the others, and it publishes its servers at 127.0.0.1, which no other machine reaches. Say at which address of its machine the others do: publish = "192.0.2.7".
    "#]].assert_eq(&across(&loopback, reachable, west));
    expect![[r#"
        main.simdb.hcl:14:14-25 error Servers are not reached from other machines (in cluster "orders")
          Nodes of this cluster are on several providers, so docker.east must be reached from the others, and it does not say at which address of its machine servers are published. Add one that the others reach: publish = "192.0.2.7".
    "#]].assert_eq(&across(&none, reachable, west));
    expect![[r#"
        main.simdb.hcl:20:16-27 error Servers are not reached from other machines (in cluster "orders")
          Nodes of this cluster are on docker.east and on docker.west, and both publish their servers at 192.0.2.7, so that nothing tells them apart. Give each an address of its own.
    "#]].assert_eq(&across(&PUBLISHED.replace("192.0.2.8", "192.0.2.7"), reachable, west));
}
