//! What to do about what the API server, the scheduler and the kubelet say.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::names::CONTAINER;

/// What they say in part, and what to do then.
const WAYS_OUT: [(&str, &str); 12] = [
    (
        "exceeded quota",
        "the namespace has a ResourceQuota that leaves no room for it: raise that, or declare less \"storage\", \"memory\" or \"cpus\"",
    ),
    (
        "violates PodSecurity",
        "the namespace admits no such pods: see its labels pod-security.kubernetes.io/enforce; \"user\" must not be root's",
    ),
    (
        "ErrImageNeverPull",
        "its machine does not have the image, and pull = \"never\" keeps it from being fetched",
    ),
    (
        "ImagePull",
        "the image cannot be fetched: see \"image\" and \"pull_secret\" in provider \"kubernetes\"",
    ),
    ("InvalidImageName", "see \"image\" in provider \"kubernetes\""),
    (
        "didn't match pod anti-affinity",
        "every machine has a server of the cluster already: add machines, or set spread = \"preferred\" in provider \"kubernetes\"",
    ),
    (
        "Insufficient",
        "no machine has that much left: add machines, or declare less \"memory\" or \"cpus\"",
    ),
    (
        "unbound immediate PersistentVolumeClaims",
        "no volume is there for it: see \"storage_class\" and \"storage\" in provider \"kubernetes\", and kubectl describe pvc",
    ),
    (
        "didn't find available persistent volumes to bind",
        "no volume is there for it: see \"storage_class\" and \"storage\" in provider \"kubernetes\", and kubectl get pv",
    ),
    (
        "volume node affinity conflict",
        "its volume is on a machine on which it cannot run: see \"node_selector\", and kubectl get nodes",
    ),
    (
        "untolerated taint",
        "the machines have taints that it does not bear: see \"tolerations\" in provider \"kubernetes\", and kubectl get nodes",
    ),
    (
        "executable file not found",
        "the image lacks it: name one that has sh, flock and the programs of the engine on its PATH, as \"image\" in provider \"kubernetes\"",
    ),
];

/// Adds to what is said what to do about it, where that is known.
pub(super) fn explained(message: &str) -> String {
    let message = message.trim_end().trim_end_matches('.');
    match WAYS_OUT.iter().find(|(said, _)| message.contains(said)) {
        Some((_, way_out)) => format!("{message}; {way_out}"),
        None => message.to_owned(),
    }
}

/// What a machine says of an image that it will not get by itself.
const HOPELESS: [&str; 6] = [
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Why a pod runs nothing that could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    /// What keeps it, as a clause.
    pub(super) why: String,
    /// Whether waiting longer changes nothing.
    pub(super) is_hopeless: bool,
}

/// Returns what keeps the container of a pod from running; nothing where it runs.
pub(super) fn waits(pod: &Pod) -> Option<Waits> {
    let status = pod.status.as_ref();
    let container = status
        .and_then(|status| status.container_statuses.as_ref())
        .and_then(|all| all.iter().find(|status| status.name == CONTAINER));
    let is_leaving = pod.metadata.deletion_timestamp.is_some();
    if let Some(state) = container.and_then(|container| container.state.as_ref()) {
        if state.running.is_some() {
            return is_leaving.then(|| hopeful("it is being removed".to_owned()));
        }
        if let Some(waiting) = &state.waiting {
            let reason = waiting.reason.clone().unwrap_or_default();
            let message = waiting.message.as_ref().map(|message| format!(": {message}"));
            let why = format!("{reason}{}{}", message.unwrap_or_default(), last(container));
            return Some(Waits {
                why: explained(&why),
                is_hopeless: HOPELESS.contains(&reason.as_str()),
            });
        }
        if let Some(ended) = &state.terminated {
            return Some(hopeful(format!("its container ended with status {}", ended.exit_code)));
        }
    }
    if is_leaving {
        return Some(hopeful("it is being removed".to_owned()));
    }
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let unscheduled = conditions.into_iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.status == "False" && condition.message.is_some()
    });
    let why = match (unscheduled, status) {
        (Some(condition), _) => explained(condition.message.as_deref().unwrap_or_default()),
        (None, Some(status)) if status.reason.is_some() || status.message.is_some() => {
            let parts = [&status.reason, &status.message];
            let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
            explained(&parts.join(": "))
        }
        _ => "its machine has not started it yet".to_owned(),
    };
    Some(hopeful(why))
}

fn hopeful(why: String) -> Waits {
    Waits {
        why,
        is_hopeless: false,
    }
}

/// Says how the container ended last.
fn last(container: Option<&ContainerStatus>) -> String {
    let state = container.and_then(|container| container.last_state.as_ref());
    match state.and_then(|state| state.terminated.as_ref()) {
        Some(ended) => {
            let reason = ended.reason.as_deref().unwrap_or("Error");
            format!(" (it ended last with status {}, {reason})", ended.exit_code)
        }
        None => String::new(),
    }
}

/// Says what to do about what a server says in its log, where that has to do with its pod.
pub(super) fn said(log: &[String], memory: Option<u64>) -> Option<String> {
    let has = |text: &str| log.iter().any(|line| line.contains(text));
    if has("No space left on device") {
        return Some(
            "The volume is full. Declare more \"storage\" in provider \"kubernetes\", or make room. The server goes on by itself, or with: \
             simdb apply"
                .to_owned(),
        );
    }
    let memory = memory.filter(|_| has("was terminated by signal 9"))?;
    Some(format!(
        "A process of the server was killed, which is what happens where the container needs more memory than the {} MB that it may have: \
         give the node more (\"memory\"), or let its server use less (shared_buffers, work_mem, max_connections).",
        memory >> 20
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "orders-a-0" }, "status": status })).unwrap()
    }

    fn state(state: &Value) -> Pod {
        pod(&json!({ "containerStatuses": [{
            "name": "server", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state,
            "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
        }] }))
    }

    #[test]
    fn what_keeps_a_pod_is_told_with_a_way_out() {
        assert_eq!(waits(&state(&json!({ "running": {} }))), None);
        let pulls = waits(&state(
            &json!({ "waiting": { "reason": "ImagePullBackOff", "message": "not found" } }),
        ))
        .unwrap();
        assert!(pulls.is_hopeless);
        assert_eq!(
            pulls.why,
            "ImagePullBackOff: not found (it ended last with status 137, OOMKilled); the image cannot be fetched: see \"image\" and \
             \"pull_secret\" in provider \"kubernetes\""
        );
        let full = waits(&pod(&json!({ "phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/2 nodes are available: 2 Insufficient memory.",
        }] })));
        let full = full.unwrap();
        assert!(!full.is_hopeless && full.why.contains("declare less"), "{full:?}");
        assert_eq!(
            waits(&pod(&json!({}))).unwrap().why,
            "its machine has not started it yet"
        );
        let evicted = waits(&pod(
            &json!({ "phase": "Failed", "reason": "Evicted", "message": "disk pressure" }),
        ));
        assert_eq!(evicted.unwrap().why, "Evicted: disk pressure");
    }

    #[test]
    fn what_a_server_says_of_its_pod_is_told_with_a_way_out() {
        let log = |line: &str| vec![line.to_owned()];
        let killed = log("LOG:  server process (PID 41) was terminated by signal 9: Killed");
        assert!(said(&killed, Some(64 << 20)).unwrap().contains("than the 64 MB"));
        assert_eq!(said(&killed, None), None, "somebody killed it");
        let full = log("PANIC:  could not write to file: No space left on device");
        assert!(said(&full, None).unwrap().contains("\"storage\""));
    }
}
