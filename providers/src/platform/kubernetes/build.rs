//! Makes the objects that pods are made from. Nothing is sent here.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PodTemplateSpec, Service, ServicePort, ServiceSpec,
    VolumeResourceRequirements,
};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use simdb_state::address::InstanceAddress;
use simdb_state::digest::sha256;
use simdb_state::name::{ClusterName, NetworkName};
use simdb_state::object::Resources;

use super::names::{CLUSTER, CONTAINER, HOLD, InstanceNames, LINEAGE, Names, Pairs, SPEC, pairs};
use super::pod::{self, Made};
use super::quantity;
use super::settings::Settings;

/// Returns the labels of what belongs to an instance.
fn labels(names: &Names, own: &InstanceNames, engine: &str) -> Pairs {
    let component = match own.node {
        InstanceAddress::Node(_) => "database",
        InstanceAddress::Pooler(_) => "pooler",
    };
    let mut labels = names.of_cluster(&own.cluster);
    labels.extend(names.selector(own));
    labels.extend(pairs([
        ("app.kubernetes.io/name", engine),
        ("app.kubernetes.io/component", component),
    ]));
    labels
}

fn metadata(name: &str, labels: Pairs, annotations: Pairs) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

/// Returns the size of a volume in bytes: that of its server, else that of all.
pub(super) fn size(settings: &Settings, resources: Resources) -> u64 {
    resources.storage.unwrap_or(settings.storage)
}

