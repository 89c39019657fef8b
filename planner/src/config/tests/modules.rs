//! Modules: what they declare, what they are given, and what they give back.

use expect_test::expect;

use super::*;

/// Loads a configuration from files by path: those right in the directory, and those of modules.
pub(super) fn load_files(files: &[(&str, &str)]) -> (Option<Config>, String) {
    let mut source = Source::default();
    let mut all = Source::default();
    for (path, text) in files {
        all.add(*path, *text);
        if !path.contains('/') {
            source.add(*path, *text);
        }
    }
    let mut known = Files::new("/work", None);
    loop {
        let shared = Arc::new(known);
        let options = Options {
            variables: &[],
            files: &shared,
            is_lenient: false,
        };
        let (config, diagnostics) = load_with(&source, &options);
        let wanted = shared.take_wanted();
        if wanted.is_empty() {
            return (config, render(&all, &diagnostics));
        }
        drop(config);
        known = Arc::into_inner(shared).expect("the configuration was the last to share the files");
        for wanted in wanted {
            match wanted {
                Wanted::File(path) => {
                    let found = files.iter().find(|(other, _)| *other == path);
                    let found = found.map_or(Found::Nothing, |(_, text)| Found::File(text.as_bytes().to_vec()));
                    known.add(path, found);
                }
                // The path of a repository leads to where its files are; there is one that was not got.
                Wanted::Checkout(source) => {
                    let missing = source.contains("missing").then(|| format!("{source} was not got yet."));
                    known.add_checkout(source, missing.map_or(Ok("kept/team".to_owned()), Err));
                }
                Wanted::Names(path) => known.add_names(path, Ok(Vec::new())),
                Wanted::Entries(path) => {
                    let within = |(other, _): &(&str, &str)| {
                        let name = other.strip_prefix(&format!("{path}/"))?;
                        (!name.contains('/')).then(|| name.to_owned())
                    };
                    known.add_entries(&path, Ok(files.iter().filter_map(within).collect()));
                }
            }
        }
    }
}

fn check_files(files: &[(&str, &str)], expected: Expect) {
    let (config, said) = load_files(files);
    let Some(config) = config else {
        expected.assert_eq(&said);
        return;
    };
    let outputs = config.outputs(&State::default(), &Secrets::new()).0;
    let line = |(name, output): (&String, &OutputValue)| {
        let value = output.value.as_ref();
        let shown = value.map_or_else(|| "(known after apply)".to_owned(), ToString::to_string);
        format!("{name} = {shown}\n")
    };
    let outputs: String = outputs.iter().map(line).collect();
    expected.assert_eq(&format!("{said}{}{outputs}", show(&config.desired)));
}

const TEAM: &str = "variable \"size\" {\n  type    = number\n  default = 0\n}\nvariable \"note\" {\n  type      = string\n  default   = \"none\"\n  nullable  = false\n  sensitive = true\n}\nlocals {\n  seen = \"${var.note}!\"\n}\ncluster \"orders\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n  node \"r\" { count = var.size }\n}\noutput \"name\" { value = cluster.orders.name }\noutput \"size\" { value = var.size }\noutput \"seen\" {\n  value     = local.seen\n  sensitive = true\n}\noutput \"path\" { value = path.module }\n";

