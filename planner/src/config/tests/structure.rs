//! One block for several things: `count`, `for_each`, `dynamic`; rules; override files and JSON.

use expect_test::expect;

use super::*;

fn sources(files: &[(&str, &str)]) -> Source {
    let mut source = Source::default();
    for (name, text) in files {
        source.add(*name, *text);
    }
    source
}

fn outputs(config: &Config) -> String {
    let (values, diagnostics) = config.outputs(&State::default(), &Secrets::new());
    assert_eq!(diagnostics, Vec::new());
    let shown = |(name, output): (&String, &OutputValue)| {
        let value = output
            .value
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), ToString::to_string);
        format!("{name} = {value}\n")
    };
    values.iter().map(shown).collect()
}

#[test]
fn a_block_with_for_each_stands_for_one_thing_for_each_element() {
    let text = r#"
network "lan" {}
locals {
  regions = { eu = 2, us = 1 }
}
cluster "orders" {
  for_each = local.regions
  engine "postgresql" {}
  node "a" {}
  node "r" { count = each.value }
  user "team" {
    for_each = toset(["ann", "bob"])
    name     = each.key
  }
  user "plain" { count = 2 }
  database "d" {
    for_each = { x = "ann" }
    owner    = each.value
  }
  endpoint "to" {
    for_each = toset(["primary", "standby"])
    target   = each.key
  }
  primary = "r[0]"
}
output "names" {
  value = [for key, cluster in cluster.orders : "${key}=${cluster.name}"]
}
output "nodes" {
  value = cluster.orders["eu"].node.r[*].name
}
output "users" {
  value = [cluster.orders["us"].user.team["bob"].name, cluster.orders["us"].user.plain[1].name]
}
output "owner" {
  value = cluster.orders["us"].database.d["x"].owner
}
output "service" {
  value = cluster.orders["eu"].endpoint.to["standby"].service
}
"#;
    let config = loaded(text, &[]);
    expect![[r#"
        network lan
        cluster orders-eu: postgresql newest, sync, in lan, first a, primary r[0]
          node a
          node r[0]
          node r[1]
          endpoint to-primary -> primary
          endpoint to-standby -> standby
        cluster orders-us: postgresql newest, sync, in lan, first a, primary r[0]
          node a
          node r[0]
          endpoint to-primary -> primary
          endpoint to-standby -> standby
    "#]]
    .assert_eq(&show(&config.desired));
    expect![[r#"
        names = ["eu=orders-eu","us=orders-us"]
        nodes = ["r[0]","r[1]"]
        owner = "ann"
        service = "orders-eu-to-standby"
        users = ["bob","plain-1"]
    "#]]
    .assert_eq(&outputs(&config));
}

#[test]
fn nodes_of_a_map_are_named_after_their_keys() {
    check_desired(
        "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"n\" {\n    for_each = { west = 6001, east = 6002 }\n    port = each.value\n    parameters = { application_name = each.key }\n  }\n}\n",
        expect![[r#"
            network lan
            cluster c: postgresql newest, sync, in lan, first n-east
              node n-east port 6002 application_name=east
              node n-west port 6001 application_name=west
        "#]],
    );
}

#[test]
fn dynamic_blocks_are_made_of_a_list() {
    check_desired(
        "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  dynamic \"node\" {\n    for_each = [\"a\", \"b\"]\n    labels = [node.value]\n    content {\n      port = 6000 + node.key\n    }\n  }\n  dynamic \"user\" {\n    for_each = { app = true }\n    iterator = u\n    labels = [u.key]\n    content {\n      login = u.value\n    }\n  }\n}\n",
        expect![[r#"
            network lan
            cluster c: postgresql newest, sync, in lan, first a
              node a port 6000
              node b port 6001
        "#]],
    );
}

#[test]
fn what_decides_how_many_there_are_is_checked() {
    check(
        "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n  node \"b\" { for_each = [\"x\"] }\n  node \"d\" { for_each = toset([1]) }\n  node \"e\" { for_each = null }\n  user \"u\" { for_each = sensitive({ k = 1 }) }\n  node \"f\" {\n    count = 1\n    for_each = {}\n  }\n  node \"g\" { for_each = { \"Not a name\" = 1 } }\n  user \"x\" { login = each.value }\n  dynamic \"nod\" {}\n  dynamic \"node\" {\n    for_each = []\n    lables = []\n  }\n  database \"y-z\" { owner = \"u\" }\n  database \"y\" {\n    for_each = { z = 1 }\n    owner = \"x\"\n  }\n}\n",
        expect![[r#"
            main:5:25-30 error Invalid for_each argument (in cluster "c")
              A map or a set of strings is needed, and this is a list. Where its elements are strings that are all different, write toset(...).
            main:6:25-35 error Invalid for_each argument (in cluster "c")
              The set must hold strings, and holds a number.
            main:7:25-29 error Invalid for_each argument (in cluster "c")
              It is null. For no instances write an empty map: {}.
            main:8:25-45 error Invalid for_each argument (in cluster "c")
              "for_each" makes names that plans show, so it cannot depend on a sensitive value. Use nonsensitive() where it is no secret.
            main:10:5-10 error Invalid combination of "count" and "for_each" (in cluster "c")
              A block has a "count" or a "for_each", not both. Remove one of the two.
            main:13:8-11 error Invalid name (in cluster "c")
              The node name "g-Not a name" must start with a lower-case letter and hold at most 30 lower-case letters, digits and hyphens. It is made of the label "g" and the key "Not a name".
            main:14:22-26 error Reference to "each" in a block without it (in cluster "c")
              "each.key" and "each.value" are available only inside a block that has a "for_each".
            main:15:11-16 error Unsupported block type (in cluster "c")
              There are no blocks of type "nod" here that could be made. Did you mean "node"?
            main:16:3-17 error Missing required argument (in cluster "c")
              The argument "labels" is required, but no value is given for it.
            main:16:3-17 error Missing content block (in cluster "c")
              A block of type "content" is required here: it holds what each block is made of.
            main:18:5-11 error Unsupported argument (in cluster "c")
              An argument named "lables" is not expected here. Did you mean "labels"?
            main:20:28-31 error Unknown user (in cluster "c")
              "owner" must name a user of this cluster, and there is no user "u". Declare it within the cluster: user "u" {}.
            main:21:3-15 error Two of a name: database "y-z" (in cluster "c")
              Two blocks would make the database "y-z": one called so, and an instance of another one. Rename one of them.
        "#]],
    );
}

#[test]
fn rules_are_judged_with_what_is_known() {
    check(
        "variable \"n\" { default = 3 }\nnetwork \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n  lifecycle {\n    precondition {\n      condition     = var.n < 3\n      error_message = \"n is ${var.n}, and at most 2 are allowed.\"\n    }\n    postcondition {\n      condition     = self.version == 15\n      error_message = \"The version is ${self.version}.\"\n    }\n  }\n}\ncheck \"n\" {\n  assert {\n    condition     = var.n == 4\n    error_message = \"Not four.\"\n  }\n}\noutput \"o\" {\n  value = 1\n  precondition {\n    condition     = cluster.c.name == \"d\"\n    error_message = \"It is called ${cluster.c.name}.\"\n  }\n}\n",
        expect![[r#"
            main:8:23-32 error Precondition failed (in cluster "c")
              n is 3, and at most 2 are allowed.
              - var.n is 3
            main:19:21-31 warning Check block assertion failed (in check "n")
              Not four.
              - var.n is 3
        "#]],
    );
    check(
        &format!(
            "{CLUSTER}check \"n\" {{\n  assert {{\n    condition     = cluster.c.name == \"d\"\n    error_message = \"It is c.\"\n  }}\n}}\noutput \"o\" {{\n  value = 1\n  precondition {{\n    condition     = cluster.c.name == \"d\"\n    error_message = \"It is called ${{cluster.c.name}}.\"\n  }}\n}}\n"
        ),
        expect![[r#"
            main:8:21-42 warning Check block assertion failed (in check "n")
              It is c.
              - cluster.c.name is "c"
            main:15:21-42 error Output precondition failed (in output "o")
              It is called c.
              - cluster.c.name is "c"
        "#]],
    );
}

#[test]
fn locals_that_depend_on_clusters_are_known_where_outputs_are() {
    let text = format!(
        "{CLUSTER}locals {{\n  who = upper(cluster.c.name)\n  both = \"${{local.who}}!\"\n}}\noutput \"o\" {{ value = local.both }}\noutput \"p\" {{ value = path.module }}\n"
    );
    expect![[r#"
        o = "C!"
        p = "."
    "#]]
    .assert_eq(&outputs(&loaded(&text, &[])));
    check(
        "network \"lan\" {}\nlocals { p = cluster.c.node.a.port }\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n  node \"b\" { port = local.p }\n}\n",
        expect![[r#"
            main:6:21-28 error Unknown value in a setting (in cluster "c")
              "port" must be known when a plan is made.
              - local.p is known only after apply
        "#]],
    );
}

#[test]
fn override_files_change_what_others_declare() {
    let source = sources(&[
        (
            "main.simdb.hcl",
            "network \"lan\" {}\nlocals {\n  n = 1\n}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n  primary = \"a\"\n}\noutput \"n\" { value = local.n }\n",
        ),
        (
            "a_override.simdb.hcl",
            "locals { n = 2 }\ncluster \"c\" {\n  node \"b\" { port = 7000 }\n  primary = \"b\"\n}\n",
        ),
        ("override.simdb.hcl", "output \"n\" { value = local.n + 1 }\n"),
    ]);
    let (config, diagnostics) = load(&source, &[]);
    assert_eq!(render(&source, &diagnostics), "");
    let config = config.unwrap();
    expect![[r#"
        network lan
        cluster c: postgresql newest, async, in lan, first b, primary b
          node b port 7000
        n = 3
    "#]]
    .assert_eq(&format!("{}{}", show(&config.desired), outputs(&config)));
    let source = sources(&[
        ("main.simdb.hcl", CLUSTER),
        (
            "a_override.simdb.hcl",
            "cluster \"c\" {\n  primary = \"z\"\n}\ncluster \"d\" {}\n",
        ),
        ("override.simdb.hcl", "# note\ncluster \"c\" { prmary = 1 }\n"),
    ]);
    expect![[r#"
        a_override.simdb.hcl:4:1-12 error Nothing to override
          An override file changes what other files declare, and none declares cluster "d". Move it to another file.
        override.simdb.hcl:2:15-21 error Unsupported argument (in cluster "c")
          An argument named "prmary" is not expected here. Did you mean "primary"?
    "#]]
    .assert_eq(&render(&source, &load(&source, &[]).1));
}

#[test]
fn a_configuration_can_be_json() {
    let text = r#"{
  "//": "a note",
  "variable": { "n": { "type": "number", "default": 2 } },
  "network": { "lan": {} },
  "locals": { "quote": "say \"${upper(\"hi\")}\" and ${\"{\"}", "list": [1, true, null, { "k": "v" }] },
  "cluster": {
    "c": {
      "network": "${network.lan}",
      "engine": { "postgresql": { "parameters": { "work_mem": "8MB" } } },
      "node": [{ "a": {} }, { "r": { "count": "${var.n}" } }]
    }
  },
  "output": { "q": { "value": "${local.quote}" }, "l": { "value": "${local.list}" } }
}"#;
    let source = sources(&[("main.simdb.json", text)]);
    let (config, diagnostics) = load(&source, &[]);
    assert_eq!(render(&source, &diagnostics), "");
    let config = config.unwrap();
    expect![[r#"
        network lan
        cluster c: postgresql newest, sync, in lan, first a
          node a work_mem=8MB
          node r[0] work_mem=8MB
          node r[1] work_mem=8MB
        l = [1,true,null,{"k":"v"}]
        q = "say \"HI\" and {"
    "#]]
    .assert_eq(&format!("{}{}", show(&config.desired), outputs(&config)));
    let wrong = "{\n  \"network\": { \"lan\": { \"subnett\": 1 } },\n  \"output\": {\n    \"o\": { \"value\": \"${var.missing}\" }\n  },\n  \"cluster\": []\n}\n";
    let source = sources(&[("main.simdb.json", wrong)]);
    expect![[r#"
        main.simdb.json:2:25-34 error Unsupported argument (in network "lan")
          An argument named "subnett" is not expected here. Did you mean "subnet"?
        main.simdb.json:4:21-37 error Reference to undeclared input variable (in output "o")
          No variable "missing" is declared. Declare it with a block: variable "missing" {}.
    "#]]
    .assert_eq(&render(&source, &load(&source, &[]).1));
    let source = sources(&[("main.simdb.json", "{\n  \"a\": [1,\n}\n")]);
    expect![[r#"
        main.simdb.json:3:1-2 error Invalid JSON
          A JSON value is expected: a text in double quotes, a number, true, false, null, a list or an object.
    "#]]
    .assert_eq(&render(&source, &load(&source, &[]).1));
}

#[test]
fn values_of_variables_can_be_json() {
    let (inputs, diagnostics) = variable_file_json(
        "x.simdbvars.json",
        "{ \"a\": \"${b}\", \"l\": [1, { \"k\": \"\\\"\" }] }",
    );
    assert_eq!(diagnostics, Vec::new());
    let texts: Vec<String> = inputs
        .iter()
        .map(|input| format!("{} = {}", input.name, input.text))
        .collect();
    assert_eq!(texts, ["a = \"$${b}\"", "l = [1, {\"k\" = \"\\\"\"}]"]);
}

#[test]
fn a_configuration_is_checked_without_values_of_variables() {
    let text = "variable \"n\" { type = number }\nvariable \"s\" {}\nvariable \"m\" { type = map(string) }\nnetwork \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" { port = var.n }\n  node \"r\" { count = var.n }\n  node \"e\" { for_each = var.m }\n  user \"u\" { password = var.s }\n  primary = var.s\n  typo = var.n\n}\noutput \"o\" { value = upper(var.s) + 1 }\n";
    let source = source(text);
    let options = Options {
        variables: &[],
        files: &Arc::default(),
        is_lenient: true,
    };
    let lenient = render(&source, &load_with(&source, &options).1);
    expect![[r#"
        main:12:3-7 error Unsupported argument (in cluster "c")
          An argument named "typo" is not expected here. Expected here: "network", "provider", "primary", "depends_on", "memory", "cpus", "storage", "count", "for_each", "engine", "replication", "failover", "maintenance", "node", "user", "database", "seed", "endpoint", "lifecycle" and "drift".
    "#]].assert_eq(&lenient);
}

#[test]
fn twenty_thousand_blocks_are_read() {
    let mut text = String::from("network \"lan\" {}\n");
    for index in 0..9_000 {
        text += &format!("variable \"v{index}\" {{ default = {index} }}\nlocals {{ l{index} = var.v{index} + 1 }}\n");
    }
    for index in 0..500 {
        text += &format!(
            "cluster \"c{index}\" {{\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n  user \"u\" {{ connection_limit = local.l{index} }}\n}}\n"
        );
    }
    assert_eq!(loaded(&text, &[]).desired.clusters.len(), 500);
}

#[test]
fn references_into_a_large_local_copy_nothing() {
    let keys: String = (0..2_000).map(|index| format!("    k{index} = {index}\n")).collect();
    let mut text = format!("locals {{\n  all = {{\n{keys}  }}\n}}\n");
    for index in 0..1_000 {
        text += &format!("output \"o{index}\" {{ value = local.all.k{index} }}\n");
    }
    assert_eq!(outputs(&loaded(&text, &[])).lines().count(), 1_000);
}

#[test]
fn values_that_double_themselves_end_as_a_problem() {
    let mut text = String::from("locals {\n  v0 = [1]\n");
    for index in 1..60 {
        text += &format!("  v{index} = [local.v{0}, local.v{0}]\n", index - 1);
    }
    let (config, diagnostics) = load(&source(&(text + "}\n")), &[]);
    assert!(config.is_none());
    assert_eq!(diagnostics[0].summary, "Value too large");
}

#[test]
fn what_a_block_ignores_and_depends_on_is_read() {
    let config = loaded(
        "network \"lan\" {}\ncluster \"o\" {\n  for_each = toset([\"eu\", \"us\"])\n  engine \"postgresql\" {}\n  node \"a\" {\n    lifecycle { ignore_changes = [port, parameters[\"work_mem\"], parameters.fsync] }\n  }\n}\ncluster \"p\" {\n  depends_on = [cluster.o[\"eu\"]]\n  engine \"postgresql\" {}\n  node \"a\" {}\n  lifecycle { ignore_changes = all }\n}\ncluster \"q\" {\n  depends_on = [cluster.o, cluster.p]\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n",
        &[],
    );
    let mut out = String::new();
    for (name, cluster) in &config.desired.clusters {
        out += &format!("{name} {:?} {:?}\n", cluster.ignored.attributes, cluster.depends_on);
        for (node, spec) in &cluster.nodes {
            out += &format!("  {node} {:?} {:?}\n", spec.ignored.attributes, spec.ignored.parameters);
        }
    }
    expect![[r#"
        o-eu {} {}
          a {"port"} {"fsync", "work_mem"}
        o-us {} {}
          a {"port"} {"fsync", "work_mem"}
        p {"engine.parameters", "engine.version", "network", "primary", "replication"} {ClusterName("o-eu")}
          a {} {}
        q {} {ClusterName("o-eu"), ClusterName("o-us"), ClusterName("p")}
          a {} {}
    "#]]
    .assert_eq(&out);
}

#[test]
fn parameters_are_checked_by_the_declared_version_without_a_plan() {
    let text = |version: &str| {
        format!(
            "cluster \"c\" {{\n  engine \"postgresql\" {{\n    {version}\n    parameters = {{\n      work_men = \"4MB\"\n      \
             max_connections = \"many\"\n    }}\n  }}\n  node \"a\" {{ count = 2 }}\n}}\n"
        )
    };
    let said = |text: &str| {
        let source = source(text);
        let options = Options {
            variables: &[],
            files: &Arc::default(),
            is_lenient: true,
        };
        render(&source, &load_with(&source, &options).1)
    };
    expect![[r#"
        main:5:7-15 error Parameter is not accepted (in cluster "c")
          The parameter "work_men" is none of PostgreSQL 17. Did you mean "work_mem"?
        main:6:7-22 error Parameter is not accepted (in cluster "c")
          The parameter "max_connections" must be a whole number from 1 to 262143, not "many".
    "#]]
    .assert_eq(&said(&text("version = \"17\"")));
    assert_eq!(said(&text("")), "");
}