/// Makes the volume of a node.
pub(super) fn volume(names: &Names, own: &InstanceNames, settings: &Settings, made: &Made) -> PersistentVolumeClaim {
    let size = quantity::of_bytes(size(settings, made.resources));
    PersistentVolumeClaim {
        metadata: metadata(
            &own.base,
            labels(names, own, &made.engine),
            names.annotations(&own.node.to_string()),
        ),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: settings.storage_class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// Makes the service by whose name the other nodes reach one, also while it is not ready: they are turned away at once.
pub(super) fn service(names: &Names, own: &InstanceNames, made: &Made, port: u16) -> Service {
    Service {
        metadata: metadata(
            &own.base,
            labels(names, own, &made.engine),
            names.annotations(&own.node.to_string()),
        ),
        spec: Some(ServiceSpec {
            selector: Some(names.selector(own)),
            ports: Some(vec![service_port(port)]),
            publish_not_ready_addresses: Some(true),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Says at which port a service is, and at which its servers are.
pub(super) fn service_port(port: u16) -> ServicePort {
    ServicePort {
        name: Some(CONTAINER.to_owned()),
        port: port.into(),
        target_port: Some(IntOrString::Int(port.into())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}

/// Makes the set of one pod that runs a server. Where it changes the pod stays as it is: it is made anew when it is down.
pub(super) fn set(names: &Names, own: &InstanceNames, settings: &Settings, made: &Made) -> StatefulSet {
    let labels = labels(names, own, &made.engine);
    let spec = pod::spec(names, own, settings, made);
    let digest = sha256(serde_json::to_vec(&spec).expect("pods are plain data"));
    let mut annotations = names.annotations(&own.node.to_string());
    annotations.insert(SPEC.to_owned(), digest);
    annotations.extend(made.hold.clone().map(|hold| (HOLD.to_owned(), hold)));
    let mut pod_labels = labels.clone();
    pod_labels.insert("app.kubernetes.io/version".to_owned(), made.version.to_string());
    StatefulSet {
        metadata: metadata(&own.base, labels, names.annotations(&own.node.to_string())),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(own.base.clone()),
            selector: LabelSelector {
                match_labels: Some(names.selector(own)),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                }),
                spec: Some(spec),
            },
            pod_management_policy: Some("Parallel".to_owned()),
            revision_history_limit: Some(0),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// Returns the digest of what a set makes its pods from.
pub(super) fn digest(set: &StatefulSet) -> Option<&String> {
    let template = &set.spec.as_ref()?.template;
    template.metadata.as_ref()?.annotations.as_ref()?.get(SPEC)
}

/// Says how many pods of a cluster may be evicted at a time. One alone may be: otherwise no machine could be drained.
pub(super) fn budget(names: &Names, cluster: &ClusterName) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(
            cluster.as_str(),
            names.of_cluster(cluster),
            names.annotations(&format!("cluster.{cluster}")),
        ),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(pairs([
                    (LINEAGE, &names.lineage),
                    (CLUSTER, cluster.as_str()),
                    ("app.kubernetes.io/component", "database"),
                ])),
                ..LabelSelector::default()
            }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// Lets the pods of a project be reached by those of its own namespace alone.
pub(super) fn policy(names: &Names, network: &NetworkName) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(
            &names.network(network),
            names.own(),
            names.annotations(&format!("network.{network}")),
        ),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(pairs([(LINEAGE, &names.lineage)])),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![NetworkPolicyPeer {
                    pod_selector: Some(LabelSelector::default()),
                    ..NetworkPolicyPeer::default()
                }]),
                ports: None,
            }]),
            egress: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};
    use simdb_state::instance::Command;
    use simdb_state::object::EngineKind;

    use super::*;

    fn parts(arguments: &[(&str, &str)]) -> (Names, InstanceNames, Settings) {
        let names = Names::new("0a1b2c3d", "/srv");
        let own = Names::instance(&"cluster.orders.node.r[0]".parse().unwrap());
        let arguments = arguments
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = Settings::read(&arguments.collect(), Path::new("/"));
        (names, own, settings)
    }

    fn made(resources: Resources) -> Made {
        let command = Command {
            engine: EngineKind::Postgresql,
            version: 15,
            program: "server".to_owned(),
            arguments: Vec::new(),
        };
        Made::of(&command, "db:15".to_owned(), resources, Some(5432))
    }

    fn built(arguments: &[(&str, &str)], resources: Resources) -> Value {
        let (names, own, settings) = parts(arguments);
        json!(set(&names, &own, &settings, &made(resources)))
    }

    #[test]
    fn a_pod_is_admitted_where_pods_are_restricted() {
        let set = built(&[], Resources::default());
        let pod = &set["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], json!(true));
        assert_eq!(pod["securityContext"]["fsGroupChangePolicy"], json!("OnRootMismatch"));
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            json!("RuntimeDefault")
        );
        let container = &pod["containers"][0];
        assert_eq!(
            container["securityContext"],
            json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            })
        );
        assert_eq!(pod["automountServiceAccountToken"], json!(false));
        assert!(
            container.get("livenessProbe").is_none(),
            "no server is killed for a slow answer"
        );
        assert_eq!(set["spec"]["updateStrategy"]["type"], json!("OnDelete"));
        assert_eq!(
            set["spec"]["template"]["metadata"]["labels"]["simdb.dev/server"],
            json!("orders-r-0")
        );
    }

    #[test]
    fn a_pod_runs_where_the_provider_says() {
        let set = built(
            &[
                ("node_selector", "disk=ssd"),
                ("tolerations", "dedicated=db:NoSchedule,spot"),
                ("spread", "required"),
                ("pull_secret", "registry"),
                ("user", "70"),
            ],
            Resources {
                memory: Some(512 << 20),
                cpus: Some(1500),
                storage: None,
            },
        );
        let pod = &set["spec"]["template"]["spec"];
        assert_eq!(pod["nodeSelector"], json!({ "disk": "ssd" }));
        assert_eq!(
            pod["tolerations"],
            json!([
                { "key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule" },
                { "key": "spot", "operator": "Exists" },
            ])
        );
        let anti = &pod["affinity"]["podAntiAffinity"];
        assert!(anti.get("preferredDuringSchedulingIgnoredDuringExecution").is_none());
        assert_eq!(pod["imagePullSecrets"], json!([{ "name": "registry" }]));
        assert_eq!(pod["securityContext"]["runAsUser"], json!(70));
        let limits = json!({ "memory": "512Mi", "cpu": "1500m" });
        assert_eq!(
            pod["containers"][0]["resources"],
            json!({ "limits": limits, "requests": limits })
        );
    }

    #[test]
    fn what_a_pod_is_made_from_is_told_apart_by_a_digest() {
        let digest_of = |arguments: &[(&str, &str)]| {
            let (names, own, settings) = parts(arguments);
            digest(&set(&names, &own, &settings, &made(Resources::default())))
                .cloned()
                .unwrap()
        };
        assert_eq!(
            digest_of(&[]),
            digest_of(&[("storage", "20GB")]),
            "the volume is another object"
        );
        assert_ne!(digest_of(&[]), digest_of(&[("user", "70")]));
    }

    #[test]
    fn a_volume_has_the_size_and_the_class_of_the_provider() {
        let (names, own, settings) = parts(&[("storage", "1536MB"), ("storage_class", "fast")]);
        let volume = json!(volume(&names, &own, &settings, &made(Resources::default())));
        assert_eq!(volume["spec"]["resources"]["requests"]["storage"], json!("1536Mi"));
        assert_eq!(volume["spec"]["storageClassName"], json!("fast"));
        let larger = made(Resources {
            storage: Some(2 << 30),
            ..Resources::default()
        });
        let larger = json!(super::volume(&names, &own, &settings, &larger));
        assert_eq!(larger["spec"]["resources"]["requests"]["storage"], json!("2Gi"));
        assert_eq!(
            volume["metadata"]["annotations"]["simdb.dev/address"],
            json!("cluster.orders.node.r[0]")
        );
        assert!(
            volume["metadata"].get("ownerReferences").is_none(),
            "nothing takes it along"
        );
    }
}