#[test]
fn a_module_declares_what_is_called_after_it() {
    check_files(
        &[
            (
                "main.simdb.hcl",
                "network \"lan\" {}\nmodule \"team\" {\n  source = \"./modules/team\"\n  size   = \"1\"\n}\noutput \"all\" { value = [module.team.name, module.team.size, module.team.path] }\n",
            ),
            ("modules/team/main.simdb.hcl", TEAM),
        ],
        expect![[r#"
            network lan
            cluster team-orders: postgresql newest, sync, in lan, first a
              node a
              node r[0]
            all = ["team-orders",1,"modules/team"]
        "#]],
    );
}

#[test]
fn a_module_can_be_used_for_each_element_and_within_another_one() {
    check_files(
        &[
            (
                "main.simdb.hcl",
                "network \"lan\" {}\nmodule \"all\" {\n  source   = \"./modules/all\"\n  for_each = { eu = 0, us = 1 }\n  size     = each.value\n}\noutput \"names\" { value = { for key, it in module.all : key => it.names } }\noutput \"one\" { value = module.all[\"us\"].names[0] }\n",
            ),
            (
                "modules/all/main.simdb.hcl",
                "variable \"size\" {}\nmodule \"t\" {\n  source = \"../team\"\n  count  = 2\n  size   = var.size\n}\noutput \"names\" { value = module.t[*].name }\n",
            ),
            ("modules/team/main.simdb.hcl", TEAM),
        ],
        expect![[r#"
            network lan
            cluster all-eu-t-0-orders: postgresql newest, async, in lan, first a
              node a
            cluster all-eu-t-1-orders: postgresql newest, async, in lan, first a
              node a
            cluster all-us-t-0-orders: postgresql newest, sync, in lan, first a
              node a
              node r[0]
            cluster all-us-t-1-orders: postgresql newest, sync, in lan, first a
              node a
              node r[0]
            names = {"eu":["all-eu-t-0-orders","all-eu-t-1-orders"],"us":["all-us-t-0-orders","all-us-t-1-orders"]}
            one = "all-us-t-0-orders"
        "#]],
    );
}

#[test]
fn what_depends_on_clusters_reaches_a_module_where_outputs_are_evaluated() {
    check_files(
        &[
            (
                "main.simdb.hcl",
                "network \"lan\" {}\nlocals {\n  first = module.a.name\n}\nmodule \"a\" {\n  source = \"./modules/team\"\n  note   = cluster.main.name\n}\nmodule \"b\" {\n  source = \"./modules/team\"\n  note   = \"${local.first} ${module.a.seen}\"\n}\ncluster \"main\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\noutput \"seen\" {\n  value     = module.b.seen\n  sensitive = true\n}\n",
            ),
            ("modules/team/main.simdb.hcl", TEAM),
        ],
        expect![[r#"
            network lan
            cluster a-orders: postgresql newest, async, in lan, first a
              node a
            cluster b-orders: postgresql newest, async, in lan, first a
              node a
            cluster main: postgresql newest, async, in lan, first a
              node a
            seen = "a-orders main!!"
        "#]],
    );
}

#[test]
fn a_module_has_networks_of_its_own_or_is_given_one() {
    let given = "variable \"network\" {}\ncluster \"c\" {\n  network = var.network\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n";
    let own = "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n";
    check_files(
        &[
            (
                "main.simdb.hcl",
                "network \"lan\" {}\nnetwork \"wan\" {}\nmodule \"given\" {\n  source  = \"./given\"\n  network = network.wan\n}\nmodule \"named\" {\n  source  = \"./given\"\n  network = network.lan.name\n}\nmodule \"own\" { source = \"./own\" }\n",
            ),
            ("given/main.simdb.hcl", given),
            ("own/main.simdb.hcl", own),
        ],
        expect![[r#"
            network lan
            network own-lan
            network wan
            cluster given-c: postgresql newest, async, in wan, first a
              node a
            cluster named-c: postgresql newest, async, in lan, first a
              node a
            cluster own-c: postgresql newest, async, in own-lan, first a
              node a
        "#]],
    );
}

#[test]
fn what_is_wrong_with_a_module_is_said_where_it_stands() {
    check_files(
        &[
            (
                "main.simdb.hcl",
                "network \"lan\" {}\nmodule \"team\" {\n  source   = \"./team\"\n  for_each = toset([\"a\", \"b\"])\n  size     = \"x\"\n  sise     = 1\n}\nmodule \"gone\" { source = \"./gone\" }\nmodule \"far\" { source = \"hashicorp/consul\" }\nmodule \"some\" { source = \"./${path.root}\" }\nmodule \"self\" { source = \"./self\" }\nmodule \"bare\" { source = \"./bare\" }\noutput \"x\" { value = module.team[\"a\"].nmae }\noutput \"y\" { value = module.taem }\noutput \"z\" { value = module.team[\"a\"].seen }\n",
            ),
            ("team/main.simdb.hcl", TEAM),
            ("self/main.simdb.hcl", "module \"again\" { source = \"../self\" }\n"),
            (
                "bare/main.simdb.hcl",
                "variable \"needed\" {}\nprovider \"local\" {}\nlocals {\n  a = var.neded\n}\n",
            ),
        ],
        expect![[r#"
            bare/main.simdb.hcl:2:1-17 error Unsupported block in a module (in provider "local")
              A provider block stands in the directory of the configuration, not in a module: it counts for all of them.
            bare/main.simdb.hcl:4:10-16 error Reference to undeclared input variable (in locals)
              No variable "neded" is declared. Declare it with a block: variable "neded" {}. Did you mean "needed"?
            main.simdb.hcl:5:14-17 error Invalid value for variable (in module "team")
              The value for "size" is not suitable: a number is required, not a string that is none.
            main.simdb.hcl:6:3-7 error Unsupported argument (in module "team")
              An argument named "sise" is not expected here: the module in "team" has no variable "sise". Did you mean "size"?
            main.simdb.hcl:8:26-34 error Module not found (in module "gone")
              There is no file *.simdb.hcl in the directory "gone".
            main.simdb.hcl:9:25-43 error Invalid module source (in module "far")
              The source of a module is a directory, seen from this one, "./hashicorp/consul" or "../hashicorp/consul", or a repository, "git::https://HOST/REPOSITORY.git//DIRECTORY?ref=v1". There is no registry of modules.
            main.simdb.hcl:10:26-42 error Invalid module source (in module "some")
              The source of a module is a text without ${}: it must be known before anything is evaluated.
            main.simdb.hcl:12:1-14 error Missing required argument (in module "bare")
              The argument "needed" is required, but no value is given for it: variable "needed" of the module in "bare" has no default.
            main.simdb.hcl:13:38-43 error Unsupported attribute (in output "x")
              This object has no attribute named "nmae". Did you mean "name"?
              - module.team is an object with 2 attributes
            main.simdb.hcl:14:28-33 error Unsupported attribute (in output "y")
              This object has no attribute named "taem". Did you mean "team"?
              - module is an object with 6 attributes
            main.simdb.hcl:15:22-43 error Output refers to sensitive values (in output "z")
              The value depends on a sensitive one, so the output must say so: sensitive = true. Where it is no secret, use nonsensitive().
              - module.team is an object with 2 attributes
            self/main.simdb.hcl:1:1-15 error Module uses itself (in module "again")
              The module in "self" uses itself, and that would never end.
        "#]],
    );
    check_files(
        &[
            ("main.simdb.hcl", "module \"m\" { source = \"./m\" }\n"),
            ("m/main.simdb.hcl", "locals {\n  a = \"x\n}\n"),
        ],
        expect![[r#"
            m/main.simdb.hcl:2:7-9 error Unterminated string
              The string that starts here is not closed on its line. Close it with a double quote; for text of several lines write a heredoc: <<EOT.
        "#]],
    );
}

#[test]
fn a_module_is_read_once_and_used_five_hundred_times() {
    let (config, said) = load_files(&[
        (
            "main.simdb.hcl",
            "network \"lan\" {}\nmodule \"t\" {\n  source   = \"./team\"\n  for_each = toset([for i in range(500) : tostring(i)])\n  size     = 1\n}\noutput \"names\" { value = [for it in module.t : it.name] }\n",
        ),
        ("team/main.simdb.hcl", TEAM),
    ]);
    assert_eq!(said, "");
    assert_eq!(config.unwrap().desired.clusters.len(), 500);
}

#[test]
fn a_module_stands_in_a_repository() {
    check_files(
        &[
            (
                "main.simdb.hcl",
                "module \"team\" {\n  source = \"git::https://host/team.git//modules/team?ref=v1\"\n  size   = 1\n}\n",
            ),
            ("kept/team/modules/team/main.simdb.hcl", TEAM),
        ],
        expect![[r#"
            network default
            cluster team-orders: postgresql newest, sync, in default, first a
              node a
              node r[0]
        "#]],
    );
    check_files(
        &[(
            "main.simdb.hcl",
            "module \"team\" {\n  source = \"git::https://host/missing\"\n}\nmodule \"other\" {\n  source = \"owner/name\"\n}\n",
        )],
        expect![[r#"
            main.simdb.hcl:2:12-39 error Module not installed (in module "team")
              git::https://host/missing was not got yet.
            main.simdb.hcl:5:12-24 error Invalid module source (in module "other")
              The source of a module is a directory, seen from this one, "./owner/name" or "../owner/name", or a repository, "git::https://HOST/REPOSITORY.git//DIRECTORY?ref=v1". There is no registry of modules.
        "#]],
    );
}

fn dependencies(main: &str) -> String {
    let (config, said) = load_files(&[("main.simdb.hcl", main), ("modules/team/main.simdb.hcl", TEAM)]);
    let Some(config) = config else { return said };
    let line = |(name, cluster): (&ClusterName, &ClusterSpec)| {
        let names: Vec<&str> = cluster.depends_on.iter().map(ClusterName::as_str).collect();
        format!("{name} <- {}\n", names.join(" "))
    };
    config.desired.clusters.iter().map(line).collect()
}

#[test]
fn clusters_and_modules_depend_on_each_other() {
    let first = "cluster \"first\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n";
    expect![[r#"
        first <- 
        last <- team-eu-orders team-us-orders
        one <- team-eu-orders
        team-eu-orders <- first
        team-us-orders <- first
    "#]]
    .assert_eq(&dependencies(&format!(
        "{first}module \"team\" {{\n  source     = \"./modules/team\"\n  for_each   = toset([\"eu\", \"us\"])\n  depends_on = \
         [cluster.first]\n}}\n{}{}",
        first.replace("first", "last").replace("node", "depends_on = [module.team]\n  node"),
        first.replace("first", "one").replace("node", "depends_on = [module.team[\"eu\"]]\n  node"),
    )));
}

#[test]
fn modules_that_depend_on_each_other_in_a_circle_are_refused() {
    let module = |name: &str, other: &str| {
        format!("module \"{name}\" {{\n  source     = \"./modules/team\"\n  depends_on = [module.{other}]\n}}\n")
    };
    expect![[r#"
        main.simdb.hcl:3:16-26 error Cycle of clusters
          These clusters depend on each other in a circle: cluster.a-orders -> cluster.b-orders -> cluster.a-orders.
    "#]]
    .assert_eq(&dependencies(&(module("a", "b") + &module("b", "a"))));
    expect![[r#"
        main.simdb.hcl:3:17-25 error Invalid depends_on (in module "a")
          There is no module "c".
    "#]]
    .assert_eq(&dependencies(&module("a", "c")));
}

#[test]
fn all_that_a_module_declares_moves_with_it() {
    let main = "module \"team\" {\n  source   = \"./team\"\n  for_each = toset([\"eu\", \"us\"])\n}\nmoved {\n  from = module.crew\n  to   = \
                module.team[\"eu\"]\n}\nmoved {\n  from = cluster.orders\n  to   = module.team[\"us\"].cluster.orders\n}\n";
    let (config, said) = load_files(&[("main.simdb.hcl", main), ("team/team.simdb.hcl", TEAM)]);
    let config = config.unwrap_or_else(|| panic!("{said}"));
    let lines = config.desired.moved.iter();
    let lines: String = lines.map(|moved| format!("{} -> {}\n", moved.from, moved.to)).collect();
    expect![[r#"
        cluster.crew-orders -> cluster.team-eu-orders
        cluster.orders -> cluster.team-us-orders
    "#]]
    .assert_eq(&lines);
}
