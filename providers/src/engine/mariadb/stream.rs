//! The stream that a server receives from another one: begun, frozen, drained, ended.
//!
//! What was received and is not applied is lost when both threads of a stream end, and when its server does: so nothing here ends a
//! stream before it was drained. A server that asks for what its upstream does not have yet is refused for good: so following waits
//! until the upstream contains the follower.

use std::cmp::Ordering;
use std::time::Duration;

use simdb_planner::engine::mariadb::facts::{ServerFacts, StreamFacts};
use simdb_state::gtid::{Gtid, GtidPosition, GtidState};
use simdb_state::place::HostPort;
use simdb_state::sensitive::Sensitive;
use tokio::time::{Instant, sleep};

use super::connection::{Connection, literal};
use super::observe::{Known, snapshot, streams};
use super::wire::WireError;
use super::{Cause, MariadbError, POLL};

/// The name of the only stream of a standby.
const ONLY: &str = "";

/// How long one wait for transactions is; in between it is looked whether they are still applied.
const WAIT: Duration = Duration::from_millis(500);

/// The login that streams are opened with.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Its name.
    pub user: &'a str,
    /// Its password: the server that streams keeps it in its data, as it has to show it.
    pub password: &'a Sensitive<String>,
}

/// Returns whether a position is at or past another one in every domain.
pub fn reaches(position: &GtidPosition, target: &GtidPosition) -> bool {
    matches!(position.partial_cmp(target), Some(Ordering::Equal | Ordering::Greater))
}

/// Lets a server follow another one, from `position` on where that is given, else from where it is; returns when it streams. One that
/// follows that server already is left alone, but for the threads that stand still.
pub async fn follow(
    follower: &mut Connection,
    upstream: &mut Connection,
    at: &HostPort,
    login: Login<'_>,
    position: Option<&GtidPosition>,
    limit: Duration,
) -> Result<(), MariadbError> {
    let before = streams(follower).await?;
    let follows = before.get(ONLY).is_some_and(|stream| is_from(stream, at));
    if !follows {
        contained(follower, upstream, position, limit).await?;
        if before.contains_key(ONLY) {
            leave(follower, limit).await?;
        }
        configure(follower, at, login, position).await?;
    }
    follower.execute("start the stream", "START SLAVE").await?;
    wait_streaming(follower, upstream, at, limit).await
}

/// Stops a stream, once what was received is applied. What only a relay log of an earlier run may hold is given up: the upstream that is
/// followed next has all that counts.
async fn leave(follower: &mut Connection, limit: Duration) -> Result<(), MariadbError> {
    if let Received::UpTo(received) = freeze(follower).await? {
        drain(follower, &received, limit).await?;
    }
    follower.execute("stop the stream", "STOP SLAVE").await
}

/// Returns whether a stream is from there, by positions that no stop and no copy changes.
fn is_from(stream: &StreamFacts, at: &HostPort) -> bool {
    stream.host == at.host.to_string() && stream.port == at.port && stream.positions == "Slave_Pos"
}

/// Returns what a server has that the log of another one does not hold. What the other one was made with, or applied last, is in no log of
/// its own and is had all the same.
pub fn lacks(upstream: &ServerFacts, position: &GtidPosition) -> Vec<Gtid> {
    let applied: Vec<Gtid> = upstream.applied.transactions().collect();
    let has = |gtid: &Gtid| upstream.log.contains(*gtid) || applied.contains(gtid);
    position.transactions().filter(|gtid| !has(gtid)).collect()
}

/// Returns what a log has that the log of a server does not hold, by domain and writer.
pub fn errant(upstream: &ServerFacts, log: &GtidState) -> Vec<Gtid> {
    let applied: Vec<Gtid> = upstream.applied.transactions().collect();
    let mut lacks = upstream.log.lacks(log);
    // A server that was made from a copy has no log of what came before, and its position speaks for that.
    lacks.retain(|gtid| {
        !applied
            .iter()
            .any(|own| own.domain == gtid.domain && own.server == gtid.server && own.sequence >= gtid.sequence)
    });
    lacks
}

/// Returns whether a server has gone past a number in its domain that it lacks the transaction of.
fn passed(upstream: &ServerFacts, gtid: Gtid) -> bool {
    let mut logged = upstream.logged.transactions();
    logged.any(|last| last.domain == gtid.domain && last.sequence >= gtid.sequence)
}

