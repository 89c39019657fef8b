//! `simdb graph`: who waits for whom in a plan; where nothing changes, who depends on whom in what is recorded.

use std::sync::Arc;

use super::plan;
use crate::args::{Graph, GraphType, Selection, Viewing};
use crate::error::CliError;
use crate::exit::Exit;
use crate::request::Request;
use crate::session::block_on;
use crate::ui::Ui;
use crate::views::doc::GraphDoc;
use crate::views::graph;
use crate::views::operation::View;

/// Writes the graph.
pub(super) fn run(arguments: &Graph, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let view = View::of_plan(ui, false, Viewing::default());
    block_on(async {
        let made = plan::make(
            plan::operation(arguments.destroy),
            &Request::Configuration(&Selection::default()),
            &arguments.facts,
            plan::Record::Found,
            &view,
        )
        .await?;
        let document = &made.planned.document;
        view.diagnostics(&document.diagnostics);
        if document.is_broken() {
            return Ok(Exit::Failed);
        }
        let graph = if document.steps.is_empty() {
            GraphDoc::of_record(&made.recorded)
        } else {
            GraphDoc::of_steps(document)
        };
        ui.answer(&match arguments.kind {
            GraphType::Dot => graph::dot(&graph),
            GraphType::Mermaid => graph::mermaid(&graph),
        });
        Ok(Exit::Done)
    })
}
