//! Lets servers read parameters before any node gets them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use simdb_planner::engine::postgresql::trial::{self, Parameters};
use simdb_planner::observed::{Observation, ParameterRefusal, TriedParameters};

use crate::executor::chain;
use crate::platform::{Failure, Platform};

/// Tries parameters; what could not be tried is unknown.
pub async fn try_out(platform: &dyn Platform, untried: BTreeSet<Parameters>) -> Vec<TriedParameters> {
    let tried = untried.into_iter().map(|parameters| async {
        let refusals = judge(platform, &parameters).await;
        let (version, parameters) = parameters;
        TriedParameters {
            version,
            parameters,
            refusals,
        }
    });
    join_all(tried).await
}

async fn judge(platform: &dyn Platform, parameters: &Parameters) -> Observation<Vec<ParameterRefusal>> {
    match platform.try_out(&trial::trial(parameters)).await {
        Err(error) => Observation::Unknown(chain(&error)),
        Ok(None) => Observation::Seen(Vec::new()),
        // It reads no parameters: what fails is the trial.
        Ok(Some(Failure { program, said })) if program == "initdb" => {
            Observation::Unknown(format!("initdb failed: {}", said.trim()))
        }
        Ok(Some(Failure { said, .. })) => {
            let refusals = trial::read(&said, &parameters.1);
            if refusals.is_empty() {
                return Observation::Unknown(format!("the server ended: {}", said.trim()));
            }
            Observation::Seen(refusals)
        }
    }
}