/// Waits until a server contains everything that is to be streamed from it on.
async fn contained(
    follower: &mut Connection,
    upstream: &mut Connection,
    position: Option<&GtidPosition>,
    limit: Duration,
) -> Result<(), MariadbError> {
    let known = Known::new();
    let here = snapshot(follower, &known).await?;
    let from = position.unwrap_or(&here.applied);
    let deadline = Instant::now() + limit;
    loop {
        let there = snapshot(upstream, &known).await?;
        let mut lacks = lacks(&there, from);
        lacks.extend(errant(&there, &here.log));
        lacks.dedup();
        if lacks.is_empty() {
            return Ok(());
        }
        // What others have written since will never make room for it.
        let errant: Vec<Gtid> = lacks.iter().copied().filter(|gtid| passed(&there, *gtid)).collect();
        if !errant.is_empty() {
            return Err(MariadbError::Diverged {
                node: follower.node().clone(),
                upstream: upstream.node().clone(),
                errant,
            });
        }
        if Instant::now() >= deadline {
            return Err(MariadbError::NotContained {
                node: follower.node().clone(),
                upstream: upstream.node().clone(),
                lacks,
                limit,
            });
        }
        sleep(POLL).await;
    }
}

/// Writes down whom a server follows. The statement holds the password, so that no log has it, and neither has an error.
async fn configure(
    follower: &mut Connection,
    at: &HostPort,
    login: Login<'_>,
    position: Option<&GtidPosition>,
) -> Result<(), MariadbError> {
    if let Some(position) = position {
        let set = format!("SET GLOBAL gtid_slave_pos = {}", literal(&position.to_string()));
        follower.execute("set the position to stream from", &set).await?;
    }
    let change = format!(
        "CHANGE MASTER TO MASTER_HOST = {}, MASTER_PORT = {}, MASTER_USER = {}, MASTER_PASSWORD = {}, \
         MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 1",
        literal(&at.host.to_string()),
        at.port,
        literal(login.user),
        literal(login.password.expose())
    );
    secretly(follower, "set the server to stream from", &change, login.password).await
}

/// Gives a stream another password, and lets it begin anew with that. Nothing that was received is lost.
pub async fn change_password(
    follower: &mut Connection,
    password: &Sensitive<String>,
    limit: Duration,
) -> Result<(), MariadbError> {
    leave(follower, limit).await?;
    let change = format!("CHANGE MASTER TO MASTER_PASSWORD = {}", literal(password.expose()));
    secretly(follower, "give the stream another password", &change, password).await?;
    follower.execute("start the stream", "START SLAVE").await
}

/// Tells the server what holds a password: its general log leaves it out, and so does an error that shows where the statement went wrong.
async fn secretly(
    connection: &mut Connection,
    doing: &str,
    sql: &str,
    secret: &Sensitive<String>,
) -> Result<(), MariadbError> {
    connection.execute(doing, "SET SESSION sql_log_off = 1").await?;
    let done = connection.execute(doing, sql).await;
    connection.execute(doing, "SET SESSION sql_log_off = 0").await?;
    done.map_err(|error| match error {
        MariadbError::Query {
            cause: Cause::Wire(WireError::Refused { code, message }),
            ..
        } if message.contains(secret.expose().as_str()) => {
            let message = "it does not understand the statement".to_owned();
            connection.failure(doing, WireError::Refused { code, message }.into())
        }
        error => error,
    })
}

/// Waits until a server receives and applies what another one writes, up to what that one has now.
pub async fn wait_streaming(
    follower: &mut Connection,
    upstream: &mut Connection,
    at: &HostPort,
    limit: Duration,
) -> Result<(), MariadbError> {
    const DOING: &str = "read the position";
    let target = upstream.required(DOING, "SELECT @@gtid_binlog_pos").await?;
    let target: GtidPosition = target
        .parse()
        .map_err(|error| upstream.failure(DOING, Cause::Answer(format!("{error}"))))?;
    let deadline = Instant::now() + limit;
    loop {
        let stream = streams(follower).await?.remove(ONLY);
        let unmet = unmet(stream.as_ref(), at, &target);
        // A thread that gave up does not begin again by itself.
        let given_up = stream.as_ref().is_some_and(|stream| {
            (stream.receives == "No" && !stream.receive_error.is_empty())
                || (!stream.applies && !stream.apply_error.is_empty())
        });
        if unmet.is_empty() {
            return Ok(());
        }
        if given_up || Instant::now() >= deadline {
            return Err(MariadbError::NotStreaming {
                node: follower.node().clone(),
                upstream: at.clone(),
                unmet,
                limit,
            });
        }
        sleep(POLL).await;
    }
}

/// Says what keeps a stream from being one from there that has what it is to have.
fn unmet(stream: Option<&StreamFacts>, at: &HostPort, target: &GtidPosition) -> Vec<String> {
    let Some(stream) = stream else {
        return vec!["it follows no server".to_owned()];
    };
    let mut unmet = Vec::new();
    if !is_from(stream, at) {
        unmet.push(format!("it follows {}:{}", stream.host, stream.port));
    }
    let because = |error: &str| {
        if error.is_empty() {
            String::new()
        } else {
            format!(": {error}")
        }
    };
    if stream.receives != "Yes" {
        unmet.push(format!("it does not receive{}", because(&stream.receive_error)));
    }
    if !stream.applies {
        unmet.push(format!("it does not apply{}", because(&stream.apply_error)));
    }
    if unmet.is_empty() && !reaches(&stream.received, target) {
        unmet.push(format!("it has received {}, and {target} was written", stream.received));
    }
    unmet
}

