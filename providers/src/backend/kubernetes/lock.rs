//! The lock: a Lease that says who holds it, and the head that says whose commits count.
//!
//! ```text
//!   take    Lease: one more holding, in place of those that it takes over ──► head: the same holders
//!   change  Lease: what a holding is about, beat + 1
//!   renew   Lease: beat + 1
//!   free    Lease: one holding less                                      ──► head: the same holders
//! ```
//!
//! Each arrow is a PUT with the version that was read. The head is read before the Lease whose holders it gets, so a holder that was
//! taken over does not come back to it: that PUT, or the later one of who took over, is answered 409. A process that ends between two
//! of them leaves a Lease with a holding, which is taken over as any other. Times in the Lease are for people: nothing here compares
//! them.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};
use simdb_state::backend::{BackendError, Lease, LockOutcome, Token};
use simdb_state::extent::Extent;
use simdb_state::leases::Leases;
use simdb_state::lock::Owner;
use tokio::time::sleep;

use super::contents::{Contents, damaged};
use super::names::{BEAT, LEASES, Names, OWNER, Part, hex, pairs};
use super::record::Record;
use super::server::{PATIENCE, Trouble};

/// How long to wait before what another process changed is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// A Lease as it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Who holds the lock.
    pub(super) leases: Leases,
    /// Nothing where the lock was never taken.
    object: Option<LeaseObject>,
}

/// Looks at the lock.
pub(super) async fn look(record: &Record) -> Result<Found, BackendError> {
    let found: Option<LeaseObject> = record
        .server
        .get(&record.names.head)
        .await
        .map_err(record.server.failed("read the lock"))?;
    found.map_or_else(|| Ok(Found::default()), read)
}

fn read(object: LeaseObject) -> Result<Found, BackendError> {
    let annotation = |name: &str| object.metadata.annotations.as_ref()?.get(name);
    let unreadable = |name: &'static str| {
        move |error: serde_json::Error| damaged(&format!("the annotation {name} of its Lease cannot be read: {error}"))
    };
    let transitions = object.spec.as_ref().and_then(|spec| spec.lease_transitions);
    let last = Token(u64::try_from(transitions.unwrap_or_default()).unwrap_or_default());
    let mut leases = match annotation(LEASES) {
        Some(text) => serde_json::from_str(text).map_err(unreadable(LEASES))?,
        None => Leases { last, held: Vec::new() },
    };
    // An earlier version knew one holding, of everything.
    if let Some(owner) = annotation(OWNER) {
        let beat = annotation(BEAT).and_then(|beat| beat.parse().ok()).unwrap_or_default();
        leases.held.push(Lease {
            token: last,
            beat,
            owner: serde_json::from_str(owner).map_err(unreadable(OWNER))?,
        });
    }
    for lease in &mut leases.held {
        lease.owner = recognised(lease.owner.clone());
    }
    Ok(Found {
        leases,
        object: Some(object),
    })
}

/// Takes the lock for what its owner is about, unless somebody holds part of that whose lease is not to be taken over.
pub(super) async fn take(record: &Record, owner: &Owner, take_over: &[Lease]) -> Result<LockOutcome, BackendError> {
    record.refuse_copy()?;
    let _turn = record.turn().await;
    let began = Instant::now();
    let mut has_tried = false;
    loop {
        let mut found = look(record).await?;
        // The answer to an attempt of before may have been lost, though it succeeded.
        let mut held = found.leases.held.iter().filter(|_| has_tried);
        let token = if let Some(lease) = held.find(|lease| lease.owner.id == owner.id) {
            lease.token
        } else {
            // A Lease that was deleted says nothing of the tokens before; the head does.
            found.leases.last = found.leases.last.max(record.read().await?.contents.head.token());
            let token = match found.leases.take(owner, take_over) {
                LockOutcome::Granted(token) => token,
                held @ LockOutcome::Held(_) => return Ok(held),
            };
            if let Err(trouble) = put(record, found).await {
                has_tried = true;
                again(record, &trouble, began, "take the lock").await?;
                continue;
            }
            token
        };
        match settle(record, "take the lock").await {
            Ok(leases) if leases.has(token) => return Ok(LockOutcome::Granted(token)),
            // Another process has taken it over already; the next look finds out which.
            Ok(_) => has_tried = false,
            Err(error) => {
                // The error is what is reported; a holding that stays is taken over once this process is gone.
                let _ = edit(record, "free the lock", |leases| leases.free(token)).await;
                return Err(error);
            }
        }
    }
}

