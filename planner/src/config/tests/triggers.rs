//! `replace_triggered_by` of nodes.

use super::modules::load_files;
use super::*;

fn node(triggers: &str) -> String {
    format!(
        "network \"lan\" {{}}\ncluster \"c\" {{\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n  node \"r\" {{\n    count = 2\n    lifecycle \
         {{\n      replace_triggered_by = {triggers}\n    }}\n  }}\n  user \"app\" {{}}\n}}\n"
    )
}

fn triggers(config: &Config) -> Vec<String> {
    let nodes = config
        .desired
        .clusters
        .values()
        .flat_map(|cluster| cluster.nodes.values());
    let shown = |trigger: &crate::desired::Trigger| format!("{}: {}", trigger.subject, trigger.attributes.join(" "));
    let last = nodes.last().into_iter().flat_map(|node| &node.triggers);
    last.map(shown).collect()
}

#[test]
fn a_node_names_objects_and_their_attributes() {
    let config = loaded(
        &node(
            "[cluster.c, cluster.c.version, cluster.c.node.a.parameters[\"work_mem\"], cluster.c.node.r[0], cluster.c.node.r, \
             cluster.c.user.app.login, network.lan]",
        ),
        &[],
    );
    assert_eq!(
        triggers(&config),
        [
            "cluster.c: network replication version",
            "cluster.c: version",
            "cluster.c.node.a: parameters.work_mem",
            "cluster.c.node.r[0]: cpus image memory parameters port storage",
            "cluster.c.node.r: cpus image memory parameters port storage",
            "cluster.c.user.app: login",
            "network.lan: subnet",
        ]
    );
}

#[test]
fn names_of_a_module_are_its_own() {
    let main = "module \"m\" {\n  source = \"./m\"\n}\n";
    let (config, said) = load_files(&[
        ("main.simdb.hcl", main),
        ("m/main.simdb.hcl", &node("[cluster.c.node.a]")),
    ]);
    assert_eq!(said, "");
    assert_eq!(
        triggers(&config.unwrap()),
        ["cluster.m-c.node.a: cpus image memory parameters port storage"]
    );
}
