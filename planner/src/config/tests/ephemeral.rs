//! Ephemeral values: those that are kept nowhere.

use expect_test::expect;

use super::modules::load_files;
use super::*;

const VARIABLE: &str = "variable \"token\" {\n  ephemeral = true\n  default   = \"t0ps3cret\"\n}\n";

#[test]
fn a_password_and_a_rule_may_depend_on_what_is_kept_nowhere() {
    let text = format!(
        "{VARIABLE}locals {{\n  both = [var.token, \"b\"]\n}}\ncluster \"c\" {{\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n  \
         user \"app\" {{\n    password = upper(var.token)\n  }}\n  lifecycle {{\n    precondition {{\n      condition = \
         length(local.both[0]) > 3\n      error_message = \"Too short.\"\n    }}\n  }}\n}}\noutput \"is_set\" {{\n  value = \
         ephemeralasnull(local.both)\n}}\n"
    );
    let config = loaded(&text, &[]);
    let (outputs, said) = config.outputs(&State::default(), &Secrets::new());
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(
        outputs["is_set"].value,
        Some(serde_json::json!([null, "b"]).into()),
        "a null stands for what is ephemeral"
    );
}

#[test]
fn what_is_kept_cannot_depend_on_what_is_kept_nowhere() {
    check(
        &format!(
            "{VARIABLE}network \"lan\" {{}}\ncluster \"c\" {{\n  primary = \"${{var.token}}\"\n  engine \"postgresql\" {{}}\n  node \
             \"a\" {{}}\n  node \"n\" {{\n    for_each = toset([var.token])\n  }}\n}}\noutput \"all\" {{\n  value = {{ t = \
             [var.token] }}\n}}\noutput \"mine\" {{\n  value     = 1\n  ephemeral = true\n}}\n"
        ),
        expect![[r#"
            main:7:13-27 error Ephemeral value in a setting (in cluster "c")
              "primary" is kept in the record, so it cannot depend on an ephemeral value. A password can: it is kept encrypted.
              - var.token is (ephemeral value)
            main:11:16-34 error Invalid for_each argument (in cluster "c")
              "for_each" makes names that are kept in the record, so it cannot depend on an ephemeral value.
              - var.token is (ephemeral value)
            main:15:11-30 error Output refers to ephemeral values (in output "all")
              The value depends on an ephemeral one, which is not kept, and the outputs of a configuration are. Use ephemeralasnull(), or, for an output of a module, ephemeral = true.
              - var.token is (ephemeral value)
            main:19:15-19 error Ephemeral output not allowed (in output "mine")
              The outputs of a configuration are kept in the record, so none can be ephemeral; those of a module can. Remove it, or use sensitive = true.
        "#]],
    );
}

#[test]
fn a_module_says_which_values_it_keeps_nowhere() {
    let files = |module: &str| {
        let main = format!(
            "{VARIABLE}module \"m\" {{\n  source = \"./m\"\n  token  = var.token\n}}\noutput \"o\" {{\n  value = module.m.t\n}}\n"
        );
        let (config, said) = load_files(&[("main.simdb.hcl", &main), ("m/main.simdb.hcl", module)]);
        assert_eq!(config.is_none(), !said.is_empty());
        said
    };
    expect![[r#"
        main.simdb.hcl:7:12-21 error Ephemeral value not allowed (in module "m")
          The value for "token" is ephemeral, and the variable may be used where values are kept. Where it is not, the module says so: variable "token" { ephemeral = true }.
    "#]].assert_eq(&files(
        "variable \"token\" {}\noutput \"t\" {\n  value = var.token\n}\n",
    ));
    expect![[r#"
        main.simdb.hcl:10:11-21 error Output refers to ephemeral values (in output "o")
          The value depends on an ephemeral one, which is not kept, and the outputs of a configuration are. Use ephemeralasnull(), or, for an output of a module, ephemeral = true.
          - module.m.t is (ephemeral value)
    "#]].assert_eq(&files(
        "variable \"token\" {\n  ephemeral = true\n}\noutput \"t\" {\n  value     = var.token\n  ephemeral = true\n}\n",
    ));
    expect![""].assert_eq(&files(
        "variable \"token\" {\n  ephemeral = true\n}\noutput \"t\" {\n  value = length(ephemeralasnull(var.token) == null ? [] : [1])\n}\n",
    ));
}

#[test]
fn the_variables_that_are_kept_nowhere_are_known_without_their_values() {
    let source = source("variable \"a\" { ephemeral = true }\nvariable \"b\" {}\nvariable \"c\" { ephemeral = 1 }\n");
    assert_eq!(ephemeral_variables(&source), ["a".to_owned()].into());
}
