//! Which parameters no server has read yet.

use std::collections::BTreeSet;

use simdb_state::name::PlatformName;
use simdb_state::object::State;

use super::{Inputs, imports, versions};
use crate::desired::Desired;
use crate::engine::trial::Parameters;
use crate::observed::Observed;

/// Returns the declared parameters that no node of their cluster was given yet, each with its cluster's platform.
pub fn untried(desired: &Desired, recorded: &State, observed: &Observed) -> BTreeSet<(PlatformName, Parameters)> {
    let mut untried = BTreeSet::new();
    for (name, spec) in &desired.clusters {
        let platform = observed.platform(&spec.platform);
        let inputs = Inputs {
            desired,
            recorded,
            observed,
            proposal: None,
        };
        let imported = imports::version(inputs, name);
        let Ok(version) = versions::choose(name, spec, recorded, imported, platform) else {
            continue;
        };
        let had: Vec<_> = recorded
            .nodes
            .iter()
            .filter(|(node, _)| node.cluster == *name)
            .collect();
        for node in spec.nodes.values() {
            let declared = &node.parameters;
            let given = |(name, value): (&String, &String)| {
                had.iter().any(|(_, node)| node.parameters.get(name) == Some(value))
            };
            if !declared.iter().all(given) {
                untried.insert((spec.platform.clone(), (version, declared.clone())));
            }
        }
    }
    untried
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Severity;
    use crate::observed::{Observation, ParameterRefusal, TriedParameters};
    use crate::planner::tests::{applied, cluster, orders};
    use crate::planner::{Planned, plan};

    use super::*;

    fn set(desired: &mut Desired, value: &str) {
        for node in cluster(desired).nodes.values_mut() {
            node.parameters.insert("timezone".to_owned(), value.to_owned());
        }
    }

    #[test]
    fn only_parameters_that_no_node_was_given_are_tried() {
        let mut desired = orders(&["a", "b"]);
        set(&mut desired, "UTC");
        let world = applied(&desired);
        let tried = |desired: &Desired| untried(desired, &world.state, &world.observe()).len();
        assert_eq!(tried(&desired), 0);
        set(&mut desired, "Europe/Berlin");
        assert_eq!(tried(&desired), 1);
        assert_eq!(tried(&orders(&["a", "b"])), 0);
    }

    #[test]
    fn what_a_server_refuses_stops_the_plan_and_what_is_not_known_is_told() {
        let mut desired = orders(&["a", "b"]);
        let world = applied(&desired);
        set(&mut desired, "Pacific/Nope");
        let planned = |refusals| -> Planned {
            let mut observed = world.observe();
            let untried = untried(&desired, &world.state, &observed);
            observed.tried = untried
                .into_iter()
                .map(|(platform, (version, parameters))| TriedParameters {
                    platform,
                    version,
                    parameters,
                    refusals: Clone::clone(&refusals),
                })
                .collect();
            plan(Inputs {
                desired: &desired,
                recorded: &world.state,
                observed: &observed,
                proposal: None,
            })
        };
        let refused = planned(Observation::Seen(vec![ParameterRefusal {
            parameter: Some("timezone".to_owned()),
            words: "invalid value".to_owned(),
        }]));
        assert!(refused.plan.is_empty());
        assert_eq!(
            refused.diagnostics[0].detail,
            "PostgreSQL 15 does not accept timezone = \"Pacific/Nope\". It says: invalid value."
        );
        let unknown = planned(Observation::Unknown("no answer".to_owned()));
        assert!(!unknown.plan.is_empty());
        assert_eq!(unknown.diagnostics[0].severity, Severity::Warning);
        assert!(planned(Observation::Seen(Vec::new())).diagnostics.is_empty());
    }
}
