//! The plan: reviewable changes, and the steps that make them, order included. Data only.

mod change;
pub(crate) mod fact;
pub mod server;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use simdb_state::address::{Address, DatabaseAddress, EndpointAddress, NodeAddress, SeedAddress, UserAddress};
use simdb_state::delta::Delta;
use simdb_state::identity::DataIdentity;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::name::{ClusterName, DatabaseName, NetworkName, PlatformName};
use simdb_state::object::{CommitLevel, Database, Election, Network, Term, User, Verdict, Witness};
use simdb_state::position::Position;
use simdb_state::relocation::Move;
use simdb_state::route::Route;
use simdb_state::sensitive::SecretName;

pub use self::change::{AttributeChange, Change, ChangeAction, Shown};
pub use self::server::Server;
use crate::engine;
pub use simdb_state::object::Impact;

/// The format of a plan document.
pub const FORMAT: u32 = 1;

/// The names of all steps, in the order of the step table.
pub const STEPS: [&str; 40] = [
    "network",
    "primary",
    "replication-user",
    "user",
    "database",
    "seed",
    "slot",
    "basebackup",
    "import",
    "standby",
    "start",
    "stop",
    "configure",
    "open",
    "follow",
    "cluster",
    "record",
    "sync-names",
    "resume",
    "verify-sync",
    "degrade",
    "elect",
    "fence",
    "promote",
    "rewind",
    "endpoint",
    "pooler",
    "pause",
    "repoint",
    "unpause",
    "stop-pooler",
    "drop-pooler",
    "drop-node",
    "drop-slot",
    "drop-endpoint",
    "drop-user",
    "drop-database",
    "drop-seed",
    "drop-cluster",
    "drop-network",
];

/// Changes, the steps that make them, and what the planner has to say about both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// What is at another address than before: the record notes it before any step runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
    /// What people review, by address.
    pub changes: Vec<Change>,
    /// What the executor runs. A step's id is its index, and it comes after all steps it waits for.
    pub steps: Vec<Step>,
    /// What the planner noticed and does not act on, each a sentence.
    pub notes: Vec<String>,
}

impl Plan {
    /// Returns whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.changes.is_empty() && self.moves.is_empty()
    }

    /// Returns the worst impact of all steps.
    pub fn impact(&self) -> Impact {
        self.steps.iter().map(|step| step.impact).max().unwrap_or_default()
    }
}

/// The place of a step in [`Plan::steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl StepId {
    /// Returns the place as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One thing the executor does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it is about.
    pub address: Address,
    /// What is done.
    pub action: Action,
    /// The election of its cluster under which it may run: once another one was held, it is refused.
    #[serde(default)]
    pub term: Option<Term>,
    /// The steps that are done before it.
    pub after: BTreeSet<StepId>,
    /// What it costs.
    pub impact: Impact,
    /// Why it is there, as a fragment that follows "because".
    pub reason: String,
    /// What it changes in the record.
    pub delta: Delta,
    /// Secrets that are made up when the step starts, unless the state has them already.
    pub generates: BTreeSet<SecretName>,
}

/// A server that is given another password to stream with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// The server, with the new password in its files.
    pub instance: InstanceSpec,
    /// How it is reached.
    pub server: Server,
    /// The server it streams from; absent for the primary.
    pub upstream: Option<Server>,
    /// The name under which the upstream sees it.
    pub application_name: String,
}

/// How a session begins that is the owner's of a database: it logged in as that role, and can become no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerLogin {
    /// With its password.
    Password(SecretName),
    /// It may not log in. So it may for the moment that one session takes to begin, with a password that nobody knows.
    Opened {
        /// Its attributes, which it is given back.
        attributes: Box<User>,
        /// Its password, where it has one.
        password: Option<SecretName>,
    },
}

/// A standby that is to be proven in sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// How it is reached.
    pub server: Server,
    /// The `application_name` of the standby it streams from; absent where that is the primary.
    pub upstream: Option<String>,
    /// Whether it replays late on purpose: then it must have received the marker, and need not have replayed it.
    pub delayed: bool,
}

