use serde_json::json;
use simdb_planner::plan::ChangeAction;

use super::*;
use crate::views::sample::{address, attribute, change, step, value};

fn subjects(texts: &[&str]) -> String {
    let addresses: Vec<Address> = texts.iter().map(|text| address(text)).collect();
    Subjects::new(addresses.iter()).text()
}

#[test]
fn addresses_are_named_in_as_few_words_as_name_them_all() {
    for (texts, expected) in [
        (&["cluster.orders.node.a"][..], "cluster.orders.node.a"),
        (
            &[
                "cluster.o.node.r[0]",
                "cluster.o.node.r[1]",
                "cluster.o.node.r[2]",
                "cluster.o.node.r[4]",
            ],
            "cluster.o.node.r[0..2,4]",
        ),
        (&["cluster.b.node.a", "cluster.o.node.a"], "cluster.{b,o}.node.a"),
        (
            &["cluster.t-0.node.a", "cluster.t-1.node.a", "cluster.t-2.node.a"],
            "cluster.t-{0..2}.node.a",
        ),
        (
            &[
                "cluster.t-0.node.r[0]",
                "cluster.t-0.node.r[1]",
                "cluster.t-1.node.r[0]",
            ],
            "cluster.t-1.node.r[0], cluster.t-0.node.r[0,1]",
        ),
        (&["cluster.t-0", "cluster.t-1", "cluster.o"], "cluster.{o,t-{0,1}}"),
        (&["network.lan"], "network.lan"),
        (
            &["cluster.o.user.app-1", "cluster.o.user.app-2"],
            "cluster.o.user.app-{1,2}",
        ),
    ] {
        assert_eq!(subjects(texts), expected);
    }
}

/// A node that is given more memory.
fn node(text: &str, port: u16, memory: &str, slot: &str) -> ChangeDoc {
    change(
        text,
        ChangeAction::Update,
        vec![
            attribute("port", value(json!(5432)), value(json!(port))),
            attribute("slot", None, value(json!(slot))),
            attribute("work_mem", value(json!("4MB")), value(json!(memory))),
        ],
    )
}

#[test]
fn changes_are_alike_but_for_names_and_places() {
    let all = [
        node("cluster.o.node.r[0]", 5433, "8MB", "r_0"),
        node("cluster.o.node.r[1]", 5434, "8MB", "r_1"),
        node("cluster.p.node.r[10]", 5433, "8MB", "r_10"),
        // Another value, another name that is not its own, another block.
        node("cluster.o.node.r[2]", 5435, "9MB", "r_2"),
        node("cluster.o.node.r[3]", 5436, "8MB", "r_1"),
        node("cluster.o.node.s[0]", 5437, "8MB", "s_0"),
    ];
    let sizes: Vec<usize> = groups(&all, false).iter().map(|group| group.all.len()).collect();
    assert_eq!(sizes, [3, 1, 1, 1]);
    assert_eq!(groups(&all, true).len(), all.len());
}

#[test]
fn the_reason_of_alike_steps_is_about_all_of_them() {
    let steps = [
        step(1, "standby", "cluster.o.node.r[0]", &[], "r[0] streams from a of o"),
        step(2, "standby", "cluster.o.node.r[1]", &[1], "r[1] streams from a of o"),
        step(3, "standby", "cluster.o.node.r[2]", &[1], "r[2] streams from r[1] of o"),
    ];
    let groups = groups(&steps, false);
    let [two, one] = &groups[..] else {
        panic!("{groups:?}");
    };
    assert_eq!(two.of_all(&two.first().reason), "r[0,1] streams from a of o");
    assert_eq!(one.of_all(&one.first().reason), "r[2] streams from r[1] of o");
}

#[test]
fn a_name_within_a_word_is_no_name() {
    let address = address("cluster.a.node.r[1]");
    let text = Own::of(&address).taken_out("a data r-1 r-10 r_1 a-b aa");
    assert_eq!(text, "\u{2} data \u{1} r-10 \u{1} \u{2}-b aa");
}
