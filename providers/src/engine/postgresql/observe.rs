//! What a running server says of itself, in one round trip.

use std::collections::BTreeMap;

use serde::Deserialize;
use simdb_planner::observed::{PasswordFacts, ServerFacts};
use simdb_state::sensitive::Sensitive;
use tokio::task::spawn_blocking;

use super::connection::Connection;
use super::{Cause, PostgresqlError, verifier};

/// Facts of a server at one moment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Snapshot {
    /// The facts.
    pub facts: ServerFacts,
    /// The `application_name` of everybody who streams from it. A name that stands here twice is one of two standbys
    /// that cannot be told apart, which `facts.senders` cannot show.
    pub connected: Vec<String>,
}

/// The columns are those that 15 to 18 have in common. `pg_control_checkpoint` knows only the timeline of the last
/// restart point, so the writer's comes from the name of the file it writes, and a reader's from its receiver and, as
/// that ends with its upstream, from the files it has: log of that timeline and its history, as a rewind may leave log of a
/// branch that was given up. Two survivors of a failover must not be told apart by their restart points.
///
/// What this session brings settings of its own for, what a role or a database sets, and what the server sets in place of
/// -1 comes from the files, and so does what a server shows in other words than it was told: an archive command that is
/// off, the name of a time zone, and what the system makes of a socket. What a standby was started with more of than its
/// file says, as its log asks for that, it shows as well.
pub(super) const SNAPSHOT: &str = "
WITH session AS (
  SELECT setdatabase, setrole, split_part(setting, '=', 1) AS name, substr(setting, position('=' IN setting) + 1) AS value
  FROM pg_db_role_setting, unnest(setconfig) AS setting WHERE position('.' IN split_part(setting, '=', 1)) = 0)
