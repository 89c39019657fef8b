//! Runs tasks and questions to their end, each in the pod of its node.
//!
//! A task keeps the lock of its volume, and goes on when simdb is killed: who comes next waits for it, or ends it.

use std::time::Duration;

use simdb_state::instance::{TaskSpec, TrialSpec};
use simdb_state::object::Resources;
use simdb_state::sensitive::Secrets;

use super::Hold;
use super::explain;
use super::names::DIRECTORY;
use super::pod::Made;
use super::script::{self, Ended, File};
use super::server::failed;
use super::settings::Settings;
use super::site::{Found, Site};
use super::stop;
use crate::platform::requests::refused;
use crate::platform::{Failure, PlatformError, text};

/// How long a question may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(30);

/// How long a trial may take. A plan waits for it.
pub(super) const TRIAL_LIMIT: Duration = Duration::from_secs(15);

/// How many lines of what a command wrote an error carries.
const ERROR_LINES: usize = 20;

/// Runs a task to its end, and returns what it printed.
pub(super) async fn run(
    hold: &Hold,
    settings: &Settings,
    task: &TaskSpec,
    secrets: &Secrets,
) -> Result<String, PlatformError> {
    let site = &hold.site;
    if task.outside.is_some() {
        let message = "data that was made without simdb cannot become a pod's with this version".to_owned();
        return Err(refused("run a task in", &site.own.base, message));
    }
    let files: Result<Vec<File>, PlatformError> = task
        .files
        .iter()
        .map(|(name, content)| {
            let rendered = text::render(&site.own.node, DIRECTORY, (name, content), secrets)?;
            Ok(File {
                name: name.clone(),
                text: content.digest(),
                content: rendered.expose().clone(),
            })
        })
        .collect();
    let files = files?;
    Box::pin(begin(hold, settings, task)).await?;
    hold.check().await?;
    let ran = site.run(&script::task(hold.token(), task, &files), None).await;
    let (written, ended) = ran?;
    match ended {
        Ended::Busy | Ended::Newer(_) => Err(failed(hold, "run a task on the volume of", ended, &written.errors)),
        ended => outcome(site, task, ended, written.output, &written.errors),
    }
}

/// Waits until the pod of a node runs. The first task of a node makes what its pod needs.
async fn begin(hold: &Hold, settings: &Settings, task: &TaskSpec) -> Result<(), PlatformError> {
    let site = &hold.site;
    let mut found = site.find().await?;
    if found.is_leaving() && makes_all(task) {
        // The data goes with the volume when its pod ends, and the product of the task would go with it.
        Box::pin(stop::drop_all(hold)).await?;
        found = Found::default();
    }
    if found.is_off() {
        hold.check().await?;
        site.power_on().await?;
    }
    let is_there = found.volume.is_some() && found.set.is_some();
    match task.commands.first() {
        Some(command) if !is_there => {
            let image = settings.image_of(command, None)?;
            let resources = Resources {
                storage: task.storage,
                ..Resources::default()
            };
            let mut made = Made::of(command, image, resources, None);
            // The volume may say that a server is to run, and a task works where none does.
            made.hold = found.volume.as_ref().map(|_| hold.token().0.to_string());
            hold.check().await?;
            Box::pin(site.claim(settings, &made)).await.map(drop)
        }
        _ => site.wait_started().await.map(drop),
    }
}

/// Returns whether a task uses nothing of what the volume holds.
fn makes_all(task: &TaskSpec) -> bool {
    task.product.is_some() && task.origin.is_none()
}

/// Waits for the task that an earlier simdb left behind, or ends it. Nothing of it goes on afterwards.
pub(super) async fn settle(hold: &Hold) -> Result<(), PlatformError> {
    let (written, ended) = hold.site.run(&script::settle(hold.token()), None).await?;
    match ended {
        Ended::Done => Ok(()),
        ended => Err(failed(hold, "look into the volume of", ended, &written.errors)),
    }
}

/// Asks what changes nothing.
pub(super) async fn ask(site: &Site, task: &TaskSpec) -> Result<String, PlatformError> {
    if let Err(reason) = site.usable().await? {
        return Err(refused("ask", &site.own.base, reason));
    }
    let (written, ended) = site.run(&script::question(task), Some(QUESTION_LIMIT)).await?;
    outcome(site, task, ended, written.output, &written.errors)
}

/// Returns what a task printed that succeeded.
fn outcome(site: &Site, task: &TaskSpec, ended: Ended, output: String, errors: &str) -> Result<String, PlatformError> {
    let node = site.own.node.clone();
    let failed = |program: &str, status: String| PlatformError::TaskFailed {
        node: Box::new(node.clone()),
        task: task.name.clone(),
        program: program.to_owned(),
        status,
        stderr: explained(errors),
    };
    match ended {
        Ended::Done => Ok(output),
        Ended::Failed(number, status) => {
            let command = number.and_then(|number| task.commands.get(number));
            let program = command.map_or("sh", |command| &command.program);
            Err(failed(program, format!("exit status: {status}")))
        }
        Ended::Used(pid) => Err(PlatformError::InUse {
            node,
            task: task.name.clone(),
            pid,
        }),
        Ended::NoProduct => {
            let product = task.product.clone().unwrap_or_default();
            Err(PlatformError::ProductMissing {
                node,
                task: task.name.clone(),
                path: format!("{DIRECTORY}/{}", TaskSpec::partial(&product)).into(),
            })
        }
        Ended::NotPrinted => Err(PlatformError::NotPrinted {
            node,
            task: task.name.clone(),
            text: task.prints.clone().unwrap_or_default(),
        }),
        _ => Err(failed("sh", "a signal, or without the tools that it needs".to_owned())),
    }
}

/// Returns the end of what a task wrote, with what to do about it where that is known.
fn explained(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(str::to_owned).collect();
    let told = lines[lines.len().saturating_sub(ERROR_LINES)..].join("\n");
    let way_out = explain::said(&lines, None).into_iter();
    std::iter::once(told).chain(way_out).collect::<Vec<_>>().join("\n")
}

/// Runs commands in a directory of a pod that runs already.
pub(super) async fn try_out(site: &Site, trial: &TrialSpec) -> Result<Option<Failure>, PlatformError> {
    let ran = site.run(&script::trial(trial), Some(TRIAL_LIMIT)).await;
    let (written, ended) = ran?;
    match ended {
        Ended::Done => Ok(None),
        Ended::Failed(Some(number), _) if number < trial.commands.len() => Ok(Some(Failure {
            program: trial.commands[number].program.clone(),
            said: written.errors,
        })),
        _ => Err(refused(
            "try parameters in pod",
            &site.own.pod,
            explained(&written.errors),
        )),
    }
}