/// What a step does. Rows of the step table in the crate documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// Makes a network.
    Network {
        /// The network.
        network: NetworkName,
        /// Where it is, and with which addresses.
        attributes: Network,
    },
    /// Makes empty data and starts a server on it that writes.
    Primary {
        /// Makes the data.
        #[serde(rename = "initdb")]
        birth: Box<TaskSpec>,
        /// The server.
        instance: Box<InstanceSpec>,
        /// How it is reached.
        server: Server,
    },
    /// Takes over a server that was made without simdb: its data stays where it is, and it is restarted as the node's.
    Import {
        /// The server, as it is from then on.
        instance: Box<InstanceSpec>,
        /// How it is reached then.
        server: Server,
        /// Whose data it must be.
        #[serde(rename = "system_identifier")]
        identity: DataIdentity,
        /// Gives simdb's own login its password, on a server that writes and runs as it was made.
        login: Option<Box<TaskSpec>>,
        /// Looks whose data it is, and links it to the instance directory.
        link: Box<TaskSpec>,
        /// The server that it streams from; absent for the primary.
        upstream: Option<Server>,
    },
    /// Records who is to lead, by compare-and-set: nothing else happens, and a plan that was declined leaves nothing.
    Elect {
        /// The cluster.
        cluster: ClusterName,
        /// The election.
        election: Election,
        /// Whose replay must keep up with whom before the election is held; absent where nobody hands over.
        #[serde(default)]
        handover: Option<Box<Handover>>,
    },
    /// Records that commits are no longer to wait for standbys that were lost, before they stop to: a node that lacks what
    /// comes after this position is never taken for one that has everything.
    Degrade {
        /// The cluster.
        cluster: ClusterName,
        /// How far the primary had written.
        since: Position,
    },
    /// Makes sure that a node takes no writes any more, and that whoever starts it starts it read-only; where it cannot be reached and a
    /// person answers for that, has its platform end it as soon as it is reached.
    Fence {
        /// The node, and how its server is reached.
        server: Server,
        /// The engine's major version, for its control data.
        version: u16,
        /// The directory below the instance directory that holds its data; absent where it has none.
        data: Option<String>,
        /// Seals the data.
        seal: Option<Box<TaskSpec>>,
        /// How it is brought down.
        method: FenceMethod,
    },
    /// Lets a standby write.
    Promote {
        /// The server, with the files of one that writes.
        instance: Box<InstanceSpec>,
        /// How it is reached.
        server: Server,
        /// The other standbys that can be asked: none of them may have more of the log.
        survivors: Vec<Server>,
        /// What shows that nothing is lost.
        evidence: Evidence,
    },
    /// Takes a former primary's data back to where the log of the new one branches off.
    #[serde(rename = "rewind")]
    Rejoin {
        /// The node that gets the data.
        node: NodeAddress,
        /// Rewinds it.
        task: Box<TaskSpec>,
        /// The directory below the instance directory that the data ends up in.
        data: String,
        /// The server whose log it follows then.
        source: Server,
    },
    /// Makes or changes the login that standbys stream with.
    ReplicationUser {
        /// The login.
        user: UserAddress,
        /// Its attributes.
        attributes: Box<User>,
        /// Its password.
        password: SecretName,
        /// The server it is made on.
        server: Server,
        /// The servers that are given another password to stream with, one after the other.
        streams: Vec<Stream>,
    },
    /// Makes or changes a login.
    User {
        /// The login.
        user: UserAddress,
        /// Its attributes.
        attributes: Box<User>,
        /// The roles it is no longer a member of.
        leaves: BTreeSet<String>,
        /// Its password; absent where it may not connect.
        password: Option<SecretName>,
        /// The server it is made on.
        server: Server,
    },
    /// Makes a database, or gives it another owner.
    Database {
        /// The database.
        database: DatabaseAddress,
        /// Its attributes.
        attributes: Box<Database>,
        /// The server it is made on.
        server: Server,
    },
    /// Runs a file in a database, once, in one transaction. The text is not part of the plan: it is read again, and must
    /// be what it was.
    Seed {
        /// The seed.
        seed: SeedAddress,
        /// The file, relative to the configuration's directory.
        file: String,
        /// The digest of its text.
        digest: String,
        /// The database it runs in.
        database: DatabaseName,
        /// The role it runs as.
        owner: String,
        /// How a session begins that is that role's and can be nothing else.
        login: OwnerLogin,
        /// The server it runs on.
        server: Box<Server>,
    },
    /// Copies another node's data.
    #[serde(rename = "basebackup")]
    Clone {
        /// The node that gets the data.
        node: NodeAddress,
        /// Copies it and verifies the copy.
        task: Box<TaskSpec>,
        /// The directory below the instance directory that the copy ends up in.
        data: String,
    },
    /// Starts a server that replays what another node writes, and waits until it streams.
    #[serde(rename = "standby")]
    Join {
        /// The server.
        instance: Box<InstanceSpec>,
        /// How it is reached.
        server: Server,
        /// The server it streams from.
        upstream: Server,
        /// The name under which the upstream sees it.
        application_name: String,
    },
    /// Starts a server that is down, and continues one that was halted by a signal.
    Start {
        /// The server.
        instance: Box<InstanceSpec>,
        /// How it is reached.
        server: Server,
        /// Whether it must come up replaying (a standby) or writing (the primary).
        in_recovery: bool,
    },
    /// Stops a server.
    Stop {
        /// The node.
        node: NodeAddress,
    },
    /// Gives a server other parameters, and restarts it where that takes a restart.
    Configure {
        /// The server, with the new parameters.
        instance: Box<InstanceSpec>,
        /// How it is reached.
        server: Server,
        /// Whether it is stopped and started; else it reads its files again.
        restart: bool,
        /// Whether it must come up replaying (a standby) or writing (the primary).
        in_recovery: bool,
        /// For a standby that is restarted: whom it must stream from again before the next server is restarted.
        upstream: Option<Server>,
    },
    /// Records what concerns a cluster as a whole.
    Cluster {
        /// The cluster.
        cluster: ClusterName,
    },
    /// Lets a standby that runs stream from another node, or from one that listens elsewhere than before.
    Follow {
        /// The server, with its new upstream among its settings.
        instance: Box<InstanceSpec>,
        /// How it is reached.
        server: Server,
        /// The server it is to stream from.
        upstream: Server,
        /// The name under which the upstream sees it, and of its slot there.
        application_name: String,
    },
    /// Proves that every standby receives and replays what the primary commits.
    #[serde(rename = "verify-sync")]
    Verify {
        /// The cluster.
        cluster: ClusterName,
        /// The primary.
        primary: Server,
        /// The standbys by `application_name`, which is the name of the slot that each streams through, too.
        standbys: BTreeMap<String, Checked>,
        /// The standbys that commits wait for; of those, `awaited` must count.
        synchronous: BTreeSet<String>,
        /// How many standbys a commit waits for.
        awaited: u32,
        /// How far the marker's commit waits for them.
        commit: CommitLevel,
    },
    /// Changes the record alone: what is declared of the object shows nowhere else, or what was seen of it is accepted.
    Record {},
    /// Routes an endpoint to its target.
    Endpoint {
        /// The endpoint.
        endpoint: EndpointAddress,
        /// Where it routes to.
        #[serde(rename = "entry")]
        route: Route,
    },
    /// Stops a node's server and removes its data.
    DropNode {
        /// The node.
        node: NodeAddress,
    },
    /// Removes an endpoint's route.
    DropEndpoint {
        /// The endpoint.
        endpoint: EndpointAddress,
        /// The name that clients know it by.
        name: String,
    },
    /// Removes a login.
    DropUser {
        /// The login.
        user: UserAddress,
        /// The server it is on; absent where that goes too, and the login is only forgotten.
        server: Option<Server>,
    },
    /// Removes a database with all that is in it.
    DropDatabase {
        /// The database.
        database: DatabaseAddress,
        /// The server it is on; absent where that goes too, and the database is only forgotten.
        server: Option<Server>,
    },
    /// Forgets a seed; its changes stay.
    DropSeed {
        /// The seed.
        seed: SeedAddress,
    },
    /// Forgets a cluster whose nodes are gone, with its secrets.
    DropCluster {
        /// The cluster.
        cluster: ClusterName,
    },
    /// Removes a network.
    DropNetwork {
        /// The network.
        network: NetworkName,
        /// The platforms that it is removed from while it stays on others; empty where it goes as a whole.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        on: BTreeSet<PlatformName>,
    },
    /// Does what only one engine needs. On the wire these steps stand beside the others: the names of all are different.
    #[serde(untagged)]
    Engine(engine::Action),
}