/// Lets those commit whom the Lease names, and no others. Returns who they are.
async fn settle(record: &Record, doing: &'static str) -> Result<Leases, BackendError> {
    let began = Instant::now();
    let mut seen = record.read().await?;
    loop {
        let Found { leases, .. } = look(record).await?;
        let head = seen.contents.head.held_by(&leases);
        if head == seen.contents.head {
            return Ok(leases);
        }
        let contents = Contents {
            head,
            ..seen.contents.clone()
        };
        match record.put(&seen, contents).await {
            Ok(_) => return Ok(leases),
            Err(trouble) => again(record, &trouble, began, doing).await?,
        }
        seen = record.load().await?;
    }
}

/// Lets a holding be about something else, unless somebody else holds part of that. Whose commits count stays as it is.
pub(super) async fn change(record: &Record, token: Token, extent: &Extent) -> Result<LockOutcome, BackendError> {
    edit(record, "change the lock", |leases| leases.change(token, extent)).await
}

/// Says that the holder of the token is alive.
pub(super) async fn renew(record: &Record, token: Token) -> Result<(), BackendError> {
    edit(record, "renew the lock", |leases| leases.renew(token)).await
}

/// Frees what the token holds.
pub(super) async fn free(record: &Record, token: Token) -> Result<(), BackendError> {
    const DOING: &str = "free the lock";
    let _turn = record.turn().await;
    let began = Instant::now();
    let mut may_be_free = false;
    loop {
        let mut found = look(record).await?;
        match found.leases.free(token) {
            // An attempt of before succeeded, and its answer was lost.
            Err(BackendError::Lost) if may_be_free => break,
            freed => freed?,
        }
        match put(record, found).await {
            Ok(()) => break,
            Err(trouble) => {
                may_be_free |= matches!(trouble, Trouble::Unclear(_));
                again(record, &trouble, began, DOING).await?;
            }
        }
    }
    settle(record, DOING).await.map(drop)
}

/// Changes a holding of the lock, until that succeeds or cannot any more. An attempt whose answer was lost may have succeeded: a heartbeat
/// then counts twice.
async fn edit<T>(
    record: &Record,
    doing: &'static str,
    change: impl Fn(&mut Leases) -> Result<T, BackendError>,
) -> Result<T, BackendError> {
    let began = Instant::now();
    loop {
        let mut found = look(record).await?;
        let changed = change(&mut found.leases)?;
        match put(record, found).await {
            Ok(()) => return Ok(changed),
            Err(trouble) => again(record, &trouble, began, doing).await?,
        }
    }
}

/// Puts a Lease in place of the one that was read.
async fn put(record: &Record, found: Found) -> Result<(), Trouble> {
    let is_there = found.object.is_some();
    let object = holding(&record.names, &found.leases, found.object);
    let put = if is_there {
        record.server.replace(&object).await
    } else {
        record.server.create(&object).await
    };
    put.map(drop)
}

/// Waits before another attempt, or fails where there is no point in one.
async fn again(record: &Record, trouble: &Trouble, began: Instant, doing: &'static str) -> Result<(), BackendError> {
    if trouble.is_passing() && began.elapsed() <= PATIENCE {
        sleep(PAUSE).await;
        return Ok(());
    }
    Err(record.server.failed(doing)(trouble.clone()))
}

