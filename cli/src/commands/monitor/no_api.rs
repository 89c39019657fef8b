//! What stands for the API and for hooks in a simdb that was built without them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use simdb_planner::config::Hook;
use simdb_state::store::Store;

use crate::error::CliError;
use crate::monitor::Monitor;
use crate::session::Project;
use crate::ui::Ui;

/// Refuses to listen, and to tell hooks.
pub(super) async fn bind(project: &Project, listen: Option<SocketAddr>) -> Result<(), CliError> {
    if listen.is_none() && project.monitor().0.hooks.is_empty() {
        return Ok(());
    }
    let detail = "This simdb was built without the feature \"monitor-api\". Leave \"listen\" and \"notify\" out, or build it with that.";
    Err(CliError::refused("No API", detail))
}

/// Tells no hook.
pub(super) fn notify(_: &[Hook], _: &Path, _: &Monitor) {}

/// Serves nothing.
pub(super) fn serve((): (), _: &Monitor, (): &(), _: Store, _: &Ui) -> Option<()> {
    None
}

/// Reads nothing anew.
pub(super) fn reload(_: Option<&()>, _: &Arc<Ui>) {}
