//! `plan -generate-config-out FILE`: declares the clusters that `import` blocks name and that nothing declares, as they are seen.

use std::collections::BTreeMap;
use std::path::Path;

use simdb_planner::config::{self, generated};
use simdb_planner::observed::{ImportFacts, Observation};
use simdb_providers::observe;
use simdb_state::address::NodeAddress;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::State;
use simdb_state::sensitive::Secrets;

use crate::args::VariableArgument;
use crate::error::CliError;
use crate::session::{self, Project};
use crate::{file, ui::Ui};

/// The nodes of clusters with what was seen of them.
type Seen = BTreeMap<ClusterName, BTreeMap<NodeName, ImportFacts>>;

/// Writes the file, from which on it is part of the configuration. It must be new.
pub(super) async fn write(path: &Path, variables: &[VariableArgument], ui: &Ui) -> Result<(), CliError> {
    let project = Project::open()?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !config::is_configuration(name) {
        let detail = format!("{name:?} would be no part of the configuration. Give it a name that ends in .simdb.hcl.");
        return Err(refused(detail));
    }
    if path != Path::new(name) {
        let detail = format!(
            "{} would be no part of the configuration. Name a file of its directory.",
            path.display()
        );
        return Err(refused(detail));
    }
    if path.exists() {
        let detail = format!(
            "{} is there already, and stays as it is. Give the file another name.",
            path.display()
        );
        return Err(refused(detail));
    }
    let undeclared = generated::undeclared(&project.source);
    if undeclared.is_empty() {
        return Err(refused(
            "No import block names a node, or all nodes by name, of a cluster that is not declared.",
        ));
    }
    let project = project.with_file(name, &generated::skeleton(&undeclared));
    let clusters = look(&project, variables).await?;
    let texts = undeclared
        .keys()
        .filter_map(|name| Some(generated::declaration(name, clusters.get(name)?)));
    let text = texts.collect::<Vec<_>>().join("\n");
    let text = config::format(name, &text).unwrap_or(text);
    file::replace(path, &text)?;
    ui.tell(&format!(
        "Wrote {}: what was seen of the servers that are imported. Review it before you apply.\n\n",
        path.display()
    ));
    Ok(())
}

fn refused(detail: impl Into<String>) -> CliError {
    CliError::refused("Configuration cannot be generated", detail)
}

/// Looks at the servers that are imported. Every one must be seen.
async fn look(project: &Project, variables: &[VariableArgument]) -> Result<Seen, CliError> {
    let (config, _) = project.load(variables)?;
    let store = project.store().await?;
    let (recorded, secrets) = match &store {
        Some(store) => (store.snapshot().await?.state, store.secrets().await?),
        None => (State::default(), Secrets::new()),
    };
    let desired = &config.desired;
    let world = project.world(
        store.as_ref().map(simdb_state::store::Store::lineage),
        &desired.local,
        session::platforms(&recorded, desired),
    );
    let wanted: BTreeMap<NodeAddress, String> = desired
        .imports
        .iter()
        .map(|(node, import)| (node.clone(), import.id.clone()))
        .collect();
    let platforms = world.facts().await;
    let mut seen = Seen::new();
    for (node, facts) in observe::imports(&world, &wanted, &platforms, &recorded, &secrets).await {
        let id = &wanted[&node];
        match facts {
            Observation::Seen(facts) if facts.server.is_none() => {
                return Err(refused(format!("{node} at {id:?}: its server is down. Start it.")));
            }
            Observation::Seen(facts) => drop(seen.entry(node.cluster).or_default().insert(node.node, facts)),
            Observation::Absent => return Err(refused(format!("{node}: there is nothing of the id {id:?}."))),
            Observation::Unknown(reason) => return Err(refused(format!("{node} at {id:?}: {reason}."))),
        }
    }
    Ok(seen)
}
