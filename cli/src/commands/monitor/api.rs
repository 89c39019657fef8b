//! The API of `simdb monitor`, and its hooks: where it listens, what it is protected by, what it serves, and who is told of events.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use simdb_planner::config::Hook;
use simdb_state::store::Store;
use tokio::task::JoinSet;

use crate::error::CliError;
use crate::monitor::api::{self, Bound, Files, Served, Sources};
use crate::monitor::{Deliveries, Monitor};
use crate::session::Project;
use crate::ui::Ui;
use crate::views::human::diagnostic;

/// Begins to listen, where that is wanted.
pub(super) async fn bind(project: &Project, listen: Option<SocketAddr>) -> Result<Option<Bound>, CliError> {
    let Some(listen) = listen else { return Ok(None) };
    let (declared, _) = project.monitor();
    let files = Files::of(&project.directory, declared.token_file.as_ref(), declared.tls.as_ref());
    api::bind(listen, files).await.map(Some)
}

/// Tells hooks of events until it is dropped.
pub(super) struct Notified {
    _tasks: JoinSet<()>,
    deliveries: Deliveries,
}

/// Begins to tell hooks of events.
pub(super) fn notify(hooks: &[Hook], directory: &Path, monitor: &Monitor) -> Notified {
    let (tasks, deliveries) = monitor.notify(hooks, directory);
    Notified {
        _tasks: tasks,
        deliveries,
    }
}

/// Serves what a monitor sees.
pub(super) fn serve(
    bound: Option<Bound>,
    monitor: &Monitor,
    notified: &Notified,
    store: Store,
    ui: &Ui,
) -> Option<Served> {
    let bound = bound?;
    ui.tell(&format!("The API is at {}\n", bound.url()));
    Some(bound.serve(Sources {
        board: monitor.board(),
        orders: monitor.orders(),
        deliveries: notified.deliveries.clone(),
        store,
    }))
}

/// Reads the token and the certificate anew.
pub(super) fn reload(served: Option<&Served>, ui: &Arc<Ui>) {
    match served.map(Served::reload) {
        None => {}
        Some(Ok(())) => ui.tell("The token and the certificate of the API were read anew.\n"),
        Some(Err(error)) => {
            ui.tell("The token and the certificate of the API stay as they were.\n");
            ui.tell(&diagnostic::render_all(&error.into_documents(), ui.terminal.width));
        }
    }
}
