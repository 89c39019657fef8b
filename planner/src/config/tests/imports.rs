//! `import` blocks: which nodes are imported, and from what.

use expect_test::expect;

use super::{CLUSTER, check, loaded};

fn imports(text: &str) -> String {
    let config = loaded(text, &[]);
    let line = |(node, import): (&_, &crate::desired::ImportSpec)| format!("{node} <- {}\n", import.id);
    config.desired.imports.iter().map(line).collect()
}

const TWO: &str = "cluster \"d\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n  node \"r\" { count = 2 }\n}\n";

#[test]
fn a_cluster_is_imported_node_by_node_or_as_a_whole() {
    expect![[r#"
        cluster.c.node.a <- 127.0.0.1:5432
        cluster.d.node.r[1] <- /srv/pg/r
    "#]]
    .assert_eq(&imports(&format!(
        "{CLUSTER}{TWO}import {{\n  to = cluster.c\n  id = \"127.0.0.1:5432\"\n}}\nimport {{\n  to = cluster.d.node.r[1]\n  id = \
         \"/srv/pg/r\"\n}}\n"
    )));
    expect![[r#"
        cluster.d.node.a <- /srv/pg/a
        cluster.d.node.r[0] <- /srv/pg/r-0
        cluster.d.node.r[1] <- /srv/pg/r-1
    "#]]
    .assert_eq(&imports(&format!(
        "{TWO}import {{\n  to = cluster.d\n  id = \"/srv/pg/\"\n}}\n"
    )));
    expect![[r#"
        cluster.d.node.a <- 5432
        cluster.d.node.r[0] <- /srv/pg/b
    "#]]
    .assert_eq(&imports(&format!(
        "{TWO}import {{\n  to = cluster.d\n  id = \"a=5432, r[0]=/srv/pg/b\"\n}}\n"
    )));
}

#[test]
fn a_block_imports_a_node_of_each_element() {
    let each = "variable \"root\" { default = \"/srv\" }\nlocals {\n  nodes = { a = \"5432\", b = \"${var.root}/b\" }\n}\ncluster \"d\" {\n  engine \
                \"postgresql\" {}\n  node \"n\" { for_each = local.nodes }\n}\nimport {\n  for_each = local.nodes\n  to       = \
                cluster.d.node.n[each.key]\n  id       = each.value\n}\n";
    expect![[r#"
        cluster.d.node.n-a <- 5432
        cluster.d.node.n-b <- /srv/b
    "#]]
    .assert_eq(&imports(each));
    let unknown = each.replace("n[each.key]", "n[each.value]");
    check(
        &unknown,
        expect![[r#"
        main:11:14-42 error Invalid import target (in import)
          cluster.d.node.n-5432 is not declared. Declare it, so that the import has a configuration to follow.
        main:11:14-42 error Invalid import target (in import)
          "to" is the address of a node or of a cluster, without quotes: cluster.NAME.node.NAME.
    "#]],
    );
}

#[test]
fn what_cannot_be_imported_is_told_where_it_stands() {
    let block = |to: &str, id: &str| format!("import {{\n  to = {to}\n  id = \"{id}\"\n}}\n");
    let text = [
        CLUSTER.to_owned(),
        TWO.to_owned(),
        block("cluster.c.node.b", "/b"),
        block("cluster.e", "/e"),
        block("cluster.c.user.app", "app"),
        block("\"cluster.c\"", "/c"),
        block("cluster.d", "127.0.0.1:5432"),
        block("cluster.d", "a=/a,/b"),
        block("cluster.d", "a=/a,x=/b"),
        block("cluster.c.node.a", "/a"),
        block("cluster.c", "a=/b"),
        "import {\n  to = cluster.c\n}\n".to_owned(),
    ];
    check(
        &text.concat(),
        expect![[r#"
            main:12:8-24 error Invalid import target (in import)
              cluster.c.node.b is not declared. Declare it, so that the import has a configuration to follow.
            main:16:8-17 error Invalid import target (in import)
              cluster.e is not declared. Declare it, so that the import has a configuration to follow.
            main:20:8-26 error Invalid import target (in import)
              cluster.c.user.app cannot be imported: nodes and clusters can. What they hold comes with them.
            main:24:8-19 error Invalid import target (in import)
              "to" is the address of a node or of a cluster, without quotes: cluster.NAME.node.NAME.
            main:28:8-17 error Invalid import target (in import)
              cluster.d has 3 nodes, and "127.0.0.1:5432" is the id of one. Name each of them, as in "a=/srv/pg/a, b=/srv/pg/b", or the directory that holds the data of all in directories of their names.
            main:32:8-17 error Invalid import target (in import)
              The id of a cluster names each node, as in "a=/srv/pg/a, b=/srv/pg/b"; "/b" names none.
            main:36:8-17 error Invalid import target (in import)
              cluster.d.node.x is not declared. Declare it, so that the import has a configuration to follow.
            main:43:1-7 error Node imported twice (in import)
              cluster.c.node.a is imported twice. Import it once, by one block.
            main:47:1-7 error Missing required argument (in import)
              The argument "id" is required, but no value is given for it.
        "#]],
    );
}
