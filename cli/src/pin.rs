//! Writes who leads into the configuration, where somebody asked for it.

use simdb_planner::config::{self, Config};
use simdb_state::name::{ClusterName, NodeName};

use crate::error::CliError;
use crate::file;
use crate::session::Project;

/// Sets `primary` of a cluster in the file that has it, and returns that file's name; `None` where the configuration
/// does not say who leads.
pub(crate) fn write(
    project: &Project,
    config: &Config,
    cluster: &ClusterName,
    leader: &NodeName,
) -> Result<Option<String>, CliError> {
    let spec = config.desired.clusters.get(cluster);
    let Some(span) = spec.and_then(|spec| spec.spans.primary.as_ref()) else {
        return Ok(None);
    };
    let path = project.directory.join(&span.file);
    let text = std::fs::read_to_string(&path).map_err(|source| CliError::Read {
        path: path.clone(),
        source,
    })?;
    let text = config::set_primary(&text, cluster, leader).map_err(|error| {
        let detail = format!(
            "{leader} leads cluster {cluster}, and {} was left as it is: {error}. Set primary = \"{leader}\" yourself.",
            span.file
        );
        CliError::refused("Configuration was not changed", detail)
    })?;
    file::replace(&path, &text)?;
    Ok(Some(span.file.clone()))
}
