//! What one probe of a server says.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::lsn::Lsn;

/// Asks a server what it is. Every login may call these functions; a login that may not read the receiver's timeline
/// learns it from the control file, which follows later.
///
/// A simple query, as PgBouncer in between keeps no prepared statements.
const QUESTION: &str = "
SELECT CASE WHEN standby THEN 'standby' WHEN current_setting('transaction_read_only')::bool THEN 'read-only' ELSE 'primary' END,
       CASE WHEN standby
            THEN greatest((SELECT received_tli FROM pg_stat_wal_receiver),
                          (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                          (SELECT timeline_id FROM pg_control_checkpoint()))
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
       END,
       CASE WHEN standby THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_lsn() END,
       pg_last_wal_replay_lsn(),
       (SELECT system_identifier FROM pg_control_system()),
       extract(epoch FROM pg_postmaster_start_time())
FROM (SELECT pg_is_in_recovery() AS standby) AS server";

/// Asks how far a server has replayed.
pub(crate) const REPLAYED: &str = "SELECT pg_last_wal_replay_lsn()";

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It takes writes.
    Primary,
    /// It is no standby, and takes no writes from this login: `default_transaction_read_only`.
    ReadOnly,
    /// It replays what another server writes.
    Standby,
}

/// What a server said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) role: Role,
    /// Its timeline; that of a standby may be older than the truth, and is never newer.
    pub(crate) timeline: u32,
    /// How far it has written, or replayed.
    pub(crate) lsn: Lsn,
    /// Where its last recovery has come to: on a server that was promoted since its start, the switch of timelines.
    pub(crate) recovered: Option<Lsn>,
    /// The number that `initdb` gave its data, which every copy has.
    pub(crate) system: String,
    /// When it was started: with the system, this tells two addresses of one server.
    pub(crate) started: String,
}

/// Asks a server what it is.
pub(crate) async fn look(client: &Client, limit: Duration) -> Result<Sight, Unseen> {
    let row = ask(client, QUESTION, limit).await?;
    parse(&row).ok_or_else(|| Unseen::Odd(format!("its answer {row:?} was not understood")))
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum Unseen {
    Failed(tokio_postgres::Error),
    Late(Duration),
    Odd(String),
}

/// Asks a server a question that has one row for an answer.
pub(crate) async fn ask(client: &Client, question: &str, limit: Duration) -> Result<Vec<Option<String>>, Unseen> {
    let answer = tokio::time::timeout(limit, client.simple_query(question)).await;
    let messages = answer.map_err(|_| Unseen::Late(limit))?.map_err(Unseen::Failed)?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    });
    row.ok_or_else(|| Unseen::Odd("its answer has no row".to_owned()))
}

fn parse(row: &[Option<String>]) -> Option<Sight> {
    let [role, timeline, lsn, recovered, system, started] = row else {
        return None;
    };
    let role = match role.as_deref()? {
        "standby" => Role::Standby,
        "read-only" => Role::ReadOnly,
        "primary" => Role::Primary,
        _ => return None,
    };
    let recovered = match recovered {
        Some(lsn) => Some(lsn.parse().ok()?),
        None => None,
    };
    Some(Sight {
        role,
        timeline: timeline.as_deref()?.parse().ok()?,
        lsn: lsn.as_deref()?.parse().ok()?,
        recovered,
        system: system.clone()?,
        started: started.clone()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_understood_whole_or_not_at_all() {
        let row = |texts: [Option<&str>; 6]| texts.map(|text| text.map(str::to_owned)).to_vec();
        let good = [
            Some("standby"),
            Some("2"),
            Some("0/60"),
            Some("0/60"),
            Some("7"),
            Some("now"),
        ];
        let sight = parse(&row(good)).unwrap();
        assert_eq!((sight.role, sight.timeline, sight.lsn), (Role::Standby, 2, Lsn(0x60)));
        assert_eq!(sight.recovered, Some(Lsn(0x60)));
        for (column, wrong) in [(0, "leader"), (1, "-1"), (2, "60"), (3, "60")] {
            let mut row = row(good);
            row[column] = Some(wrong.to_owned());
            assert_eq!(parse(&row), None, "column {column}");
        }
        for column in [0, 1, 2, 4, 5] {
            let mut row = row(good);
            row[column] = None;
            assert_eq!(parse(&row), None, "column {column}");
        }
        assert_eq!(parse(&[]), None);
    }
}