/// A primary that serves, and the standby that takes over from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The primary.
    pub primary: Server,
    /// The standby.
    pub successor: Server,
}

/// How a node is brought down to be fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceMethod {
    /// In order: everything is written and sent, and the control data must say so.
    ShutDown,
    /// By killing every process that uses its data.
    Kill,
    /// Not at all: it cannot be reached, and a person attests that its machine is off.
    Attested,
    /// Not at all: it cannot be reached, and a person waived the proof that it takes no writes.
    Waived,
}

impl FenceMethod {
    /// Returns what is recorded as proof where no platform provides one.
    pub fn attested(self) -> Option<Witness> {
        match self {
            FenceMethod::ShutDown | FenceMethod::Kill => None,
            FenceMethod::Attested => Some(Witness::NodeFenced),
            FenceMethod::Waived => Some(Witness::Waived),
        }
    }
}

/// What a promotion is judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The former primary was shut down in order, and its last record must be on the standby.
    ShutDown {
        /// The former primary.
        node: NodeAddress,
        /// The engine's major version, for its control data.
        version: u16,
        /// The directory below its instance directory that holds its data.
        data: String,
    },
    /// Nobody can be asked what was written last.
    Verdict(Verdict),
}

impl From<engine::Action> for Action {
    fn from(action: engine::Action) -> Self {
        Action::Engine(action)
    }
}

