//! Stops the server of a node, and removes the node.

use std::time::Duration;

use futures_util::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use simdb_state::object::Witness;

use super::Hold;
use super::client::Trouble;
use super::explain;
use super::fence;
use super::inspect;
use super::names::{CONTAINER, FENCED};
use super::script::{self, Ended, KILL_LIMIT};
use super::server::failed;
use super::site::{Found, Patience, Site, annotation, is_held};
use crate::platform::requests::At;
use crate::platform::{PlatformError, StopMode};

/// How long a server may take to stop in order.
const STOP_LIMIT: Duration = Duration::from_mins(2);

/// How long a server whose data is about to be removed may take to end in order.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// How much longer than its script the way to a pod may take.
const MARGIN: Duration = Duration::from_secs(30);

/// How many lines of the log an error carries.
const LOG_LINES: usize = 20;

/// How long a pod that is made anew may take until it can be asked.
const RETURN_LIMIT: Duration = Duration::from_secs(30);

/// Stops whatever uses the data, and returns how it is known that nothing does.
pub(super) async fn stop(hold: &Hold, mode: StopMode) -> Result<Witness, PlatformError> {
    let site = &hold.site;
    let found = site.find().await?;
    if mode == StopMode::Immediate && is_kept_off(&found) {
        // An earlier fence had its pod end, and was cut off before that was seen. The next pod starts no server, and tells what uses the
        // volume.
        hold.check().await?;
        site.power_on().await?;
    }
    if found.is_absent() {
        // What removed it is not known, and what is gone here may run on where it was.
        return fence::from_outside(hold, mode, "nothing of it is there".to_owned()).await;
    }
    let reason = match wait_usable(site).await? {
        Ok(()) => {
            let limit = match mode {
                StopMode::Fast => STOP_LIMIT,
                StopMode::Immediate => KILL_LIMIT,
            };
            match stop_within(hold, mode, limit).await {
                // What gave no answer may have been done, or not.
                Err(PlatformError::Unusable(reason)) => reason,
                stopped => return stopped.map(|()| Witness::ProcessesGone),
            }
        }
        Err(reason) => reason,
    };
    fence::from_outside(hold, mode, reason).await
}

/// Returns whether a set was scaled to none so that its pod ends, its next pod starts no server, and the end of the last one was not seen.
fn is_kept_off(found: &Found) -> bool {
    let set = found.set.as_ref().filter(|_| found.is_off() && found.pod.is_none());
    set.is_some_and(|set| is_held(set) && annotation(&set.metadata, FENCED).is_none())
}

/// Waits for a pod that is about to be there, or says why it is not.
async fn wait_usable(site: &Site) -> Result<Result<(), String>, PlatformError> {
    let patience = Patience::new(RETURN_LIMIT);
    loop {
        let found = site.find().await?;
        let (comes, reason) = match &found.pod {
            // A set that is scaled to none makes none.
            None => (!found.is_off(), "it has no pod".to_owned()),
            Some(pod) => match explain::waits(pod) {
                None => return Ok(Ok(())),
                Some(waits) => (
                    pod.metadata.deletion_timestamp.is_none() && !waits.is_hopeless,
                    format!("pod {} does not run: {}", site.own.pod, waits.why),
                ),
            },
        };
        if !(comes && patience.lasts().await) {
            return Ok(Err(reason));
        }
    }
}

async fn stop_within(hold: &Hold, mode: StopMode, limit: Duration) -> Result<(), PlatformError> {
    let site = &hold.site;
    hold.check().await?;
    let script = script::stop(hold.token(), mode, limit);
    let (written, ended) = site.run(&script, Some(limit + MARGIN)).await?;
    match ended {
        Ended::Done => Ok(()),
        Ended::Runs(pid) => Err(PlatformError::StillRunning {
            node: site.own.node.clone(),
            pids: vec![pid],
            limit,
            log: lines_of(site, LOG_LINES).await?.join("\n"),
        }),
        ended => Err(failed(hold, "stop the server of", ended, &written.errors)),
    }
}

/// Stops whatever uses the data, and removes everything of the node.
pub(super) async fn drop_all(hold: &Hold) -> Result<(), PlatformError> {
    let site = &hold.site;
    let found = site.find().await?;
    let runs = found.pod.as_ref().is_some_and(|pod| explain::waits(pod).is_none());
    if runs && let Err(error) = stop_within(hold, StopMode::Fast, DROP_LIMIT).await {
        if matches!(error, PlatformError::LockLost { .. } | PlatformError::OlderState { .. }) {
            return Err(error);
        }
        // What cannot be stopped by a command ends with its pod, which is waited for.
        let _ = stop_within(hold, StopMode::Immediate, KILL_LIMIT).await;
    }
    hold.check().await?;
    site.remove().await
}

/// Returns the last lines of a server's log, oldest first, and what to do about them where that is known.
pub(super) async fn log(site: &Site, lines: usize) -> Result<Vec<String>, PlatformError> {
    let mut log = lines_of(site, lines).await?;
    let pod = site
        .server
        .get::<Pod>(&site.own.pod)
        .await
        .at("look at pod", &site.own.pod)?;
    if let Some(pod) = pod {
        log.extend(explain::said(&log, inspect::resources(&pod).memory));
        if let Some(waits) = explain::waits(&pod) {
            log.push(format!("Pod {} does not run: {}.", site.own.pod, waits.why));
        }
    }
    Ok(log)
}

async fn lines_of(site: &Site, lines: usize) -> Result<Vec<String>, PlatformError> {
    let tail = i64::try_from(lines).ok().filter(|lines| *lines < i64::MAX);
    let options = LogParams {
        container: Some(CONTAINER.to_owned()),
        tail_lines: tail,
        ..LogParams::default()
    };
    let api = site.server.api::<Pod>();
    let text = match site.server.within(api.logs(&site.own.pod, &options).boxed()).await {
        Ok(text) => text,
        // One that is not there, or has not begun, has written nothing.
        Err(Trouble::Refused { status: 400 | 404, .. }) => String::new(),
        Err(trouble) => return Err(trouble.at("read the log of pod", &site.own.pod)),
    };
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::super::canned::{Objects, hold};
    use super::*;

    #[tokio::test]
    async fn a_node_of_which_nothing_is_there_is_not_proven_to_be_down() {
        for mode in [StopMode::Fast, StopMode::Immediate] {
            let (hold, changes) = hold(Objects::new()).await;
            let stopped = Box::pin(stop(&hold, mode)).await;
            assert!(matches!(stopped, Err(PlatformError::Unprovable { .. })), "{stopped:?}");
            assert_eq!(*changes.lock().unwrap(), Vec::<String>::new());
        }
    }
}
