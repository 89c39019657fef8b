//! `removed` blocks: what is forgotten, and what cannot be.

use expect_test::expect;

use super::{CLUSTER, check, loaded};

fn block(from: &str, lifecycle: &str) -> String {
    format!("removed {{\n  from = {from}\n{lifecycle}}}\n")
}

const KEEPS: &str = "  lifecycle {\n    destroy = false\n  }\n";

#[test]
fn what_is_not_destroyed_is_forgotten() {
    let text = [
        CLUSTER.to_owned(),
        block("cluster.c.user.gone", KEEPS),
        block("cluster.c.database.gone", KEEPS),
        block("cluster.c.seed.gone", ""),
        block("cluster.c.node.gone", "  lifecycle {\n    destroy = true\n  }\n"),
    ];
    let config = loaded(&text.concat(), &[]);
    let forgotten: Vec<String> = config.desired.forgotten.keys().map(ToString::to_string).collect();
    assert_eq!(forgotten, ["cluster.c.user.gone", "cluster.c.database.gone"]);
}

#[test]
fn what_cannot_be_forgotten_is_told_where_it_stands() {
    let text = [
        CLUSTER.to_owned(),
        block("cluster.c", KEEPS),
        block("cluster.c.node.b", KEEPS),
        block("cluster.c.endpoint.rw", KEEPS),
        block("\"cluster.c\"", KEEPS),
        "removed {}\n".to_owned(),
        block("cluster.c.user.gone", "  lifecycle {\n    destory = false\n  }\n"),
    ];
    check(
        &text.concat(),
        expect![[r#"
        main:7:10-19 error Removed object is declared (in removed)
          cluster.c is declared still. Remove its block, or this one.
        main:13:10-26 error Object cannot be forgotten (in removed)
          cluster.c.node.b runs under the care of simdb: forgotten, it would be removed as a leftover. Only users, databases and seeds can be forgotten. To destroy it, remove this block, too.
        main:19:10-31 error Object cannot be forgotten (in removed)
          cluster.c.endpoint.rw runs under the care of simdb: forgotten, it would be removed as a leftover. Only users, databases and seeds can be forgotten. To destroy it, remove this block, too.
        main:25:10-21 error Invalid removed object (in removed)
          "from" is the address of a user, a database or a seed, without quotes: cluster.NAME.user.NAME.
        main:30:1-8 error Missing required argument (in removed)
          The argument "from" is required, but no value is given for it.
        main:34:5-12 error Unsupported argument (in removed)
          An argument named "destory" is not expected here. Did you mean "destroy"?
    "#]],
    );
}
