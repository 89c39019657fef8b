//! `moved` blocks: what moves where, and in which order.

use expect_test::expect;

use super::{CLUSTER, check, loaded};

fn moves(text: &str) -> String {
    let config = loaded(text, &[]);
    let lines = config.desired.moved.iter();
    lines.map(|moved| format!("{} -> {}\n", moved.from, moved.to)).collect()
}

fn block(from: &str, to: &str) -> String {
    format!("moved {{\n  from = {from}\n  to   = {to}\n}}\n")
}

#[test]
fn clusters_move_before_what_they_have_and_a_row_of_moves_from_its_end() {
    let text = [
        CLUSTER.to_owned(),
        block("cluster.c.node.r[0]", "cluster.c.node.b"),
        block("cluster.c.node.b", "cluster.c.node.a"),
        block("cluster.orders[\"eu\"]", "cluster.c"),
        block("network.old", "network.lan"),
    ];
    expect![[r#"
        network.old -> network.lan
        cluster.orders-eu -> cluster.c
        cluster.c.node.b -> cluster.c.node.a
        cluster.c.node.r[0] -> cluster.c.node.a
    "#]]
    .assert_eq(&moves(&text.concat()));
}

#[test]
fn what_cannot_move_is_told_where_it_stands() {
    let text = [
        CLUSTER.to_owned(),
        block("cluster.c", "cluster.d"),
        block("cluster.d.node.a", "cluster.c"),
        block("cluster.c.user.x", "cluster.c.user.y"),
        block("cluster.d.node.a", "cluster.c.node.b"),
        block("\"cluster.d\"", "cluster.e"),
        block("cluster.e", "cluster.f"),
        block("cluster.e", "cluster.g"),
        block("cluster.x", "cluster.y"),
        block("cluster.y", "cluster.x"),
        "moved {\n  from = cluster.z\n}\n".to_owned(),
    ];
    check(
        &text.concat(),
        expect![[r#"
        main:6:1-6 error Invalid move (in moved)
          cluster.c is declared still. Remove its block, or this one.
        main:10:1-6 error Invalid move (in moved)
          cluster.d.node.a is a node, and cluster.c a cluster: an object stays what it is.
        main:14:1-6 error Invalid move (in moved)
          A user is called in its server as in its address, and simdb does not rename it there. Declare cluster.c.user.y beside cluster.c.user.x, hand over what it has, and then remove cluster.c.user.x.
        main:18:1-6 error Invalid move (in moved)
          cluster.d.node.a cannot move to another cluster. Where the cluster itself moves, say that with a block of its own, and name the node in both addresses by the new one.
        main:22:1-6 error Invalid move (in moved)
          "from" and "to" are addresses, without quotes: of a cluster, node, endpoint, seed or network, as in cluster.NAME.node.NAME, or of a module.
        main:30:1-6 error Invalid move (in moved)
          cluster.e moves by two blocks. Remove one of them.
        main:34:1-6 error Invalid move (in moved)
          cluster.x moves to cluster.y, and by other blocks back again. Remove one of them.
        main:42:1-6 error Missing required argument (in moved)
          The argument "to" is required, but no value is given for it.
    "#]],
    );
}
