//! Ctrl-C and SIGTERM: the first asks to finish what runs and start nothing more, the second stops at once. What only
//! looks ends with the first.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::CliError;
use crate::ui::Ui;

/// What somebody asked for by signals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    /// Finish what runs, start nothing more.
    pub(crate) finish: CancellationToken,
    /// Stop now, whatever runs.
    pub(crate) stop: CancellationToken,
}

/// Watches for signals from now on.
pub(crate) fn watch(ui: &Arc<Ui>) -> Result<Interrupt, CliError> {
    let (mut interrupt, mut terminate) = signals().map_err(CliError::Signals)?;
    let asked = Interrupt::default();
    let (ui, noticed) = (Arc::clone(ui), asked.clone());
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        ui.tell("\nInterrupted. Running steps are finished, no other is started; interrupt again to stop now.\n");
        noticed.finish.cancel();
        next(&mut interrupt, &mut terminate).await;
        ui.tell("\nInterrupted twice: stopped. The next plan looks at what was left.\n");
        noticed.stop.cancel();
    });
    Ok(asked)
}

/// Returns what ends when somebody interrupts: for commands that only look, and go on until then.
pub(crate) fn once() -> Result<impl Future<Output = ()>, CliError> {
    let (mut interrupt, mut terminate) = signals().map_err(CliError::Signals)?;
    Ok(async move { next(&mut interrupt, &mut terminate).await })
}

fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
