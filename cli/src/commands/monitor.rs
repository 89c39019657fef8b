//! `simdb monitor`, `simdb monitor pause` and `simdb monitor unpause`.

#[cfg(feature = "monitor-api")]
mod api;
#[cfg(not(feature = "monitor-api"))]
#[path = "monitor/no_api.rs"]
mod api;

use std::sync::Arc;

use jiff::Timestamp;
use simdb_state::claim::Pause;
use simdb_state::lock::Owner;
use simdb_state::name::ClusterName;
use simdb_state::store::Store;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Monitor, MonitorCommand, MonitorPause, MonitorRun, MonitorUnpause};
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt;
use crate::monitor::{self, Settings};
use crate::session::{Project, block_on};
use crate::target;
use crate::ui::Ui;

pub(super) fn run(arguments: &Monitor, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    match &arguments.command {
        None => watch(&arguments.run, ui),
        Some(MonitorCommand::Pause(arguments)) => pause(arguments, ui),
        Some(MonitorCommand::Unpause(arguments)) => unpause(arguments, ui),
    }
}

/// Watches clusters until it is interrupted.
fn watch(arguments: &MonitorRun, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    block_on(async {
        let interrupt = interrupt::watch(ui)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(CliError::Signals)?;
        let project = Project::open()?;
        let store = recorded(&project).await?;
        let (declared, lease) = project.monitor();
        let settings = Settings {
            lease,
            json: arguments.json,
        };
        let listen = arguments.listen.or(declared.listen);
        let bound = api::bind(&project, listen).await?;
        let (hooks, directory) = (declared.hooks.clone(), project.directory.clone());
        let monitor = monitor::Monitor::open(project, store.clone(), &settings, ui, &interrupt).await?;
        let board = monitor.board();
        let notified = api::notify(&hooks, &directory, &monitor);
        let served = api::serve(bound, &monitor, &notified, store, ui);
        let reload = async {
            while hangup.recv().await.is_some() {
                api::reload(served.as_ref(), ui);
            }
        };
        tokio::select! {
            () = monitor.run() => {
                ui.tell(&format!("The monitor ended after {} rounds.\n", board.round().number));
                Ok(Exit::Done)
            }
            () = interrupt.stop.cancelled() => Err(CliError::Stopped),
            () = reload => Err(CliError::Interrupted),
        }
    })
}

/// Opens the record, which must be there: there is nothing to watch without one.
async fn recorded(project: &Project) -> Result<Store, CliError> {
    project.store().await?.ok_or_else(|| {
        let detail = "Nothing was applied here yet, so there is no cluster to watch. Run: simdb apply";
        CliError::refused("No state", detail)
    })
}

/// Returns the record and the cluster that is meant.
async fn named(given: &str) -> Result<(Store, ClusterName), CliError> {
    let store = recorded(&Project::open()?).await?;
    let cluster = target::cluster(&store.snapshot().await?.state, given)?;
    Ok((store, cluster))
}

/// Lets monitors do nothing with a cluster by themselves.
pub(super) fn pause(arguments: &MonitorPause, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let (store, cluster) = named(&arguments.cluster).await?;
        let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let now = Timestamp::now().as_second();
        let until = arguments.duration.map(|duration| now.saturating_add(seconds(duration)));
        let who = Owner::this_process("pause", std::time::Duration::ZERO).who;
        let pause = Pause::new(who, until, arguments.reason.clone());
        store.set_pause(&cluster, Some(&pause)).await?;
        let until = pause.until.and_then(|until| Timestamp::from_second(until).ok());
        let until = until.map_or_else(|| "until it is unpaused".to_owned(), |until| format!("until {until}"));
        ui.tell(&format!(
            "Monitors do nothing with cluster {cluster} by themselves {until}. To let them act again: simdb monitor unpause {cluster}\n"
        ));
        Ok(Exit::Done)
    })
}

/// Lets monitors act again.
pub(super) fn unpause(arguments: &MonitorUnpause, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let (store, cluster) = named(&arguments.cluster).await?;
        let before = store.set_pause(&cluster, None).await?;
        ui.tell(&match before {
            Some(pause) => format!(
                "Monitors act on cluster {cluster} again. It was paused by {} since {}.\n",
                pause.who, pause.since
            ),
            None => format!("Cluster {cluster} was not paused.\n"),
        });
        Ok(Exit::Done)
    })
}
