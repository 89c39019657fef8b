//! `simdb drift`: does what runs still match what the last apply left? It takes no lock and writes nothing.

use std::sync::Arc;

use simdb_planner::config::Config;
use simdb_state::store::Store;

use crate::args::{Drift, Format};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ops::{self, look};
use crate::session::{self, Project, block_on};
use crate::target;
use crate::ui::Ui;
use crate::views::doc::DriftDoc;
use crate::views::human;
use crate::views::human::diagnostic;
use crate::views::human::layout::Layout;
use crate::views::json::document;
use crate::views::{github, markdown};

/// Shows what differs from the record, whatever is declared by now.
pub(super) fn run(arguments: &Drift, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    block_on(async {
        let project = Project::open()?;
        let Some(store) = project.store().await? else {
            return Err(CliError::refused(
                "No state",
                "Nothing is recorded, so nothing can drift. Make a cluster first: simdb apply",
            ));
        };
        let drift = look(&project, &store, arguments, ui).await?;
        match arguments.output {
            _ if arguments.json => ui.answer(&document(&drift)),
            Format::Json => ui.answer(&document(&drift)),
            Format::Markdown => ui.answer(&markdown::drift(&drift)),
            Format::Github => ui.answer(&github::drift(&drift)),
            Format::Human => {
                let layout = Layout {
                    width: ui.terminal.width,
                    expand: arguments.folding.expand,
                };
                ui.answer(&human::drift::render(&drift, layout));
                ui.tell(&diagnostic::render_all(&drift.diagnostics, ui.terminal.width));
            }
        }
        Ok(match () {
            // Whatever else there is: what could not be compared may differ, too.
            () if !drift.complete => Exit::Failed,
            () if drift.drifted => Exit::Difference,
            () => Exit::Done,
        })
    })
}

async fn look(project: &Project, store: &Store, arguments: &Drift, ui: &Ui) -> Result<DriftDoc, CliError> {
    let snapshot = store.snapshot().await?;
    let cluster = arguments.cluster.as_ref();
    let cluster = cluster.map(|name| target::cluster(&snapshot.state, name)).transpose()?;
    let secrets = store.secrets().await?;
    let local = project.local_settings(&arguments.variables.0, snapshot.settings.clone(), ui);
    let local = local.ok_or_else(|| {
        CliError::refused(
            "Where data lives is not known",
            "The configuration cannot be read, and this record does not say it yet. To see what is wrong: simdb validate",
        )
    })?;
    // One that cannot be read has been told, and ignores nothing.
    let declared = project.load(&arguments.variables.0);
    let ignored = declared
        .map(|(config, _)| config.desired.drift_patterns())
        .unwrap_or_default();
    let config = Config::recorded(&snapshot.state, local);
    let platforms = session::platforms(&snapshot.state, &config.desired);
    let world = project.world(Some(store.lineage()), &config.desired.local, platforms);
    let observed = ops::refresh(&world, &config.desired, &snapshot.state, &secrets).await;
    let (mut drift, differing) = look::drift(project, &snapshot.state, config.desired.local.clone(), &observed);
    drift.last_run = store.runs().await?.into_iter().next();
    let drift = match cluster {
        Some(cluster) => drift.of_cluster(&cluster),
        None => drift,
    };
    Ok(drift.without_ignored(&ignored, &differing))
}
