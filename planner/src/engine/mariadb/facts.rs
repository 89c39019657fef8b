//! What is seen of MariaDB's servers, and of the data of those that are down.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use simdb_state::gtid::{GtidPosition, GtidState};

use crate::observed::PasswordFacts;

/// What a running server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// Its version, as it says it: `10.11.19-MariaDB-…`.
    pub version: String,
    /// What its transactions are told from those of other servers by.
    pub server_id: u32,
    /// Seconds since it was started.
    pub uptime: u64,
    /// Whether it refuses writes (`read_only`).
    pub read_only: bool,
    /// Whether its event scheduler runs.
    pub events: bool,
    /// Whose data it serves, as the comment of simdb's database says; absent where that database is missing or says nothing of it.
    pub lineage: Option<String>,
    /// The last transactions that it has in its log (`gtid_binlog_pos`).
    pub logged: GtidPosition,
    /// Everything that it has in its log, by domain and writer (`gtid_binlog_state`).
    pub log: GtidState,
    /// The last transactions that it applied for others (`gtid_slave_pos`).
    pub applied: GtidPosition,
    /// What it receives, by the name of the connection; the only one of a standby has the empty name.
    pub streams: BTreeMap<String, StreamFacts>,
    /// How its commits are acknowledged, and those of the server that it follows.
    pub acknowledgement: AcknowledgementFacts,
    /// Its logins and roles, by name.
    pub users: BTreeMap<String, UserFacts>,
    /// Its databases by name, without those that every server has.
    pub databases: BTreeMap<String, DatabaseFacts>,
    /// The parameters that are not what the server was built with, by name.
    pub parameters: BTreeMap<String, ParameterFacts>,
}

impl ServerFacts {
    /// Returns the logins and roles that may write where writes are refused, without simdb's own.
    pub fn privileged(&self, own: &str) -> BTreeSet<&str> {
        let privileged = self
            .users
            .iter()
            .filter(|(name, user)| user.passes_read_only && *name != own);
        privileged.map(|(name, _)| name.as_str()).collect()
    }
}

/// A stream that a server receives from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// The host that it comes from.
    pub host: String,
    /// The port that it comes from.
    pub port: u16,
    /// Whether it is received: `Yes`, `No`, `Connecting` or `Preparing`.
    pub receives: String,
    /// Whether what was received is applied.
    pub applies: bool,
    /// The last transactions that were received; empty where none were since the server was started.
    pub received: GtidPosition,
    /// Seconds that the applied transactions are behind; absent where nothing is received or applied.
    pub lag_seconds: Option<u64>,
    /// Why nothing is received, as the server says it; empty where nothing is wrong.
    pub receive_error: String,
    /// Why nothing is applied, as the server says it; empty where nothing is wrong.
    pub apply_error: String,
    /// By what it asks for the next transaction: `Slave_Pos`, `Current_Pos` or `No`.
    pub positions: String,
    /// The `server_id` of the server that it comes from; 0 before that one answered.
    pub upstream_id: u32,
}

impl StreamFacts {
    /// Returns whether it is received and applied.
    pub fn runs(&self) -> bool {
        self.receives == "Yes" && self.applies
    }
}

/// How commits are acknowledged (semi-synchronous replication).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches of a server")]
pub struct AcknowledgementFacts {
    /// Whether its commits wait for another server (`rpl_semi_sync_master_enabled`).
    pub waits: bool,
    /// Whether its commits wait right now: they stop to after a wait that took too long.
    pub active: bool,
    /// How many milliseconds a commit waits at most.
    pub timeout: u64,
    /// How many servers that acknowledge stream from it.
    pub clients: u32,
    /// How many sessions wait for an acknowledgement.
    pub waiting: u32,
    /// How many commits were not acknowledged.
    pub unacknowledged: u64,
    /// Whether it acknowledges what it receives (`rpl_semi_sync_slave_enabled`); counts from the next start of its stream on.
    pub acknowledges: bool,
    /// Whether its stream is one that it acknowledges.
    pub acknowledging: bool,
}

/// A login or role, as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are attributes of a login")]
pub struct UserFacts {
    /// The hosts that it may come from.
    pub hosts: BTreeSet<String>,
    /// Whether it may log in.
    pub login: bool,
    /// Whether it is a role that others are given.
    pub role: bool,
    /// Whether it may do anything.
    pub superuser: bool,
    /// Whether it may stream.
    pub replication: bool,
    /// Whether it may write where writes are refused (`READ_ONLY ADMIN`).
    pub passes_read_only: bool,
    /// How many sessions it may have at once; 0 for any number.
    pub connection_limit: u32,
    /// How it proves who it is: `mysql_native_password`, `ed25519`, …
    pub methods: BTreeSet<String>,
    /// Whether its password is the one on record.
    pub password: PasswordFacts,
}

/// A database, as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// Its characters.
    pub character_set: String,
    /// The order of its characters.
    pub collation: String,
    /// What was noted of it.
    pub comment: String,
}

/// A parameter, as the server has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterFacts {
    /// Its value, as the server shows it.
    pub value: String,
    /// Where it comes from: `CONFIG` for the file, `SQL` for a statement, `AUTO` where the server chose it.
    pub origin: String,
}

/// What the data of a server that is down says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFacts {
    /// Whose data it is, as the comment of simdb's database says; absent where that database is missing or says nothing of it.
    pub lineage: Option<String>,
    /// What every copy of the data has in common, made when the data was: 16 bytes in hexadecimal digits.
    pub uuid: String,
    /// How the last server on it ended.
    pub end: End,
    /// The last transactions in its log, of those that are whole.
    pub logged: GtidPosition,
    /// Everything in its log, by domain and writer, of what is whole.
    pub log: GtidState,
    /// The last transactions that the data had when it was copied; absent where it is no copy.
    pub copied: Option<GtidPosition>,
    /// The server that it followed, as host and port; absent where it followed none.
    pub upstream: Option<(String, u16)>,
}

/// How the last server on some data ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// No server has written a log there: the data is a copy that was not started yet.
    Unwritten,
    /// It was shut down in order.
    ShutDown,
    /// It was killed, or nothing shows that it was not.
    Killed,
}
