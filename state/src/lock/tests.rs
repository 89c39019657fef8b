//! Who is dead, who is only slow, and who is merely elsewhere.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::backend::memory::MemoryBackend;
use crate::owner::{Host, Process};

const MINUTE: Duration = Duration::from_mins(1);

fn sleeper() -> Child {
    let sleep = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn();
    sleep.unwrap()
}

fn owner_of(pid: u32) -> Owner {
    let mut owner = Owner::this_process("apply", MINUTE);
    owner.place.pid = pid;
    owner.place.started = Process::look(pid).unwrap().started;
    owner
}

async fn hold(backend: &MemoryBackend, owner: &Owner) -> Token {
    match backend.lock(owner, &[]).await.unwrap() {
        LockOutcome::Granted(token) => token,
        LockOutcome::Held(lease) => panic!("{lease:?}"),
    }
}

#[test]
fn the_kernel_says_when_this_process_started() {
    let owner = Owner::this_process("apply", MINUTE);
    assert!(owner.place.started.unwrap() > 0);
    assert!(!owner.place.host.boot.is_empty());
    assert!(owner.place.host.namespace.starts_with("pid:["));
    assert!(!owner.is_dead());
    assert_ne!(owner.id, Owner::this_process("apply", MINUTE).id);
}

#[test]
fn a_process_that_ended_is_dead_even_before_its_parent_notices() {
    let mut child = sleeper();
    let owner = owner_of(child.id());
    assert!(!owner.is_dead());
    child.kill().unwrap();
    // It stays a zombie until `wait`; the kernel needs a moment to make it one.
    let deadline = Instant::now() + MINUTE;
    while !owner.is_dead() {
        assert!(Instant::now() < deadline, "a zombie counts as alive");
        std::thread::yield_now();
    }
    child.wait().unwrap();
    assert!(owner.is_dead());
}

#[test]
fn another_process_with_the_same_number_is_not_the_owner() {
    let mut owner = Owner::this_process("apply", MINUTE);
    owner.place.started = owner.place.started.map(|ticks| ticks - 1);
    assert!(owner.is_dead());
    owner.place.started = None;
    assert!(!owner.is_dead(), "in doubt it lives");
}

#[test]
fn nobody_survives_a_reboot_of_a_machine_known_by_its_id() {
    let here = Host {
        name: "laptop".to_owned(),
        machine: "abc".to_owned(),
        boot: "2".to_owned(),
        namespace: "pid:[1]".to_owned(),
    };
    let owner_at = |change: fn(&mut Host)| {
        let mut place = Owner::this_process("apply", MINUTE).place;
        place.host = here.clone();
        change(&mut place.host);
        place
    };
    assert!(owner_at(|host| host.boot = "1".to_owned()).is_gone(&here));
    let elsewhere: [fn(&mut Host); 4] = [
        |host| {
            host.boot = "1".to_owned();
            host.machine = "def".to_owned();
        },
        |host| {
            host.boot = "1".to_owned();
            host.name = "other".to_owned();
        },
        |host| {
            host.boot = "1".to_owned();
            host.machine = String::new();
        },
        |host| host.boot = String::new(),
    ];
    for change in elsewhere {
        let place = owner_at(change);
        assert!(!place.is_gone(&here), "{place:?}");
    }
}

#[test]
fn a_process_of_another_container_is_not_judged_by_its_number() {
    let mut owner = Owner::this_process("apply", MINUTE);
    owner.place.started = Some(0);
    assert!(owner.is_dead());
    owner.place.host.namespace = "pid:[1]".to_owned();
    assert!(!owner.is_dead());
}

#[test]
fn only_a_heartbeat_that_stood_still_for_a_whole_lease_is_taken_over() {
    let began = Instant::now();
    let at = |seconds| began + Duration::from_secs(seconds);
    let lease = |beat| Lease {
        token: Token(1),
        beat,
        owner: Owner::this_process("apply", MINUTE),
    };
    let mut watch = Watch::default();
    assert!(!watch.stood_still(&lease(5), at(0)));
    assert!(!watch.stood_still(&lease(5), at(59)));
    assert!(!watch.stood_still(&lease(6), at(61)), "it moved");
    assert!(!watch.stood_still(&lease(6), at(120)));
    assert!(watch.stood_still(&lease(6), at(121)));
}

