use std::collections::BTreeSet;

use simdb_state::delta::Delta;

use super::*;
use crate::config::{self, Source};
use crate::plan::Impact;

fn draft(address: &str) -> Draft {
    let node: NodeAddress = address.parse().unwrap();
    Draft {
        address: node.clone().into(),
        action: Action::Stop { node },
        term: None,
        after: BTreeSet::new(),
        impact: Impact::None,
        reason: String::new(),
        delta: Delta::default(),
        generates: BTreeSet::new(),
    }
}

#[test]
fn a_cycle_names_every_member_and_where_it_is_declared() {
    let mut source = Source::default();
    source.add(
        "main.simdb.hcl",
        "network \"lan\" {}\ncluster \"c\" {\n  network = network.lan\n  engine \"postgresql\" {}\n  replication {\n    mode = \"async\"\n  \
         }\n  node \"a\" {}\n  node \"r\" {\n    count = 2\n  }\n}\n",
    );
    let desired = config::load(&source, &[]).0.unwrap().desired;
    let drafts: Vec<Draft> = ["cluster.c.node.r[1]", "cluster.c.node.a", "cluster.c.node.gone"]
        .map(draft)
        .into();
    let diagnostic = cycle(&[1, 0, 2], &drafts, &desired);
    assert_eq!(
        diagnostic.detail,
        "There is no order for these steps: stop of cluster.c.node.a waits for stop of cluster.c.node.r[1], and stop of \
         cluster.c.node.r[1] waits for stop of cluster.c.node.gone, and stop of cluster.c.node.gone waits for stop of \
         cluster.c.node.a."
    );
    let line = |span: &crate::diagnostic::Span| source.positions(span).unwrap().0.line;
    assert_eq!(diagnostic.span.as_ref().map(line), Some(8));
    let also: Vec<(&str, usize)> = diagnostic
        .also
        .iter()
        .map(|(name, span)| (name.as_str(), line(span)))
        .collect();
    assert_eq!(also, [("cluster.c.node.gone", 2), ("cluster.c.node.r[1]", 9)]);
}
