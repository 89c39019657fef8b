//! What every backend must do, as checks its tests call. The contract they hold it to is in [`crate::backend`].

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Backend, BackendError, Expect, Key, Lease, LockOutcome, Row, Token, Version, Write};
use crate::extent::Extent;
use crate::lock::Owner;

/// Checks the rows of a backend. `make` returns a new and empty one each time.
pub async fn check_backend(make: impl AsyncFn() -> Arc<dyn Backend>) {
    rows_are_read_as_they_were_written(&*make().await).await;
    prefixes_select_rows_once_and_in_order(&*make().await).await;
    a_commit_is_all_or_nothing(&*make().await).await;
    versions_tell_rows_apart_even_after_deletion(&*make().await).await;
    nobody_commits_without_the_lock(&*make().await).await;
    a_row_beside_the_record_is_written_without_the_lock_and_compares(&*make().await).await;
    writers_at_once_are_put_in_a_row(make().await).await;
}

/// Checks the lock of a backend, given two handles on the same record that nobody has locked.
pub async fn check_locks(a: Arc<dyn Backend>, b: Arc<dyn Backend>) {
    one_of_two_gets_the_lock(&*a, &*b).await;
    a_free_lock_is_granted_with_a_greater_token(&*a, &*b).await;
    exactly_the_lease_that_was_seen_is_taken_over(&*a, &*b).await;
    who_was_taken_over_writes_no_more(&*a, &*b).await;
    of_many_contenders_one_takes_over(Arc::clone(&a), Arc::clone(&b)).await;
    clusters_are_locked_side_by_side(&*a, &*b).await;
    a_holding_becomes_smaller_and_larger(&*a, &*b).await;
    who_locks_one_cluster_is_not_disturbed_by_what_becomes_of_another(a, b).await;
}

/// Describes an owner for tests: this process.
pub fn owner(operation: &str) -> Owner {
    Owner::this_process(operation, Duration::from_mins(1))
}

/// Describes an owner of the lock of one cluster, for tests: this process.
pub fn owner_of(cluster: &str) -> Owner {
    Owner {
        extent: extent(cluster),
        ..owner("test")
    }
}

fn extent(cluster: &str) -> Extent {
    Extent::of(&cluster.parse().expect("it is a name"))
}

/// Takes a lock that is known to be free.
pub async fn granted(backend: &dyn Backend, take_over: &[Lease]) -> Token {
    token(backend.lock(&owner("test"), take_over).await)
}

fn token(outcome: Result<LockOutcome, BackendError>) -> Token {
    match outcome.expect("asking for the lock succeeds") {
        LockOutcome::Granted(token) => token,
        LockOutcome::Held(lease) => panic!("the lock is held: {lease:?}"),
    }
}

async fn holder(backend: &dyn Backend) -> Lease {
    let holders = backend.holders().await.expect("the holders can be read");
    let [lease] = &holders[..] else {
        panic!("one holds the lock: {holders:?}")
    };
    lease.clone()
}

async fn put(backend: &dyn Backend, token: Token, keys: &[&str], text: &str) -> Version {
    let writes = keys.iter().map(|key| Write::put(Key::new(*key), text.into()));
    let written = backend.commit(token, writes.collect()).await;
    written.expect("the commit succeeds")
}

async fn get(backend: &dyn Backend, key: &str) -> Option<Row> {
    backend.get(&Key::new(key)).await.expect("the row can be read")
}

async fn keys(backend: &dyn Backend, prefixes: &[&str]) -> Vec<String> {
    let rows = backend.list(prefixes).await.expect("rows can be listed");
    rows.iter().map(|row| row.key.to_string()).collect()
}

async fn rows_are_read_as_they_were_written(backend: &dyn Backend) {
    let token = granted(backend, &[]).await;
    assert_eq!(get(backend, "a").await, None);
    let all_bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let write = Write::put(Key::new("a"), all_bytes.clone());
    let version = backend.commit(token, vec![write]).await.expect("the commit succeeds");
    let row = get(backend, "a").await.expect("the row is there");
    assert_eq!((row.version, &row.bytes[..]), (version, &all_bytes[..]));

    put(backend, token, &["a"], "").await;
    assert_eq!(get(backend, "a").await.map(|row| row.bytes), Some(Vec::new().into()));
    let delete = |key| Write::delete(Key::new(key));
    let deleted = backend.commit(token, vec![delete("a"), delete("never")]).await;
    deleted.expect("deleting what is not there is no error");
    assert_eq!(get(backend, "a").await, None);
}

