//! The lock: a Lease that says who holds it, and the head that says whose commits count.
//!
//! ```text
//!   take   Lease: holder, token + 1, beat 0 ──► head: held by token       the former holder commits no more from here on
//!   renew  Lease: beat + 1
//!   free   head: held by none               ──► Lease: no holder
//! ```
//!
//! Each arrow is a PUT with the version that was read. A process that ends between two of them leaves a Lease with a holder, which
//! is taken over as any other. Times in the Lease are for people: nothing here compares them.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};
use simdb_state::backend::{BackendError, Lease, LockOutcome, Token};
use simdb_state::lock::Owner;
use tokio::time::sleep;

use super::contents::{Contents, damaged};
use super::names::{BEAT, Names, OWNER, Part, hex, pairs};
use super::record::Record;
use super::server::{PATIENCE, Trouble};

/// How long to wait before what another process changed is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// A Lease as it was read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Who holds it; nothing while it is free.
    pub(super) lease: Option<Lease>,
    /// The token of its last holder.
    last: Token,
    object: LeaseObject,
}

/// Looks at the lock; nothing where it was never taken.
pub(super) async fn look(record: &Record) -> Result<Option<Found>, BackendError> {
    let found: Option<LeaseObject> = record
        .server
        .get(&record.names.head)
        .await
        .map_err(record.server.failed("read the lock"))?;
    found.map(read).transpose()
}

fn read(object: LeaseObject) -> Result<Found, BackendError> {
    let transitions = object.spec.as_ref().and_then(|spec| spec.lease_transitions);
    let last = Token(u64::try_from(transitions.unwrap_or_default()).unwrap_or_default());
    let annotation = |name: &str| object.metadata.annotations.as_ref()?.get(name);
    let Some(owner) = annotation(OWNER) else {
        return Ok(Found {
            lease: None,
            last,
            object,
        });
    };
    let owner: Owner = serde_json::from_str(owner)
        .map_err(|error| damaged(&format!("the annotation {OWNER} of its Lease cannot be read: {error}")))?;
    let beat = annotation(BEAT).and_then(|beat| beat.parse().ok()).unwrap_or_default();
    Ok(Found {
        lease: Some(Lease {
            token: last,
            beat,
            owner: recognised(owner),
        }),
        last,
        object,
    })
}

/// Takes the lock if it is free, or if it is still held by exactly the lease to take over.
pub(super) async fn take(
    record: &Record,
    owner: &Owner,
    take_over: Option<&Lease>,
) -> Result<LockOutcome, BackendError> {
    record.refuse_copy()?;
    let _turn = record.turn().await;
    let began = Instant::now();
    let mut has_tried = false;
    loop {
        let found = look(record).await?;
        let held = found.as_ref().and_then(|found| found.lease.as_ref());
        let token = match held {
            // The answer to an attempt of before was lost, and it succeeded.
            Some(lease) if has_tried && lease.owner.id == owner.id => lease.token,
            Some(lease) if take_over.is_none_or(|seen| (seen.token, seen.beat) != (lease.token, lease.beat)) => {
                return Ok(LockOutcome::Held(Box::new(lease.clone())));
            }
            _ => match write_holder(record, found.as_ref(), owner).await? {
                Ok(token) => token,
                Err(trouble) => {
                    has_tried = true;
                    again(record, &trouble, began, "take the lock").await?;
                    continue;
                }
            },
        };
        match fence(record, token).await {
            Ok(true) => return Ok(LockOutcome::Granted(token)),
            // Another process has taken it over already; the next look finds out which.
            Ok(false) => has_tried = false,
            Err(error) => {
                // The error is what is reported; a Lease that stays is taken over once this process is gone.
                let _ = release(record, token).await;
                return Err(error);
            }
        }
    }
}

/// Writes the next holder into the Lease that was found.
async fn write_holder(
    record: &Record,
    found: Option<&Found>,
    owner: &Owner,
) -> Result<Result<Token, Trouble>, BackendError> {
    // A Lease that was deleted says nothing of the tokens before; the head does.
    let before = record.read().await?.contents.head.token();
    let token = Token(before.max(found.map_or(Token(0), |found| found.last)).0 + 1);
    let version = found.and_then(|found| found.object.metadata.resource_version.clone());
    let object = holding(&record.names, token, owner, version);
    let put = match found {
        Some(_) => record.server.replace(&object).await,
        None => record.server.create(&object).await,
    };
    Ok(put.map(|_| token))
}

/// Lets only the holder of the token commit from now on. Returns false where a later holder has come before.
async fn fence(record: &Record, token: Token) -> Result<bool, BackendError> {
    let began = Instant::now();
    let mut seen = record.read().await?;
    loop {
        let head = &seen.contents.head;
        if head.token() > token {
            return Ok(false);
        }
        if head.is_held_by(token) {
            return Ok(true);
        }
        let contents = Contents {
            head: head.under(token, true),
            ..seen.contents.clone()
        };
        match record.put(&seen, contents).await {
            Ok(_) => return Ok(true),
            Err(trouble) => again(record, &trouble, began, "take the lock").await?,
        }
        seen = record.load().await?;
    }
}

