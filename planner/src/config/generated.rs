//! The configuration of clusters that `import` blocks name and that nothing declares: what was seen of their servers, as HCL.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::expr::{Expression, Object, ObjectKey, ObjectValue, ObjectValueTerminator};
use hcl_edit::structure::{Attribute, Block, BlockLabel, Body};
use hcl_edit::{Decorate, Decorated, Ident};
use simdb_language::parse::parse;
use simdb_state::address::Address;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::ReplicationMode;

use super::Source;
use super::dialect::DIALECT;
use super::imports::{address, named};
use crate::engine;
use crate::engine::parameters::{Release, refusal};
use crate::observed::{ImportFacts, ServerFacts};

/// The nodes of clusters that are imported and not declared, by cluster.
pub type Undeclared = BTreeMap<ClusterName, BTreeSet<NodeName>>;

/// Settings of a server by name.
type Parameters = BTreeMap<String, String>;

/// Returns the clusters that `import` blocks name and that no block declares. What cannot be read is left out: reading the
/// configuration tells it.
pub fn undeclared(source: &Source) -> Undeclared {
    let pieces: Vec<_> = source
        .files()
        .flat_map(|(name, text)| parse(name, text, &DIALECT).0)
        .collect();
    let blocks = |name: &'static str| pieces.iter().flat_map(move |piece| piece.body.get_blocks(name));
    let declared: BTreeSet<&str> = blocks("cluster")
        .filter_map(|block| block.labels.first().map(BlockLabel::as_str))
        .collect();
    let mut undeclared = Undeclared::new();
    for import in blocks("import") {
        let value = |name| import.body.get_attribute(name).map(|attribute| &attribute.value);
        let id = value("id").and_then(Expression::as_str).unwrap_or_default();
        let (cluster, nodes) = match value("to").and_then(|to| address(to, |_| None)) {
            Some(Address::Node(node)) => (node.cluster, vec![node.node]),
            Some(Address::Cluster(cluster)) => (cluster, named(id)),
            _ => continue,
        };
        if !declared.contains(cluster.as_str()) && !nodes.is_empty() {
            undeclared.entry(cluster).or_default().extend(nodes);
        }
    }
    undeclared
}

/// Declares clusters with nothing but their nodes, so that it can be looked what these are.
pub fn skeleton(undeclared: &Undeclared) -> String {
    let clusters = undeclared.iter().map(|(name, nodes)| {
        let engine = engine_block();
        let nodes = blocks_of(nodes).into_iter().map(|(block, count)| node(&block, count));
        cluster(name, [engine].into_iter().chain(nodes))
    });
    clusters.collect::<Body>().to_string()
}

/// Declares a cluster as its servers were seen: version, settings, and the logins and databases of the one that writes.
/// Passwords nobody can read.
pub fn declaration(name: &ClusterName, nodes: &BTreeMap<NodeName, ImportFacts>) -> String {
    let parameters: BTreeMap<&NodeName, Parameters> =
        nodes.iter().map(|(node, facts)| (node, parameters(facts))).collect();
    let common = shared(parameters.values());
    let version = nodes.values().map(|facts| facts.version).max().unwrap_or_default();
    let mut engine = engine_block();
    engine.body.push(attribute("version", version.to_string().as_str()));
    let mut blocks = vec![with_parameters(engine, &common)];
    let servers = nodes.values().filter_map(|facts| Some(&facts.server.as_ref()?.facts));
    let primary = servers.clone().find(|server| !server.in_recovery);
    let mode = primary.map_or(ReplicationMode::Async, |server| server.sync_rule().mode());
    if nodes.len() > 1 {
        let mode = attribute("mode", mode.to_string().as_str());
        blocks.push(Block::builder(Ident::new("replication")).attribute(mode).build());
    }
    let names: BTreeSet<NodeName> = nodes.keys().cloned().collect();
    for (block, count) in blocks_of(&names) {
        let instances = parameters.iter().filter(|(node, _)| node.block().as_str() == block);
        let mut own = shared(instances.map(|(_, parameters)| parameters));
        own.retain(|name, _| !common.contains_key(name));
        blocks.push(with_parameters(node(&block, count), &own));
    }
    blocks.extend(primary.into_iter().flat_map(access));
    let body: Body = [cluster(name, blocks)].into_iter().collect();
    body.to_string()
}

/// Returns the settings that all servers have alike.
fn shared<'a>(mut servers: impl Iterator<Item = &'a Parameters>) -> Parameters {
    let mut shared = servers.next().cloned().unwrap_or_default();
    for server in servers {
        shared.retain(|name, value| server.get(name) == Some(value));
    }
    shared
}

fn engine_block() -> Block {
    Block::builder(Ident::new("engine"))
        .label(engine::IMPORTED.to_string())
        .build()
}

fn cluster(name: &ClusterName, blocks: impl IntoIterator<Item = Block>) -> Block {
    let mut cluster = Block::builder(Ident::new("cluster")).label(name.as_str()).build();
    for (at, mut block) in blocks.into_iter().enumerate() {
        block.body.set_prefer_oneline(block.body.is_empty());
        let about = block
            .decor()
            .prefix()
            .map(|prefix| prefix.to_string())
            .unwrap_or_default();
        block
            .decor_mut()
            .set_prefix(if at == 0 { about } else { format!("\n{about}") });
        cluster.body.push(block);
    }
    cluster
}