async fn prefixes_select_rows_once_and_in_order(backend: &dyn Backend) {
    let token = granted(backend, &[]).await;
    put(
        backend,
        token,
        &["b/2", "b/1", "a/1", "b", "b0", "c/r[0]", "c/r[10]"],
        "x",
    )
    .await;
    assert_eq!(keys(backend, &["b/"]).await, ["b/1", "b/2"]);
    assert_eq!(keys(backend, &["b/", "a/", "b/1"]).await, ["a/1", "b/1", "b/2"]);
    assert_eq!(keys(backend, &["c/r[0]"]).await, ["c/r[0]"]);
    assert_eq!(keys(backend, &[""]).await.len(), 7);
    assert!(keys(backend, &[]).await.is_empty());
    assert!(keys(backend, &["z"]).await.is_empty());
}

async fn a_commit_is_all_or_nothing(backend: &dyn Backend) {
    let token = granted(backend, &[]).await;
    let old = put(backend, token, &["a"], "old").await;
    let attempt = |expect| {
        let refused = Write {
            key: Key::new("a"),
            expect,
            bytes: Some("new".into()),
        };
        vec![
            Write::put(Key::new("before"), "x".into()),
            refused,
            Write::put(Key::new("after"), "x".into()),
        ]
    };
    for expect in [Expect::Absent, Expect::Version(Version(old.0 + 1))] {
        let refused = backend.commit(token, attempt(expect)).await;
        assert!(matches!(refused, Err(BackendError::Conflict(key)) if key.as_str() == "a"));
        assert_eq!(keys(backend, &[""]).await, ["a"]);
        assert_eq!(get(backend, "a").await.map(|row| row.bytes), Some("old".into()));
    }
    let committed = backend.commit(token, attempt(Expect::Version(old))).await;
    let version = committed.expect("the row is what was expected");
    let rows = backend.list(&[""]).await.expect("rows can be listed");
    assert!(rows.iter().all(|row| row.version == version), "one commit, one version");
    assert_eq!(rows.len(), 3);

    put(backend, token, &["a", "a"], "twice").await;
    let again = vec![Write::delete(Key::new("a")), Write::put(Key::new("a"), "last".into())];
    backend.commit(token, again).await.expect("a row may be written twice");
    assert_eq!(get(backend, "a").await.map(|row| row.bytes), Some("last".into()));
}

async fn versions_tell_rows_apart_even_after_deletion(backend: &dyn Backend) {
    let token = granted(backend, &[]).await;
    let first = put(backend, token, &["a"], "x").await;
    let deleted = backend.commit(token, vec![Write::delete(Key::new("a"))]).await;
    deleted.expect("the commit succeeds");
    let second = put(backend, token, &["a"], "x").await;
    assert!(second > first);
    let stale = Write {
        expect: Expect::Version(first),
        ..Write::delete(Key::new("a"))
    };
    assert!(matches!(
        backend.commit(token, vec![stale]).await,
        Err(BackendError::Conflict(_))
    ));
}

async fn nobody_commits_without_the_lock(backend: &dyn Backend) {
    let write = || vec![Write::put(Key::new("a"), "x".into())];
    assert!(matches!(
        backend.commit(Token(0), write()).await,
        Err(BackendError::Lost)
    ));
    let token = granted(backend, &[]).await;
    for wrong in [Token(token.0 - 1), Token(token.0 + 1)] {
        assert!(matches!(backend.commit(wrong, write()).await, Err(BackendError::Lost)));
    }
    backend.unlock(token).await.expect("the lock is freed");
    assert!(matches!(backend.commit(token, write()).await, Err(BackendError::Lost)));
    assert!(matches!(backend.renew(token).await, Err(BackendError::Lost)));
    assert!(matches!(backend.unlock(token).await, Err(BackendError::Lost)));
    assert!(keys(backend, &[""]).await.is_empty());
}

