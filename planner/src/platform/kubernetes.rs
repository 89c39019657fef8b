//! Pods of a Kubernetes cluster: what the planner must know of them.

use ipnet::Ipv4Net;
use simdb_state::object::Resources;

use crate::desired::resources;

pub(super) const NAME: &str = "kubernetes";

pub(super) const ARGUMENTS: &[&str] = &[
    "kubeconfig",
    "context",
    "namespace",
    "image",
    "pooler_image",
    "pull",
    "pull_secret",
    "user",
    "storage",
    "storage_class",
    "node_selector",
    "tolerations",
    "spread",
    "priority_class",
    "memory",
    "cpus",
];

/// What stands for the major version in the name of an image.
const VERSION: &str = "{version}";

/// The longest name of a server: a `StatefulSet` adds 11 characters to its own for the label of a revision, and a label holds 63.
pub(super) const LONGEST_NAME: usize = 52;

/// The longest label and the longest name of a label or namespace.
const LONGEST_LABEL: usize = 63;

/// The size of the volume of a server of which nobody says anything else.
const STORAGE: u64 = 10 << 30;

/// Returns what a server gets of which nobody says anything else.
pub(super) const fn usual_resources() -> Resources {
    Resources {
        memory: None,
        cpus: None,
        storage: Some(STORAGE),
    }
}

pub(super) fn this_cluster_only() -> String {
    "its servers are pods, which other clusters do not reach. Declare a cluster with all its nodes on one of them."
        .to_owned()
}

pub(super) fn check_subnet(subnet: Ipv4Net) -> Result<(), String> {
    Err(format!(
        "Pods get their addresses from their cluster, so a network has none of its own, and {subnet} cannot be given. Leave \"subnet\" out."
    ))
}

pub(super) fn check_argument(name: &str, value: &str) -> Result<(), String> {
    match name {
        "kubeconfig" | "context" if value.is_empty() => Err(format!(
            "\"{name}\" must not be empty. Leave it out for the one that kubectl uses."
        )),
        "namespace" | "storage_class" | "pull_secret" | "priority_class" if !is_object_name(value) => Err(format!(
            "\"{name}\" is the name of an object: at most {LONGEST_LABEL} lower-case letters, digits and hyphens, and no hyphen at either \
             end; {value:?} is not."
        )),
        "pull" if !["missing", "always", "never"].contains(&value) => Err(format!(
            "\"pull\" says when images are fetched from their registry: \"missing\", \"always\" or \"never\"; {value:?} is none of them."
        )),
        "user" if value.parse().map_or(true, |user: u32| user == 0) => Err(format!(
            "\"user\" is the number of the user that servers run as, which is not root, as in \"999\"; {value:?} is not."
        )),
        "storage" => resources::storage(value).map(drop),
        "spread" if !["preferred", "required", "none"].contains(&value) => Err(format!(
            "\"spread\" says whether the servers of a cluster run on machines of their own: \"preferred\" where there are enough, \
             \"required\", or \"none\"; {value:?} is none of them."
        )),
        "node_selector" => pairs(value, false),
        "tolerations" => pairs(value, true),
        "memory" => resources::memory(value).map(drop),
        "cpus" => resources::cpus(value).map(drop),
        "image" if !value.contains(VERSION) => Err(format!(
            "\"image\" is the name of an image in which {VERSION} stands for the major version, as in \"db:{VERSION}\"; \
             {value:?} has none."
        )),
        _ => Ok(()),
    }
}

/// Checks pairs such as `disk=ssd,zone=a`. A taint may have no value, and has an effect.
fn pairs(value: &str, tolerations: bool) -> Result<(), String> {
    let is_label = |text: &str| {
        let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'/');
        !text.is_empty() && text.bytes().all(inner)
    };
    let is_pair = |pair: &str| {
        let (pair, effect) = match pair.split_once(':') {
            Some((pair, effect)) => (pair, Some(effect)),
            None => (pair, None),
        };
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        let has_effect = match effect {
            Some(effect) => tolerations && effects.contains(&effect),
            None => true,
        };
        let named = match pair.split_once('=') {
            Some((key, value)) => is_label(key) && is_label(value),
            None => tolerations && is_label(pair),
        };
        has_effect && named
    };
    if value.split(',').all(|pair| is_pair(pair.trim())) {
        return Ok(());
    }
    Err(if tolerations {
        format!(
            "\"tolerations\" are the taints of machines that pods bear, as in \"dedicated=db:NoSchedule\", with commas in between; {value:?} \
             is none."
        )
    } else {
        format!(
            "\"node_selector\" is the labels of the machines that pods run on, as in \"disk=ssd,zone=a\"; {value:?} is not."
        )
    })
}

fn is_object_name(text: &str) -> bool {
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=LONGEST_LABEL).contains(&text.len())
        && text.bytes().all(letters)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_what_the_api_takes() {
        let fine = [
            ("namespace", "simdb-test"),
            ("storage", "10GB"),
            ("user", "70"),
            ("spread", "required"),
            ("node_selector", "disk=ssd, topology.kubernetes.io/zone=a"),
            ("tolerations", "dedicated=db:NoSchedule,spot"),
            ("image", "registry:5000/db:{version}"),
            ("pull", "never"),
        ];
        for (name, value) in fine {
            assert_eq!(check_argument(name, value), Ok(()), "{name} = {value}");
        }
        let wrong = [
            ("namespace", "Simdb"),
            ("namespace", "-a"),
            ("storage", "10"),
            ("storage", "much"),
            ("user", "0"),
            ("user", "postgres"),
            ("spread", "yes"),
            ("node_selector", "disk"),
            ("node_selector", "disk=ssd:NoSchedule"),
            ("tolerations", "dedicated=db:Never"),
            ("image", "postgres:15"),
            ("pull", "often"),
            ("kubeconfig", ""),
        ];
        for (name, value) in wrong {
            let told = check_argument(name, value).expect_err(value);
            assert!(told.starts_with(&format!("\"{name}\"")), "{told}");
        }
    }
}
