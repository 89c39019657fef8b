//! Looks at PostgreSQL servers, and at the data of those that are down.

use std::collections::{BTreeMap, BTreeSet};

use simdb_planner::engine::postgresql::instance::superuser_password;
use simdb_planner::observed::{Control, Observation, PasswordFacts, ServerFacts};
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::instance::TaskSpec;
use simdb_state::object::{Data, EngineKind};
use simdb_state::place::{Bind, Place};
use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::control::ControlError;
use super::{PostgresqlError, control, observe};
use crate::executor::chain;
use crate::observe::{Look, NODE_LIMIT, silence};

impl Look<'_> {
    /// Asks a running server.
    pub(crate) async fn server(
        &self,
        node: &NodeAddress,
        (listen, published): (Option<Bind>, Option<Bind>),
        deadline: Instant,
    ) -> Observation<ServerFacts> {
        let recorded = self.recorded.nodes.get(node).and_then(|node| node.place.as_ref());
        let Some(place) = Place::seen(listen, published, recorded) else {
            return Observation::Unknown("no file notes where its server listens".to_owned());
        };
        let (connection, mut facts) = match timeout_at(deadline, self.ask(node, place)).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => return Observation::Unknown(chain(&error)),
            Err(_) => return Observation::Unknown(silence(NODE_LIMIT)),
        };
        // Standbys have the passwords of their primary. What cannot be compared in time stays unknown, and the rest is seen.
        if !facts.in_recovery
            && let Ok(Ok(passwords)) = timeout_at(deadline, self.passwords(node, &connection)).await
        {
            for (role, password) in passwords {
                if let Some(user) = facts.users.get_mut(&role) {
                    user.password = password;
                }
            }
        }
        Observation::Seen(facts)
    }

    /// Compares the passwords of a cluster's logins with those on record.
    async fn passwords(
        &self,
        node: &NodeAddress,
        connection: &Connection,
    ) -> Result<BTreeMap<String, PasswordFacts>, PostgresqlError> {
        let users = self.recorded.users.iter();
        let logins = users.filter(|(address, user)| address.cluster == node.cluster && user.login);
        let known = logins.filter_map(|(address, user)| {
            let password = self.secrets.get(&user.password(address))?;
            Some((address.user.to_string(), password.clone()))
        });
        observe::passwords(connection, known.collect()).await
    }

    async fn ask(&self, node: &NodeAddress, place: Place) -> Result<(Connection, ServerFacts), PostgresqlError> {
        let server = Server {
            node: node.clone(),
            place: Box::new(place),
            password: superuser_password(&node.cluster),
        };
        let connection = Connection::open(&self.sessions, &server).await?;
        let facts = observe::snapshot(&connection).await?.facts;
        Ok((connection, facts))
    }

    /// Reads the control data of a server that is down, or why they tell nothing.
    pub(crate) async fn control(
        &self,
        node: &NodeAddress,
        generations: &BTreeSet<u32>,
        deadline: Instant,
    ) -> Result<Control, String> {
        let Some(newest) = generations.last() else {
            return Ok(Control::Absent);
        };
        let task = self.control_task(node, *newest)?;
        let directory = node.into();
        let printed = timeout_at(deadline, self.platform.run_task(&directory, &task, self.secrets)).await;
        // Backends may outlive their server and hold its data. Whoever fences the node ends them first.
        let Ok(printed) = printed else {
            return Ok(Control::Unknown(format!(
                "pg_controldata {}",
                silence(self.platform.look_limit(&node.into()))
            )));
        };
        let printed = printed.map_err(|error| chain(&error))?;
        match control::parse(&printed) {
            Ok(control) => Ok(Control::Seen(control)),
            Err(ControlError::Damaged) => Ok(Control::Damaged),
            Err(error) => Err(chain(&error)),
        }
    }

    /// Any version's `pg_controldata` reads what is asked of it here from the data of 15 to 18; the recorded version's
    /// does so without warnings.
    fn control_task(&self, node: &NodeAddress, generation: u32) -> Result<TaskSpec, String> {
        let recorded = self.recorded.clusters.get(&node.cluster).map(|cluster| cluster.version);
        let found = self
            .facts(&node.cluster)
            .and_then(|facts| facts.engines.get(&EngineKind::Postgresql));
        let newest = || found.and_then(|versions| versions.keys().last().copied());
        let version = recorded.or_else(newest);
        let version = version.ok_or("no version of postgresql was found to read its data with")?;
        Ok(control::task(version, &Data::directory(generation)))
    }
}
