//! Providers with an alias: which ones there are, which cluster is on which, and which ones a module knows.

use expect_test::expect;

use super::modules::load_files;
use super::*;

/// Returns the platform of each cluster and network, or what is wrong.
pub(super) fn platforms(files: &[(&str, &str)]) -> String {
    let (config, said) = load_files(files);
    let Some(config) = config else { return said };
    let clusters = config.desired.clusters.iter();
    let clusters = clusters.map(|(name, spec)| format!("cluster {name} on {}", spec.platform));
    let networks = config.desired.networks.iter();
    let networks = networks.map(|(name, spec)| format!("network {name} on {}", spec.platform));
    let providers = config.desired.local.others.iter();
    let providers = providers.map(|(name, arguments)| format!("{name} {arguments:?}"));
    let all: Vec<String> = providers.chain(networks).chain(clusters).collect();
    format!("{}{}\n", said, all.join("\n"))
}

fn check_platforms(files: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&platforms(files));
}

#[test]
fn a_cluster_names_one_of_several_providers_of_a_platform() {
    check_platforms(
        &[(
            "main.simdb.hcl",
            r#"
provider "docker" {}
provider "docker" {
  alias = "east"
  host  = "tcp://east.example.org:2375"
}
network "lan" { subnet = "172.30.0.0/24" }
network "far" {
  provider = docker.east
  subnet   = "172.30.1.0/24"
}
cluster "orders" {
  network = network.lan
  engine "postgresql" {}
  node "a" {}
}
cluster "sales" {
  provider = "docker.east"
  network  = network.far
  engine "postgresql" {}
  node "a" {}
}
cluster "here" {
  provider = local
  network  = network.lan
  engine "postgresql" {}
  node "a" {}
}
"#,
        )],
        expect![[r#"
            docker {}
            docker.east {"host": "tcp://east.example.org:2375"}
            network far on docker.east
            network lan on docker
            cluster here on local
            cluster orders on docker
            cluster sales on docker.east
        "#]],
    );
}

#[test]
fn what_is_wrong_with_a_provider_is_said_where_it_stands() {
    check_platforms(
        &[(
            "main.simdb.hcl",
            r#"
provider "local" { alias = "fast" }
provider "docker" { alias = "East" }
provider "docker" { alias = var.name }
provider "docker.west" {}
provider "docker" { alias = "north" }
provider "docker" { alias = "north" }
provider "docker" {}
provider "docker" {}
cluster "a" {
  provider = docker.nort
  engine "postgresql" {}
  node "a" {}
}
cluster "b" {
  provider = docker.somewhere
  engine "postgresql" {}
  node "a" {}
}
cluster "c" {
  provider = dokcer
  engine "postgresql" {}
  node "a" {}
}
"#,
        )],
        expect![[r#"
            main.simdb.hcl:2:28-34 error Invalid provider alias (in provider "local")
              There is one provider "local", as all that it runs shares what it has. Leave "alias" out, or write a provider that can be elsewhere.
            main.simdb.hcl:3:29-35 error Invalid provider alias (in provider "docker")
              "East" is no alias: one starts with a lower-case letter and holds at most 30 lower-case letters, digits, underscores and hyphens.
            main.simdb.hcl:4:29-32 error Reference not allowed here (in provider "docker")
              This value must be known before variables and locals are, so "var.*" cannot be used.
            main.simdb.hcl:5:10-23 error Invalid provider name (in provider "docker.west")
              The label of a provider is its platform, and what tells it from others is an argument: provider "docker" { alias = "west" }.
            main.simdb.hcl:7:1-18 error Duplicate provider "docker" (in provider "docker")
              provider "docker" with alias = "north" was already declared at main.simdb.hcl:6,1. Give one of them another alias.
            main.simdb.hcl:9:1-18 error Duplicate provider "docker" (in provider "docker")
              provider "docker" was already declared at main.simdb.hcl:8,1. Several are told apart by an alias: alias = "NAME".
            main.simdb.hcl:11:14-25 error Undeclared provider (in cluster "a")
              There is no provider "docker" with alias = "nort" here. Did you mean "docker.north"?
            main.simdb.hcl:16:14-30 error Undeclared provider (in cluster "b")
              There is no provider "docker" with alias = "somewhere" here. Declare it with a block: provider "docker" { alias = "somewhere" }. A module has those with an alias that the block which uses it passes on: providers = { docker.somewhere = docker.somewhere }.
            main.simdb.hcl:21:14-20 error Unsupported provider (in cluster "c")
              The provider "dokcer" is not supported by this version; "local", "docker" and "kubernetes" are. Did you mean "docker"?
        "#]],
    );
    check_platforms(
        &[(
            "main.simdb.hcl",
            r#"
provider "docker" { alias = "east" }
cluster "a" {
  engine "postgresql" {}
  node "a" {}
}
"#,
        )],
        expect![[r#"
            main.simdb.hcl:3:1-12 error Missing provider (in cluster "a")
              All providers have an alias, so the cluster must name its own: provider = docker.east.
        "#]],
    );
}

const TEAM: &str = r#"
network "lan" { subnet = "172.30.0.0/24" }
cluster "orders" {
  network = network.lan
  engine "postgresql" {}
  node "a" {}
}
"#;

#[test]
fn a_module_calls_the_providers_that_are_passed_on_what_it_likes() {
    check_platforms(
        &[
            (
                "main.simdb.hcl",
                r#"
provider "docker" { alias = "east" }
provider "docker" { alias = "west" }
module "one" {
  source    = "./team"
  providers = { docker = docker.east }
}
module "two" {
  source    = "./pair"
  providers = { docker.left = docker.east, "docker.right" = "docker.west" }
}
"#,
            ),
            ("team/main.simdb.hcl", TEAM),
            (
                "pair/main.simdb.hcl",
                r#"
network "a" {
  provider = docker.left
  subnet   = "172.30.1.0/24"
}
network "b" {
  provider = docker.right
  subnet   = "172.30.2.0/24"
}
module "inner" {
  source    = "../other"
  providers = { docker = docker.right }
}
"#,
            ),
            ("other/main.simdb.hcl", "network \"c\" { subnet = \"172.30.3.0/24\" }\n"),
        ],
        expect![[r#"
            docker.east {}
            docker.west {}
            network one-lan on docker.east
            network two-a on docker.east
            network two-b on docker.west
            network two-inner-c on docker.west
            cluster one-orders on docker.east
        "#]],
    );
}

#[test]
fn a_module_has_the_providers_without_an_alias_unless_it_is_passed_some() {
    check_platforms(
        &[
            (
                "main.simdb.hcl",
                r#"
provider "docker" {}
provider "docker" { alias = "east" }
module "team" { source = "./team" }
"#,
            ),
            ("team/main.simdb.hcl", TEAM),
        ],
        expect![[r#"
            docker {}
            docker.east {}
            network team-lan on docker
            cluster team-orders on docker
        "#]],
    );
    check_platforms(
        &[
            (
                "main.simdb.hcl",
                r#"
provider "docker" { alias = "east" }
module "none" {
  source    = "./here"
  providers = {}
}
module "lost" { source = "./east" }
module "wrong" {
  source    = "./here"
  providers = { local = docker.east, docker = docker.west, swarm = local, docker.x = 7 }
}
module "list" {
  source    = "./here"
  providers = [docker.east]
}
"#,
            ),
            (
                "here/main.simdb.hcl",
                "cluster \"a\" {\n  provider = local\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n",
            ),
            (
                "east/main.simdb.hcl",
                "network \"n\" {\n  provider = docker.east\n  subnet = \"172.30.0.0/24\"\n}\n",
            ),
        ],
        expect![[r#"
            east/main.simdb.hcl:2:14-25 error Undeclared provider (in network "n")
              There is no provider "docker" with alias = "east" here. Declare it with a block: provider "docker" { alias = "east" }. A module has those with an alias that the block which uses it passes on: providers = { docker.east = docker.east }.
            here/main.simdb.hcl:2:14-19 error Missing provider (in cluster "a")
              The module is given no provider "local": the block that uses it says which ones it has. Add there local = local.
            main.simdb.hcl:10:25-36 error Provider type mismatch (in module "wrong")
              The module's provider "local" cannot be docker.east, which is a provider "docker".
            main.simdb.hcl:10:47-58 error Undeclared provider (in module "wrong")
              There is no provider "docker" with alias = "west" here. Did you mean "docker.east"?
            main.simdb.hcl:10:68-73 error Unsupported provider (in module "wrong")
              The provider "swarm" is not supported by this version; "local", "docker" and "kubernetes" are.
            main.simdb.hcl:10:86-87 error Invalid providers argument (in module "wrong")
              Both are the names of providers, as in { docker = docker.east }: what the module calls it, and which one it is.
            main.simdb.hcl:14:15-28 error Invalid providers argument (in module "list")
              "providers" says which provider the module calls by which name, as in { docker = docker.east }.
        "#]],
    );
}

#[test]
fn an_override_changes_the_provider_of_its_alias() {
    check_platforms(
        &[
            (
                "main.simdb.hcl",
                "provider \"docker\" { image = \"a:{version}\" }\nprovider \"docker\" {\n  alias = \"east\"\n  image = \"b:{version}\"\n}\n",
            ),
            (
                "east_override.simdb.hcl",
                "provider \"docker\" {\n  alias = \"east\"\n  image = \"c:{version}\"\n}\n",
            ),
        ],
        expect![[r#"
            docker {"image": "a:{version}"}
            docker.east {"image": "c:{version}"}
        "#]],
    );
}

#[test]
fn providers_of_a_configuration_in_json_are_named_by_texts() {
    check_platforms(
        &[
            (
                "main.simdb.json",
                r#"{
  "provider": { "docker": [{}, { "alias": "east" }] },
  "network": { "far": { "provider": "docker.east", "subnet": "172.30.1.0/24" } },
  "module": { "team": { "source": "./team", "providers": { "docker": "docker.east" } } }
}"#,
            ),
            ("team/main.simdb.hcl", TEAM),
        ],
        expect![[r#"
            docker {}
            docker.east {}
            network far on docker.east
            network team-lan on docker.east
            cluster team-orders on docker.east
        "#]],
    );
}

#[test]
fn servers_that_are_found_by_name_have_names_of_their_own() {
    check_platforms(
        &[(
            "main.simdb.hcl",
            r#"
provider "kubernetes" { namespace = "db" }
cluster "a-b" {
  engine "postgresql" {}
  node "c" { port = 5433 }
  node "d" { port = 5433 }
}
cluster "a" {
  engine "postgresql" {}
  node "b-c" {}
  node "rw" {}
  node "extraordinarily-long-name-of-a" { count = 2 }
  endpoint "rw" { target = "primary" }
}
cluster "quite-a-long-name-of-a-cluster" {
  engine "postgresql" {}
  node "extraordinarily-long-name-of-a" { count = 2 }
}
"#,
        )],
        expect![[r#"
            main.simdb.hcl:5:3-11 error Name used twice (in cluster "a-b")
              cluster.a-b.node.c would be called "a-b-c" there, as cluster.a.node.b-c is already (main.simdb.hcl:10,3). Give one of them another name.
            main.simdb.hcl:13:3-16 error Name used twice (in cluster "a")
              cluster.a.endpoint.rw would be called "a-rw" there, as cluster.a.node.rw is already (main.simdb.hcl:11,3). Give one of them another name.
            main.simdb.hcl:17:3-40 error Name is too long (in cluster "quite-a-long-name-of-a-cluster")
              cluster.quite-a-long-name-of-a-cluster.node.extraordinarily-long-name-of-a[0] would be called "quite-a-long-name-of-a-cluster-extraordinarily-long-name-of-a-0" there, which has 63 characters, and names have at most 52. Give the cluster, or it, a shorter name.
        "#]],
    );
}
