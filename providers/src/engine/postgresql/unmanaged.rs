//! Looks at servers that were made without simdb, and that nothing lets it into but the socket of their machine.

use std::collections::BTreeMap;

use simdb_planner::engine::postgresql::instance;
use simdb_planner::observed::{ImportFacts, Observation, UnmanagedServer};
use simdb_state::address::{InstanceAddress, NodeAddress};
use simdb_state::instance::{Argument, Command, LOOPBACK, TaskSpec};
use simdb_state::object::EngineKind;
use simdb_state::place::Bind;
use tokio::time::{Instant, timeout_at};

use super::observe::{SNAPSHOT, Snapshot};
use super::programs::PROGRAMS;
use crate::executor::chain;
use crate::observe::{IMPORT_LIMIT, Look};
use crate::platform::{InstanceFacts, Unmanaged};

/// The file of a data directory that says which major version it is of.
const VERSION: &str = "PG_VERSION";

/// The line of `postmaster.pid` with the port (`LOCK_FILE_LINE_PORT`).
const PORT_LINE: usize = 4;

/// The line with the first directory of sockets (`LOCK_FILE_LINE_SOCKET_DIR`).
const SOCKET_LINE: usize = 5;

/// The settings that were made for the server.
const SETTINGS: &str = "
SELECT coalesce(json_object_agg(name, setting), '{}') FROM pg_settings
WHERE source IN ('configuration file', 'command line') AND setting IS DISTINCT FROM boot_val";

impl Look<'_> {
    /// Looks at what a node is to be imported from.
    pub(crate) async fn import(&self, node: &NodeAddress, id: &str, deadline: Instant) -> Observation<ImportFacts> {
        match timeout_at(deadline, self.unmanaged(node, id)).await {
            Err(_) => Observation::Unknown(format!("did not answer within {IMPORT_LIMIT:?}")),
            Ok(Err(reason)) => Observation::Unknown(reason),
            Ok(Ok(facts)) => Observation::Seen(facts),
        }
    }

    async fn unmanaged(&self, node: &NodeAddress, id: &str) -> Result<ImportFacts, String> {
        let directory: InstanceAddress = node.into();
        let inspected = self.platform.inspect(&directory).await.map_err(|error| chain(&error))?;
        // An apply that was cut off has linked the data already, and its server may be down since.
        let link = |facts: &InstanceFacts| facts.outside.values().next_back().cloned();
        let linked = inspected.seen().and_then(link).map(|path| path.display().to_string());
        let id = linked.as_deref().unwrap_or(id);
        let found = self.platform.unmanaged(&directory, id, &[VERSION, PROGRAMS.lock]).await;
        let found = match found.map_err(|error| chain(&error))? {
            Observation::Seen(found) => found,
            Observation::Unknown(reason) => return Err(reason),
            Observation::Absent => return Err("there is nothing of that id".to_owned()),
        };
        let version = found.files.get(VERSION).and_then(|text| text.trim().parse().ok());
        let version = version.ok_or_else(|| {
            format!(
                "{} is not a data directory of PostgreSQL, which has a file {VERSION}",
                found.directory
            )
        })?;
        let server = match self.ask_unmanaged(&directory, &found, version).await {
            Ok(server) => Some(server),
            Err(_) if linked.is_some() => None,
            Err(reason) => return Err(reason),
        };
        Ok(ImportFacts {
            directory: found.directory,
            version,
            server,
        })
    }

    async fn ask_unmanaged(
        &self,
        node: &InstanceAddress,
        found: &Unmanaged,
        version: u16,
    ) -> Result<UnmanagedServer, String> {
        let directory = &found.directory;
        let (Some(pid), Some(lock)) = (found.process, found.files.get(PROGRAMS.lock)) else {
            return Err(format!(
                "no server runs on {directory}; start it, and plan again: it is asked what it is"
            ));
        };
        let line = |number: usize| lock.lines().nth(number - 1).map(str::trim).unwrap_or_default();
        let port = line(PORT_LINE)
            .parse()
            .map_err(|_| format!("the server on {directory} is starting up"))?;
        let socket = line(SOCKET_LINE);
        if socket.is_empty() {
            return Err(format!(
                "the server on {directory} listens at no socket of its machine, where simdb asks it; set unix_socket_directories"
            ));
        }
        let known = self
            .facts(node.cluster())
            .and_then(|facts| facts.engines.get(&EngineKind::Postgresql));
        if !known.is_some_and(|versions| versions.contains_key(&version)) {
            return Err(format!(
                "{directory} is data of PostgreSQL {version}, whose programs were not found; install them, or name their directory in \
                 provider \"local\": binaries"
            ));
        }
        let role = &found.owner;
        let task = question(version, instance::session(socket, port, role));
        let answer = self.platform.run_task(node, &task, self.secrets).await.map_err(|error| {
            format!(
                "the server on {directory} does not let in its own user \"{role}\" as role \"{role}\" at {socket}, and the role must be \
                 a superuser: {}",
                chain(&error)
            )
        })?;
        let (facts, settings) =
            read(&answer).ok_or_else(|| format!("the server on {directory} gave no answer that is understood"))?;
        if !facts.facts.users.get(role).is_some_and(|role| role.superuser) {
            return Err(format!("role \"{role}\" of the server on {directory} is no superuser"));
        }
        let listen = found.listen.unwrap_or(Bind { host: LOOPBACK, port });
        Ok(UnmanagedServer {
            pid,
            listen,
            socket: socket.to_owned(),
            role: role.clone(),
            facts: facts.facts,
            settings,
        })
    }
}

fn question(version: u16, mut arguments: Vec<Argument>) -> TaskSpec {
    for statement in [SNAPSHOT, SETTINGS] {
        arguments.extend([Argument::text("-c"), Argument::text(statement)]);
    }
    TaskSpec {
        name: "look".to_owned(),
        commands: vec![Command {
            engine: EngineKind::Postgresql,
            version,
            program: "psql".to_owned(),
            arguments,
        }],
        ..TaskSpec::default()
    }
}

fn read(answer: &str) -> Option<(Snapshot, BTreeMap<String, String>)> {
    let mut values = serde_json::Deserializer::from_str(answer).into_iter::<serde_json::Value>();
    let snapshot = serde_json::from_value(values.next()?.ok()?).ok()?;
    let settings = serde_json::from_value(values.next()?.ok()?).ok()?;
    Some((snapshot, settings))
}