/// How far a server has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Up to here.
    UpTo(GtidPosition),
    /// It was restarted, and has not streamed since: it has applied up to here, and its relay log may hold more.
    AtLeast(GtidPosition),
}

/// Lets a server receive no more, and returns how far it has received; what it has stays to be applied. With both threads of a stream
/// ended, the next start of either would discard that: so one that does not apply, and could, does so first.
pub async fn freeze(connection: &mut Connection) -> Result<Received, MariadbError> {
    const DOING: &str = "freeze the stream";
    if let Some(stream) = streams(connection).await?.remove(ONLY)
        && stream.receives != "No"
    {
        if !stream.applies && stream.apply_error.is_empty() {
            connection.execute(DOING, "START SLAVE SQL_THREAD").await?;
        }
        connection.execute(DOING, "STOP SLAVE IO_THREAD").await?;
    }
    let stream = streams(connection).await?.remove(ONLY);
    let applied = applied(connection).await?;
    Ok(match stream {
        Some(stream) if stream.received.is_empty() => Received::AtLeast(applied),
        Some(stream) if reaches(&stream.received, &applied) => Received::UpTo(stream.received),
        Some(_) | None => Received::UpTo(applied),
    })
}

async fn applied(connection: &mut Connection) -> Result<GtidPosition, MariadbError> {
    const DOING: &str = "read the position";
    let applied = connection.required(DOING, "SELECT @@gtid_slave_pos").await?;
    applied
        .parse()
        .map_err(|error| connection.failure(DOING, Cause::Answer(format!("{error}"))))
}

/// Waits until a server has applied what is up to a position. One that receives, and stopped to apply without an error, is let go on.
pub async fn drain(connection: &mut Connection, position: &GtidPosition, limit: Duration) -> Result<(), MariadbError> {
    const DOING: &str = "wait for transactions";
    let deadline = Instant::now() + limit;
    let wait = format!(
        "SELECT MASTER_GTID_WAIT({}, {})",
        literal(&position.to_string()),
        WAIT.as_secs_f32()
    );
    loop {
        let now = applied(connection).await?;
        if reaches(&now, position) {
            return Ok(());
        }
        let stream = streams(connection).await?.remove(ONLY);
        let stands_still = why_nothing_is_applied(stream.as_ref());
        if stands_still.is_some() || Instant::now() >= deadline {
            return Err(MariadbError::NotDrained {
                node: connection.node().clone(),
                position: position.clone(),
                applied: now,
                reason: stands_still.unwrap_or_default(),
                limit,
            });
        }
        if stream.is_some_and(|stream| !stream.applies) {
            connection.execute(DOING, "START SLAVE SQL_THREAD").await?;
        }
        connection.value(DOING, &wait).await?;
    }
}

/// Returns why waiting is of no use.
fn why_nothing_is_applied(stream: Option<&StreamFacts>) -> Option<String> {
    match stream {
        None => Some("it follows no server".to_owned()),
        Some(stream) if !stream.apply_error.is_empty() => Some(stream.apply_error.clone()),
        // A start of one thread would discard what was received.
        Some(stream) if !stream.applies && stream.receives == "No" => Some(RELAY_LOG.to_owned()),
        Some(_) => None,
    }
}

/// Where transactions are that no start of a stream would apply.
const RELAY_LOG: &str =
    "its stream was stopped, and its relay log may hold more, which no start of the stream would apply";

/// Lets a server follow nobody any more, once it has applied what it received. Where nothing shows how far it has received, it is left as it
/// is.
pub async fn end(connection: &mut Connection, limit: Duration) -> Result<(), MariadbError> {
    const DOING: &str = "end the stream";
    if !streams(connection).await?.contains_key(ONLY) {
        return Ok(());
    }
    match freeze(connection).await? {
        Received::UpTo(received) => drain(connection, &received, limit).await?,
        Received::AtLeast(applied) => {
            return Err(MariadbError::NotDrained {
                node: connection.node().clone(),
                position: applied.clone(),
                applied,
                reason: RELAY_LOG.to_owned(),
                limit: Duration::ZERO,
            });
        }
    }
    connection.execute(DOING, "STOP SLAVE").await?;
    connection.execute(DOING, "RESET SLAVE ALL").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reaches_another_only_where_no_domain_is_behind() {
        let position = |text: &str| text.parse::<GtidPosition>().unwrap();
        for (here, there, expected) in [
            ("0-1-5", "0-1-5", true),
            ("0-2-6", "0-1-5", true),
            ("0-1-5", "", true),
            ("", "0-1-5", false),
            ("0-1-4", "0-1-5", false),
            ("0-2-5", "0-1-5", false),
            ("0-1-9,1-1-1", "0-1-5,1-1-2", false),
        ] {
            assert_eq!(reaches(&position(here), &position(there)), expected, "{here} {there}");
        }
    }
}