impl Action {
    /// Returns whether it is part of another node's becoming the primary.
    pub fn changes_lead(&self) -> bool {
        matches!(
            self,
            Action::Elect { .. } | Action::Fence { .. } | Action::Promote { .. }
        )
    }

    /// Returns whether the step gives free what an earlier one holds up. It is due even where others have failed.
    pub fn releases(&self) -> bool {
        matches!(self, Action::Engine(action) if action.releases())
    }

    /// Returns the step's name, as the step table and every view spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Network { .. } => "network",
            Action::Primary { .. } => "primary",
            Action::Import { .. } => "import",
            Action::Elect { .. } => "elect",
            Action::Degrade { .. } => "degrade",
            Action::Fence { .. } => "fence",
            Action::Promote { .. } => "promote",
            Action::Rejoin { .. } => "rewind",
            Action::ReplicationUser { .. } => "replication-user",
            Action::User { .. } => "user",
            Action::Database { .. } => "database",
            Action::Seed { .. } => "seed",
            Action::Clone { .. } => "basebackup",
            Action::Join { .. } => "standby",
            Action::Start { .. } => "start",
            Action::Stop { .. } => "stop",
            Action::Configure { .. } => "configure",
            Action::Cluster { .. } => "cluster",
            Action::Record {} => "record",
            Action::Follow { .. } => "follow",
            Action::Verify { .. } => "verify-sync",
            Action::Endpoint { .. } => "endpoint",
            Action::DropNode { .. } => "drop-node",
            Action::DropEndpoint { .. } => "drop-endpoint",
            Action::DropUser { .. } => "drop-user",
            Action::DropDatabase { .. } => "drop-database",
            Action::DropSeed { .. } => "drop-seed",
            Action::DropCluster { .. } => "drop-cluster",
            Action::DropNetwork { .. } => "drop-network",
            Action::Engine(action) => action.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::STEPS;

    #[test]
    fn the_steps_are_those_of_the_step_table_and_of_the_names_in_code() {
        let rows = include_str!("lib.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `"));
        let cells = rows.filter_map(|row| row.split(" | ").next());
        let table: Vec<&str> = cells
            .flat_map(|cell| cell.trim_end_matches('`').split("`, `"))
            .collect();
        assert_eq!(table, STEPS);
        let code = [
            include_str!("plan.rs"),
            include_str!("engine/postgresql/action.rs"),
            include_str!("engine/pgbouncer/action.rs"),
        ];
        let arms = code.iter().flat_map(|text| text.lines());
        let named = arms.filter_map(|line| {
            line.trim()
                .strip_prefix("Action::")?
                .split_once(" => \"")?
                .1
                .strip_suffix("\",")
        });
        let mut named: Vec<&str> = named.collect();
        let mut all = STEPS.to_vec();
        named.sort_unstable();
        all.sort_unstable();
        assert_eq!(named, all);
    }
}