#[tokio::test]
async fn a_dead_owner_is_taken_over_at_once() {
    let backend = MemoryBackend::default();
    let mut child = sleeper();
    let token = hold(&backend, &owner_of(child.id())).await;
    let contender = Owner::this_process("plan", MINUTE);
    let refused = acquire(&backend, &contender, Duration::ZERO, &[])
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(refused.owner.operation, "apply");
    child.kill().unwrap();
    child.wait().unwrap();
    let taken_over = acquire(&backend, &contender, Duration::ZERO, &[])
        .await
        .unwrap()
        .unwrap();
    assert!(taken_over > token);
}

#[tokio::test]
async fn an_owner_that_no_longer_beats_is_taken_over_after_its_lease() {
    let backend = MemoryBackend::default();
    let lease = Duration::from_millis(250);
    hold(&backend, &Owner::this_process("apply", lease)).await;
    let began = Instant::now();
    let contender = Owner::this_process("plan", MINUTE);
    acquire(&backend, &contender, MINUTE, &[]).await.unwrap().unwrap();
    assert!(began.elapsed() >= lease);
}

#[tokio::test]
async fn who_waits_gets_the_lock_when_it_is_freed() {
    let backend = MemoryBackend::default();
    let token = hold(&backend, &Owner::this_process("apply", MINUTE)).await;
    let waiting = tokio::spawn({
        let backend = backend.clone();
        async move { acquire(&backend, &Owner::this_process("plan", MINUTE), MINUTE, &[]).await }
    });
    tokio::task::yield_now().await;
    backend.unlock(token).await.unwrap();
    assert!(waiting.await.unwrap().unwrap().unwrap() > token);
}

#[tokio::test]
async fn the_heartbeat_counts_until_the_lock_is_lost() {
    let backend = MemoryBackend::default();
    let token = hold(&backend, &Owner::this_process("apply", MINUTE)).await;
    let (lost, mut noticed) = watch::channel(false);
    let keeper = tokio::spawn(keep(Arc::new(backend.clone()), token, Duration::from_millis(4), lost));
    let deadline = Instant::now() + MINUTE;
    while backend.holders().await.unwrap()[0].beat < 3 {
        assert!(Instant::now() < deadline, "no heartbeat");
        tokio::task::yield_now().await;
    }
    backend.unlock(token).await.unwrap();
    tokio::time::timeout(MINUTE, keeper)
        .await
        .expect("the keeper ends")
        .unwrap();
    assert!(*noticed.borrow_and_update());
}

#[tokio::test]
async fn an_owner_that_is_taken_over_finds_out_long_before_its_next_beat() {
    let backend = MemoryBackend::default();
    hold(&backend, &Owner::this_process("apply", MINUTE)).await;
    let seen = backend.holders().await.unwrap();
    let (lost, mut noticed) = watch::channel(false);
    let keeper = tokio::spawn(keep(Arc::new(backend.clone()), seen[0].token, MINUTE, lost));
    let urgent = Owner::this_process("failover", MINUTE);
    let token = acquire(&backend, &urgent, Duration::ZERO, &seen)
        .await
        .unwrap()
        .unwrap();
    assert!(token > seen[0].token);
    let began = Instant::now();
    noticed.wait_for(|lost| *lost).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "a beat is every 15 seconds");
    keeper.await.unwrap();
}

#[tokio::test]
async fn a_lease_that_moved_since_it_was_seen_is_waited_for() {
    let backend = MemoryBackend::default();
    let token = hold(&backend, &Owner::this_process("apply", MINUTE)).await;
    let seen = backend.holders().await.unwrap();
    backend.renew(token).await.unwrap();
    let urgent = Owner::this_process("failover", MINUTE);
    let refused = acquire(&backend, &urgent, Duration::ZERO, &seen).await.unwrap();
    assert_eq!(refused.unwrap_err().token, token);
}

#[tokio::test]
async fn several_owners_that_are_dead_are_taken_over_together() {
    let backend = MemoryBackend::default();
    for name in ["one", "other"] {
        let mut owner = Owner::this_process("apply", MINUTE);
        owner.place.started = owner.place.started.map(|ticks| ticks - 1);
        owner.extent = crate::extent::Extent::of(&name.parse().unwrap());
        hold(&backend, &owner).await;
    }
    let contender = Owner::this_process("plan", MINUTE);
    acquire(&backend, &contender, Duration::ZERO, &[])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(backend.holders().await.unwrap().len(), 1);
}
