//! `moved` blocks: what is declared at another address than before, and is the same.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::expr::Expression;
use hcl_edit::structure::Block;
use simdb_language::reference::Names;
use simdb_state::address::{Address, module_prefix};
use simdb_state::relocation::Move;

use crate::desired::Desired;
use crate::diagnostic::{Diagnostic, Span};

use super::imports::text;
use super::read::Reader;

/// Reads the blocks, and returns the moves in the order in which they are made: clusters and networks before what clusters have,
/// and of moves in a row the last one first, so that each leads to where its object is declared.
pub(super) fn read(
    blocks: &[(&Block, Reader<'_>)],
    desired: &Desired,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Move> {
    let declared = desired.addresses();
    let mut moves: BTreeMap<Address, (Address, Span)> = BTreeMap::new();
    for (block, reader) in blocks {
        let (Some(from), Some(to)) = (reader.attribute("from"), reader.attribute("to")) else {
            continue;
        };
        let before = diagnostics.len();
        let mut text = |expression| text(expression, |key: &Expression| reader.evaluate(key, names, diagnostics));
        let (from, to) = (text(&from.value), text(&to.value));
        if diagnostics.len() > before {
            continue;
        }
        let span = reader.header(block);
        let said = said(from.as_deref(), to.as_deref(), &declared).and_then(|said| {
            let twice = said.iter().find(|moved| moves.contains_key(&moved.from));
            match twice {
                Some(Move { from, .. }) => Err(format!("{from} moves by two blocks. Remove one of them.")),
                None => Ok(said),
            }
        });
        match said {
            Ok(said) => moves.extend(said.into_iter().map(|moved| (moved.from, (moved.to, span.clone())))),
            Err(detail) => diagnostics.push(reader.error(span, "Invalid move", detail)),
        }
    }
    match in_order(&moves) {
        Ok(moves) => moves,
        Err((span, detail)) => {
            diagnostics.push(Diagnostic::error("Invalid move", detail).at(span).within("moved"));
            Vec::new()
        }
    }
}

/// Returns the moves that a block says, or what is wrong with it. For a module these are the moves of all that it declares.
fn said(from: Option<&str>, to: Option<&str>, declared: &BTreeSet<Address>) -> Result<Vec<Move>, String> {
    let shape = || {
        "\"from\" and \"to\" are addresses, without quotes: of a cluster, node, endpoint, seed or network, as in cluster.NAME.node.NAME, or \
         of a module."
            .to_owned()
    };
    let (from, to) = from.zip(to).ok_or_else(shape)?;
    if let (Some(from), Some(to)) = (module_prefix(from), module_prefix(to)) {
        let moved = |to_address: &Address| {
            let rest = to_address.name().strip_prefix(&to)?.to_owned();
            let from = match to_address {
                Address::Cluster(_) => Address::Cluster(format!("{from}{rest}").parse().ok()?),
                Address::Network(_) => Address::Network(format!("{from}{rest}").parse().ok()?),
                _ => return None,
            };
            let to = to_address.clone();
            (!declared.contains(&from)).then_some(Move { from, to })
        };
        return Ok(declared.iter().filter_map(moved).collect());
    }
    let moved = Move {
        from: from.parse().map_err(|_| shape())?,
        to: to.parse().map_err(|_| shape())?,
    };
    check(&moved, declared)?;
    Ok(vec![moved])
}

/// Checks whether an object may move, while others are declared; else says why it may not.
pub fn check(moved: &Move, declared: &BTreeSet<Address>) -> Result<(), String> {
    let Move { from, to } = moved;
    if from.kind() != to.kind() {
        return Err(format!(
            "{from} is a {}, and {to} a {}: an object stays what it is.",
            from.kind(),
            to.kind()
        ));
    }
    if let Address::User(_) | Address::Database(_) = from {
        return Err(format!(
            "A {kind} is called in its server as in its address, and simdb does not rename it there. Declare {to} beside {from}, \
             hand over what it has, and then remove {from}.",
            kind = from.kind()
        ));
    }
    if declared.contains(from) {
        return Err(format!("{from} is declared still. Remove its block, or this one."));
    }
    let inner = !matches!(from, Address::Cluster(_) | Address::Network(_));
    if inner && from.cluster() != to.cluster() {
        return Err(format!(
            "{from} cannot move to another cluster. Where the cluster itself moves, say that with a block of its own, and name the \
             {} in both addresses by the new one.",
            from.kind()
        ));
    }
    Ok(())
}

/// Brings moves into the order in which they are made; or returns one that leads back to where it began.
fn in_order(all: &BTreeMap<Address, (Address, Span)>) -> Result<Vec<Move>, (Span, String)> {
    let mut ordered = Vec::new();
    for (from, (first, span)) in all {
        let (mut to, mut length) = (first, 0);
        while let Some((next, _)) = all.get(to) {
            (to, length) = (next, length + 1);
            if to == from || length > all.len() {
                let detail = format!("{from} moves to {first}, and by other blocks back again. Remove one of them.");
                return Err((span.clone(), detail));
            }
        }
        let is_inner = !matches!(from, Address::Cluster(_) | Address::Network(_));
        let moved = Move {
            from: from.clone(),
            to: to.clone(),
        };
        ordered.push((is_inner, length, moved));
    }
    ordered.sort_by(|(a_inner, a_length, a), (b_inner, b_length, b)| {
        (a_inner, a_length, &a.from).cmp(&(b_inner, b_length, &b.from))
    });
    Ok(ordered.into_iter().map(|(.., moved)| moved).collect())
}
