//! What a running server says of itself, in two round trips, and with nothing changed.

use std::collections::BTreeMap;

use serde::Deserialize;
use simdb_planner::engine::mariadb::facts::{
    AcknowledgementFacts, DatabaseFacts, ParameterFacts, ServerFacts, StreamFacts, UserFacts,
};
use simdb_planner::observed::PasswordFacts;
use simdb_state::sensitive::Sensitive;

use super::connection::{ANSWER_LIMIT, Connection};
use super::verifier::{self, Verifier};
use super::wire::Answer;
use super::{Cause, MariadbError};

/// The passwords that logins have on record, by name.
pub type Known = BTreeMap<String, Sensitive<String>>;

/// What the comment of simdb's database begins with that says whose data it is.
pub(super) const LINEAGE: &str = "data=";

/// Everything but streams. Roles are in no view of the privileges, so those are read where the server keeps them. A switch is shown as
/// `ON` without quotes unless a number is asked for, which is no JSON.
const SNAPSHOT: &str = "
SELECT JSON_OBJECT(
  'version', VERSION(), 'server_id', @@server_id, 'read_only', @@read_only + 0, 'events', @@event_scheduler,
  'logged', @@gtid_binlog_pos, 'log', @@gtid_binlog_state, 'applied', @@gtid_slave_pos,
  'waits', @@rpl_semi_sync_master_enabled + 0, 'timeout', @@rpl_semi_sync_master_timeout,
  'acknowledges', @@rpl_semi_sync_slave_enabled + 0,
  'status', (SELECT JSON_OBJECTAGG(VARIABLE_NAME, VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS
    WHERE VARIABLE_NAME IN ('UPTIME', 'RPL_SEMI_SYNC_MASTER_CLIENTS', 'RPL_SEMI_SYNC_MASTER_STATUS',
      'RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS', 'RPL_SEMI_SYNC_MASTER_NO_TX', 'RPL_SEMI_SYNC_SLAVE_STATUS')),
  'accounts', (SELECT JSON_ARRAYAGG(JSON_OBJECT('user', User, 'host', Host, 'privileges', JSON_COMPACT(Priv)))
    FROM mysql.global_priv WHERE User <> 'mariadb.sys'),
  'databases', (SELECT JSON_ARRAYAGG(JSON_OBJECT('name', SCHEMA_NAME, 'character_set', DEFAULT_CHARACTER_SET_NAME,
      'collation', DEFAULT_COLLATION_NAME, 'comment', SCHEMA_COMMENT))
    FROM information_schema.SCHEMATA
    WHERE SCHEMA_NAME NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')),
  'parameters', (SELECT JSON_ARRAYAGG(JSON_OBJECT(
      'name', LOWER(VARIABLE_NAME), 'value', COALESCE(GLOBAL_VALUE, ''), 'origin', GLOBAL_VALUE_ORIGIN))
    FROM information_schema.SYSTEM_VARIABLES WHERE GLOBAL_VALUE_ORIGIN <> 'COMPILE-TIME'))";

/// What the server answers, in its own spelling.
#[derive(Deserialize)]
struct Told {
    version: String,
    server_id: u32,
    read_only: u8,
    events: String,
    logged: String,
    log: String,
    applied: String,
    waits: u8,
    timeout: u64,
    acknowledges: u8,
    status: BTreeMap<String, String>,
    accounts: Option<Vec<Account>>,
    databases: Option<Vec<Database>>,
    parameters: Option<Vec<Parameter>>,
}

#[derive(Deserialize)]
struct Account {
    user: String,
    host: String,
    privileges: Privileges,
}

/// The document that a server keeps of an account.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Privileges {
    access: u64,
    version_id: u32,
    plugin: String,
    authentication_string: String,
    auth_or: Vec<Verifier>,
    account_locked: bool,
    is_role: bool,
    max_user_connections: u32,
    /// 0 where the password has to be changed before anything else.
    password_last_changed: u64,
}

impl Default for Privileges {
    fn default() -> Self {
        Self {
            access: 0,
            version_id: 0,
            plugin: String::new(),
            authentication_string: String::new(),
            auth_or: Vec::new(),
            account_locked: false,
            is_role: false,
            max_user_connections: 0,
            password_last_changed: 1,
        }
    }
}

#[derive(Deserialize)]
struct Database {
    name: String,
    character_set: String,
    collation: String,
    comment: String,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    value: String,
    origin: String,
}

/// Bits of what an account may do, as the server keeps them.
const SUPER: u64 = 1 << 15;
const REPLICATION_SLAVE: u64 = 1 << 19;
const READ_ONLY_ADMIN: u64 = 1 << 33;

/// The first version in which `SUPER` alone does not pass `read_only`.
const WITHOUT_SUPER: u32 = 101_100;

impl Privileges {
    fn passes_read_only(&self) -> bool {
        self.access & READ_ONLY_ADMIN != 0 || (self.access & SUPER != 0 && self.version_id < WITHOUT_SUPER)
    }

    /// Returns all ways in which the account may prove who it is.
    pub(super) fn verifiers(&self) -> Vec<Verifier> {
        let own = Verifier {
            plugin: self.plugin.clone(),
            authentication_string: self.authentication_string.clone(),
        };
        // An empty one among the alternatives stands for the account's own.
        let others = self.auth_or.iter().filter(|other| !other.plugin.is_empty()).cloned();
        others.chain((!own.plugin.is_empty()).then_some(own)).collect()
    }
}

/// Looks at a server, and compares the passwords of its logins with those that are known.
pub async fn snapshot(connection: &mut Connection, known: &Known) -> Result<ServerFacts, MariadbError> {
    const DOING: &str = "read the server's status";
    let answer = connection.required(DOING, SNAPSHOT).await?;
    let told: Told = serde_json::from_str(&answer)
        .map_err(|error| connection.failure(DOING, Cause::Answer(format!("its status makes no sense: {error}"))))?;
    let streams = streams(connection).await?;
    facts(told, streams, known).map_err(|what| connection.failure(DOING, Cause::Answer(what)))
}

/// Looks at what a server receives, by the name of the connection.
pub async fn streams(connection: &mut Connection) -> Result<BTreeMap<String, StreamFacts>, MariadbError> {
    const DOING: &str = "read the replication status";
    let answer = connection.ask(DOING, "SHOW ALL SLAVES STATUS", ANSWER_LIMIT).await?;
    let rows = answer.rows.iter().map(|row| stream(&answer, row));
    let streams: Result<_, _> = rows.collect();
    streams.map_err(|what| connection.failure(DOING, Cause::Answer(what)))
}

fn stream(answer: &Answer, row: &[Option<String>]) -> Result<(String, StreamFacts), String> {
    let optional = |name: &str| {
        let at = answer.columns.iter().position(|column| column == name);
        at.map(|at| row[at].as_deref())
            .ok_or_else(|| format!("it has no column {name}"))
    };
    let text = |name| Ok::<_, String>(optional(name)?.unwrap_or_default().to_owned());
    let received = text("Gtid_IO_Pos")?;
    let facts = StreamFacts {
        host: text("Master_Host")?,
        port: number(&text("Master_Port")?)?,
        receives: text("Slave_IO_Running")?,
        applies: text("Slave_SQL_Running")? == "Yes",
        received: received.parse().map_err(|error| format!("Gtid_IO_Pos: {error}"))?,
        lag_seconds: optional("Seconds_Behind_Master")?.map(number).transpose()?,
        receive_error: text("Last_IO_Error")?,
        apply_error: text("Last_SQL_Error")?,
        positions: text("Using_Gtid")?,
        upstream_id: number(&text("Master_Server_Id")?)?,
    };
    Ok((text("Connection_name")?, facts))
}

fn facts(told: Told, streams: BTreeMap<String, StreamFacts>, known: &Known) -> Result<ServerFacts, String> {
    let status = |name: &str| told.status.get(name).ok_or_else(|| format!("it has no status {name}"));
    let databases = told.databases.unwrap_or_default();
    let own = databases.iter().find(|database| database.name == super::DATABASE);
    let lineage = own.and_then(|own| own.comment.strip_prefix(LINEAGE)).map(str::to_owned);
    let wrong = |error| format!("its position makes no sense: {error}");
    Ok(ServerFacts {
        acknowledgement: AcknowledgementFacts {
            waits: told.waits != 0,
            active: status("RPL_SEMI_SYNC_MASTER_STATUS")? == "ON",
            timeout: told.timeout,
            clients: number(status("RPL_SEMI_SYNC_MASTER_CLIENTS")?)?,
            waiting: number(status("RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS")?)?,
            unacknowledged: number(status("RPL_SEMI_SYNC_MASTER_NO_TX")?)?,
            acknowledges: told.acknowledges != 0,
            acknowledging: status("RPL_SEMI_SYNC_SLAVE_STATUS")? == "ON",
        },
        uptime: number(status("UPTIME")?)?,
        server_id: told.server_id,
        read_only: told.read_only != 0,
        events: told.events == "ON",
        lineage,
        logged: told.logged.parse().map_err(wrong)?,
        log: told.log.parse().map_err(wrong)?,
        applied: told.applied.parse().map_err(wrong)?,
        streams,
        users: users(told.accounts.unwrap_or_default(), known),
        databases: databases
            .into_iter()
            .filter(|database| database.name != super::DATABASE)
            .map(
                |Database {
                     name,
                     character_set,
                     collation,
                     comment,
                 }| {
                    (
                        name,
                        DatabaseFacts {
                            character_set,
                            collation,
                            comment,
                        },
                    )
                },
            )
            .collect(),
        parameters: told
            .parameters
            .unwrap_or_default()
            .into_iter()
            .map(|Parameter { name, value, origin }| (name, ParameterFacts { value, origin }))
            .collect(),
        version: told.version,
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// Sums up accounts by name: one login may come from several hosts, each of which is an account of its own.
fn users(accounts: Vec<Account>, known: &Known) -> BTreeMap<String, UserFacts> {
    let mut users: BTreeMap<String, UserFacts> = BTreeMap::new();
    for Account { user, host, privileges } in accounts {
        let password = password(&privileges, known.get(&user));
        let facts = users.entry(user).or_default();
        // Where accounts of one name differ, the one is told that is not as it should be.
        facts.password = if facts.hosts.is_empty() {
            password
        } else {
            worse(facts.password, password)
        };
        facts.hosts.insert(host);
        facts.login |= !privileges.is_role && !privileges.account_locked;
        facts.role |= privileges.is_role;
        facts.superuser |= privileges.access & SUPER != 0;
        facts.replication |= privileges.access & REPLICATION_SLAVE != 0;
        facts.passes_read_only |= privileges.passes_read_only();
        facts.connection_limit = facts.connection_limit.max(privileges.max_user_connections);
        facts
            .methods
            .extend(privileges.verifiers().into_iter().map(|verifier| verifier.plugin));
    }
    users
}

fn password(privileges: &Privileges, known: Option<&Sensitive<String>>) -> PasswordFacts {
    let (Some(known), false) = (known, privileges.is_role) else {
        return PasswordFacts::Unknown;
    };
    let compared: Vec<Option<bool>> = privileges
        .verifiers()
        .iter()
        .map(|verifier| verifier::is_of(verifier, known))
        .collect();
    match (compared.contains(&Some(true)), compared.contains(&None)) {
        (true, _) if privileges.password_last_changed == 0 => PasswordFacts::Expired,
        // Another password that lets the login in as well is no difference that a rotation leaves for good.
        (true, _) if compared.len() == 1 => PasswordFacts::Recorded,
        (true, _) | (false, false) => PasswordFacts::Other,
        (false, true) => PasswordFacts::Unknown,
    }
}

fn worse(one: PasswordFacts, other: PasswordFacts) -> PasswordFacts {
    let badness = |facts: &PasswordFacts| match facts {
        PasswordFacts::Recorded => 0,
        PasswordFacts::Unknown => 1,
        PasswordFacts::Expired => 2,
        PasswordFacts::Other => 3,
    };
    [one, other].into_iter().max_by_key(badness).unwrap_or_default()
}