SELECT json_build_object(
  'facts', json_build_object(
    'in_recovery', standby,
    'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
    'timeline', CASE
      WHEN standby THEN coalesce(
        (SELECT received_tli FROM pg_stat_wal_receiver),
        greatest(
          (SELECT greatest(timeline_id, min_recovery_end_timeline) FROM pg_control_checkpoint(), pg_control_recovery()),
          (SELECT max(('x' || timeline)::bit(32)::int) FROM (
            SELECT left(name, 8) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
            INTERSECT SELECT left(name, 8) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{8}[.]history$') AS log(timeline))))
      ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
    'position', CASE
      WHEN standby THEN coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')
      ELSE pg_current_wal_lsn() END,
    'replayed', CASE WHEN standby THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_lsn() END,
    'replay_paused', CASE WHEN standby THEN pg_get_wal_replay_pause_state() <> 'not paused' ELSE false END,
    'replay_lag_seconds', CASE WHEN standby AND pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()
      THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
    'senders', (SELECT coalesce(json_object_agg(application_name, json_build_object(
        'state', state, 'sync_state', sync_state, 'flushed', flush_lsn, 'replayed', replay_lsn)), '{}')
      FROM pg_stat_replication),
    'slots', (SELECT coalesce(json_object_agg(slot_name, json_build_object(
        'active', active, 'wal_status', wal_status, 'restart', restart_lsn, 'database', database,
        'transient', temporary OR coalesce((to_jsonb(slot) ->> 'synced')::boolean, false))), '{}')
      FROM pg_replication_slots AS slot),
    'receiver', (SELECT json_build_object(
        'status', status, 'host', coalesce(sender_host, ''), 'port', coalesce(sender_port, 0), 'slot', slot_name)
      FROM pg_stat_wal_receiver),
    'oldest', (SELECT ('0/0'::pg_lsn
        + ('x' || substr(min(name), 9, 8))::bit(32)::bigint * 4294967296
        + ('x' || substr(min(name), 17, 8))::bit(32)::bigint * pg_size_bytes(current_setting('wal_segment_size')))
      FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'),
    'fork', CASE WHEN NOT standby THEN (
      SELECT split_part(line, E'\\t', 2) FROM regexp_split_to_table(
        pg_read_file('pg_wal/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || '.history', 0, 1048576, true), E'\\n')
        WITH ORDINALITY AS history(line, number)
      WHERE line ~ '^[0-9]' ORDER BY number DESC LIMIT 1) END,
    'exhausted', standby AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'
      AND wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval')),
    'configured', (SELECT coalesce(json_object_agg(name, setting), '{}')
      FROM (SELECT name, setting FROM pg_settings
          WHERE source = 'configuration file' AND NOT (name LIKE 'tcp%' OR name IN ('archive_command', 'log_timezone'))
            OR source = 'command line' AND name IN ('max_connections', 'max_worker_processes', 'max_wal_senders',
              'max_prepared_transactions', 'max_locks_per_transaction')
        UNION ALL SELECT shown.name, file.setting
          FROM pg_file_settings AS file JOIN pg_settings AS shown ON lower(shown.name) = lower(file.name)
          WHERE applied AND source <> 'command line' AND (source <> 'configuration file'
            OR shown.name LIKE 'tcp%' OR shown.name IN ('archive_command', 'log_timezone'))) AS settings),
    'users', (SELECT coalesce(json_object_agg(rolname, json_build_object(
        'login', rolcanlogin, 'replication', rolreplication, 'superuser', rolsuper, 'createdb', rolcreatedb,
        'createrole', rolcreaterole, 'inherit', rolinherit, 'connection_limit', rolconnlimit,
        'member_of', (SELECT coalesce(json_agg(DISTINCT granted.rolname), '[]')
          FROM pg_auth_members JOIN pg_roles AS granted ON granted.oid = roleid WHERE member = role.oid),
        'holds', (SELECT coalesce(json_object_agg(place, objects), '{}') FROM (
          SELECT coalesce(datname, '') AS place, count(*) AS objects
          FROM pg_shdepend LEFT JOIN pg_database AS database ON database.oid = dbid
          WHERE refclassid = 'pg_authid'::regclass AND refobjid = role.oid
            AND NOT (dbid = 0 AND classid = 'pg_database'::regclass AND deptype = 'o')
            AND NOT (classid = 'pg_parameter_acl'::regclass
              AND objid IN (SELECT acl.oid FROM pg_parameter_acl AS acl WHERE starts_with(parname, 'simdb.seed_')))
          GROUP BY place) AS held),
        'settings', (SELECT coalesce(json_object_agg(place, settings), '{}') FROM (
          SELECT coalesce(datname, '') AS place, json_object_agg(name, value) AS settings
          FROM session LEFT JOIN pg_database AS database ON database.oid = setdatabase WHERE setrole = role.oid
          GROUP BY place) AS own))), '{}')
      FROM pg_roles AS role WHERE rolname !~ '^pg_'),
    'databases', (SELECT coalesce(json_object_agg(datname, json_build_object(
        'owner', pg_get_userbyid(datdba),
        'seeds', (SELECT coalesce(json_object_agg(
            replace(substr(split_part(setting, '=', 1), length('simdb.seed_') + 1), '_', '-'),
            split_part(setting, '=', 2)), '{}')
          FROM pg_db_role_setting, unnest(setconfig) AS setting
          WHERE setdatabase = database.oid AND setrole = 0 AND starts_with(setting, 'simdb.seed_')),
        'settings', (SELECT coalesce(json_object_agg(name, value), '{}') FROM session
          WHERE setdatabase = database.oid AND setrole = 0))), '{}')
      FROM pg_database AS database WHERE NOT datistemplate),
    'settings_of_all', (SELECT coalesce(json_object_agg(name, value), '{}') FROM session
      WHERE setdatabase = 0 AND setrole = 0)),
  'connected', (SELECT coalesce(json_agg(application_name), '[]') FROM pg_stat_replication))
FROM (SELECT pg_is_in_recovery() AS standby) AS role";

/// Looks at a server.
pub(crate) async fn snapshot(connection: &Connection) -> Result<Snapshot, PostgresqlError> {
    const DOING: &str = "read the replication status";
    let answer = connection.required(DOING, SNAPSHOT).await?;
    serde_json::from_str(&answer).map_err(|error| connection.failure(DOING, Cause::Answer(error)))
}

/// Verifiers of logins, and whether they let nobody in any more.
const VERIFIERS: &str = "
SELECT rolname, coalesce(rolpassword, ''), rolvaliduntil IS NOT NULL AND rolvaliduntil <= now() FROM pg_authid
WHERE rolcanlogin";

/// Compares the passwords of logins with those that are known by name.
pub(crate) async fn passwords(
    connection: &Connection,
    known: BTreeMap<String, Sensitive<String>>,
) -> Result<BTreeMap<String, PasswordFacts>, PostgresqlError> {
    const DOING: &str = "compare passwords";
    let rows = connection.rows(DOING, VERIFIERS).await?;
    // A verifier takes thousands of rounds to compute, and others are looked at meanwhile.
    let compared = spawn_blocking(move || {
        let compare = |row: Vec<Option<String>>| {
            let mut columns = row.into_iter();
            let mut column = || columns.next().flatten();
            let (role, verifier, expired) = (column()?, column()?, column()?);
            let facts = match verifier::is_of(&verifier, known.get(&role)?) {
                None => PasswordFacts::Unknown,
                Some(false) => PasswordFacts::Other,
                Some(true) if expired == "t" => PasswordFacts::Expired,
                Some(true) => PasswordFacts::Recorded,
            };
            Some((role, facts))
        };
        rows.into_iter().filter_map(compare).collect()
    });
    compared.await.map_err(|_| connection.failure(DOING, Cause::Empty))
}
