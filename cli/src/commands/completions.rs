//! `simdb completions`, and what its scripts ask while somebody types.

use std::collections::BTreeSet;

use clap::CommandFactory;
use clap_complete::Shell;
use simdb_state::object::State;

use crate::args::complete::{self, Named, Offer};
use crate::args::{Arguments, Complete, Completions};
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{Project, block_on};
use crate::ui::Ui;

/// The scripts of shells that ask simdb: it knows addresses, clusters, nodes and outputs. Where it offers nothing, files are offered.
const BASH: &str = include_str!("completions/simdb.bash");
const ZSH: &str = include_str!("completions/simdb.zsh");
const FISH: &str = include_str!("completions/simdb.fish");

/// Writes a completion script. Those of other shells know commands and options alone.
pub(super) fn run(arguments: &Completions, ui: &Ui) -> Exit {
    let mut script = Vec::new();
    match arguments.shell {
        Shell::Bash => script.extend(BASH.as_bytes()),
        Shell::Zsh => script.extend(ZSH.as_bytes()),
        Shell::Fish => script.extend(FISH.as_bytes()),
        shell => clap_complete::generate(shell, &mut Arguments::command(), "simdb", &mut script),
    }
    ui.answer(&String::from_utf8_lossy(&script));
    Exit::Done
}

/// Writes what the last of some words can be, a line each. What cannot be looked up is not offered: nobody who types wants to read
/// why.
pub(super) fn complete(arguments: &Complete, ui: &Ui) -> Exit {
    let offer = complete::offer(&Arguments::command(), &arguments.words);
    let mut words: BTreeSet<String> = offer.words.iter().cloned().collect();
    if let Some(named) = offer.named {
        let known = names(named, &offer).unwrap_or_default();
        words.extend(known.into_iter().filter(|name| name.starts_with(&offer.begun)));
    }
    ui.answer(&words.into_iter().map(|word| word + "\n").collect::<Vec<_>>().concat());
    Exit::Done
}

/// Returns the names of all that is on record of a kind.
fn names(named: Named, offer: &Offer) -> Result<Vec<String>, CliError> {
    let project = Project::in_working_directory()?;
    if named == Named::Workspace {
        return Ok(project.workspaces()?.iter().map(ToString::to_string).collect());
    }
    let mut found = Vec::new();
    block_on(async {
        if let Some(store) = project.store().await? {
            found = match named {
                Named::Run => store.runs().await?.into_iter().map(|run| run.id.0).collect(),
                _ => recorded(named, offer, &store.snapshot().await?.state),
            };
        }
        Ok(Exit::Done)
    })?;
    Ok(found)
}

fn recorded(named: Named, offer: &Offer, state: &State) -> Vec<String> {
    let clusters = || state.clusters.keys().map(ToString::to_string);
    let nodes = || state.nodes.keys().map(|node| format!("{}.{}", node.cluster, node.node));
    // A command that names its cluster means the nodes of that.
    let cluster = offer
        .given
        .first()
        .map(|given| given.strip_prefix("cluster.").unwrap_or(given));
    let of_cluster = cluster.filter(|given| clusters().any(|cluster| cluster == **given));
    match named {
        Named::Address => state.addresses().iter().map(ToString::to_string).collect(),
        Named::Cluster => clusters().collect(),
        Named::Node => match of_cluster {
            Some(cluster) => {
                let own = state.nodes.keys().filter(|node| node.cluster.as_str() == cluster);
                own.map(|node| node.node.to_string()).collect()
            }
            None => nodes().collect(),
        },
        Named::Target => clusters().chain(nodes()).collect(),
        Named::Endpoint => {
            let own = state.endpoints.keys();
            let own = own.filter(|endpoint| of_cluster.is_none_or(|cluster| endpoint.cluster.as_str() == cluster));
            own.map(|endpoint| endpoint.endpoint.to_string()).collect()
        }
        Named::Output => state.outputs.keys().cloned().collect(),
        Named::Workspace | Named::Run => Vec::new(),
    }
}
