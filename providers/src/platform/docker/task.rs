//! Runs tasks and questions to their end, each in a container that goes with it.
//!
//! A task has one name a node, so the daemon lets no second one in. It goes on when simdb is killed: who comes next waits for it,
//! or ends it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use simdb_state::instance::{TaskSpec, TrialSpec};
use simdb_state::sensitive::Secrets;
use tokio::time::timeout;

use super::build::{self, Data, Image};
use super::daemon::{Daemon, Written};
use super::explain;
use super::images::{Images, Wanted};
use super::names::{DIRECTORY, Kind, Names};
use super::notes::{self, FORMAT, Notes, PRODUCTS, Products};
use super::script::{self, Ended};
use super::site::{Found, NOTES, STAGED, Site};
use super::{Hold, process};
use crate::platform::requests::{At, refused};
use crate::platform::{Failure, PlatformError, text};

/// How long a task that an earlier simdb left behind may take to its end, before it is ended.
const ORPHAN_LIMIT: Duration = Duration::from_secs(10);

/// How long a trial may take. A plan waits for it.
const TRIAL_LIMIT: Duration = Duration::from_secs(15);

/// How many lines of what a command wrote an error carries.
const ERROR_LINES: usize = 20;

/// Runs a task to its end, and returns what it printed.
pub(super) async fn run(
    hold: &Hold,
    image: &Image,
    task: &TaskSpec,
    secrets: &Secrets,
) -> Result<String, PlatformError> {
    let site = &hold.site;
    if task.outside.is_some() {
        let message = "data that was made without simdb cannot become a container's with this version".to_owned();
        return Err(refused("run a task in", &site.own.base, message));
    }
    settle(hold).await?;
    let done = match &task.product {
        Some(product) => site.stat(&site.own.home, product).await?.is_some(),
        None => false,
    };
    if done && task.replaces.is_empty() {
        return Ok(String::new());
    }
    if !done && let Some(pid) = occupant(site).await? {
        return Err(PlatformError::InUse {
            node: site.own.node.clone(),
            task: task.name.clone(),
            pid,
        });
    }
    prepare(hold, image, task, secrets).await?;
    hold.check().await?;
    let body = build::task(&site.names, Data::Home(&site.own), image, &script::task(task, STAGED));
    let written = site
        .daemon
        .run(&site.own.task, body)
        .await
        .at("run container", &site.own.task)?;
    outcome(site, task, written)
}

/// Notes what the task makes, and puts its files where its script finds them.
async fn prepare(hold: &Hold, image: &Image, task: &TaskSpec, secrets: &Secrets) -> Result<(), PlatformError> {
    let site = &hold.site;
    let mut files = Vec::new();
    if let Some(product) = &task.product {
        let noted = Notes::read(site, &site.own.home).await?.products();
        let mut products = noted.map_err(|reason| refused("look into volume", &site.own.base, reason))?;
        if products.insert(product.clone()) {
            let format = FORMAT;
            files.push((
                format!("{NOTES}/{PRODUCTS}"),
                notes::text(&Products { format, products }),
            ));
        }
    }
    for (number, (name, content)) in task.files.iter().enumerate() {
        let content = text::render(&site.own.node, DIRECTORY, (name, content), secrets)?;
        files.push((format!("{STAGED}/{number}"), content.expose().clone().into_bytes()));
    }
    if files.is_empty() {
        return Ok(());
    }
    hold.check().await?;
    site.write(image.owner, &files).await
}

/// Returns the number of a process that uses the volume, where a server runs on it.
async fn occupant(site: &Site) -> Result<Option<u32>, PlatformError> {
    for container in site.containers().await? {
        if !container.is_server() {
            continue;
        }
        let process = process::process(&site.daemon, &container.id).await;
        let process = process.at("look at container", &container.name)?;
        // One that is about to be started again has no process at this moment.
        return Ok(Some(process.pid().unwrap_or_default()));
    }
    Ok(None)
}

impl Found {
    /// Returns whether it is a server that runs on the volume, whoever made it.
    pub(super) fn is_server(&self) -> bool {
        self.runs && !matches!(self.kind, Some(Kind::Home | Kind::Task))
    }
}

