//! Looks at a node: what runs in its pod, and what is on its volume.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Pod;
use simdb_planner::observed::{FileFacts, Halt, Observation, ProcessFacts};
use simdb_state::object::{Image, Resources};
use simdb_state::place::Bind;

use super::explain;
use super::look::{self, Looked};
use super::looks::Looks;
use super::names::CONTAINER;
use super::quantity;
use super::script::Ended;
use super::site::{Found, Site, asked_for};
use crate::platform::{InstanceFacts, PlatformError};

/// Looks at a node. One whose pod cannot be asked is unknown, with the reason: whether its server runs is not known then.
pub(super) async fn inspect(site: &Site, looks: &Looks) -> Result<Observation<InstanceFacts>, PlatformError> {
    let found = site.find_among(looks).await?;
    if found.is_absent() {
        return Ok(Observation::Absent);
    }
    let pod = match ready(site, &found) {
        Ok(pod) => pod,
        Err(reason) => return Ok(Observation::Unknown(reason)),
    };
    let ran = site.run(&look::script(), None).await;
    let (written, ended) = match ran {
        Ok(ran) => ran,
        // What is removed while it is looked at is gone, or about to be: there are many words for that.
        Err(PlatformError::Io { doing, path, source }) => {
            return Ok(match site.find().await? {
                found if found.is_absent() => Observation::Absent,
                _ => Observation::Unknown(format!("failed to {doing} {}: {source}", path.display())),
            });
        }
        Err(error) => return Err(error),
    };
    if ended != Ended::Done {
        return Ok(Observation::Unknown(format!(
            "its volume could not be looked at: {}",
            written.errors.trim()
        )));
    }
    let storage = found.volume.as_ref().and_then(asked_for);
    Ok(Observation::Seen(facts(Looked::read(&written.output), pod, storage)))
}

/// Returns the pod of a node that can be asked, or why there is none.
fn ready<'a>(site: &Site, found: &'a Found) -> Result<&'a Pod, String> {
    let own = &site.own;
    if found.is_leaving() {
        return Err(format!(
            "its volume, PersistentVolumeClaim {}, is being removed: it goes with its data when its pod ends. Lead with another node, \
             and copy the data of a standby anew with simdb resync",
            own.base
        ));
    }
    match (&found.volume, &found.set, &found.pod) {
        (None, ..) => Err(format!("its volume, PersistentVolumeClaim {}, is gone", own.base)),
        (_, None, None) => Err(format!(
            "its StatefulSet {} is gone, and its data is still there: restore it, or copy the data of a standby anew with simdb resync",
            own.base
        )),
        (_, Some(_), None) if found.is_off() => Err(format!(
            "its StatefulSet {} is scaled to 0: kubectl scale statefulset {} --replicas=1 lets it run again",
            own.base, own.base
        )),
        (_, _, None) => Err(format!("pod {} is not there", own.pod)),
        (_, _, Some(pod)) => match explain::waits(pod) {
            None => Ok(pod),
            Some(waits) => Err(format!("pod {} does not run: {}", own.pod, waits.why)),
        },
    }
}

fn facts(looked: Looked, pod: &Pod, storage: Option<u64>) -> InstanceFacts {
    let process = match (looked.process, looked.stranger) {
        (Some((pid, 'T')), _) => ProcessFacts::Frozen { pid, by: Halt::Signal },
        (Some((pid, _)), _) if !looked.is_to_run => ProcessFacts::Stopping { pid },
        (Some((pid, _)), _) => ProcessFacts::Running { pid },
        // The first process of its container ends what a server left behind before it starts one.
        (None, Some(pid)) if !looked.is_to_run => ProcessFacts::Foreign { pid },
        (None, _) => ProcessFacts::Down,
    };
    let listen = looked.listen.and_then(|listen| listen.parse::<SocketAddr>().ok());
    let files = looked.files.into_iter();
    let files: BTreeMap<String, FileFacts> = files
        .map(|(name, digest, edited)| (name, FileFacts { digest, edited }))
        .collect();
    InstanceFacts {
        process,
        listen: listen.map(|at| Bind {
            host: at.ip(),
            port: at.port(),
        }),
        published: None,
        image: image(pod),
        resources: Some(Resources {
            storage,
            ..resources(pod)
        }),
        directories: looked.directories,
        outside: BTreeMap::new(),
        files,
    }
}

/// Returns the image that a pod was made from.
pub(super) fn image(pod: &Pod) -> Option<Image> {
    let containers = &pod.spec.as_ref()?.containers;
    let container = containers.iter().find(|container| container.name == CONTAINER)?;
    container.image.as_deref().map(Image::from)
}

/// Returns how much of its machine a pod may take.
pub(super) fn resources(pod: &Pod) -> Resources {
    let limits = || {
        let containers = &pod.spec.as_ref()?.containers;
        let container = containers.iter().find(|container| container.name == CONTAINER)?;
        container.resources.as_ref()?.limits.as_ref()
    };
    let limits = limits();
    let limit = |name: &str| limits.and_then(|limits| limits.get(name));
    Resources {
        memory: limit("memory").and_then(quantity::bytes),
        cpus: limit("cpu").and_then(|cpus| match cpus.0.strip_suffix('m') {
            Some(thousandths) => thousandths.parse().ok(),
            None => cpus.0.parse::<u32>().ok()?.checked_mul(1000),
        }),
        storage: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        let limits = json!({ "limits": { "memory": "512Mi", "cpu": "2" } });
        let container = json!({ "name": "server", "image": "db:15", "resources": limits });
        serde_json::from_value(json!({ "spec": { "containers": [container] } })).unwrap()
    }

    #[test]
    fn what_a_pod_may_take_is_read_as_the_api_server_writes_it() {
        let resources = resources(&pod());
        assert_eq!((resources.memory, resources.cpus), (Some(512 << 20), Some(2000)));
        assert_eq!(image(&pod()).unwrap().to_string(), "db:15");
    }

    #[test]
    fn the_process_of_a_node_is_what_its_volume_says_it_should_be_or_differs() {
        let process = |printed: &str| facts(Looked::read(printed), &pod(), None).process;
        assert_eq!(process("intent run\nprocess 7 S\n"), ProcessFacts::Running { pid: 7 });
        assert_eq!(
            process("intent stopped\nprocess 7 S\n"),
            ProcessFacts::Stopping { pid: 7 }
        );
        let frozen = ProcessFacts::Frozen {
            pid: 7,
            by: Halt::Signal,
        };
        assert_eq!(process("intent run\nprocess 7 T\n"), frozen);
        assert_eq!(process("intent run\nstranger 9\n"), ProcessFacts::Down);
        assert_eq!(
            process("intent stopped\nstranger 9\n"),
            ProcessFacts::Foreign { pid: 9 }
        );
        assert_eq!(process("intent stopped\n"), ProcessFacts::Down);
    }
}
