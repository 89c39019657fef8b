//! Lets servers read parameters before any node gets them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use simdb_planner::engine::postgresql::trial::{self, Parameters};
use simdb_planner::observed::{Observation, ParameterRefusal, TriedParameters};
use simdb_state::name::PlatformName;

use crate::executor::chain;
use crate::platform::{Failure, Provider, Providers};

/// Tries parameters; what could not be tried is unknown.
pub async fn try_out(providers: &Providers, untried: BTreeSet<(PlatformName, Parameters)>) -> Vec<TriedParameters> {
    let tried = untried.into_iter().map(|(platform, parameters)| async {
        let refusals = match providers.get(&platform) {
            Some(provider) => judge(&**provider, &parameters).await,
            None => Observation::Unknown(format!("platform \"{platform}\" is not set up")),
        };
        let (version, parameters) = parameters;
        TriedParameters {
            platform,
            version,
            parameters,
            refusals,
        }
    });
    join_all(tried).await
}

async fn judge(provider: &dyn Provider, parameters: &Parameters) -> Observation<Vec<ParameterRefusal>> {
    match provider.try_out(&trial::trial(parameters)).await {
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
