use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::intent::Lag;
use crate::sight::Role;
use crate::testing::{Commit, World};

const INSERT: &str = "INSERT INTO t VALUES (1)";
const SECOND: Duration = Duration::from_secs(1);

async fn insert(pools: &PoolManager) -> Result<Option<Token>, Error> {
    let work = async |client: &tokio_postgres::Client| Ok(client.batch_execute(INSERT).await?);
    Ok(pools.write(work).await?.1)
}

async fn served_by(pools: &PoolManager, intent: QueryIntent) -> String {
    pools.get(intent).await.unwrap().address().to_owned()
}

/// Asserts that no server was asked for a write that it does not take.
fn assert_none_refused(world: &World, servers: u16) {
    for port in 1..=servers {
        assert_eq!(world.server(port).refused, 0, "writes to {port}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_server_serves_all() {
    let world = World::of(1);
    let pools = world.pools().await;
    assert_eq!(pools.primary().as_deref(), Some("host:1"));
    for intent in [
        QueryIntent::Read,
        QueryIntent::Write,
        QueryIntent::ReadWithin(Lag::default()),
    ] {
        assert_eq!(served_by(&pools, intent).await, "host:1");
    }
    let token = insert(&pools).await.unwrap().unwrap();
    assert_eq!(token.to_string(), "1:0/44C");
    assert_eq!(served_by(&pools, QueryIntent::ReadAfter(token)).await, "host:1");
    let healthy = Health {
        primary: true,
        replica: None,
    };
    assert_eq!(pools.health(), healthy);
    assert!(healthy.is_healthy());
    // The connection was used again.
    assert_eq!(world.server(1).opened, 2);
}

#[tokio::test(start_paused = true)]
async fn reads_go_to_the_replica_and_to_the_primary_while_it_is_away() {
    let world = World::of(2);
    let pools = world.pools().await;
    assert_eq!(served_by(&pools, QueryIntent::Read).await, "host:2");
    assert_eq!(served_by(&pools, QueryIntent::Write).await, "host:1");
    assert!(pools.health().is_healthy());
    world.kill(2);
    // Its connection is there until somebody looks.
    sleep(Duration::from_millis(1)).await;
    assert_eq!(served_by(&pools, QueryIntent::Read).await, "host:1");
    let health = pools.health();
    assert_eq!(
        (health.primary, health.replica, health.is_healthy()),
        (true, Some(false), false)
    );
    world.start(2);
    sleep(SECOND * 3).await;
    assert!(pools.health().is_healthy());
    assert_eq!(served_by(&pools, QueryIntent::Read).await, "host:2");
}

#[tokio::test(start_paused = true)]
async fn without_fallback_a_read_that_no_replica_serves_is_an_error() {
    let world = World::of(2);
    let mut config = world.config();
    config.fallback = false;
    let pools = world.pools_of(config).await;
    world.kill(2);
    sleep(SECOND).await;
    let error = pools.get(QueryIntent::Read).await.unwrap_err();
    assert!(
        matches!(&error, Error::NoReplica { reasons } if reasons.contains("host:1: primary")),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_the_next_primary_and_no_other_server_is_asked() {
    let world = World::of(3);
    let pools = world.pools().await;
    insert(&pools).await.unwrap();
    let old = pools.get(QueryIntent::Write).await.unwrap();
    world.kill(1);
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let pools = pools.clone();
            tokio::spawn(async move { insert(&pools).await.map(|_| Instant::now()) })
        })
        .collect();
    sleep(SECOND * 3).await;
    let promoted = Instant::now();
    world.promote(3);
    for writer in writers {
        let gap = writer.await.unwrap().unwrap() - promoted;
        assert!(gap <= Duration::from_millis(450), "{gap:?}");
    }
    assert_eq!(world.server(3).written, 20);
    assert!(old.is_closed());
    assert_none_refused(&world, 3);
}

#[tokio::test(start_paused = true)]
async fn without_a_primary_a_write_fails_after_ten_seconds_and_says_what_each_server_is() {
    let world = World::of(2);
    let pools = world.pools().await;
    let began = Instant::now();
    world.kill(1);
    let error = insert(&pools).await.unwrap_err();
    assert!(
        began.elapsed() >= SECOND * 9 && began.elapsed() <= SECOND * 11,
        "{:?}",
        began.elapsed()
    );
    assert!(error.to_string().contains("host:2: standby"), "{error}");
    // Later ones try once.
    sleep(SECOND * 100).await;
    let began = Instant::now();
    insert(&pools).await.unwrap_err();
    assert!(began.elapsed() <= SECOND * 2, "{:?}", began.elapsed());
    world.start(1);
    insert(&pools).await.unwrap();
    // Reads go on all the time.
    assert_eq!(served_by(&pools, QueryIntent::Read).await, "host:2");
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_was_demoted_refuses_one_write_and_loses_its_connections() {
    let world = World::of(2);
    let pools = world.pools().await;
    let held = pools.get(QueryIntent::Write).await.unwrap();
    // It was used just now, and is not asked again.
    drop(pools.get(QueryIntent::Write).await.unwrap());
    world.server(1).sight.role = Role::Standby;
    let began = Instant::now();
    let error = insert(&pools).await.unwrap_err();
    assert!(
        matches!(&error, Error::Moved { address } if address == "host:1"),
        "{error}"
    );
    timeout(Duration::from_millis(100), async {
        while !held.is_closed() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the connections are closed");
    world.promote(2);
    insert(&pools).await.unwrap();
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!((world.server(1).refused, world.server(2).written), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn work_that_may_be_repeated_is_done_again_on_the_next_primary() {
    let world = World::of(2);
    let pools = world.pools().await;
    drop(pools.get(QueryIntent::Write).await.unwrap());
    world.server(1).sight.role = Role::Standby;
    world.promote(2);
    let work = async |client: &tokio_postgres::Client| Ok(client.batch_execute(INSERT).await?);
    let ((), token) = pools.write_idempotent(work).await.unwrap();
    assert_eq!(token.unwrap().timeline, 2);
    assert_eq!((world.server(1).refused, world.server(2).written), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_is_asked_before_it_writes() {
    let world = World::of(2);
    let mut config = world.config();
    // No probe sees what happens.
    config.probe_interval = SECOND * 1000;
    let pools = world.pools_of(config).await;
    insert(&pools).await.unwrap();
    sleep(SECOND * 2).await;
    world.server(1).sight.role = Role::Standby;
    world.promote(2);
    insert(&pools).await.unwrap();
    assert_none_refused(&world, 2);
}

#[tokio::test(start_paused = true)]
async fn an_unfenced_old_primary_gets_nothing() {
    let world = World::of(2);
    let pools = world.pools().await;
    let held = pools.get(QueryIntent::Write).await.unwrap();
    world.promote(2);
    sleep(SECOND * 2).await;
    assert!(held.is_closed());
    for _ in 0..10 {
        insert(&pools).await.unwrap();
    }
    assert_eq!((world.server(1).written, world.server(2).written), (0, 10));
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_hangs_is_left_when_another_is_found_and_its_clients_are_freed() {
    let world = World::of(2);
    let pools = world.pools().await;
    let held = pools.get(QueryIntent::Write).await.unwrap();
    world.server(1).hangs = true;
    let hung = tokio::spawn(async move { held.batch_execute(INSERT).await });
    sleep(SECOND * 2).await;
    world.promote(2);
    let began = Instant::now();
    insert(&pools).await.unwrap();
    assert!(began.elapsed() < SECOND * 3, "{:?}", began.elapsed());
    assert!(hung.await.unwrap().unwrap_err().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_used_up_is_an_error_after_five_seconds() {
    let world = World::of(1);
    let pools = world.pools().await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(pools.get(QueryIntent::Write).await.unwrap());
    }
    let began = Instant::now();
    let error = pools.get(QueryIntent::Read).await.unwrap_err();
    assert_eq!(began.elapsed(), SECOND * 5);
    assert_eq!(error.to_string(), "all 10 connections to host:1 were in use for 5s");
    // A probe has a connection of its own, and the first that comes back is handed on.
    assert!(pools.health().is_healthy());
    let waiting = tokio::spawn({
        let pools = pools.clone();
        async move { pools.get(QueryIntent::Write).await.map(drop) }
    });
    sleep(SECOND).await;
    held.pop();
    waiting.await.unwrap().unwrap();
    assert_eq!(world.server(1).opened, 11);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_connections_is_left_alone_and_tried_by_one() {
    let world = World::of(1);
    let pools = world.pools().await;
    world.server(1).full = true;
    for _ in 0..5 {
        let error = pools.get(QueryIntent::Write).await.unwrap_err();
        assert!(
            matches!(&error, Error::Connect { reason, .. } if reason.contains("53300")),
            "{error}"
        );
    }
    let opened = world.server(1).opened;
    let error = pools.get(QueryIntent::Write).await.unwrap_err();
    assert!(
        matches!(&error, Error::Open { retry_in, .. } if *retry_in <= SECOND),
        "{error}"
    );
    assert_eq!(world.server(1).opened, opened, "no attempt is made");
    world.server(1).full = false;
    sleep(SECOND).await;
    pools.get(QueryIntent::Write).await.unwrap();
    pools.get(QueryIntent::Write).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_breaker_is_open_leaves_the_set_and_all_open_ones_are_tried_anyway() {
    let world = World::of(3);
    let pools = world.pools_of(world.without_limits()).await;
    world.server(2).full = true;
    for _ in 0..50 {
        assert_eq!(served_by(&pools, QueryIntent::Read).await, "host:3");
    }
    // The probe, and the attempts that opened the breaker.
    assert_eq!(world.server(2).opened, 6);
    world.server(2).full = false;
    sleep(SECOND * 2).await;
    let mut served = Vec::new();
    for _ in 0..50 {
        served.push(served_by(&pools, QueryIntent::Read).await);
    }
    assert!(served.contains(&"host:2".to_owned()));

    for port in [2, 3] {
        world.server(port).full = true;
        for _ in 0..5 {
            let now = Instant::now();
            pools.shared().members[usize::from(port) - 1]
                .breaker()
                .fail("full", now);
        }
        world.server(port).full = false;
    }
    assert_ne!(served_by(&pools, QueryIntent::Read).await, "host:1");
}

#[tokio::test(start_paused = true)]
async fn replicas_serve_equal_shares() {
    let world = World::of(3);
    let pools = world.pools_of(world.without_limits()).await;
    let mut shares = [0_u32; 2];
    for _ in 0..4000 {
        let second = served_by(&pools, QueryIntent::Read).await == "host:2";
        shares[usize::from(second)] += 1;
    }
    assert!(shares.iter().all(|share| (1800..=2200).contains(share)), "{shares:?}");
    // Held connections count: a busy replica is spared.
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(pools.get(QueryIntent::Read).await.unwrap());
    }
    let second = held
        .iter()
        .filter(|connection| connection.address() == "host:2")
        .count();
    assert_eq!(second, 4);
}

#[tokio::test(start_paused = true)]
async fn a_read_sees_its_own_write_on_a_replica_that_has_it_else_on_the_primary() {
    let world = World::of(2);
    let pools = world.pools().await;
    let token = insert(&pools).await.unwrap().unwrap();
    let began = Instant::now();
    let intent = QueryIntent::ReadAfter(token);
    assert_eq!(
        served_by(&pools, intent).await,
        "host:1",
        "the replica does not have it"
    );
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_millis(45) && waited <= Duration::from_millis(60),
        "{waited:?}"
    );
    // It comes within the wait.
    let late = world.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(20)).await;
        late.server(2).sight.lsn = token.lsn;
    });
    assert_eq!(served_by(&pools, intent).await, "host:2");
    // And is remembered.
    let began = Instant::now();
    assert_eq!(served_by(&pools, intent).await, "host:2");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_a_lost_branch_is_an_error_and_one_before_the_switch_is_read() {
    let world = World::of(2);
    let pools = world.pools().await;
    let kept = insert(&pools).await.unwrap().unwrap();
    world.server(2).sight.lsn = kept.lsn;
    let lost = insert(&pools).await.unwrap().unwrap();
    world.kill(1);
    world.promote(2);
    assert_eq!(served_by(&pools, QueryIntent::ReadAfter(kept)).await, "host:2");
    let error = pools.get(QueryIntent::ReadAfter(lost)).await.unwrap_err();
    let Error::Unproven { token, switch } = &error else {
        panic!("{error}")
    };
    assert_eq!((*token, *switch), (lost, Some(kept.lsn)), "{error}");
    // A timeline that no server knows.
    let ahead = Token { timeline: 9, ..kept };
    assert!(matches!(
        pools.get(QueryIntent::ReadAfter(ahead)).await,
        Err(Error::Unproven { switch: None, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_given_up_half_way_leaves_no_open_transaction_behind() {
    let world = World::of(1);
    let pools = world.pools().await;
    let never = async |client: &tokio_postgres::Client| {
        client.batch_execute(INSERT).await?;
        std::future::pending::<Result<(), Error>>().await
    };
    assert!(timeout(SECOND, pools.write(never)).await.is_err());
    let opened = world.server(1).opened;
    insert(&pools).await.unwrap();
    assert_eq!(world.server(1).opened, opened + 1, "its connection is not used again");
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_to_go_ends_probes_and_connections() {
    let world = World::of(1);
    let pools = world.pools().await;
    let held = pools.clone().get(QueryIntent::Write).await.unwrap();
    drop(pools);
    sleep(SECOND * 10).await;
    assert!(held.is_closed());
    world.start(1);
    let opened = world.server(1).opened;
    sleep(SECOND * 10).await;
    assert_eq!(world.server(1).opened, opened);
}

#[tokio::test(start_paused = true)]
async fn no_debug_output_has_a_password() {
    let world = World::of(1);
    let pools = world.pools().await;
    let connection = pools.get(QueryIntent::Write).await.unwrap();
    let text = format!("{pools:?} {connection:?}");
    assert!(text.contains("host:1") && !text.contains("hidden"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_says_whether_the_outcome_is_known() {
    let world = World::of(1);
    let pools = world.pools().await;
    let broken = async |client: &tokio_postgres::Client| {
        client.batch_execute(INSERT).await?;
        world.kill(1);
        world.start(1);
        Ok(client.batch_execute(INSERT).await?)
    };
    let error = pools.write(broken).await.unwrap_err();
    let expected = "the connection to host:1 broke; the transaction was not committed";
    assert_eq!(error.to_string(), expected);

    world.server(1).breaks = Some(Commit::Unanswered);
    let error = insert(&pools).await.unwrap_err();
    let expected = "the connection to host:1 broke; whether the transaction was committed is unknown";
    assert_eq!(error.to_string(), expected);

    // It is known, and only the token is not.
    world.server(1).breaks = Some(Commit::Acknowledged);
    assert_eq!(insert(&pools).await.unwrap(), None);
    world.server(1).breaks = None;
    assert!(insert(&pools).await.unwrap().is_some());
}