async fn a_row_beside_the_record_is_written_without_the_lock_and_compares(backend: &dyn Backend) {
    let claim = |expect, bytes: Option<&str>| Write {
        key: Key::new("claim/a"),
        expect,
        bytes: bytes.map(Into::into),
    };
    let first = backend.swap(claim(Expect::Absent, Some("mine"))).await;
    let first = first.expect("nothing is there");
    let refused = backend.swap(claim(Expect::Absent, Some("yours"))).await;
    assert!(matches!(refused, Err(BackendError::Conflict(key)) if key.as_str() == "claim/a"));
    // Somebody holds the lock, and is not disturbed.
    let token = granted(backend, &[]).await;
    let record = put(backend, token, &["record"], "1").await;
    let second = backend.swap(claim(Expect::Version(first), Some("still mine"))).await;
    let second = second.expect("it is what was written last");
    assert!(first < record && record < second, "versions only grow");
    let stale = backend.swap(claim(Expect::Version(first), None)).await;
    assert!(matches!(stale, Err(BackendError::Conflict(_))));
    let write = Write {
        expect: Expect::Version(record),
        ..Write::put(Key::new("record"), "2".into())
    };
    backend.commit(token, vec![write]).await.expect("its row is as it was");
    backend.unlock(token).await.expect("the lock is held");
    backend.swap(claim(Expect::Any, None)).await.expect("it takes no lock");
    assert_eq!(get(backend, "claim/a").await, None);
    assert_eq!(get(backend, "record").await.map(|row| row.bytes), Some("2".into()));
}

