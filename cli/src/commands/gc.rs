//! `simdb gc`: removes what is left of projects whose state is lost.

use std::sync::Arc;

use simdb_providers::platform::{Leftover, Provider};
use simdb_state::name::PlatformName;

use super::ps::{Projects, world};
use crate::approval;
use crate::args::Gc;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{Project, block_on};
use crate::ui::Ui;
use crate::views::doc::{GcDoc, HomeDoc, LeftProjectDoc, ProjectState};
use crate::views::human;
use crate::views::json::document;

/// How much of a lineage tells it from others.
const SHORTEST: usize = 8;

/// What is left of one project on one platform.
struct Left {
    platform: Arc<dyn Provider>,
    doc: LeftProjectDoc,
}

/// Shows what is left, asks, and removes it. What a state knows, or may know, is removed where it is named.
pub(super) fn run(arguments: &Gc, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let project = Project::open()?;
        let mut doc = GcDoc::default();
        let (chosen, others): (Vec<Left>, Vec<Left>) = found(&project, &mut doc)
            .await
            .into_iter()
            .partition(|left| is_chosen(arguments, &left.doc));
        if let Some(lineage) = arguments
            .lineages
            .iter()
            .find(|lineage| !chosen.iter().any(|left| is_named(lineage, &left.doc)))
        {
            let detail = format!(
                "Nothing here has lineage \"{lineage}\", of which at least {SHORTEST} letters are needed. To see what is here: simdb gc"
            );
            return Err(CliError::refused("No such lineage", detail));
        }
        doc.projects = chosen.iter().map(|left| left.doc.clone()).collect();
        doc.others = others.into_iter().map(|left| left.doc).collect();
        let text = human::gc::render(&doc, ui.terminal.width);
        let asks = !arguments.force && !arguments.json && !chosen.is_empty();
        if asks {
            ui.tell(&text);
            let question = "Do you want to remove these, with all data in them?";
            if !approval::confirm(ui, question, "There is no undo.")? {
                ui.tell("\nNothing was removed.\n");
                return Ok(Exit::Failed);
            }
        }
        if asks || arguments.force {
            for left in &chosen {
                let removed = left.platform.discard(&left.doc.lineage).await;
                removed.map_err(|source| CliError::refused("Leftovers not removed", source.to_string()))?;
            }
            doc.removed = true;
        }
        match (arguments.json, asks) {
            (true, _) => ui.answer(&document(&doc)),
            (false, true) => ui.tell("\nRemoved.\n"),
            (false, false) => ui.answer(&human::gc::render(&doc, ui.terminal.width)),
        }
        Ok(Exit::Done)
    })
}

/// Returns what is left of each project, on each platform.
async fn found(project: &Project, doc: &mut GcDoc) -> Vec<Left> {
    let mut projects = Projects::default();
    let mut all = Vec::new();
    for (name, provider) in &world(project).await.providers {
        let leftovers = match provider.leftovers().await {
            Ok(leftovers) => leftovers,
            Err(error) => {
                doc.unseen
                    .push(format!("Platform \"{name}\" cannot be searched: {error}"));
                continue;
            }
        };
        for leftover in leftovers {
            let home = projects
                .home(
                    Some(&leftover.lineage),
                    leftover.project.as_deref(),
                    &leftover.name,
                    &project.directory,
                )
                .await;
            add(&mut all, name, provider, leftover, home);
        }
    }
    all
}

fn add(all: &mut Vec<Left>, name: &PlatformName, provider: &Arc<dyn Provider>, leftover: Leftover, home: HomeDoc) {
    let known = |left: &&mut Left| left.doc.platform == *name && left.doc.lineage == leftover.lineage;
    if let Some(left) = all.iter_mut().find(known) {
        left.doc.objects.push(leftover.into());
        return;
    }
    all.push(Left {
        platform: Arc::clone(provider),
        doc: LeftProjectDoc {
            platform: name.clone(),
            home,
            lineage: leftover.lineage.clone(),
            objects: vec![leftover.into()],
        },
    });
}

/// Returns whether it goes: it was named, or nobody was named and its state is lost.
fn is_chosen(arguments: &Gc, left: &LeftProjectDoc) -> bool {
    match arguments.lineages.as_slice() {
        [] => left.home.state == ProjectState::Lost,
        lineages => lineages.iter().any(|lineage| is_named(lineage, left)),
    }
}

fn is_named(lineage: &str, left: &LeftProjectDoc) -> bool {
    lineage.len() >= SHORTEST && left.lineage.starts_with(lineage)
}