/// Makes a Lease with its holders of the one that was there.
fn holding(names: &Names, leases: &Leases, before: Option<LeaseObject>) -> LeaseObject {
    let disguised = Leases {
        last: leases.last,
        held: leases.held.iter().cloned().map(disguised).collect(),
    };
    let text = serde_json::to_string(&disguised).expect("leases are texts and numbers");
    let told = |Lease { owner, .. }: &Lease| {
        format!(
            "{} for {} of {} (process {})",
            owner.who, owner.operation, owner.extent, owner.place.pid
        )
    };
    let holders: Vec<String> = leases.held.iter().map(told).collect();
    let longest = leases.held.iter().map(|lease| lease.owner.lease_ms).max();
    let before = before.unwrap_or_default();
    let taken = before.spec.as_ref().and_then(|spec| spec.acquire_time.clone());
    let is_new = before.spec.as_ref().and_then(|spec| spec.lease_transitions) != i32::try_from(leases.last.0).ok();
    let now = MicroTime(Timestamp::now());
    let is_held = !leases.held.is_empty();
    LeaseObject {
        metadata: ObjectMeta {
            name: Some(names.head.clone()),
            labels: Some(names.labels(Part::Lock)),
            annotations: Some(pairs([(LEASES, &text)])),
            resource_version: before.metadata.resource_version,
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: is_held.then(|| holders.join(", ")),
            lease_duration_seconds: longest.and_then(|longest| i32::try_from((longest / 1000).max(1)).ok()),
            lease_transitions: i32::try_from(leases.last.0).ok(),
            acquire_time: if is_new { Some(now.clone()) } else { taken }.filter(|_| is_held),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    }
}

/// Hides the id of the machine, which is nobody else's business, behind its digest: Leases are read by many.
fn disguised(mut lease: Lease) -> Lease {
    let machine = &mut lease.owner.place.host.machine;
    if !machine.is_empty() {
        *machine = disguise(machine);
    }
    lease
}

/// Puts the id of this machine in place of its digest, so that an owner that was here is known to be gone.
fn recognised(mut owner: Owner) -> Owner {
    let here = simdb_state::lock::Host::here().machine;
    if !here.is_empty() && owner.place.host.machine == disguise(&here) {
        owner.place.host.machine = here;
    }
    owner
}

fn disguise(machine: &str) -> String {
    hex(&Sha256::digest(format!("simdb {machine}"))[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(cluster: &str) -> Owner {
        Owner {
            extent: Extent::of(&cluster.parse().unwrap()),
            ..Owner::this_process("apply", Duration::from_secs(20))
        }
    }

    fn held() -> Leases {
        let mut leases = Leases {
            last: Token(6),
            held: Vec::new(),
        };
        leases.take(&owner("one"), &[]);
        leases.take(&owner("other"), &[]);
        leases
    }

    fn object(leases: &Leases) -> LeaseObject {
        holding(&Names::new("orders", None), leases, None)
    }

    #[test]
    fn a_lease_is_read_as_it_was_written_and_shows_no_id_of_the_machine() {
        let leases = held();
        let text = serde_json::to_string(&object(&leases)).unwrap();
        let machine = &leases.held[0].owner.place.host.machine;
        assert!(machine.is_empty() || !text.contains(machine), "{text}");
        assert!(text.contains("for apply of cluster one (process "), "{text}");
        assert_eq!(read(object(&leases)).unwrap().leases, leases);
    }

    #[test]
    fn a_lease_without_holders_is_free_and_remembers_the_last_token() {
        let mut leases = held();
        leases.held.clear();
        let object = object(&leases);
        assert_eq!(object.spec.as_ref().unwrap().holder_identity, None);
        assert_eq!(read(object).unwrap().leases, leases);
    }

    #[test]
    fn a_lease_of_an_earlier_version_is_one_holding_of_everything() {
        let owner = Owner::this_process("apply", Duration::from_secs(20));
        let mut object = object(&held());
        let text = serde_json::to_string(&owner).unwrap();
        object.metadata.annotations = Some(pairs([(OWNER, &text), (BEAT, "4")]));
        let leases = read(object).unwrap().leases;
        let expected = Lease {
            token: Token(8),
            beat: 4,
            owner,
        };
        assert_eq!((leases.last, leases.held), (Token(8), vec![expected]));
    }

    #[test]
    fn holders_that_cannot_be_read_are_no_free_lock() {
        for name in [LEASES, OWNER] {
            let mut object = object(&held());
            let annotations = object.metadata.annotations.as_mut().unwrap();
            annotations.insert(name.to_owned(), "someone".to_owned());
            assert!(matches!(read(object), Err(BackendError::Unusable { .. })));
        }
    }
}
