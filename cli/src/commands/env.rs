//! `simdb env`.

use simdb_planner::engine::postgresql::client::Login;
use simdb_state::address::{EndpointAddress, UserAddress};
use simdb_state::name::ClusterName;
use simdb_state::object::{Endpoint, EndpointTarget, State};
use simdb_state::sensitive::SecretName;

use crate::args::Env;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{Project, block_on};
use crate::target::{self, unknown};
use crate::ui::Ui;
use crate::views::doc::EnvDoc;
use crate::views::human;
use crate::views::json::document;

/// Writes the variables that lead programs to a cluster, the password included: it is what was asked for.
pub(super) fn run(arguments: &Env, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let project = Project::open()?;
        let store = project.store().await?;
        let state = match &store {
            Some(store) => store.snapshot().await?.state,
            None => State::default(),
        };
        let cluster = target::cluster_or_only(&state, arguments.cluster.as_deref())?;
        let password = match (&store, password(&cluster, &arguments.user)) {
            (Some(store), Some(name)) => store.secret(&name).await?,
            _ => None,
        };
        let login = Login {
            user: &arguments.user,
            password: password.as_ref(),
            database: &arguments.database,
        };
        let endpoint = endpoint(&state, &cluster, arguments.endpoint.as_deref())?;
        let env = EnvDoc::new(&state, &cluster, endpoint, &login, &project.service_file());
        ui.answer(&if arguments.json {
            document(&env)
        } else {
            human::env::render(&env)
        });
        Ok(Exit::Done)
    })
}

/// Returns where the password of a login is; only logins of simdb have names that allow one.
fn password(cluster: &ClusterName, user: &str) -> Option<SecretName> {
    let user = user.parse().ok()?;
    let cluster = cluster.clone();
    Some(SecretName::password(&UserAddress { cluster, user }))
}

/// Finds the endpoint meant: the one that is named, or the first that routes to the primary, where there is one.
fn endpoint<'a>(
    state: &'a State,
    cluster: &ClusterName,
    name: Option<&str>,
) -> Result<Option<(&'a EndpointAddress, &'a Endpoint)>, CliError> {
    let mut endpoints = state
        .endpoints
        .iter()
        .filter(|(address, _)| address.cluster == *cluster);
    let Some(name) = name else {
        return Ok(endpoints.find(|(_, endpoint)| endpoint.target == EndpointTarget::Primary));
    };
    let all = endpoints.clone().map(|(address, _)| address.endpoint.to_string());
    let missing = || unknown("endpoint", name, all);
    endpoints
        .find(|(address, _)| address.endpoint.as_str() == name)
        .map(Some)
        .ok_or_else(missing)
}
