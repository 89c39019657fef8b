//! Blocks to what is desired, and outputs of it.

use std::net::{IpAddr, Ipv4Addr};

use expect_test::expect;
use simdb_state::object::{Election, ElectionReason, Endpoint, EndpointTarget, Node, Role, Term};
use simdb_state::place::{Bind, Place};

use super::*;

#[test]
fn a_configuration_becomes_what_is_desired() {
    check_desired(
        "provider \"local\" {\n  run_as     = \"pg\"\n  data_root  = \"/srv\"\n  port_range = \"20000-20010\"\n  binaries   = [\"/opt/pg/bin\"]\n}\nvariable \"standbys\" { default = 2 }\nnetwork \"lan\" {}\ncluster \"orders\" {\n  network = network.lan\n  engine \"postgresql\" {\n    version    = \"15\"\n    parameters = { max_connections = 50, shared_buffers = \"64MB\", fsync = false, work_mem = \"1MB\" }\n  }\n  replication { mode = \"async\" }\n  node \"a\" {\n    port       = 5432\n    parameters = { max_connections = 60, work_mem = null }\n  }\n  node \"r\" {\n    count = var.standbys\n    port  = 6000 + count.index\n  }\n  node \"none\" { count = 0 }\n  primary = \"r[1]\"\n  endpoint \"rw\" { target = \"primary\" }\n  endpoint \"ro\" { target = \"standby\" }\n  lifecycle { prevent_destroy = true }\n}\n",
        expect![[r#"
            LocalSettings { run_as: Some("pg"), data_root: Some("/srv"), ports: Some((20000, 20010)), binaries: ["/opt/pg/bin"], others: {}, spans: {RunAs: Span { file: "main", start: 34, end: 38 }, DataRoot: Span { file: "main", start: 54, end: 60 }, Binaries: Span { file: "main", start: 105, end: 120 }, PortRange: Span { file: "main", start: 76, end: 89 }} }
            network lan
            cluster orders: postgresql 15, async, in lan, first a, primary r[1], kept
              node a port 5432 fsync=off max_connections=60 shared_buffers=64MB
              node r[0] port 6000 fsync=off max_connections=50 shared_buffers=64MB work_mem=1MB
              node r[1] port 6001 fsync=off max_connections=50 shared_buffers=64MB work_mem=1MB
              endpoint ro -> standby
              endpoint rw -> primary
        "#]],
    );
    check_desired(
        CLUSTER,
        expect![[r#"
        network lan
        cluster c: postgresql newest, async, in lan, first a
          node a
    "#]],
    );
    check_desired("", expect![[""]]);
}

#[test]
fn a_cluster_names_its_network_where_there_are_several() {
    let cluster =
        |network: &str| format!("cluster \"c\" {{\n{network}  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n}}\n");
    check_desired(
        &cluster(""),
        expect![[r#"
            network default
            cluster c: postgresql newest, async, in default, first a
              node a
        "#]],
    );
    check(
        &format!("network \"a\" {{}}\nnetwork \"b\" {{}}\n{}", cluster("")),
        expect![[r#"
            main:3:1-12 error Missing network (in cluster "c")
              Several networks are declared, so the cluster must name its own: network = network.a or network = network.b.
        "#]],
    );
    check(
        &format!("network \"lan\" {{}}\n{}", cluster("  network = network.lna\n")),
        expect![[r#"
            main:3:13-24 error Reference to undeclared network (in cluster "c")
              No network "lna" is declared. Declare it with a line: network "lna" {}. Did you mean "lan"?
        "#]],
    );
    check(
        &format!("network \"lan\" {{}}\n{}", cluster("  network = \"lan\"\n")),
        expect![[r#"
            main:3:13-18 error Invalid network reference (in cluster "c")
              The network of a cluster is a reference such as network.lan, without quotes.
        "#]],
    );
}

/// Checks a cluster with something in its body.
fn check_cluster(body: &str, expected: Expect) {
    check(
        &format!("network \"lan\" {{}}\ncluster \"c\" {{\n  engine \"postgresql\" {{}}\n{body}}}\n"),
        expected,
    );
}

#[test]
fn nodes_are_counted_and_named_apart() {
    check_cluster(
        "  node \"a\" { count = 0 }\n",
        expect![[r#"
        main:2:1-12 error Cluster without nodes (in cluster "c")
          A cluster needs at least one node. Declare one within it: node "a" {}
    "#]],
    );
    check_cluster(
        "  node \"a\" { count = 10001 }\n  node \"b\" { count = 1.5 }\n  node \"c\" { count = -1 }\n",
        expect![[r#"
            main:4:22-27 error Value out of range (in cluster "c")
              "count" must be a whole number from 0 to 10000, not 10001.
            main:5:22-25 error Value out of range (in cluster "c")
              "count" must be a whole number from 0 to 10000, not 1.5.
            main:6:22-24 error Value out of range (in cluster "c")
              "count" must be a whole number from 0 to 10000, not -1.
        "#]],
    );
    check_cluster(
        "  node \"r\" { count = 2 }\n  node \"r-1\" {}\n",
        expect![[r#"
        main:5:3-13 error Colliding node names (in cluster "c")
          The nodes r-1 and r[1] (declared at main:4,3) would both be called "r-1" as a host, and "r_1" as a replication slot. Rename one of the blocks.
    "#]],
    );
    check_cluster(
        "  node \"R\" {}\n  node \"a\" { port = 0 }\n",
        expect![[r#"
        main:4:8-11 error Invalid name (in cluster "c")
          The node name "R" must start with a lower-case letter and hold at most 30 lower-case letters, digits and hyphens.
        main:5:21-22 error Value out of range (in cluster "c")
          "port" must be a whole number from 1024 to 65535, not 0.
    "#]],
    );
    check_cluster(
        "  node \"a\" {}\n  node \"b\" { port = count.index }\n",
        expect![[r#"
            main:5:21-26 error Reference to "count" in a block without it (in cluster "c")
              "count.index" is available only inside a block that has a "count".
        "#]],
    );
}

#[test]
fn ports_are_used_once() {
    check_cluster(
        "  node \"a\" { port = 5432 }\n  node \"b\" { port = 5432 }\n",
        expect![[r#"
            main:5:21-25 error Port used twice (in cluster "c")
              cluster.c.node.b has port 5432, which cluster.c.node.a has already (main:4,21). Leave the port out, and a free one is chosen.
        "#]],
    );
    check_cluster(
        "  node \"a\" {\n    count = 3\n    port  = 5432\n  }\n",
        expect![[r#"
        main:6:13-17 error Port used twice (in cluster "c")
          cluster.c.node.a[0] and cluster.c.node.a[1] would both have port 5432. With a count each node needs its own: port = 5432 + count.index. Or leave the port out, and a free one is chosen.
    "#]],
    );
}

#[test]
fn a_pooler_has_a_port_that_no_node_and_no_other_pooler_has() {
    let endpoint = |name, port| {
        format!(
            "  endpoint \"{name}\" {{\n    target = \"primary\"\n    via = \"pgbouncer\"\n    port = {port}\n  }}\n"
        )
    };
    check_cluster(
        &format!(
            "  node \"a\" {{ port = 6432 }}\n{}{}{}",
            endpoint("rw", 6432),
            endpoint("x", 7000),
            endpoint("y", 7000)
        ),
        expect![[r#"
            main:8:12-16 error Port used twice (in cluster "c")
              cluster.c.endpoint.rw has port 6432, which cluster.c.node.a has already (main:4,21). Leave the port out, and a free one is chosen.
            main:18:12-16 error Port used twice (in cluster "c")
              cluster.c.endpoint.y has port 7000, which cluster.c.endpoint.x has already (main:13,12). Leave the port out, and a free one is chosen.
        "#]],
    );
    // Each has an address of its own.
    let text = format!(
        "network \"lan\" {{ subnet = \"127.20.0.0/24\" }}\ncluster \"c\" {{\n  engine \"postgresql\" {{}}\n  node \"a\" {{ port = 6432 }}\n{}}}\n",
        endpoint("rw", 6432)
    );
    assert_eq!(loaded(&text, &[]).desired.clusters.len(), 1);
}

#[test]
fn the_primary_is_a_node_of_the_cluster() {
    check_cluster(
        "  node \"r\" { count = 2 }\n  primary = \"r\"\n",
        expect![[r#"
        main:5:13-16 error Unknown node (in cluster "c")
          The node block "r" has a count, so name one of its nodes, such as "r[0]".
    "#]],
    );
    check_cluster(
        "  node \"r\" { count = 2 }\n  primary = \"r[2]\"\n",
        expect![[r#"
        main:5:13-19 error Unknown node (in cluster "c")
          "primary" must name a node of this cluster, and there is no node "r[2]". Did you mean "r[0]"?
    "#]],
    );
    check_cluster(
        "  node \"first\" {}\n  primary = \"frist\"\n",
        expect![[r#"
        main:5:13-20 error Unknown node (in cluster "c")
          "primary" must name a node of this cluster, and there is no node "frist". Did you mean "first"?
    "#]],
    );
}

#[test]
fn words_that_are_not_supported_are_refused() {
    check_cluster(
        "  node \"a\" {}\n  replication { mode = \"sync\" }\n  endpoint \"rw\" { target = \"primry\" }\n",
        expect![[r#"
            main:5:24-30 error No standby to wait for (in cluster "c")
              Mode "sync" needs a standby to wait for, and the cluster has one node. Declare another one, or set mode = "async".
            main:6:28-36 error Unknown target (in cluster "c")
              "target" must be "primary" or "standby", not "primry". Did you mean "primary"?
        "#]],
    );
    check_cluster(
        "  node \"a\" {}\n  replication { mode = \"asinc\" }\n",
        expect![[r#"
            main:5:24-31 error Unknown mode (in cluster "c")
              "mode" must be "async", "sync" or "quorum", not "asinc". Did you mean "async"?
        "#]],
    );
    check(
        "provider \"podman\" {}\nprovider \"local\" {\n  port_range = \"20-10\"\n  run_as = \"\"\n  binaries = [\"/opt/pg/bin\", \"\"]\n}\nnetwork \"lan\" {}\ncluster \"c\" {\n  engine \"postgres\" { version = \"15.2\" }\n  node \"a\" {}\n}\n",
        expect![[r#"
            main:1:10-18 error Unsupported provider (in provider "podman")
              The provider "podman" is not supported by this version; "local", "docker" and "kubernetes" are.
            main:3:16-23 error Invalid port range (in provider "local")
              "port_range" is the first and the last port, as in "15432-15532", each from 1 to 65535; "20-10" is not.
            main:4:12-14 error Empty value (in provider "local")
              "run_as" must not be empty. Leave it out for the default.
            main:5:14-33 error Empty value (in provider "local")
              "binaries" has an empty directory. Name one with the programs of an engine, or remove it.
            main:9:10-20 error Unsupported engine (in cluster "c")
              The engine "postgres" is not supported by this version; "postgresql" is. Did you mean "postgresql"?
            main:9:33-39 error Invalid version (in cluster "c")
              "version" is a major version, a whole number such as "15"; "15.2" is not.
        "#]],
    );
}

#[test]
fn reserved_parameters_say_who_sets_them() {
    check(
        "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {\n    parameters = {\n      port = 1\n      wal_level = \"minimal\"\n      \"Work_Mem\" = 1\n      log_line_prefix = \"a\\nb\"\n      search_path = [1]\n    }\n  }\n  node \"a\" { parameters = { primary_conninfo = \"x\" } }\n}\n",
        expect![[r#"
            main:5:7-11 error Reserved parameter (in cluster "c")
              simdb sets "port" itself. Set the "port" of the node instead.
            main:6:7-16 error Reserved parameter (in cluster "c")
              simdb sets "wal_level" itself. Replication needs it as simdb sets it, with room for standbys to come, so that adding one restarts nothing.
            main:7:7-17 error Invalid parameter name (in cluster "c")
              The name of a parameter holds lower-case letters, digits, "_" and "."; "Work_Mem" does not.
            main:8:7-22 error Invalid parameter value (in cluster "c")
              The value of "log_line_prefix" holds a line end or another control character.
            main:9:7-18 error Invalid parameter value (in cluster "c")
              For "search_path" a string is required, not a list.
            main:12:29-45 error Reserved parameter (in cluster "c")
              simdb sets "primary_conninfo" itself. It follows from the role of each node and from the "replication" block, and changes with them.
        "#]],
    );
}

#[test]
fn outputs_are_checked_before_there_is_a_record() {
    check(
        &format!(
            "{CLUSTER}output \"a\" {{ value = cluster.d.name }}\noutput \"b\" {{ value = cluster.c.node.b.port }}\noutput \"e\" {{ value = cluster.c.node.a.prt }}\noutput \"f\" {{ value = network.lan.name }}\noutput \"g\" {{ value = nothing.x }}\n"
        ),
        expect![[r#"
            main:6:29-31 error Unsupported attribute (in output "a")
              This object has no attribute named "d".
              - cluster is an object with 1 attribute
            main:7:36-38 error Unsupported attribute (in output "b")
              This object has no attribute named "b".
              - cluster.c.node is an object with 1 attribute
            main:8:38-42 error Unsupported attribute (in output "e")
              This object has no attribute named "prt". Did you mean "port"?
              - cluster.c.node.a is an object with 4 attributes
            main:10:22-29 error Unknown reference (in output "g")
              There is nothing called "nothing". A reference starts with "var", "local", "count", "each", "cluster", "network", "module", "path" or "simdb"; text stands in double quotes.
        "#]],
    );
}

const OUTPUTS: &str = "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" { version = 15 }\n  node \"a\" {}\n  node \"r\" { count = 1 }\n  endpoint \"rw\" { target = \"primary\" }\n  endpoint \"ro\" { target = \"standby\" }\n}\noutput \"url\" {\n  value       = cluster.c.endpoint.rw.url\n  description = \"where to write\"\n}\noutput \"all\" { value = cluster.c }\noutput \"port\" { value = cluster.c.node.r[0].port + 1 }\noutput \"roles\" { value = [for n in cluster.c.node.r : n.role] }\noutput \"fixed\" { value = cluster.c.endpoint.rw.service }\noutput \"text\" { value = \"at ${cluster.c.primary}\" }\n";

fn shown(config: &Config, state: &State) -> String {
    let (values, diagnostics) = config.outputs(state, &Secrets::new());
    assert_eq!(diagnostics, []);
    let mut out = String::new();
    for (name, output) in values {
        let value = output
            .value
            .map_or_else(|| "unknown".to_owned(), |value| value.to_string());
        out += &format!("{name} = {value}\n");
    }
    out
}

#[test]
fn numbers_of_outputs_keep_every_digit() {
    let text = "output \"o\" {\n  value = { large = 18446744073709551616, third = 1 / 3, port = 5432, list = [1e30, 0.1] }\n}\n";
    let (outputs, said) = loaded(text, &[]).outputs(&State::default(), &Secrets::new());
    assert!(said.is_empty(), "{said:?}");
    let value = outputs["o"].value.as_ref().unwrap().to_string();
    let third = "3".repeat(154);
    assert_eq!(
        value,
        format!(
            "{{\"large\":18446744073709551616,\"list\":[1000000000000000000000000000000,0.1],\"port\":5432,\"third\":0.{third}5}}"
        )
    );
}

#[test]
fn outputs_are_unknown_until_they_are_recorded() {
    let config = loaded(OUTPUTS, &[]);
    expect![[r#"
        all = unknown
        fixed = "c-rw"
        port = unknown
        roles = unknown
        text = unknown
        url = unknown
    "#]]
    .assert_eq(&shown(&config, &State::default()));
    let mut state = State::default();
    let place = |port| {
        Place::shared(Bind {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port,
        })
    };
    let node = |port, role| Node {
        place: Some(place(port)),
        role: Some(role),
        ..Node::default()
    };
    let a: simdb_state::name::NodeName = "a".parse().unwrap();
    state.nodes.insert(
        "cluster.c.node.a".parse().unwrap(),
        node(15432, Role::Primary { term: Term(1) }).into(),
    );
    state.nodes.insert(
        "cluster.c.node.r[0]".parse().unwrap(),
        node(15433, Role::Standby { follows: a.clone() }).into(),
    );
    for (name, target) in [("rw", EndpointTarget::Primary), ("ro", EndpointTarget::Standby)] {
        let endpoint = Endpoint {
            target,
            nodes: vec![a.clone(), "r[0]".parse().unwrap()],
            hosts: vec![place(15432).peers, place(15433).peers],
            pooler: None,
        };
        state
            .endpoints
            .insert(format!("cluster.c.endpoint.{name}").parse().unwrap(), endpoint);
    }
    let election = Election {
        term: Term(1),
        primary: a,
        pin: None,
        reason: ElectionReason::Birth,
        chosen: false,
        switch: None,
    };
    state.elections.insert("c".parse().unwrap(), election);
    expect![[r#"
        all = {"database":{},"endpoint":{"ro":{"host":"127.0.0.1","port":15432,"service":"c-ro","target":"standby","url":"postgresql://127.0.0.1:15432,127.0.0.1:15433/postgres?target_session_attrs=prefer-standby"},"rw":{"host":"127.0.0.1","port":15432,"service":"c-rw","target":"primary","url":"postgresql://127.0.0.1:15432,127.0.0.1:15433/postgres?target_session_attrs=read-write"}},"name":"c","network":"lan","node":{"a":{"host":"127.0.0.1","name":"a","port":15432,"role":"primary"},"r":[{"host":"127.0.0.1","name":"r[0]","port":15433,"role":"standby"}]},"primary":"a","user":{},"version":15}
        fixed = "c-rw"
        port = 15434
        roles = ["standby"]
        text = "at a"
        url = "postgresql://127.0.0.1:15432,127.0.0.1:15433/postgres?target_session_attrs=read-write"
    "#]].assert_eq(&shown(&config, &state));
}

#[test]
fn ten_thousand_nodes_are_read_from_one_block() {
    let config = loaded(
        "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" { parameters = { work_mem = \"4MB\" } }\n  node \"r\" {\n    count = 10000\n    port  = 20000 + count.index\n  }\n}\n",
        &[],
    );
    let nodes = &config.desired.clusters.values().next().unwrap().nodes;
    assert_eq!(
        (nodes.len(), nodes.values().next_back().unwrap().port),
        (10_000, Some(29_999))
    );
}

#[test]
fn what_an_endpoint_goes_through_is_checked() {
    check_cluster(
        "  node \"a\" {}\n  endpoint \"rw\" {\n    target    = \"primary\"\n    via       = \"pgbouncer\"\n    port      = 6432\n    pool_mode = \"session\"\n  }\n",
        expect![[r#""#]],
    );
    check_cluster(
        "  node \"a\" {}\n  endpoint \"rw\" {\n    target    = \"primary\"\n    via       = \"pgbounce\"\n    pool_mode = \"transactions\"\n  }\n  endpoint \"ro\" {\n    target = \"standby\"\n    via    = \"pgbouncer\"\n  }\n  endpoint \"x\" {\n    target = \"primary\"\n    port   = 6432\n  }\n  user \"pgbouncer\" {}\n",
        expect![[r#"
            main:7:17-27 error Unknown via (in cluster "c")
              "via" must be "pgbouncer", not "pgbounce". Did you mean "pgbouncer"?
            main:8:17-31 error Unknown pool_mode (in cluster "c")
              "pool_mode" must be "transaction", "session" or "statement", not "transactions". Did you mean "transaction"?
            main:12:14-25 error Pooler with several servers (in cluster "c")
              PgBouncer leads to one server, so an endpoint that goes through it has target = "primary". Without "via", clients choose among the standbys themselves.
            main:16:14-18 error Setting without a pooler (in cluster "c")
              "port" is a setting of the pooler, and clients of this endpoint reach the nodes themselves. Add via = "pgbouncer", or remove it.
            main:18:8-19 error Reserved name (in cluster "c")
              simdb lets PgBouncer look up logins with user "pgbouncer" itself. Choose another name.
        "#]],
    );
}

#[test]
fn a_subnet_is_one_of_this_machine_and_shares_no_address_with_another() {
    check_desired(
        &CLUSTER.replace("network \"lan\" {}", "network \"lan\" { subnet = \"127.20.0.0/24\" }"),
        expect![[r#"
            network lan 127.20.0.0/24
            cluster c: postgresql newest, async, in lan, first a
              node a
        "#]],
    );
    check(
        "network \"a\" { subnet = \"lan\" }\nnetwork \"b\" { subnet = \"127.20.0.7/24\" }\nnetwork \"c\" { subnet = \"10.0.0.0/8\" }\nnetwork \"d\" { subnet = \"127.20.0.0/33\" }\n",
        expect![[r#"
            main:1:24-29 error Invalid subnet (in network "a")
              "subnet" is an IPv4 address and the length of its prefix, as in "127.20.0.0/24"; "lan" is not.
            main:2:24-39 error Invalid subnet (in network "b")
              127.20.0.7/24 is one address of a subnet. Write "127.20.0.0/24".
            main:3:24-36 error Invalid subnet (in network "c")
              Nodes are processes of this machine, so their addresses are within 127.0.0.0/8, and 10.0.0.0/8 is not. Write one such as "127.20.0.0/24", or leave it out: then all nodes have 127.0.0.1, and each a port of its own.
            main:4:24-39 error Invalid subnet (in network "d")
              "subnet" is an IPv4 address and the length of its prefix, as in "127.20.0.0/24"; "127.20.0.0/33" is not.
        "#]],
    );
    check(
        "network \"a\" { subnet = \"127.20.0.0/16\" }\nnetwork \"b\" { subnet = \"127.20.7.0/24\" }\n",
        expect![[r#"
            main:2:24-39 error Invalid subnet (in network "b")
              127.20.7.0/24 has addresses that 127.20.0.0/16 of network.a has, too. Choose one that lies beside it.
        "#]],
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the examples are files; the planner itself reads none"
)]
fn the_examples_are_right_and_in_canonical_style() {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(workspace.join("examples/local-postgres/main.simdb.hcl")).unwrap();
    let (source, inputs) = (source(&text), [input("standbys", "3")]);
    let (config, diagnostics) = load(&source, &inputs);
    assert_eq!(render(&source, &diagnostics), "");
    assert_eq!(config.unwrap().desired.clusters.values().next().unwrap().nodes.len(), 4);
    assert_eq!(format("main", &text), Ok(text));
    let text = std::fs::read_to_string(workspace.join("examples/docker-postgres/main.simdb.hcl")).unwrap();
    check(&text, expect![[r#""#]]);
    assert_eq!(format("main", &text), Ok(text));
}

#[test]
fn containers_have_a_provider_of_their_own_and_networks_with_addresses() {
    check(
        "provider \"docker\" {\n  host = \"/run/docker.sock\"\n  image = \"db:15\"\n  run_as = \"pg\"\n  publish = \"0.0.0.0\"\n  context = \"far\"\n}\nnetwork \"lan\" {}\nnetwork \"small\" { subnet = \"172.30.0.0/30\" }\nnetwork \"public\" { subnet = \"1.2.3.0/24\" }\ncluster \"c\" {\n  network = network.lan\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n",
        expect![[r#"
            main:2:10-28 error Invalid value (in provider "docker")
              "host" is where the Docker Engine listens, as in "unix:///run/docker.sock" or "tcp://127.0.0.1:2375"; "/run/docker.sock" is not.
            main:3:11-18 error Invalid value (in provider "docker")
              "image" is the name of an image in which {version} stands for the major version, as in "db:{version}"; "db:15" has none.
            main:4:12-16 error Unsupported argument (in provider "docker")
              "run_as" is an argument of provider "local"; provider "docker" has: host, context, cert_path, publish, port_range, image, pooler_image, pull, memory, cpus.
            main:5:13-22 error Invalid value (in provider "docker")
              "publish" is the address of the machine of the Docker Engine at which the ports of servers are published, and at which it is reached from here, as in "192.0.2.7"; "0.0.0.0" is none.
            main:8:1-14 error Missing subnet (in network "lan")
              Nodes are containers, and each has an address of its own. Say which addresses its network has that are free on this machine: subnet = "172.30.0.0/24".
            main:9:28-43 error Invalid subnet (in network "small")
              172.30.0.0/30 has too few addresses for containers. Write one with a prefix of at most 28, such as "172.30.0.0/24".
            main:10:29-41 error Invalid subnet (in network "public")
              Nodes are containers, so their addresses are private ones that this machine does not have otherwise, and 1.2.3.0/24 is none. Write one such as "172.30.0.0/24".
        "#]],
    );
    check(
        "provider \"docker\" {\n  host = \"tcp://127.0.0.1:2375\"\n  image = \"db:{version}\"\n}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n",
        expect![[r#"
            main:5:1-12 error Missing network (in cluster "c")
              The cluster is in no network that is declared. Nodes are containers, and each has an address of its own. Say which addresses its network has that are free on this machine: subnet = "172.30.0.0/24".
        "#]],
    );
    check(
        "provider \"local\" {\n  host = \"unix:///run/docker.sock\"\n}\n",
        expect![[r#"
            main:2:10-35 error Unsupported argument (in provider "local")
              "host" is an argument of provider "docker"; provider "local" has: run_as, data_root, port_range, binaries.
        "#]],
    );
}

#[test]
fn a_node_its_cluster_or_the_provider_says_what_servers_may_take() {
    let text = "provider \"docker\" {\n  memory = \"1GB\"\n  cpus = 0.5\n}\nnetwork \"lan\" { subnet = \"172.30.0.0/24\" }\ncluster \"c\" {\n  network = network.lan\n  memory = \"512MB\"\n  engine \"postgresql\" {}\n  node \"a\" { memory = \"256MB\" }\n  node \"b\" { cpus = 2 }\n}\n";
    let (config, diagnostics) = load(&source(text), &[]);
    assert_eq!(render(&source(text), &diagnostics), "");
    let config = config.unwrap();
    let cluster = config.desired.clusters.values().next().unwrap();
    let limits = |node: &str| {
        let resources = cluster.nodes[&node.parse().unwrap()].resources;
        (resources.memory.map(|bytes| bytes >> 20), resources.cpus)
    };
    assert_eq!(limits("a"), (Some(256), Some(500)));
    assert_eq!(limits("b"), (Some(512), Some(2000)));
    check(
        "provider \"docker\" {\n  memory = \"much\"\n}\nnetwork \"lan\" { subnet = \"172.30.0.0/24\" }\ncluster \"c\" {\n  network = network.lan\n  cpus = 0\n  engine \"postgresql\" {}\n  node \"a\" { memory = \"1MB\" }\n}\n",
        expect![[r#"
            main:2:12-18 error Invalid value (in provider "docker")
              "memory" is a size of at least 16MB such as "512MB" or "2GB", not "much".
            main:7:10-11 error Invalid value (in cluster "c")
              "cpus" is how many processors a server may keep busy, from 0.01 to 4096, such as 1.5, not "0".
            main:9:23-28 error Invalid value (in cluster "c")
              "memory" is a size of at least 16MB such as "512MB" or "2GB", not "1MB".
        "#]],
    );
    check(
        "cluster \"c\" {\n  memory = \"1GB\"\n  engine \"postgresql\" {}\n  node \"a\" {}\n  node \"b\" { cpus = 1 }\n}\n",
        expect![[r#"
            main:2:12-17 error Servers cannot be limited there (in cluster "c")
              Nodes are processes of this machine, which simdb does not limit. Remove "memory", "cpus" and "storage", or let the servers be containers, which another provider runs.
        "#]],
    );
}