async fn writers_at_once_are_put_in_a_row(backend: Arc<dyn Backend>) {
    let token = granted(&*backend, &[]).await;
    put(&*backend, token, &["count"], "0").await;
    let tasks = (0..8).map(|_| {
        let backend = Arc::clone(&backend);
        tokio::spawn(async move {
            for _ in 0..5 {
                count_up(&*backend, token).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no task panics");
    }
    assert_eq!(get(&*backend, "count").await.map(|row| row.bytes), Some("40".into()));
}

/// Adds one to a row by compare-and-set, until it is the one that does.
async fn count_up(backend: &dyn Backend, token: Token) {
    loop {
        let row = get(backend, "count").await.expect("the row is there");
        let count: u32 = String::from_utf8_lossy(&row.bytes).parse().expect("it is a number");
        let write = Write {
            expect: Expect::Version(row.version),
            ..Write::put(row.key, (count + 1).to_string().into())
        };
        match backend.commit(token, vec![write]).await {
            Ok(_) => return,
            Err(BackendError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn one_of_two_gets_the_lock(a: &dyn Backend, b: &dyn Backend) {
    assert!(b.holders().await.expect("the holders can be read").is_empty());
    let token = granted(a, &[]).await;
    match b.lock(&owner("second"), &[]).await.expect("asking succeeds") {
        LockOutcome::Held(lease) => assert_eq!((lease.token, lease.owner.operation.as_str()), (token, "test")),
        LockOutcome::Granted(_) => panic!("two hold the lock"),
    }
    assert_eq!(holder(b).await, holder(a).await);
    a.unlock(token).await.expect("the lock is freed");
}

async fn a_free_lock_is_granted_with_a_greater_token(a: &dyn Backend, b: &dyn Backend) {
    let first = granted(a, &[]).await;
    a.unlock(first).await.expect("the lock is freed");
    let second = granted(b, &[]).await;
    assert!(second > first);
    b.unlock(second).await.expect("the lock is freed");
}

async fn exactly_the_lease_that_was_seen_is_taken_over(a: &dyn Backend, b: &dyn Backend) {
    let token = granted(a, &[]).await;
    let seen = holder(b).await;
    a.renew(token).await.expect("the lock is held");
    let beaten = holder(b).await;
    assert!(beaten.beat > seen.beat, "a heartbeat is seen");
    let outcome = b
        .lock(&owner("second"), std::slice::from_ref(&seen))
        .await
        .expect("asking succeeds");
    assert!(matches!(outcome, LockOutcome::Held(_)), "its owner has moved since");
    let next = granted(b, &[beaten]).await;
    assert!(next > token);
    b.unlock(next).await.expect("the lock is freed");
}

async fn who_was_taken_over_writes_no_more(a: &dyn Backend, b: &dyn Backend) {
    let old = granted(a, &[]).await;
    put(a, old, &["fenced"], "old").await;
    let new = granted(b, &[holder(b).await]).await;
    let late = a.commit(old, vec![Write::put(Key::new("fenced"), "late".into())]).await;
    assert!(matches!(late, Err(BackendError::Lost)));
    assert!(matches!(a.renew(old).await, Err(BackendError::Lost)));
    assert!(matches!(a.unlock(old).await, Err(BackendError::Lost)));
    assert_eq!(get(a, "fenced").await.map(|row| row.bytes), Some("old".into()));
    put(b, new, &["fenced"], "new").await;
    b.unlock(new).await.expect("the lock is freed");
}

async fn of_many_contenders_one_takes_over(a: Arc<dyn Backend>, b: Arc<dyn Backend>) {
    let old = granted(&*a, &[]).await;
    let seen = holder(&*b).await;
    let tasks = (0..8).map(|number| {
        let backend = Arc::clone(if number % 2 == 0 { &a } else { &b });
        let seen = seen.clone();
        tokio::spawn(async move { backend.lock(&owner("contender"), &[seen]).await })
    });
    let mut winners = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        let outcome = task.await.expect("no task panics").expect("asking succeeds");
        if let LockOutcome::Granted(token) = outcome {
            winners.push(token);
        }
    }
    assert!(matches!(winners[..], [token] if token > old), "{winners:?}");
    a.unlock(winners[0]).await.expect("the lock is freed");
}

async fn clusters_are_locked_side_by_side(a: &dyn Backend, b: &dyn Backend) {
    let one = token(a.lock(&owner_of("one"), &[]).await);
    let other = token(b.lock(&owner_of("other"), &[]).await);
    put(a, one, &["of-one"], "1").await;
    put(b, other, &["of-other"], "1").await;
    let both = b.holders().await.expect("the holders can be read");
    assert_eq!(both.iter().map(|lease| lease.token).collect::<Vec<_>>(), [one, other]);
    for mut in_the_way in [owner_of("one"), owner("test")] {
        "contender".clone_into(&mut in_the_way.operation);
        let outcome = b.lock(&in_the_way, &[]).await.expect("asking succeeds");
        assert!(matches!(outcome, LockOutcome::Held(lease) if lease.token == one));
    }
    a.unlock(one).await.expect("the lock is freed");
    put(b, other, &["of-other"], "2").await;
    let outcome = a.lock(&owner("test"), &[]).await.expect("asking succeeds");
    assert!(matches!(outcome, LockOutcome::Held(lease) if lease.token == other));
    b.unlock(other).await.expect("the lock is freed");
}

async fn a_holding_becomes_smaller_and_larger(a: &dyn Backend, b: &dyn Backend) {
    let wide = granted(a, &[]).await;
    let seen = holder(b).await;
    let narrowed = a.change(wide, &extent("one")).await;
    assert_eq!(token(narrowed), wide);
    assert!(!holder(b).await.is_exactly(&seen), "who saw it before looks again");
    let other = token(b.lock(&owner_of("other"), &[]).await);
    let refused = a.change(wide, &Extent::Everything).await.expect("asking succeeds");
    assert!(matches!(refused, LockOutcome::Held(lease) if lease.token == other));
    put(a, wide, &["still"], "held").await;
    b.unlock(other).await.expect("the lock is freed");
    assert_eq!(token(a.change(wide, &Extent::Everything).await), wide);
    assert_eq!(holder(b).await.owner.extent, Extent::Everything);
    a.unlock(wide).await.expect("the lock is freed");
    assert!(matches!(a.change(wide, &extent("one")).await, Err(BackendError::Lost)));
}

/// Locks of other clusters come and go, are taken over and broken, while one writer commits: it loses no commit, and no right.
async fn who_locks_one_cluster_is_not_disturbed_by_what_becomes_of_another(a: Arc<dyn Backend>, b: Arc<dyn Backend>) {
    let one = token(a.lock(&owner_of("one"), &[]).await);
    put(&*a, one, &["count"], "0").await;
    let others = tokio::spawn({
        let b = Arc::clone(&b);
        async move {
            for _ in 0..10 {
                let first = token(b.lock(&owner_of("other"), &[]).await);
                let held = b.holders().await.expect("the holders can be read");
                let lease = held
                    .into_iter()
                    .filter(|lease| lease.token == first)
                    .collect::<Vec<_>>();
                let next = token(b.lock(&owner_of("other"), &lease).await);
                let late = b.commit(first, vec![Write::put(Key::new("late"), "x".into())]).await;
                assert!(matches!(late, Err(BackendError::Lost)), "{late:?}");
                put(&*b, next, &["of-other"], "x").await;
                b.unlock(next).await.expect("the lock is freed");
            }
        }
    });
    for _ in 0..20 {
        count_up(&*a, one).await;
        a.renew(one).await.expect("it is held");
    }
    others.await.expect("no task panics");
    assert_eq!(get(&*a, "count").await.map(|row| row.bytes), Some("20".into()));
    assert_eq!(get(&*a, "late").await, None);
    a.unlock(one).await.expect("the lock is freed");
}
