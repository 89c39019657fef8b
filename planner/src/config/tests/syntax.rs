//! Texts with the wrong blocks and attributes: what is said, and where.

use expect_test::expect;

use super::*;

#[test]
fn a_byte_order_mark_shifts_no_position() {
    check(
        "\u{feff}locals {\n  é = var.x\n}\n",
        expect![[r#"
        main:2:10-12 error Reference to undeclared input variable (in locals)
          No variable "x" is declared. Declare it with a block: variable "x" {}.
    "#]],
    );
    check(
        "\u{feff}a = 1\n",
        expect![[r#"
            main:1:1-2 error Unsupported argument
              An argument named "a" is not expected here. Expected here: "simdb", "variable", "locals", "output", "check", "provider", "network", "cluster", "import", "removed", "moved", "module", "drift" and "monitor".
        "#]],
    );
    let source = source("\u{feff}a = 1\r\n");
    assert_eq!(source.line("main", 1), Some("a = 1"));
    assert_eq!((source.line("main", 2), source.line("main", 3)), (Some(""), None));
    assert_eq!((source.line("main", 0), source.line("other", 1)), (None, None));
}

#[test]
fn unknown_blocks_and_attributes_come_with_a_suggestion() {
    check(
        "clustr \"c\" {}\ncluster \"c\" {\n  nod \"a\" {}\n  node \"b\" { prot = 1 }\n  netwrok = 1\n  engine = 1\n  primary {}\n}\nx = 1\n",
        expect![[r#"
            main:1:1-7 error Unsupported block type (in clustr "c")
              Blocks of type "clustr" are not expected here. Did you mean "cluster"?
            main:2:1-12 error Missing engine block (in cluster "c")
              A block of type "engine" is required here.
            main:3:3-6 error Unsupported block type (in cluster "c")
              Blocks of type "nod" are not expected here. Did you mean "node"?
            main:4:14-18 error Unsupported argument (in cluster "c")
              An argument named "prot" is not expected here. Did you mean "port"?
            main:5:3-10 error Unsupported argument (in cluster "c")
              An argument named "netwrok" is not expected here. Did you mean "network"?
            main:6:3-9 error Unsupported argument (in cluster "c")
              "engine" is a block, not an attribute. Write it without the equals sign: engine { ... }.
            main:7:3-10 error Unsupported block type (in cluster "c")
              "primary" is an attribute, not a block. Write it with an equals sign: primary = ...
            main:9:1-2 error Unsupported argument
              An argument named "x" is not expected here. Expected here: "simdb", "variable", "locals", "output", "check", "provider", "network", "cluster", "import", "removed", "moved", "module", "drift" and "monitor".
        "#]],
    );
}

#[test]
fn what_is_required_is_asked_for() {
    check(
        "cluster \"c\" {\n  endpoint \"rw\" {}\n}\noutput \"x\" {}\nvariable {}\nlocals \"x\" {}\n",
        expect![[r#"
            main:1:1-12 error Missing engine block (in cluster "c")
              A block of type "engine" is required here.
            main:1:1-12 error Cluster without nodes (in cluster "c")
              A cluster needs at least one node. Declare one within it: node "a" {}
            main:2:3-16 error Missing required argument (in cluster "c")
              The argument "target" is required, but no value is given for it.
            main:4:1-11 error Missing required argument (in output "x")
              The argument "value" is required, but no value is given for it.
            main:5:1-9 error Wrong number of labels (in variable)
              A variable block has one label, its name: variable "NAME" { ... }.
            main:6:1-11 error Wrong number of labels (in locals "x")
              A locals block has no label: locals { ... }.
        "#]],
    );
}

#[test]
fn what_is_declared_twice_names_the_first_place() {
    check(
        "network \"lan\" {}\nsimdb {}\nnetwork \"lan\" {}\nsimdb {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  engine \"postgresql\" {}\n  node \"a\" {}\n  node \"a\" {}\n}\n",
        expect![[r#"
            main:3:1-14 error Duplicate network "lan" (in network "lan")
              network "lan" was already declared at main:1,1. There can be only one.
            main:4:1-6 error Duplicate simdb (in simdb)
              simdb was already declared at main:2,1. There can be only one.
            main:7:3-22 error Duplicate engine (in cluster "c")
              engine was already declared at main:6,3. There can be only one.
            main:9:3-11 error Duplicate node "a" (in cluster "c")
              node "a" was already declared at main:8,3. There can be only one.
        "#]],
    );
}

#[test]
fn the_settings_are_read_from_a_broken_configuration() {
    let source = source(
        "simdb {\n  required_version = \">= 0.1\"\n  state \"sqlite\" { path = \"x.db\" }\n}\ncluster \"c\" {\n  a = \"\n",
    );
    let (settings, diagnostics) = settings(&source);
    assert_eq!(render(&source, &diagnostics), "");
    assert_eq!(settings.state, StateBackend::File(Some("x.db".to_owned())));
    assert_eq!(
        settings.required_version.map(|(version, _)| version).as_deref(),
        Some(">= 0.1")
    );
}

#[test]
fn a_state_elsewhere_says_where() {
    let source = source(
        "simdb {\n  state \"kubernetes\" {\n    namespace = \"simdb\"\n    name = \"orders.backup-7\"\n    context = \"c\"\n  }\n}\n",
    );
    let (settings, diagnostics) = settings(&source);
    assert_eq!(render(&source, &diagnostics), "");
    let arguments = [("namespace", "simdb"), ("name", "orders.backup-7"), ("context", "c")];
    let arguments = arguments.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let expected = StateBackend::Remote {
        backend: "kubernetes".to_owned(),
        arguments: arguments.into(),
    };
    assert_eq!(settings.state, expected);
}

#[test]
fn the_arguments_of_a_state_are_those_of_its_backend() {
    check(
        "simdb {\n  state \"kubernetes\" {\n    path = \"x\"\n    name = \"Orders\"\n    context = \"\"\n  }\n  state \"sqlite\" {\n    \
         name = \"a\"\n  }\n}\n",
        expect![[r#"
            main:2:3-21 error Missing required argument (in simdb)
              The argument "namespace" is required, but no value is given for it.
            main:3:5-9 error Unsupported argument (in simdb)
              "path" is an argument of state "sqlite"; state "kubernetes" has: namespace, name, kubeconfig, context.
            main:4:12-20 error Invalid value (in simdb)
              "name" tells the state from others in its namespace: at most 63 lower-case letters, digits, hyphens and dots, with a letter or digit at either end and beside each dot; "Orders" is not.
            main:5:15-17 error Empty value (in simdb)
              "context" must not be empty. Leave it out for the one that kubectl uses.
            main:7:3-17 error Duplicate state (in simdb)
              state was already declared at main:2,3. There can be only one.
            main:8:5-9 error Unsupported argument (in simdb)
              "name" is an argument of state "kubernetes"; state "sqlite" has: path.
        "#]],
    );
    check(
        "simdb {\n  state \"kubernetis\" {\n    name = \"a..b\"\n  }\n}\n",
        expect![[r#"
            main:2:9-21 error Unsupported state backend (in simdb)
              State can be kept in "sqlite" and in "kubernetes" only, not in "kubernetis". Did you mean "kubernetes"?
        "#]],
    );
}

#[test]
fn the_settings_are_literals() {
    check(
        "variable \"v\" { default = 1 }\nsimdb {\n  required_version = var.v\n  state \"postgres\" { pth = 1 }\n}\n",
        expect![[r#"
            main:3:22-25 error Reference not allowed here (in simdb)
              This value must be known before variables and locals are, so "var.*" cannot be used.
            main:4:9-19 error Unsupported state backend (in simdb)
              State can be kept in "sqlite" and in "kubernetes" only, not in "postgres".
            main:4:22-25 error Unsupported argument (in simdb)
              An argument named "pth" is not expected here. Did you mean "path"?
        "#]],
    );
}

#[test]
fn a_version_constraint_is_checked() {
    let says = |constraint: &str, version: &str| {
        let source = source(&format!("simdb {{\n  required_version = \"{constraint}\"\n}}\n"));
        let problem = check_version(&settings(&source).0, version);
        problem.map_or_else(|| "fits".to_owned(), |problem| render(&source, &[problem]))
    };
    for (constraint, fits, differs) in [
        ("0.1", "0.1.0", "0.1.1"),
        (">= 0.1, < 0.3", "0.2.9", "0.3.0"),
        ("!= 0.2.0", "0.2.1", "0.2.0"),
        ("~> 0.1", "0.9.0", "1.0.0"),
        ("~> 0.1.2", "0.1.9", "0.2.0"),
        ("> 0.1", "0.1.1-dev", "0.1.0"),
        ("<= 1", "1.0.0", "1.0.1"),
    ] {
        assert_eq!(says(constraint, fits), "fits", "{constraint} {fits}");
        assert_ne!(says(constraint, differs), "fits", "{constraint} {differs}");
    }
    let said = [says(">= 2", "0.1.0"), says("newest", "0.1.0")].concat();
    expect![[r#"
        main:2:22-28 error Unsupported simdb version (in simdb)
          This configuration requires simdb >= 2, and this is simdb 0.1.0. Use another version of simdb, or change "required_version" where the configuration works with this one too.
        main:2:22-30 error Invalid version constraint (in simdb)
          A version constraint is one of =, !=, >, >=, <, <= and ~> followed by a version such as 0.1 or 0.1.2; several are separated by commas. "newest" is none.
    "#]].assert_eq(&said);
}
