//! Proves that a server is down whose pod cannot be asked, or says that nothing proves it.
//!
//! ```text
//!   known                                                     proof
//!   the pod answers, and no process uses its data             yes (see the module `stop`)
//!   its machine is ready, and reports that the container      yes: the set was scaled to none, so that no other pod is made
//!     of this very pod has ended
//!   a fence that was cut off had the pod end, and the set     the next pod, which starts no server, is asked (see the module
//!     was scaled to none                                        `stop`)
//!   the pod is gone, and nothing of that was reported         no: it may have been removed by force while it runs on
//!   the machine does not report                               no: it may run and take writes
//! ```
//!
//! Nothing is ever removed by force here.

use std::fmt;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ContainerState, Node, Pod};
use kube::api::{Api, DeleteParams, Preconditions, WatchEvent, WatchParams};
use serde_json::json;
use simdb_state::object::Witness;
use tokio::time::timeout;

use super::Hold;
use super::client::Trouble;
use super::names::{FENCED, HOLD};
use super::site::{Patience, Site, annotation, container};
use crate::platform::requests::At;
use crate::platform::{PlatformError, StopMode};

/// How long a machine that is ready may take to end a pod.
const END_LIMIT: Duration = Duration::from_mins(1);

/// How long a machine that is ready may go without a sign of life: it gives one every 10 s.
const REPORT_LIMIT: Duration = Duration::from_secs(25);

/// The namespace in which machines give signs of life.
const LEASES: &str = "kube-node-lease";

/// How long a server may take to end in order before its machine kills it.
const GRACE: u32 = 30;

/// Ends a server through its machine, and returns how it is known that it ended.
pub(super) async fn from_outside(hold: &Hold, mode: StopMode, reason: String) -> Result<Witness, PlatformError> {
    let site = &hold.site;
    let unprovable = |why: String| PlatformError::Unprovable {
        node: site.own.node.clone(),
        reason: why,
    };
    if mode == StopMode::Fast {
        return Err(unprovable(reason));
    }
    let found = site.find().await?;
    let fenced = found.set.as_ref().and_then(|set| annotation(&set.metadata, FENCED));
    if found.is_absent() {
        return Err(unprovable(format!(
            "{reason}, and its pod may have been removed by force, so that its server runs on where it was. Look at the machine it was on"
        )));
    }
    let Some(pod) = found.pod else {
        // What was proven once stays so, as long as the set makes no other pod.
        if found.is_off() && fenced.is_some() {
            return Ok(Witness::PodGone);
        }
        return Err(unprovable(format!(
            "{reason}; a pod that is gone may have been removed by force, and its server may run on where it was. Look at the machine it \
             was on, or wait until its StatefulSet {} has made it anew",
            site.own.base
        )));
    };
    let machine = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let Some(machine) = machine else {
        return Err(unprovable(format!(
            "{reason}; it is on no machine, and where an earlier one of that name runs is not known"
        )));
    };
    is_ready(site, &machine)
        .await
        .map_err(|reason| unprovable(reason.to_string()))?;
    wait_for_report(site, &machine).await.map_err(&unprovable)?;
    scale_down(hold, &pod).await?;
    match timeout(END_LIMIT, watch_end(site, &pod)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => {
            return Err(unprovable(format!(
                "pod {} is gone, and machine {machine} did not report that its container had ended",
                site.own.pod
            )));
        }
        Ok(Err(trouble)) => return Err(unprovable(trouble.message().to_owned())),
        Err(_) => {
            return Err(unprovable(format!(
                "machine {machine} did not report within {} s that the container of pod {} has ended",
                END_LIMIT.as_secs(),
                site.own.pod
            )));
        }
    }
    is_ready(site, &machine)
        .await
        .map_err(|reason| unprovable(reason.to_string()))?;
    note(hold, &pod).await?;
    Ok(Witness::PodGone)
}

/// Why it is not known that a machine reports, as a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotReady {
    /// It could not be looked at.
    Unseen(String),
    /// It does not report, or is no longer one of the cluster.
    Lost(String),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReady::Unseen(reason) => f.write_str(reason),
            NotReady::Lost(reason) => write!(
                f,
                "{reason}, so its server may run there and take writes. Bring the machine back, or make sure that it is off"
            ),
        }
    }
}

/// Looks whether a machine reports.
pub(super) async fn is_ready(site: &Site, machine: &str) -> Result<(), NotReady> {
    let api: Api<Node> = Api::all(site.server.client.clone());
    let node = match site.server.within(api.get_opt(machine).boxed()).await {
        Ok(Some(node)) => node,
        Ok(None) => {
            return Err(NotReady::Lost(format!(
                "its machine {machine} is no longer a node of the cluster, which proves nothing"
            )));
        }
        Err(trouble) if trouble.is_forbidden() => {
            return Err(NotReady::Unseen(format!(
                "whether its machine {machine} reports cannot be seen without the right to get nodes: see simdb metadata rbac"
            )));
        }
        Err(trouble) => return Err(NotReady::Unseen(trouble.message().to_owned())),
    };
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    match ready.map(|condition| condition.status.as_str()) {
        Some("True") => Ok(()),
        _ => Err(NotReady::Lost(format!(
            "its machine {machine} does not report (NotReady)"
        ))),
    }
}