/// Returns the blocks that declare nodes, each with the number of its instances, where it has some.
fn blocks_of(nodes: &BTreeSet<NodeName>) -> BTreeMap<String, Option<u32>> {
    let mut blocks: BTreeMap<String, Option<u32>> = BTreeMap::new();
    for node in nodes {
        let count = blocks.entry(node.block().to_string()).or_default();
        *count = (*count).max(node.index().map(|index| index + 1));
    }
    blocks
}

fn node(block: &str, count: Option<u32>) -> Block {
    let node = Block::builder(Ident::new("node")).label(block);
    let count = count.map(|count| attribute("count", count));
    node.attributes(count).build()
}

fn attribute(name: &str, value: impl Into<Expression>) -> Attribute {
    Attribute::new(Ident::new(name), value)
}

fn with_parameters(mut block: Block, parameters: &Parameters) -> Block {
    if !parameters.is_empty() {
        let mut object = Object::new();
        for (name, value) in parameters {
            let mut key = Decorated::new(Ident::new(name));
            // One setting a line.
            key.decor_mut().set_prefix(if object.is_empty() { "\n" } else { "" });
            let mut value = ObjectValue::new(value.as_str());
            value.set_terminator(ObjectValueTerminator::Newline);
            object.insert(ObjectKey::from(key), value);
        }
        block.body.push(attribute("parameters", object));
    }
    block
}

/// Returns the settings of a server that a configuration can declare, as people write them.
pub(crate) fn parameters(facts: &ImportFacts) -> Parameters {
    let Some(server) = &facts.server else {
        return Parameters::new();
    };
    let release = Release {
        engine: engine::IMPORTED,
        version: facts.version,
    };
    let problems = release.problems(&server.settings);
    let settings = server.settings.iter();
    settings
        .filter(|(name, _)| refusal(release.engine, name).is_none() && !problems.contains_key(name.as_str()))
        .map(|(name, value)| (name.to_lowercase(), release.shown(name, value)))
        .collect()
}

/// Declares the databases, and the logins that own them or may connect. Those who may do anything are nobody's to manage.
fn access(server: &ServerFacts) -> Vec<Block> {
    let mut blocks = Vec::new();
    let users = server.users.iter();
    let managed: BTreeSet<&String> = users
        .filter(|(name, user)| !user.superuser && !user.replication && !name.starts_with("pg_"))
        .map(|(name, _)| name)
        .collect();
    for name in &managed {
        let facts = &server.users[*name];
        let flags = [
            ("login", facts.login, true),
            ("createdb", facts.createdb, false),
            ("createrole", facts.createrole, false),
            ("inherit", facts.inherit, true),
        ];
        let flags = flags.into_iter().filter(|(_, is, usual)| is != usual);
        let mut user = Block::builder(Ident::new("user"))
            .label(name.as_str())
            .attributes(flags.map(|(name, is, _)| attribute(name, is)));
        if let Ok(limit @ 0..) = u64::try_from(facts.connection_limit) {
            user = user.attribute(attribute("connection_limit", limit));
        }
        if !facts.member_of.is_empty() {
            let roles: Vec<Expression> = facts.member_of.iter().map(|role| role.as_str().into()).collect();
            user = user.attribute(attribute("member_of", roles));
        }
        let mut user = user.build();
        if facts.login {
            user.decor_mut()
                .set_prefix("# Nobody can read its password: simdb makes up another one, unless one is given here.\n");
        }
        blocks.push(user);
    }
    let databases = server
        .databases
        .iter()
        .filter(|(_, facts)| managed.contains(&facts.owner));
    blocks.extend(databases.map(|(name, facts)| {
        Block::builder(Ident::new("database"))
            .label(name.as_str())
            .attribute(attribute("owner", facts.owner.as_str()))
            .build()
    }));
    blocks
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::config;

    fn imports(blocks: &str) -> Source {
        let mut source = Source::default();
        source.add("main.simdb.hcl", blocks);
        source
    }

    fn formatted(text: &str) -> String {
        config::format("generated.simdb.hcl", text).unwrap()
    }

    #[test]
    fn clusters_that_are_imported_and_not_declared_get_their_nodes() {
        let source = imports(
            "cluster \"known\" {}\nimport {\n  to = cluster.known.node.a\n  id = \"/a\"\n}\nimport {\n  to = cluster.new.node.a\n  \
             id = \"/a\"\n}\nimport {\n  to = cluster.new.node.r[1]\n  id = \"/r\"\n}\nimport {\n  to = cluster.other\n  id = \
             \"x=/x, y=/y\"\n}\n",
        );
        expect![[r#"
            cluster "new" {
              engine "postgresql" {}

              node "a" {}

              node "r" {
                count = 2
              }
            }
            cluster "other" {
              engine "postgresql" {}

              node "x" {}

              node "y" {}
            }
        "#]]
        .assert_eq(&formatted(&skeleton(&undeclared(&source))));
    }
}
