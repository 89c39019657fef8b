//! `import` blocks: which node becomes what server.

use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, TraversalOperator};
use hcl_edit::structure::Block;
use simdb_language::reference::Names;
use simdb_language::value::{Kind, Value};
use simdb_state::address::{Address, NodeAddress};
use simdb_state::name::{ClusterName, NodeName};

use crate::desired::{ClusterSpec, ImportSpec};
use crate::diagnostic::Diagnostic;

use super::expand::{self, Instance};
use super::read::Reader;

/// Reads the blocks: what each node that is imported is known by.
pub(super) fn read(
    blocks: &[(&Block, Reader<'_>)],
    clusters: &BTreeMap<ClusterName, ClusterSpec>,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<NodeAddress, ImportSpec> {
    let mut imports: BTreeMap<NodeAddress, ImportSpec> = BTreeMap::new();
    for Instance {
        reader, header, names, ..
    } in expand::top(blocks, "", names, diagnostics).all
    {
        let (Some(to), Some(id)) = (reader.attribute("to"), reader.text("id", &names, diagnostics)) else {
            continue;
        };
        let before = diagnostics.len();
        let address = address(&to.value, |key| reader.evaluate(key, &names, diagnostics));
        if diagnostics.len() > before {
            continue;
        }
        let target = match address {
            Some(address) => expand(&address, &id.value, clusters),
            None => Err(
                "\"to\" is the address of a node or of a cluster, without quotes: cluster.NAME.node.NAME.".to_owned(),
            ),
        };
        let nodes = match target {
            Ok(nodes) => nodes,
            Err(detail) => {
                diagnostics.push(reader.error(reader.span(&to.value), "Invalid import target", detail));
                continue;
            }
        };
        for (node, id) in nodes {
            let span = header.clone();
            if imports.contains_key(&node) {
                let detail = format!("{node} is imported twice. Import it once, by one block.");
                diagnostics.push(reader.error(span.clone(), "Node imported twice", detail));
            }
            imports.insert(node, ImportSpec { id, span });
        }
    }
    imports
}

/// Returns the address that an expression is, given the values of the keys in it that are no literals.
pub(super) fn address(expression: &Expression, value: impl FnMut(&Expression) -> Option<Value>) -> Option<Address> {
    text(expression, value)?.parse().ok()
}

/// Returns an address as it is written, where an expression is one.
pub(super) fn text(expression: &Expression, mut value: impl FnMut(&Expression) -> Option<Value>) -> Option<String> {
    let Expression::Traversal(traversal) = expression else {
        return None;
    };
    let Expression::Variable(root) = &traversal.expr else {
        return None;
    };
    let mut text = root.to_string();
    for operator in &traversal.operators {
        let part = match operator.value() {
            TraversalOperator::GetAttr(name) => format!(".{}", name.as_str()),
            TraversalOperator::Index(Expression::Number(index)) => format!("[{}]", index.value()),
            TraversalOperator::Index(Expression::String(key)) => format!("[{:?}]", key.value()),
            TraversalOperator::Index(key) => match value(key)?.kind {
                Kind::Number(index) => format!("[{index}]"),
                Kind::String(key) => format!("[{key:?}]"),
                _ => return None,
            },
            _ => return None,
        };
        text.push_str(&part);
    }
    Some(text)
}

/// Returns the nodes that the id of a cluster names, as in `a=/srv/pg/a, b=/srv/pg/b`.
pub(super) fn named(id: &str) -> Vec<NodeName> {
    let names = id.split(',').filter_map(|part| Some(part.split_once('=')?.0));
    names.filter_map(|name| name.trim().parse().ok()).collect()
}

/// Returns the nodes that an address stands for, each with what it is known by; or what is wrong with that.
pub(super) fn expand(
    to: &Address,
    id: &str,
    clusters: &BTreeMap<ClusterName, ClusterSpec>,
) -> Result<Vec<(NodeAddress, String)>, String> {
    let (Address::Node(NodeAddress { cluster: name, .. }) | Address::Cluster(name)) = to else {
        return Err(format!(
            "{to} cannot be imported: nodes and clusters can. What they hold comes with them."
        ));
    };
    let undeclared = |what: &dyn std::fmt::Display| {
        format!("{what} is not declared. Declare it, so that the import has a configuration to follow.")
    };
    let cluster = clusters
        .get(name)
        .ok_or_else(|| undeclared(&format!("cluster.{name}")))?;
    let address = |node: &NodeName| NodeAddress {
        cluster: name.clone(),
        node: node.clone(),
    };
    match to {
        Address::Node(node) if !cluster.nodes.contains_key(&node.node) => Err(undeclared(node)),
        Address::Node(node) => Ok(vec![(node.clone(), id.to_owned())]),
        _ if id.contains('=') => {
            let mut found = Vec::new();
            for part in id.split(',') {
                let (node, id) = part.split_once('=').ok_or_else(|| {
                    format!(
                        "The id of a cluster names each node, as in \"a=/srv/pg/a, b=/srv/pg/b\"; {part:?} names none."
                    )
                })?;
                let known = node.trim().parse().ok().filter(|node| cluster.nodes.contains_key(node));
                let node = known.ok_or_else(|| undeclared(&format!("cluster.{name}.node.{}", node.trim())))?;
                found.push((address(&node), id.trim().to_owned()));
            }
            Ok(found)
        }
        _ if id.starts_with('/') => {
            let below = |node: &NodeName| format!("{}/{}", id.trim_end_matches('/'), node.host());
            Ok(cluster.nodes.keys().map(|node| (address(node), below(node))).collect())
        }
        _ => match cluster.nodes.keys().next() {
            Some(node) if cluster.nodes.len() == 1 => Ok(vec![(address(node), id.to_owned())]),
            _ => Err(format!(
                "cluster.{name} has {} nodes, and {id:?} is the id of one. Name each of them, as in \"a=/srv/pg/a, b=/srv/pg/b\", \
                 or the directory that holds the data of all in directories of their names.",
                cluster.nodes.len()
            )),
        },
    }
}
