//! Commits: tried until one succeeds, or until it is known that none can. The picture is at the top of [`super`].

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use simdb_state::backend::{BackendError, Token, Version, Write};
use tokio::time::sleep;

use super::contents::{Contents, Draft, Mark};
use super::garbage;
use super::names;
use super::objects;
use super::record::{Record, Seen, random, random_bytes};
use super::server::{PATIENCE, Server, Trouble};

/// How many chunks are written at once.
const AT_ONCE: usize = 8;

/// The longest pause before a head that another process changed is written again.
const LONGEST_PAUSE: u64 = 100;

const DOUBT: &str = "The last commit may have happened, or not: plan again to see where things stand.";

/// Commits writes, if the token holds the lock and each row is what is expected. Rows that are no part of the record need no token.
pub(super) async fn commit(record: &Record, token: Option<Token>, writes: &[Write]) -> Result<Version, BackendError> {
    record.refuse_copy()?;
    let _turn = record.turn().await;
    let id = random();
    let mut attempts = Attempts::new();
    let mut seen = record.seen();
    let mut is_fresh = false;
    loop {
        if let Some(version) = seen.contents.version_of(&id) {
            return Ok(version);
        }
        attempts.check(&seen.contents)?;
        let head = &seen.contents.head;
        let checked = if token.is_none_or(|token| head.is_held_by(token)) {
            seen.contents.check(writes)
        } else {
            Err(BackendError::Lost)
        };
        if let Err(refusal) = checked {
            if is_fresh {
                return Err(refusal);
            }
            (seen, is_fresh) = (record.load().await?, true);
            continue;
        }
        let mark = Mark {
            version: seen.contents.next_version(),
            id: id.clone(),
        };
        let version = Version(mark.version);
        let draft = seen.contents.draft(mark, writes, || names::chunk(random_bytes()));
        // Chunks under the last token stay until there is a later one, and then this head is not the one that was seen any more.
        let token = token.unwrap_or(head.token());
        match write(record, &seen, draft, token).await {
            Ok(superseded) => {
                garbage::drop_superseded(record, superseded).await;
                return Ok(version);
            }
            Err(trouble) => attempts.failed(&trouble, version, &record.server)?,
        }
        attempts.pause().await;
        let loaded = record.load().await.map_err(|error| attempts.doubtful(error))?;
        (seen, is_fresh) = (loaded, true);
    }
}

/// Writes chunks, then the head in place of the one that was seen. Returns the chunks that are not needed any longer.
async fn write(record: &Record, seen: &Seen, draft: Draft, token: Token) -> Result<Vec<String>, Trouble> {
    let chunks = draft.chunks.into_iter();
    let chunks = chunks.map(|(name, bytes)| objects::chunk(&record.names, &name, bytes, token));
    let written = stream::iter(chunks).map(|chunk| async move { record.server.create(&chunk).await.map(drop) });
    written.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    record.put(seen, draft.contents).await?;
    Ok(draft.superseded)
}

/// The attempts at one commit.
struct Attempts {
    began: Instant,
    number: u32,
    /// The version of the first one of which it is not known what came of it.
    unclear: Option<u64>,
}

impl Attempts {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            number: 0,
            unclear: None,
        }
    }

    /// Fails where it cannot be told from a head any more whether one of them succeeded.
    fn check(&self, contents: &Contents) -> Result<(), BackendError> {
        if self.unclear.is_none_or(|version| contents.remembers(version)) {
            return Ok(());
        }
        Err(BackendError::Unusable {
            problem: "the API server did not answer a commit, and the state was written often since".to_owned(),
            hint: DOUBT.to_owned(),
        })
    }

    /// Adds to an error that an attempt may have succeeded, where it may.
    fn doubtful(&self, error: BackendError) -> BackendError {
        match error {
            BackendError::Unusable { problem, hint } if self.unclear.is_some() => BackendError::Unusable {
                problem,
                hint: format!("{DOUBT} {hint}"),
            },
            error => error,
        }
    }

    /// Fails where there is no point in another one.
    fn failed(&mut self, trouble: &Trouble, version: Version, server: &Server) -> Result<(), BackendError> {
        self.number += 1;
        if matches!(trouble, Trouble::Unclear(_)) {
            self.unclear.get_or_insert(version.0);
        }
        let is_over = self.began.elapsed() > PATIENCE;
        match trouble {
            // The head is gone; reading it says so.
            Trouble::Refused { status: 404, .. } if !is_over => Ok(()),
            trouble if trouble.is_passing() && !is_over => Ok(()),
            trouble if trouble.is_conflict() => Err(BackendError::Busy),
            trouble => Err(self.doubtful(server.failed("commit")(trouble.clone()))),
        }
    }

    /// Waits a while, by chance shorter or longer than other processes that were refused as well.
    async fn pause(&self) {
        let longest = LONGEST_PAUSE.min(4 << self.number.min(8));
        let part = u64::from(random_bytes()[0]);
        sleep(Duration::from_millis(longest * part / 255)).await;
    }
}
