//! Who leads. The only place that decides it.

use simdb_state::object::{Election, ElectionReason, Term};

use super::cluster::Draft;
use crate::diagnostic::Diagnostic;

impl Draft<'_> {
    /// Returns the last election, or the first one. Nothing here moves a role yet: a plan that would need it says so.
    pub(super) fn election(&self) -> Result<Election, Diagnostic> {
        let Some(last) = self.before.elections.get(self.name) else {
            return Ok(Election {
                term: Term(1),
                primary: self.spec.primary.clone().unwrap_or_else(|| self.spec.first.clone()),
                pin: self.spec.primary.clone(),
                reason: ElectionReason::Birth,
            });
        };
        let refuse = |detail: String, span| Err(Diagnostic::error("Primary cannot be moved", detail).at(span));
        if !self.spec.nodes.contains_key(&last.primary) {
            let detail = format!(
                "Node {} leads cluster {}, so it cannot be removed. Moving the primary to another node is not supported \
                 by this version; declare the node again.",
                last.primary, self.name
            );
            return refuse(detail, self.spec.spans.cluster.clone());
        }
        match &self.spec.primary {
            Some(pin) if *pin != last.primary && last.pin.as_ref() != Some(pin) => {
                let detail = format!(
                    "Node {} leads cluster {}. Moving the primary to {pin} is not supported by this version; set \
                     primary = \"{}\".",
                    last.primary, self.name, last.primary
                );
                refuse(
                    detail,
                    self.spec
                        .spans
                        .primary
                        .clone()
                        .unwrap_or_else(|| self.spec.spans.cluster.clone()),
                )
            }
            _ => Ok(last.clone()),
        }
    }
}