/// Says that the holder of the token is alive.
pub(super) async fn renew(record: &Record, token: Token) -> Result<(), BackendError> {
    let began = Instant::now();
    loop {
        let Some(mut found) = look(record).await? else {
            return Err(BackendError::Lost);
        };
        let lease = found
            .lease
            .filter(|lease| lease.token == token)
            .ok_or(BackendError::Lost)?;
        let annotations = found.object.metadata.annotations.get_or_insert_default();
        annotations.insert(BEAT.to_owned(), (lease.beat + 1).to_string());
        found.object.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
        match record.server.replace(&found.object).await {
            Ok(_) => return Ok(()),
            Err(trouble) => again(record, &trouble, began, "renew the lock").await?,
        }
    }
}

/// Frees the lock, if the token still holds it.
pub(super) async fn free(record: &Record, token: Token) -> Result<(), BackendError> {
    let _turn = record.turn().await;
    let found = look(record).await?;
    let held = found.and_then(|found| found.lease);
    if held.is_none_or(|lease| lease.token != token) {
        return Err(BackendError::Lost);
    }
    let began = Instant::now();
    // First the head: once the Lease is free, its former holder commits no more.
    let mut seen = record.read().await?;
    while seen.contents.head.is_held_by(token) {
        let contents = Contents {
            head: seen.contents.head.under(token, false),
            ..seen.contents.clone()
        };
        if let Err(trouble) = record.put(&seen, contents).await {
            again(record, &trouble, began, "free the lock").await?;
            seen = record.load().await?;
        } else {
            break;
        }
    }
    release(record, token).await
}

/// Takes the holder out of the Lease.
async fn release(record: &Record, token: Token) -> Result<(), BackendError> {
    let began = Instant::now();
    loop {
        let Some(mut found) = look(record).await? else {
            return Ok(());
        };
        // An attempt of before may have freed it, and another process may hold it by now.
        if found.lease.is_none_or(|lease| lease.token != token) {
            return Ok(());
        }
        if let Some(annotations) = &mut found.object.metadata.annotations {
            annotations.remove(OWNER);
            annotations.remove(BEAT);
        }
        let spec = found.object.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.acquire_time = None;
        match record.server.replace(&found.object).await {
            Ok(_) => return Ok(()),
            Err(trouble) => again(record, &trouble, began, "free the lock").await?,
        }
    }
}

/// Waits before another attempt, or fails where there is no point in one.
async fn again(record: &Record, trouble: &Trouble, began: Instant, doing: &'static str) -> Result<(), BackendError> {
    if trouble.is_passing() && began.elapsed() <= PATIENCE {
        sleep(PAUSE).await;
        return Ok(());
    }
    Err(record.server.failed(doing)(trouble.clone()))
}

/// Makes a Lease with a holder.
fn holding(names: &Names, token: Token, owner: &Owner, version: Option<String>) -> LeaseObject {
    let disguised = disguised(owner.clone());
    let owner_text = serde_json::to_string(&disguised).expect("an owner is texts and numbers");
    let now = MicroTime(Timestamp::now());
    LeaseObject {
        metadata: ObjectMeta {
            name: Some(names.head.clone()),
            labels: Some(names.labels(Part::Lock)),
            annotations: Some(pairs([(OWNER, &owner_text), (BEAT, "0")])),
            resource_version: version,
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(format!(
                "{} for {} (process {})",
                owner.who, owner.operation, owner.place.pid
            )),
            lease_duration_seconds: i32::try_from((owner.lease_ms / 1000).max(1)).ok(),
            lease_transitions: i32::try_from(token.0).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    }
}

/// Hides the id of the machine, which is nobody else's business, behind its digest: Leases are read by many.
fn disguised(mut owner: Owner) -> Owner {
    if !owner.place.host.machine.is_empty() {
        owner.place.host.machine = disguise(&owner.place.host.machine);
    }
    owner
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

    fn owner() -> Owner {
        Owner::this_process("apply", Duration::from_secs(20))
    }

    #[test]
    fn a_lease_is_read_as_it_was_written_and_shows_no_id_of_the_machine() {
        let owner = owner();
        let object = holding(&Names::new("orders", None), Token(7), &owner, None);
        let text = serde_json::to_string(&object).unwrap();
        let machine = &owner.place.host.machine;
        assert!(machine.is_empty() || !text.contains(machine), "{text}");
        let found = read(object).unwrap();
        let expected = Lease {
            token: Token(7),
            beat: 0,
            owner,
        };
        assert_eq!(found.lease, Some(expected));
    }

    #[test]
    fn a_lease_without_an_owner_is_free_and_remembers_the_last_token() {
        let mut object = holding(&Names::new("orders", None), Token(7), &owner(), None);
        object.metadata.annotations.as_mut().unwrap().remove(OWNER);
        let found = read(object).unwrap();
        assert_eq!((found.lease, found.last), (None, Token(7)));
    }

    #[test]
    fn an_owner_that_cannot_be_read_is_no_free_lock() {
        let mut object = holding(&Names::new("orders", None), Token(7), &owner(), None);
        let annotations = object.metadata.annotations.as_mut().unwrap();
        annotations.insert(OWNER.to_owned(), "someone".to_owned());
        assert!(matches!(read(object), Err(BackendError::Unusable { .. })));
    }
}
