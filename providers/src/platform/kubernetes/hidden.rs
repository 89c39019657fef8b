//! What is known of a node whose pod cannot be asked: whether its platform can prove its end, and what a person can do where not.

use futures_util::FutureExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, VolumeNodeAffinity};
use kube::api::Api;
use serde_json::json;
use simdb_planner::observed::Hidden;

use super::Hold;
use super::fence::{self, NotReady};
use super::names::{FENCED, HOLD};
use super::site::{Found, Site, annotation, is_held};
use crate::platform::PlatformError;
use crate::platform::requests::{At, optional};

/// The label of a machine that volumes on it name.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Returns what is known of a node that could not be looked at, or of which nothing is there.
pub(super) async fn hidden(site: &Site) -> Result<Hidden, PlatformError> {
    let found = site.find().await?;
    let Some(pod) = &found.pod else {
        return Ok(without_pod(site, &found).await);
    };
    let machine = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    let Some(machine) = machine else {
        return Ok(Hidden::Lost(format!(
            "Pod {} is on no machine, and where an earlier one of that name runs is not known. See what keeps it: kubectl -n {} describe pod \
             {}.",
            site.own.pod, site.server.namespace, site.own.pod
        )));
    };
    Ok(match fence::is_ready(site, machine).await {
        Ok(()) => Hidden::Provable,
        Err(reason) => Hidden::Lost(remedy(machine, &reason)),
    })
}

async fn without_pod(site: &Site, found: &Found) -> Hidden {
    let fenced = found.set.as_ref().and_then(|set| annotation(&set.metadata, FENCED));
    if found.is_off() && fenced.is_some() {
        return Hidden::Provable;
    }
    if found.is_off() && found.set.as_ref().is_some_and(is_held) {
        return match held_back(site, found.volume.as_ref()).await {
            // Its pod is made without a server, and tells what uses the volume.
            None => Hidden::Provable,
            Some(remedy) => Hidden::Lost(remedy),
        };
    }
    let (own, namespace) = (&site.own, &site.server.namespace);
    let lost = "may have been removed by force, and its server may run on where it was";
    Hidden::Lost(match (&found.set, &found.volume) {
        (Some(_), _) if found.is_off() => format!(
            "Its StatefulSet is scaled to 0, and its pod {lost}. To have it answer again: kubectl -n {namespace} scale statefulset {} \
             --replicas=1.",
            own.base
        ),
        (Some(_), _) => format!(
            "Its pod {lost}. Wait until its StatefulSet has made it anew: kubectl -n {namespace} get pod {} --watch.",
            own.pod
        ),
        (None, Some(_)) => format!(
            "Its StatefulSet {} is gone, and its pod {lost}. Look at the machines: kubectl get nodes.",
            own.base
        ),
        (None, None) => format!(
            "Its volume and StatefulSet {} are gone, and its pod {lost}. Look at the machines: kubectl get nodes.",
            own.base
        ),
    })
}

/// Returns what keeps a pod from being made on the machine that the volume is on, where that is known.
async fn held_back(site: &Site, volume: Option<&PersistentVolumeClaim>) -> Option<String> {
    let name = volume?.spec.as_ref()?.volume_name.as_ref()?;
    let api: Api<PersistentVolume> = Api::all(site.server.client.clone());
    // Volumes of the network have no machine, and whoever may not look at them finds out by starting the pod.
    let volume = site.server.within(api.get_opt(name).boxed()).await.ok()??;
    let machine = machine_of(volume.spec?.node_affinity.as_ref()?)?;
    match fence::is_ready(site, &machine).await {
        Err(NotReady::Lost(reason)) => Some(remedy(&machine, &NotReady::Lost(reason))),
        Ok(()) | Err(NotReady::Unseen(_)) => None,
    }
}

/// Returns the machine that a volume is on, where it is on one alone.
fn machine_of(affinity: &VolumeNodeAffinity) -> Option<String> {
    let [term] = affinity.required.as_ref()?.node_selector_terms.as_slice() else {
        return None;
    };
    let expressions = term.match_expressions.as_ref()?;
    let own = expressions
        .iter()
        .find(|expression| expression.key == HOSTNAME && expression.operator == "In")?;
    match own.values.as_deref() {
        Some([machine]) => Some(machine.clone()),
        _ => None,
    }
}

/// Says what can be done about a machine.
fn remedy(machine: &str, reason: &NotReady) -> String {
    match reason {
        NotReady::Unseen(reason) => format!("{}.", sentence(reason)),
        NotReady::Lost(reason) => format!(
            "{}: kubectl describe node {machine} tells more. A machine that was switched off is given up with: kubectl taint nodes \
             {machine} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute.",
            sentence(reason)
        ),
    }
}

fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// Lets the set make no pod, and none that is made later start the server by itself; has the pod that is there end as soon as its machine
/// hears of it.
pub(super) async fn condemn(hold: &Hold) -> Result<(), PlatformError> {
    let site = &hold.site;
    let found = site.find().await?;
    if let Some(pod) = &found.pod {
        return fence::scale_down(hold, pod).await;
    }
    hold.check().await?;
    let patch = json!({
        "spec": { "replicas": 0, "template": { "metadata": { "annotations": { HOLD: hold.token().0.to_string() } } } },
    });
    let scaled = optional(site.server.merge::<StatefulSet>(&site.own.base, &patch).await);
    scaled.at("scale StatefulSet", &site.own.base).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::canned::{Objects, hold, machine, object, site};
    use super::*;

    fn pod(more: &Value) -> (String, Value) {
        object("/api/v1", "pods", "orders-a-0", more)
    }

    fn on(machine: &str) -> (String, Value) {
        pod(&json!({ "spec": { "nodeName": machine, "containers": [] } }))
    }

    /// A set that was scaled to none, with annotations of its own and of its pods.
    fn off(own: &Value, of_pods: &Value) -> (String, Value) {
        let template = json!({ "metadata": { "annotations": of_pods } });
        let spec = json!({ "replicas": 0, "selector": {}, "serviceName": "", "template": template });
        let more = json!({ "metadata": { "annotations": own }, "spec": spec });
        object("/apis/apps/v1", "statefulsets", "orders-a", &more)
    }

    /// The claim and the volume of the node, which is on a machine.
    fn volume_on(machine: &str) -> [(String, Value); 2] {
        let claim = json!({ "spec": { "volumeName": "v1" } });
        let affinity = serde_json::to_value(affinity(&json!([machine]))).unwrap();
        let volume = json!({ "metadata": { "name": "v1" }, "spec": { "nodeAffinity": affinity } });
        [
            object("/api/v1", "persistentvolumeclaims", "orders-a", &claim),
            ("/api/v1/persistentvolumes/v1".to_owned(), volume),
        ]
    }

    /// Asserts that the end of a server can be proven, or that what a person can do is said with these words.
    async fn check(objects: impl IntoIterator<Item = (String, Value)>, lost: Option<&str>) {
        let objects: Objects = objects.into_iter().collect();
        let (site, changes) = site(objects.clone()).await;
        match (hidden(&site).await.unwrap(), lost) {
            (Hidden::Provable, None) => {}
            (Hidden::Lost(remedy), Some(words)) => assert!(remedy.contains(words), "no {words:?} in {remedy}"),
            (other, lost) => panic!("{other:?} in place of {lost:?} with {objects:?}"),
        }
        assert_eq!(*changes.lock().unwrap(), Vec::<String>::new(), "it only looks");
    }

    #[tokio::test]
    async fn the_end_of_a_server_can_be_proven_where_its_machine_reports() {
        let taint = "kubectl taint nodes n1 node.kubernetes.io/out-of-service";
        check([on("n1"), machine("n1", "True")], None).await;
        check([on("n1"), machine("n1", "Unknown")], Some(taint)).await;
        check([on("n1"), machine("n2", "True")], Some("no longer a node")).await;
        let forbidden =
            json!({ "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no" });
        let unseen = [on("n1"), ("/api/v1/nodes/n1".to_owned(), forbidden)];
        check(unseen, Some("simdb metadata rbac")).await;
        check([pod(&json!({}))], Some("on no machine")).await;
    }

    #[tokio::test]
    async fn a_pod_that_is_gone_proves_nothing_unless_its_end_was_seen_or_its_volume_can_be_asked() {
        let runs = object("/apis/apps/v1", "statefulsets", "orders-a", &json!({}));
        check([runs], Some("made it anew")).await;
        check([off(&json!({}), &json!({}))], Some("--replicas=1")).await;
        check([off(&json!({ FENCED: "u0" }), &json!({}))], None).await;
        let held = || off(&json!({}), &json!({ HOLD: "u0" }));
        check([held()], None).await;
        let volume = |ready| volume_on("n1").into_iter().chain([held(), machine("n1", ready)]);
        check(volume("True"), None).await;
        check(volume("Unknown"), Some("n1 does not report")).await;
        check(volume_on("n1"), Some("StatefulSet orders-a is gone")).await;
        check([], Some("are gone")).await;
    }

    /// Returns what is changed where the node is given up, without the bodies of the requests but for a part of them.
    async fn condemned(objects: impl IntoIterator<Item = (String, Value)>) -> Vec<String> {
        let (hold, changes) = hold(objects.into_iter().collect()).await;
        condemn(&hold).await.unwrap();
        let changes = changes.lock().unwrap().clone();
        changes
    }

    #[tokio::test]
    async fn a_node_that_is_given_up_starts_no_server_and_its_own_pod_ends_once_its_machine_hears_of_it() {
        let set = object("/apis/apps/v1", "statefulsets", "orders-a", &json!({}));
        let changes = condemned([on("n1"), set.clone()]).await;
        let [scaled, deleted] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        let set_path = "PATCH /apis/apps/v1/namespaces/db/statefulsets/orders-a";
        assert!(
            scaled.starts_with(set_path) && scaled.contains("\"replicas\":0"),
            "{scaled}"
        );
        assert!(scaled.contains(HOLD), "{scaled}");
        assert!(
            deleted.starts_with("DELETE /api/v1/namespaces/db/pods/orders-a-0"),
            "{deleted}"
        );
        assert!(
            deleted.contains("\"uid\":\"u1\""),
            "no later pod of that name: {deleted}"
        );
        let changes = condemned([set]).await;
        assert!(
            matches!(changes.as_slice(), [scaled] if scaled.contains(HOLD)),
            "{changes:?}"
        );
        assert_eq!(
            condemned([]).await.len(),
            1,
            "what is gone cannot be scaled, and that is fine"
        );
    }

    fn affinity(values: &Value) -> VolumeNodeAffinity {
        let expression = json!({ "key": HOSTNAME, "operator": "In", "values": values });
        let terms = json!([{ "matchExpressions": [expression] }]);
        serde_json::from_value(json!({ "required": { "nodeSelectorTerms": terms } })).unwrap()
    }

    #[test]
    fn a_volume_is_on_a_machine_where_it_can_be_on_no_other() {
        assert_eq!(machine_of(&affinity(&json!(["n1"]))).as_deref(), Some("n1"));
        assert_eq!(machine_of(&affinity(&json!(["n1", "n2"]))), None);
        let zone: VolumeNodeAffinity = serde_json::from_value(json!({ "required": { "nodeSelectorTerms": [{
            "matchExpressions": [{ "key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"] }],
        }] } }))
        .unwrap();
        assert_eq!(machine_of(&zone), None);
    }
}
