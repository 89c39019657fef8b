//! `simdb ps`: the servers of all projects, those included whose state is lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use simdb_providers::platform::World;
use simdb_state::object::State;

use crate::args::Ps;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::workspace::Workspace;
use crate::session::{Project, block_on, platforms};
use crate::ui::Ui;
use crate::views::doc::{HomeDoc, ProjectState, PsDoc, ServerDoc};
use crate::views::human;
use crate::views::json::document;

/// Shows the servers that simdb made here, of whatever project.
pub(super) fn run(arguments: &Ps, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let project = Project::open()?;
        let world = world(&project).await;
        let mut found = Projects::default();
        let mut ps = PsDoc::default();
        for (platform, provider) in &world.providers {
            let survey = match provider.survey().await {
                Ok(survey) => survey,
                Err(error) => {
                    ps.unseen
                        .push(format!("Platform \"{platform}\" cannot be searched: {error}"));
                    continue;
                }
            };
            ps.unseen.extend(survey.unseen);
            for server in survey.servers {
                let (lineage, noted) = (server.lineage.as_deref(), server.project.as_deref());
                let home = found.home(lineage, noted, &server.data, &project.directory).await;
                ps.servers.push(ServerDoc::new(platform, server, home));
            }
        }
        ui.answer(&if arguments.json {
            document(&ps)
        } else {
            human::ps::render(&ps, ui.terminal.width)
        });
        Ok(Exit::Done)
    })
}

/// Returns the platforms as this project uses them: as its record says, else its configuration. Neither has to make sense.
pub(super) async fn world(project: &Project) -> World {
    if let Ok(Some(store)) = project.store().await
        && let Ok(snapshot) = store.snapshot().await
    {
        return project.recorded_world(store.lineage(), &snapshot);
    }
    let desired = project.load(&[]).map(|(config, _)| config.desired).unwrap_or_default();
    project.world(None, &desired.local, platforms(&State::default(), &desired))
}

/// The projects that lineages belong to, as they are found.
#[derive(Default)]
pub(super) struct Projects(BTreeMap<String, Option<(PathBuf, Workspace)>>);

impl Projects {
    /// Returns the project of a lineage, and what is known of its state: the project that was noted, and where data is, say where to look.
    pub(super) async fn home(
        &mut self,
        lineage: Option<&str>,
        noted: Option<&Path>,
        data: &str,
        here: &Path,
    ) -> HomeDoc {
        let Some(lineage) = lineage else {
            return HomeDoc::default();
        };
        if !self.0.contains_key(lineage) {
            let found = search(lineage, noted, data, here).await;
            self.0.insert(lineage.to_owned(), found);
        }
        match (self.0.get(lineage).cloned().flatten(), noted) {
            (Some((directory, workspace)), _) => HomeDoc {
                project: Some(directory),
                workspace: Some(workspace.to_string()),
                state: ProjectState::Found,
            },
            (None, Some(noted)) => HomeDoc {
                project: Some(noted.to_owned()),
                workspace: None,
                state: ProjectState::Lost,
            },
            (None, None) => HomeDoc::default(),
        }
    }
}

/// Looks for the state of a lineage: here, where the server says its project is, and above its data.
async fn search(lineage: &str, noted: Option<&Path>, data: &str, here: &Path) -> Option<(PathBuf, Workspace)> {
    let above = Path::new(data).ancestors();
    let candidates = [here].into_iter().chain(noted).chain(above);
    for directory in candidates.filter(|directory| directory.is_dir()) {
        // What cannot be read is no state of this lineage as far as can be told.
        let Ok(project) = Project::at(directory.to_owned()) else {
            continue;
        };
        for workspace in project.workspaces().unwrap_or_default() {
            let project = project.in_workspace(workspace.clone());
            if !project.is_without_state()
                && let Ok(Some(store)) = project.store().await
                && store.lineage().0 == lineage
            {
                return Some((directory.to_owned(), workspace));
            }
        }
    }
    None
}
