//! What projects left in the namespace: all that has their labels.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::DeleteParams;

use super::client::{Object, Server};
use super::explain;
use super::names::{ADDRESS, LINEAGE, MANAGED_BY, MANAGER, PROJECT};
use crate::platform::requests::At;
use crate::platform::{Leftover, PlatformError};

/// Returns the objects of all projects, or of one: sets first, which would make pods anew, and volumes after their pods.
pub(super) async fn find(server: &Server, lineage: Option<&str>) -> Result<Vec<Leftover>, PlatformError> {
    let labels = lineage.map_or_else(
        || format!("{MANAGED_BY}={MANAGER},{LINEAGE}"),
        |lineage| format!("{LINEAGE}={lineage}"),
    );
    let (sets, pods, services, volumes, budgets, policies) = tokio::try_join!(
        server.list::<StatefulSet>(&labels),
        server.list::<Pod>(&labels),
        server.list::<Service>(&labels),
        server.list::<PersistentVolumeClaim>(&labels),
        server.list::<PodDisruptionBudget>(&labels),
        server.list::<NetworkPolicy>(&labels),
    )
    .at("list the objects of", &server.namespace)?;
    let mut found = of("StatefulSet", &sets.items, |_| false);
    found.extend(of("Pod", &pods.items, |pod| explain::waits(pod).is_none()));
    found.extend(of("Service", &services.items, |_| false));
    found.extend(of("PersistentVolumeClaim", &volumes.items, |_| false));
    found.extend(of("PodDisruptionBudget", &budgets.items, |_| false));
    found.extend(of("NetworkPolicy", &policies.items, |_| false));
    Ok(found)
}

fn of<T: Object>(kind: &'static str, objects: &[T], runs: impl Fn(&T) -> bool) -> Vec<Leftover> {
    let described = objects.iter().filter_map(|object| {
        Some(Leftover {
            lineage: object.labels().get(LINEAGE)?.clone(),
            // A cluster has projects of several machines.
            project: object.annotations().get(PROJECT).map(Into::into),
            kind,
            name: object.name_any(),
            address: object.annotations().get(ADDRESS).cloned(),
            runs: runs(object),
        })
    });
    described.collect()
}

/// Removes the objects of a project.
pub(super) async fn discard(server: &Server, lineage: &str) -> Result<(), PlatformError> {
    let now = DeleteParams::background();
    for Leftover { kind, name, .. } in find(server, Some(lineage)).await? {
        let removed = match kind {
            "StatefulSet" => server.delete::<StatefulSet>(&name, &now).await,
            "Pod" => server.delete::<Pod>(&name, &now).await,
            "Service" => server.delete::<Service>(&name, &now).await,
            "PersistentVolumeClaim" => server.delete::<PersistentVolumeClaim>(&name, &now).await,
            "PodDisruptionBudget" => server.delete::<PodDisruptionBudget>(&name, &now).await,
            _ => server.delete::<NetworkPolicy>(&name, &now).await,
        };
        removed.at("remove", &name)?;
    }
    Ok(())
}
