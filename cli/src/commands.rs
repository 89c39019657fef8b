//! The commands, one file each.

mod apply;
mod completions;
mod console;
mod docs;
mod drift;
mod env;
mod events;
mod fmt;
mod force_unlock;
mod gc;
mod graph;
mod init;
mod logs;
mod metadata;
mod monitor;
mod output;
mod plan;
mod ps;
mod psql;
mod runs;
mod show;
mod state;
mod status;
mod validate;
mod verify;
mod version;
mod workspace;

use std::path::Path;
use std::sync::Arc;

use simdb_planner::config;

use crate::args::{Arguments, ClusterCommand, Command, Create, ReplicationCommand, Selection};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::Ui;
use crate::views::doc::Operation;
use crate::views::human::diagnostic;
use crate::views::json;

/// Runs a command, and says why it failed if it does.
pub(crate) fn run(arguments: Arguments, ui: &Arc<Ui>) -> Exit {
    let Arguments { global, command } = arguments;
    let result = enter(global.chdir.as_deref()).and_then(|()| dispatch(command, ui));
    result.unwrap_or_else(|error| {
        let exit = error.exit();
        let documents = error.into_documents();
        match global.json {
            Some(shape) => json::failure(ui, shape, &documents),
            None => ui.tell(&diagnostic::render_all(&documents, ui.terminal.width)),
        }
        exit
    })
}

fn enter(directory: Option<&Path>) -> Result<(), CliError> {
    let Some(path) = directory else { return Ok(()) };
    std::env::set_current_dir(path).map_err(|source| CliError::Directory {
        path: path.to_owned(),
        source,
    })
}

fn dispatch(command: Command, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    match command {
        Command::Init(arguments) => init::run(&arguments, ui),
        Command::Validate(arguments) => Ok(validate::run(&arguments, ui)),
        Command::Fmt(arguments) => fmt::run(&arguments, ui),
        Command::Console(arguments) => console::run(&arguments, ui),
        Command::Metadata(command) => Ok(metadata::run(&command, ui)),
        Command::Docs(arguments) => docs::run(&arguments, ui),
        Command::Plan(arguments) => plan::run(&arguments, ui),
        Command::Apply(arguments) => match &arguments.file {
            Some(file) => apply::saved(file, &arguments, ui),
            None if arguments.refresh_only => {
                apply::run(Operation::Refresh, &arguments.selection, &arguments.apply, ui)
            }
            None if arguments.destroy => apply::run(Operation::Destroy, &arguments.selection, &arguments.apply, ui),
            None => apply::run(Operation::Apply, &arguments.selection, &arguments.apply, ui),
        },
        Command::Destroy(arguments) => apply::run(Operation::Destroy, &arguments.selection, &arguments.apply, ui),
        Command::Stop(arguments) => apply::power(Operation::Stop, &arguments, ui),
        Command::Start(arguments) => apply::power(Operation::Start, &arguments, ui),
        Command::Switchover(arguments) => apply::switchover(&arguments, ui),
        Command::Failover(arguments) => apply::failover(&arguments, ui),
        Command::Resync(arguments) => apply::resync(&arguments, ui),
        Command::Import(arguments) => apply::import(&arguments, ui),
        Command::Show(arguments) => show::run(&arguments, ui),
        Command::Output(arguments) => output::run(&arguments, ui),
        Command::Status(arguments) => status::run(&arguments, ui),
        Command::Monitor(arguments) => monitor::run(&arguments, ui),
        Command::Pause(arguments) => monitor::pause(&arguments, ui),
        Command::Unpause(arguments) => monitor::unpause(&arguments, ui),
        Command::Drift(arguments) => drift::run(&arguments, ui),
        Command::Verify(arguments) => verify::run(&arguments, ui),
        Command::Events(arguments) => events::run(&arguments, ui),
        Command::Ps(arguments) => ps::run(&arguments, ui),
        Command::Gc(arguments) => gc::run(&arguments, ui),
        Command::Runs(command) => runs::run(&command, ui),
        Command::Env(arguments) => env::run(&arguments, ui),
        Command::Create(arguments) => create(&arguments, ui),
        Command::Cluster(command) => cluster(command, ui),
        Command::Replication(command) => match command {
            ReplicationCommand::Status(arguments) => status::run(&arguments, ui),
            ReplicationCommand::Failover(arguments) => apply::failover(&arguments, ui),
            ReplicationCommand::Promote(arguments) => apply::switchover(&arguments.into(), ui),
            ReplicationCommand::Resync(arguments) => apply::resync(&arguments, ui),
        },
        Command::Graph(arguments) => graph::run(&arguments, ui),
        Command::State(command) => state::run(&command, ui),
        Command::Workspace(command) => workspace::run(&command, ui),
        Command::Logs(arguments) => logs::run(&arguments, ui),
        Command::Psql(arguments) => psql::run(&arguments, ui),
        Command::ForceUnlock(arguments) => force_unlock::run(&arguments, ui),
        Command::Version(arguments) => Ok(version::run(&arguments, ui)),
        Command::Completions(arguments) => Ok(completions::run(&arguments, ui)),
        Command::Complete(arguments) => Ok(completions::complete(&arguments, ui)),
    }
}

/// Makes what a configuration declares, wherever that is.
fn create(arguments: &Create, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let config = arguments.config.as_deref();
    config.map_or(Ok(()), check_name)?;
    enter(config.map(configuration_directory))?;
    apply::run(Operation::Apply, &Selection::default(), &arguments.apply, ui)
}

/// Runs a command under its other spelling.
fn cluster(command: ClusterCommand, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    match command {
        ClusterCommand::Create(arguments) => create(&arguments, ui),
        ClusterCommand::Start(arguments) => dispatch(Command::Start(arguments), ui),
        ClusterCommand::Stop(arguments) => dispatch(Command::Stop(arguments), ui),
        ClusterCommand::Status(arguments) => dispatch(Command::Status(arguments), ui),
        ClusterCommand::Switchover(arguments) => dispatch(Command::Switchover(arguments), ui),
        ClusterCommand::Failover(arguments) => dispatch(Command::Failover(arguments), ui),
        ClusterCommand::Destroy(arguments) => dispatch(Command::Destroy(arguments), ui),
    }
}

/// Refuses a file that no other command would take for a configuration.
fn check_name(path: &Path) -> Result<(), CliError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !path.is_file() || config::is_configuration(name) {
        return Ok(());
    }
    let detail = format!(
        "{} is not called as configurations are, so that other commands would not find it: cluster.toml, *.simdb.toml, \
         *.simdb.hcl or *.simdb.json. Rename it.",
        path.display()
    );
    Err(CliError::refused("Not the name of a configuration", detail))
}

/// Returns the directory that a path of a configuration means: a configuration is all files of a directory.
fn configuration_directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if path.is_file() => {
            if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            }
        }
        _ => path,
    }
}
