//! The steps that only PgBouncer has.

use serde::{Deserialize, Serialize};
use simdb_state::address::EndpointAddress;
use simdb_state::instance::InstanceSpec;
use simdb_state::place::Place;
use simdb_state::sensitive::SecretName;

use super::USER;
use crate::plan::fact::{Fact, Facts};
use crate::plan::server::Server;

/// Where the console of an endpoint's pooler is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// The endpoint.
    pub endpoint: EndpointAddress,
    /// Where the pooler is.
    #[serde(rename = "listen")]
    pub place: Box<Place>,
    /// The password of the login that the console lets in.
    pub password: SecretName,
}

/// What such a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// Starts an endpoint's pooler where it is down, and lets it read its settings again.
    Pooler {
        /// The pooler.
        instance: Box<InstanceSpec>,
        /// How its console is reached.
        console: Console,
        /// Whether it is stopped first: its clients lose their connections.
        restart: bool,
    },
    /// Lets the clients of a pooler finish what they are at, and then wait.
    Pause {
        /// The pooler.
        console: Console,
        /// The server it leads to: it writes what it has left to write before clients wait for it.
        server: Server,
    },
    /// Lets a pooler lead to another server.
    Repoint {
        /// The pooler, with the other server among its settings.
        instance: Box<InstanceSpec>,
        /// How its console is reached.
        console: Console,
    },
    /// Lets the clients of a pooler go on. It is done at the end of a run that failed or was ended, too.
    Unpause {
        /// The pooler.
        console: Console,
    },
    /// Stops an endpoint's pooler.
    StopPooler {
        /// The endpoint.
        endpoint: EndpointAddress,
    },
    /// Stops an endpoint's pooler and removes its files.
    DropPooler {
        /// The endpoint.
        endpoint: EndpointAddress,
    },
}

impl Action {
    /// Returns the step's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Action::Pooler { .. } => "pooler",
            Action::Pause { .. } => "pause",
            Action::Repoint { .. } => "repoint",
            Action::Unpause { .. } => "unpause",
            Action::StopPooler { .. } => "stop-pooler",
            Action::DropPooler { .. } => "drop-pooler",
        }
    }

    /// Returns whether the step gives free what an earlier one holds up.
    pub(crate) fn releases(&self) -> bool {
        matches!(self, Action::Unpause { .. })
    }

    /// Returns what the step needs, and what it gives.
    pub(crate) fn facts(&self) -> Facts<'_> {
        match self {
            // The login is there that it looks up others with.
            Action::Pooler { console, .. } | Action::Repoint { console, .. } => {
                Facts::needing([Fact::User(&console.endpoint.cluster, USER)])
                    .and_giving([Fact::HasPooler(&console.endpoint)])
            }
            Action::Pause { console, server } => {
                let cluster = &console.endpoint.cluster;
                Facts::needing([Fact::HadPooler(&console.endpoint), Fact::Decided(cluster)])
                    .and_needing([Fact::Started(&server.node)])
                    .and_giving([Fact::Paused(cluster)])
            }
            Action::Unpause { console } => Facts::needing([Fact::HasPooler(&console.endpoint)]),
            Action::StopPooler { .. } => Facts::default(),
            Action::DropPooler { endpoint } => {
                Facts::needing([Fact::Entry(endpoint)]).and_giving([Fact::PoolerGone(endpoint)])
            }
        }
    }
}