/// Waits for the task that an earlier simdb left behind, or ends it. Nothing of it goes on afterwards.
pub(super) async fn settle(hold: &Hold) -> Result<(), PlatformError> {
    let site = &hold.site;
    let containers = site.containers().await?;
    let Some(task) = containers.iter().find(|container| container.name == site.own.task) else {
        return Ok(());
    };
    if task.runs {
        // What it makes may be worth waiting for, and is no longer half made when it is ended here.
        site.daemon
            .wait(&task.id, "not-running", ORPHAN_LIMIT)
            .await
            .at("wait for container", &task.name)?;
    }
    hold.check().await?;
    site.daemon.remove(&task.id).await
}

/// Asks what changes nothing. Where somebody removed the container that shows the volume, the volume is read where it is.
pub(super) async fn ask(site: &Site, images: &Images, task: &TaskSpec) -> Result<String, PlatformError> {
    let name = unique(&format!("{}.ask", site.own.base));
    let script = script::question(task);
    let body = if let (false, Some(command)) = (site.has_home().await?, task.commands.first()) {
        let wanted = Wanted {
            command,
            name: None,
            fetched: false,
        };
        let image = images.image(&site.daemon, wanted, None).await?;
        let place = site.path_of("").await?;
        build::task(&site.names, Data::Place(&site.own, &place), &image, &script)
    } else {
        let image = images.of_home(site).await?;
        build::task(&site.names, Data::Home(&site.own), &image, &script)
    };
    let written = site.daemon.run(&name, body).await.at("run container", &name)?;
    outcome(site, task, written)
}

/// Returns a name that no other container has.
pub(super) fn unique(start: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{start}.{}.{}.{count}", std::process::id(), super::site::now())
}

/// Returns what a task printed that succeeded.
fn outcome(site: &Site, task: &TaskSpec, mut written: Written) -> Result<String, PlatformError> {
    let ended = script::ended(&mut written.errors);
    let node = site.own.node.clone();
    let failed = |program: &str, status: String| PlatformError::TaskFailed {
        node: Box::new(node.clone()),
        task: task.name.clone(),
        program: program.to_owned(),
        status,
        stderr: explained(&written.errors),
    };
    match ended {
        Ended::Done => Ok(written.output),
        Ended::Failed(number, status) => {
            let command = number.and_then(|number| task.commands.get(number));
            let program = command.map_or("/bin/sh", |command| &command.program);
            Err(failed(program, format!("exit status: {status}")))
        }
        Ended::CutOff => Err(failed(
            "/bin/sh",
            "a signal, or without the tools that it needs".to_owned(),
        )),
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
    }
}

/// Returns the end of what a task wrote, with what to do about it where that is known.
fn explained(text: &str) -> String {
    let told = last_lines(text);
    let lines: Vec<String> = told.lines().map(str::to_owned).collect();
    let way_out = explain::said(&lines, None).into_iter();
    std::iter::once(told).chain(way_out).collect::<Vec<_>>().join("\n")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(ERROR_LINES)..].join("\n")
}

/// Runs commands in a directory of a container that goes with it.
pub(super) async fn try_out(
    daemon: &Daemon,
    names: &Names,
    image: &Image,
    trial: &TrialSpec,
) -> Result<Option<Failure>, PlatformError> {
    let name = unique("simdb-trial");
    let body = build::task(names, Data::None, image, &script::trial(trial));
    let Ok(written) = timeout(TRIAL_LIMIT, daemon.run(&name, body)).await else {
        return Err(PlatformError::Slow {
            program: trial
                .commands
                .first()
                .map(|command| command.program.clone())
                .unwrap_or_default(),
            limit: TRIAL_LIMIT,
        });
    };
    let mut written = written.at("run container", &name)?;
    match script::ended(&mut written.errors) {
        Ended::Done => Ok(None),
        Ended::Failed(Some(number), _) if number < trial.commands.len() => Ok(Some(Failure {
            program: trial.commands[number].program.clone(),
            said: written.errors,
        })),
        _ => Err(refused("run container", &name, last_lines(&written.errors))),
    }
}
