//! Describes the pod of a server. Nothing is sent here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction, LocalObjectReference,
    ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodAffinityTerm, PodAntiAffinity, PodSecurityContext,
    PodSpec, Probe, ResourceRequirements, SeccompProfile, SecurityContext, Toleration, Volume, VolumeMount,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use simdb_state::address::InstanceAddress;
use simdb_state::instance::Command;
use simdb_state::object::Resources;

use super::names::{CLUSTER, CONTAINER, DIRECTORY, HOLD, InstanceNames, LINEAGE, Names, pairs};
use super::quantity;
use super::settings::{Settings, Spread};

/// What runs as the first process of every container.
const KEEPER: &str = include_str!("keeper.sh");

/// Asks whether the server answers, with what the volume has for that. It opens and shuts services alone: no server is killed for it.
const READY: &str = "[ -e /tmp/simdb/pid ] || exit 1; [ ! -e /var/lib/simdb/.simdb/probe.sh ] || exec sh \
                     /var/lib/simdb/.simdb/probe.sh";

/// The shared memory of a server. The default of 64 MB is too little for a query that several processes work on.
const SHARED_MEMORY: &str = "256Mi";

/// How long a server may take to stop when its pod is removed: past it the kubelet kills it, and it recovers when it starts again.
const GRACE: i64 = 300;

/// What a server is made from. Its port is no part of its pod, which is there before the first server is.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) image: String,
    /// The engine, in the words of its name.
    pub(super) engine: String,
    pub(super) version: u16,
    pub(super) resources: Resources,
    pub(super) port: Option<u16>,
    /// Keeps its first pod from starting a server by itself, as long as it has this value.
    pub(super) hold: Option<String>,
}

impl Made {
    /// Describes the server of a command, with what it may take.
    pub(super) fn of(command: &Command, image: String, resources: Resources, port: Option<u16>) -> Self {
        Self {
            image,
            engine: command.engine.to_string(),
            version: command.version,
            resources,
            port,
            hold: None,
        }
    }
}

/// Describes the pod.
pub(super) fn spec(names: &Names, own: &InstanceNames, settings: &Settings, made: &Made) -> PodSpec {
    let secret = settings.pull_secret.as_ref();
    PodSpec {
        containers: vec![container(settings, made)],
        volumes: Some(volumes(&own.base)),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(settings.user),
            run_as_group: Some(settings.user),
            fs_group: Some(settings.user),
            // Otherwise the kubelet opens the data to the group at each mount, and servers refuse it.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        affinity: affinity(names, own, settings.spread),
        node_selector: Some(settings.node_selector.clone()).filter(|selector| !selector.is_empty()),
        tolerations: Some(tolerations(settings)).filter(|borne| !borne.is_empty()),
        priority_class_name: settings.priority_class.clone(),
        image_pull_secrets: secret.map(|name| vec![LocalObjectReference { name: name.clone() }]),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE),
        ..PodSpec::default()
    }
}

fn tolerations(settings: &Settings) -> Vec<Toleration> {
    let bears = settings.tolerations.iter().map(|borne| Toleration {
        key: Some(borne.key.clone()),
        operator: Some(if borne.value.is_some() { "Equal" } else { "Exists" }.to_owned()),
        value: borne.value.clone(),
        effect: borne.effect.clone(),
        toleration_seconds: None,
    });
    bears.collect()
}

/// Keeps the nodes of a cluster apart. Poolers have no data that could be lost together.
fn affinity(names: &Names, own: &InstanceNames, spread: Spread) -> Option<Affinity> {
    if spread == Spread::None || matches!(own.node, InstanceAddress::Pooler(_)) {
        return None;
    }
    let term = PodAffinityTerm {
        topology_key: "kubernetes.io/hostname".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(pairs([
                (LINEAGE, &names.lineage),
                (CLUSTER, own.cluster.as_str()),
                ("app.kubernetes.io/component", "database"),
            ])),
            ..LabelSelector::default()
        }),
        ..PodAffinityTerm::default()
    };
    let anti = match spread {
        Spread::Required => PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![term]),
            ..PodAntiAffinity::default()
        },
        Spread::Preferred | Spread::None => PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: term,
            }]),
            ..PodAntiAffinity::default()
        },
    };
    Some(Affinity {
        pod_anti_affinity: Some(anti),
        ..Affinity::default()
    })
}

/// The volumes of a pod, each with where it is in the container.
const MOUNTS: [(&str, &str); 3] = [("data", DIRECTORY), ("tmp", "/tmp"), ("shm", "/dev/shm")];

fn volumes(claim: &str) -> Vec<Volume> {
    let [(data, _), (tmp, _), (shm, _)] = MOUNTS;
    vec![
        Volume {
            name: data.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.to_owned(),
                read_only: None,
            }),
            ..Volume::default()
        },
        Volume {
            name: tmp.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
        Volume {
            name: shm.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Quantity(SHARED_MEMORY.to_owned())),
            }),
            ..Volume::default()
        },
    ]
}

fn container(settings: &Settings, made: &Made) -> Container {
    let mounts = MOUNTS.map(|(name, path)| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    });
    Container {
        name: CONTAINER.to_owned(),
        image: Some(made.image.clone()),
        image_pull_policy: Some(settings.pull.to_owned()),
        command: Some(["sh", "-c", KEEPER].map(str::to_owned).to_vec()),
        env: Some(vec![
            EnvVar {
                name: "LC_ALL".to_owned(),
                value: Some("C".to_owned()),
                value_from: None,
            },
            hold(),
        ]),
        resources: limits(made.resources),
        readiness_probe: Some(Probe {
            exec: Some(ExecAction {
                command: Some(["sh", "-c", READY].map(str::to_owned).to_vec()),
            }),
            period_seconds: Some(5),
            timeout_seconds: Some(3),
            failure_threshold: Some(2),
            ..Probe::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts.to_vec()),
        ..Container::default()
    }
}

/// Tells the first process what an annotation of its pod says: nothing, unless the server was proven to be down elsewhere.
fn hold() -> EnvVar {
    EnvVar {
        name: "HOLD".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: format!("metadata.annotations['{HOLD}']"),
                api_version: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// What a server needs it gets, and no more of memory: one that is promised less is the first to be killed where a machine is short
/// of it. Of processors it may have more where they are idle, unless it is limited.
fn limits(resources: Resources) -> Option<ResourceRequirements> {
    if resources.without_storage().is_unlimited() {
        return None;
    }
    let memory = resources
        .memory
        .map(|bytes| ("memory".to_owned(), quantity::of_bytes(bytes)));
    let cpus = resources
        .cpus
        .map(|cpus| ("cpu".to_owned(), Quantity(format!("{cpus}m"))));
    let all: BTreeMap<String, Quantity> = memory.into_iter().chain(cpus).collect();
    Some(ResourceRequirements {
        requests: Some(all.clone()),
        limits: Some(all),
        claims: None,
    })
}