/// Waits for a sign of life of a machine: it counts as ready for a while after it was lost, and a server is not to be ended by one that
/// comes back later and that nobody watches. Who may not look at these signs goes without.
async fn wait_for_report(site: &Site, machine: &str) -> Result<(), String> {
    let api: Api<Lease> = Api::namespaced(site.server.client.clone(), LEASES);
    let mut first = None;
    let patience = Patience::new(REPORT_LIMIT);
    loop {
        let lease = match site.server.within(api.get_opt(machine).boxed()).await {
            Err(trouble) if trouble.is_forbidden() => return Ok(()),
            Err(trouble) => return Err(trouble.message().to_owned()),
            Ok(lease) => lease,
        };
        let renewed = lease.and_then(|lease| lease.spec?.renew_time);
        let Some(renewed) = renewed else { return Ok(()) };
        if *first.get_or_insert_with(|| renewed.clone()) != renewed {
            return Ok(());
        }
        if !patience.lasts().await {
            return Err(format!(
                "its machine {machine} has not reported for {} s, so its server may run there and take writes. Nothing was done to it. \
                 Bring the machine back, or make sure that it is off",
                REPORT_LIMIT.as_secs()
            ));
        }
    }
}

/// Lets the set make no other pod, and none that is made later start the server by itself; then has this very pod end.
pub(super) async fn scale_down(hold: &Hold, pod: &Pod) -> Result<(), PlatformError> {
    let site = &hold.site;
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    hold.check().await?;
    let patch = json!({
        "spec": { "replicas": 0, "template": { "metadata": { "annotations": { HOLD: uid } } } },
    });
    let scaled = site.server.merge::<StatefulSet>(&site.own.base, &patch).await;
    scaled.at("scale StatefulSet", &site.own.base)?;
    let options = DeleteParams {
        grace_period_seconds: Some(GRACE),
        preconditions: Some(Preconditions {
            uid: Some(uid),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match site.server.delete::<Pod>(&site.own.pod, &options).await {
        // Another one of that name is there, or it goes already.
        Err(trouble) if trouble.is_conflict() => Ok(()),
        deleted => deleted.at("remove pod", &site.own.pod),
    }
}

/// Watches a pod until it is gone. Returns whether its machine had reported that its container ended.
async fn watch_end(site: &Site, pod: &Pod) -> Result<bool, Trouble> {
    let api = site.server.api::<Pod>();
    let version = pod.metadata.resource_version.clone().unwrap_or_default();
    let options = WatchParams::default().fields(&format!("metadata.name={}", site.own.pod));
    let events = api
        .watch(&options, &version)
        .await
        .map_err(|error| site.server.trouble(error))?;
    let mut events = events.map_err(|error| site.server.trouble(error)).boxed();
    let mut has_ended = false;
    while let Some(event) = events.next().await {
        let (seen, is_gone) = match event? {
            WatchEvent::Added(seen) | WatchEvent::Modified(seen) => (seen, false),
            WatchEvent::Deleted(seen) => (seen, true),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => {
                return Err(Trouble::Refused {
                    status: status.code,
                    reason: status.reason.clone(),
                    message: status.message.clone(),
                });
            }
        };
        if seen.metadata.uid != pod.metadata.uid {
            continue;
        }
        has_ended |= has_ended_for_good(&seen);
        if has_ended || is_gone {
            return Ok(has_ended);
        }
    }
    Ok(has_ended)
}

/// What a machine says of a container that it did not see end: one that it knows nothing of, and one whose keeper it lost.
const UNSEEN: [&str; 2] = ["ContainerStatusUnknown", "Unknown"];

/// Returns whether a machine reports that the container of a pod ended, and the pod goes: that of one that stays is started again.
fn has_ended_for_good(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && container(pod).is_some_and(is_reported)
}

/// Returns whether a machine saw a container end.
fn is_reported(state: &ContainerState) -> bool {
    state.terminated.as_ref().is_some_and(|ended| {
        let is_known = ended.container_id.as_ref().is_some_and(|id| !id.is_empty());
        is_known && !ended.reason.as_deref().is_some_and(|reason| UNSEEN.contains(&reason))
    })
}

/// Notes what was proven: who asks again after a crash finds no pod.
async fn note(hold: &Hold, pod: &Pod) -> Result<(), PlatformError> {
    let site = &hold.site;
    hold.check().await?;
    let patch = json!({ "metadata": { "annotations": { FENCED: pod.metadata.uid } } });
    let noted = site.server.merge::<StatefulSet>(&site.own.base, &patch).await;
    noted.at("change StatefulSet", &site.own.base).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::names::CONTAINER;
    use super::*;

    #[test]
    fn the_end_of_a_container_counts_where_its_machine_saw_it() {
        let reported = |ended: serde_json::Value| {
            let state = serde_json::from_value(json!({ "terminated": ended })).unwrap();
            is_reported(&state)
        };
        assert!(reported(
            json!({ "exitCode": 0, "reason": "Completed", "containerID": "containerd://1" })
        ));
        let unknown = json!({ "exitCode": 137, "reason": "ContainerStatusUnknown", "containerID": "containerd://1" });
        assert!(!reported(unknown));
        let lost = json!({ "exitCode": 255, "reason": "Unknown", "containerID": "containerd://1" });
        assert!(!reported(lost), "no shim was found, as after a power failure");
        assert!(!reported(
            json!({ "exitCode": 0, "reason": "Completed", "containerID": "" })
        ));
        assert!(!reported(json!({ "exitCode": 0 })));
        assert!(!is_reported(&ContainerState::default()));
    }

    #[test]
    fn a_container_that_ended_counts_where_its_pod_goes() {
        let pod = |deleted: Option<&str>| -> Pod {
            let ended = json!({ "exitCode": 1, "reason": "Error", "containerID": "containerd://1" });
            serde_json::from_value(json!({
                "metadata": { "name": "orders-a-0", "deletionTimestamp": deleted },
                "status": { "containerStatuses": [{
                    "name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": { "terminated": ended },
                }] },
            }))
            .unwrap()
        };
        assert!(has_ended_for_good(&pod(Some("2026-01-01T00:00:00Z"))));
        assert!(!has_ended_for_good(&pod(None)), "its machine starts it again");
    }
}
