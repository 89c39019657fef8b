//! `removed` blocks: what simdb manages no more, and leaves where it is.

use std::collections::BTreeMap;

use hcl_edit::structure::Block;
use simdb_language::reference::Names;
use simdb_state::address::Address;

use crate::desired::Desired;
use crate::diagnostic::{Diagnostic, Span};

use super::imports::address;
use super::read::Reader;

/// Reads the blocks: what is forgotten, each with the place of its block. What is destroyed after all is not among it.
pub(super) fn read(
    blocks: &[(&Block, Reader<'_>)],
    desired: &Desired,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<Address, Span> {
    let declared = desired.addresses();
    let mut forgotten = BTreeMap::new();
    for (_, reader) in blocks {
        let Some(from) = reader.attribute("from") else {
            continue;
        };
        let span = reader.span(&from.value);
        let destroys = destroys(*reader, names, diagnostics);
        let found = address(&from.value, |key| reader.evaluate(key, names, diagnostics));
        match found {
            None => {
                let detail =
                    "\"from\" is the address of a user, a database or a seed, without quotes: cluster.NAME.user.NAME.";
                diagnostics.push(reader.error(span, "Invalid removed object", detail));
            }
            Some(address) if declared.contains(&address) => {
                let detail = format!("{address} is declared still. Remove its block, or this one.");
                diagnostics.push(reader.error(span, "Removed object is declared", detail));
            }
            Some(_) if destroys => {}
            Some(address @ (Address::User(_) | Address::Database(_) | Address::Seed(_))) => {
                forgotten.insert(address, span);
            }
            Some(address) => {
                let detail = format!(
                    "{address} runs under the care of simdb: forgotten, it would be removed as a leftover. Only users, databases and \
                     seeds can be forgotten. To destroy it, remove this block, too."
                );
                diagnostics.push(reader.error(span, "Object cannot be forgotten", detail));
            }
        }
    }
    forgotten
}

/// Returns whether the object is destroyed, as it is where nothing else is said.
fn destroys(reader: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let blocks = reader.blocks("lifecycle");
    let said = blocks.filter_map(|(_, lifecycle)| lifecycle.flag("destroy", names, diagnostics));
    said.last().unwrap_or(true)
}
