//! Chooses the major version a cluster runs: the declared one, else the one it has, else the newest found.

use std::collections::BTreeMap;

use simdb_state::name::ClusterName;
use simdb_state::object::State;

use crate::desired::ClusterSpec;
use crate::diagnostic::Diagnostic;
use crate::engine;
use crate::observed::{Observed, PlatformFacts};

/// Returns the version, or why there is none.
pub(super) fn choose(
    name: &ClusterName,
    spec: &ClusterSpec,
    before: &State,
    imported: Option<u16>,
    platform: &PlatformFacts,
) -> Result<u16, Diagnostic> {
    let none = BTreeMap::new();
    let found = platform.engines.get(&spec.engine).unwrap_or(&none);
    let span = || spec.spans.version.clone().unwrap_or_else(|| spec.spans.cluster.clone());
    let has = before.clusters.get(name).map(|cluster| cluster.version).or(imported);
    let version = match (spec.version, has) {
        (Some(wanted), Some(has)) if wanted != has => {
            let detail = format!(
                "Cluster {name} runs version {has}, and its data can be read by no other. Upgrades are not supported by \
                 this version of simdb; set version = \"{has}\"."
            );
            return Err(Diagnostic::error("Major version cannot be changed", detail).at(span()));
        }
        (wanted, has) => wanted.or(has).or_else(|| found.keys().next_back().copied()),
    };
    match version {
        // A platform that cannot be used does not say what it has; the cluster runs this version already.
        Some(version) if has == Some(version) && !platform.problems.is_empty() => Ok(version),
        Some(version) if found.contains_key(&version) || platform.obtainable => Ok(version),
        Some(version) => Err(missing(spec, &format!("{} {version}", spec.engine), found, platform).at(span())),
        None => Err(missing(spec, &spec.engine.to_string(), found, platform).at(span())),
    }
}

/// Says which nodes are on platforms beside that of their cluster that have no programs of its version.
pub(super) fn missing_elsewhere(spec: &ClusterSpec, version: u16, observed: &Observed) -> Vec<Diagnostic> {
    let mut told = BTreeMap::new();
    for node in spec.nodes.values() {
        let Some(name) = &node.platform else { continue };
        let platform = observed.platform(name);
        let none = BTreeMap::new();
        let found = platform.engines.get(&spec.engine).unwrap_or(&none);
        // One that cannot be used does not say what it has.
        if found.contains_key(&version) || platform.obtainable || !platform.problems.is_empty() {
            continue;
        }
        told.entry(name).or_insert_with(|| {
            let span = node.provider_span.as_deref().unwrap_or(&node.span);
            missing(spec, &format!("{} {version}", spec.engine), found, platform).at(span.clone())
        });
    }
    told.into_values().collect()
}

fn missing(spec: &ClusterSpec, wanted: &str, found: &BTreeMap<u16, String>, platform: &PlatformFacts) -> Diagnostic {
    let has = if found.is_empty() {
        format!("No version of {} was found.", spec.engine)
    } else {
        let list: Vec<String> = found
            .iter()
            .map(|(version, place)| format!("{version} in {place}"))
            .collect();
        format!("Found: {}.", list.join(", "))
    };
    let remedy = platform.remedy.clone().unwrap_or_else(|| {
        format!(
            "Install it ({}), or name its directory in provider \"local\": binaries = [\"/path/to/bin\"].",
            engine::installation(spec.engine)
        )
    });
    Diagnostic::error(
        "Database programs not found",
        format!(
            "The programs of {wanted} are not on this machine. {has} Looked in {}. {remedy}",
            platform.searched.join(", ")
        ),
    )
}
