//! Tells others of events: each hook is told in order, again where it did not hear, and holds up nothing but itself.
//!
//! ```text
//!   board ─► hook (one task each) ─► webhook | command
//!              │      ▲ pause, doubled ─┘ failed
//!              └► news to the watcher: that it could not be told
//! ```
//!
//! What is told is an event as `/v1/events` has it, with the monitor that saw it. Events hold no secret.

mod command;
mod webhook;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use simdb_planner::config::{Hook, HookWay};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::board::{Board, Event, Kind, News};
use crate::views::doc::FORMAT_VERSION;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How long it is waited after a first attempt, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// For how long an event is tried.
const GIVE_UP: Duration = Duration::from_mins(5);

/// How often each hook was told, and could not be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deliveries(Arc<Mutex<BTreeMap<(String, bool), u64>>>);

impl Deliveries {
    fn count(&self, hook: &str, told: bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((hook.to_owned(), told)).or_default() += 1;
    }

    /// Returns the counts by hook, and by whether it was told.
    pub(crate) fn counts(&self) -> BTreeMap<(String, bool), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where a hook is told, with paths that are complete.
#[derive(Clone, Debug)]
enum Way {
    Webhook(String),
    WebhookFile(PathBuf),
    Command(Vec<String>),
}

impl Way {
    async fn tell(&self, document: &Value) -> Result<(), String> {
        match self {
            Way::Webhook(url) => webhook::post(url, document).await,
            Way::WebhookFile(path) => {
                // A file that is written anew counts from then on.
                let text = tokio::fs::read_to_string(path).await;
                let text = text.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
                webhook::post(text.trim(), document).await
            }
            Way::Command(words) => command::run(words, document).await,
        }
    }
}

/// One hook and what it knows of its own.
struct Told {
    name: String,
    way: Way,
    /// The kinds that it is told; none: all.
    kinds: Vec<String>,
    deliveries: Deliveries,
    /// Where it is told that it could not be told.
    news: mpsc::Sender<News>,
    /// Whether the last event could not be told.
    is_away: bool,
}

/// Begins to tell hooks of events; ends when what it returns is dropped.
pub(super) fn start(
    hooks: &[Hook],
    directory: &Path,
    board: &Board,
    news: &mpsc::Sender<News>,
) -> (JoinSet<()>, Deliveries) {
    let (mut tasks, deliveries) = (JoinSet::new(), Deliveries::default());
    for hook in hooks {
        let told = Told {
            name: hook.name.clone(),
            way: match &hook.way {
                HookWay::Webhook(url) => Way::Webhook(url.clone()),
                HookWay::WebhookFile(path) => Way::WebhookFile(directory.join(path)),
                HookWay::Command(words) => Way::Command(words.clone()),
            },
            kinds: hook.events.clone(),
            deliveries: deliveries.clone(),
            news: news.clone(),
            is_away: false,
        };
        tasks.spawn(told.follow(board.clone()));
    }
    (tasks, deliveries)
}

impl Told {
    /// Tells every event of its kinds, in order.
    async fn follow(mut self, board: Board) {
        let who = board.round().who.clone();
        let mut events = board.events();
        let mut last = 0;
        loop {
            // Those that came while one was told, or that this reader missed, are kept on the board.
            for event in board.events_after(last) {
                last = event.number;
                if self.wants(&event) {
                    self.tell(&event, &who).await;
                }
            }
            match events.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    }

    fn wants(&self, event: &Event) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == event.kind.name())
    }

    async fn tell(&mut self, event: &Event, who: &str) {
        let document = document(event, who);
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let why = loop {
            let told = timeout(ATTEMPT, self.way.tell(&document)).await;
            let why = match told.unwrap_or_else(|_| Err(format!("no answer within {} s", ATTEMPT.as_secs()))) {
                Ok(()) => {
                    self.is_away = false;
                    return self.deliveries.count(&self.name, true);
                }
                Err(why) => why,
            };
            // While it is away, every further event is tried once: they would wait for ever.
            if self.is_away || began.elapsed() + pause > GIVE_UP {
                break why;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        self.deliveries.count(&self.name, false);
        if !std::mem::replace(&mut self.is_away, true) {
            self.complain(event, &why).await;
        }
    }

    async fn complain(&self, event: &Event, why: &str) {
        let text = format!(
            "hook \"{}\" was not told of event {} ({}): {why}",
            self.name,
            event.number,
            event.kind.name()
        );
        let news = News {
            kind: Kind::Untold,
            cluster: None,
            node: None,
            term: None,
            text,
        };
        // Where the watcher ends, nothing hears it.
        let _ = self.news.send(news).await;
    }
}

fn document(event: &Event, who: &str) -> Value {
    let mut document = json!(event);
    if let Value::Object(members) = &mut document {
        members.insert("format_version".to_owned(), FORMAT_VERSION.into());
        members.insert("monitor".to_owned(), who.into());
    }
    document
}

#[cfg(test)]
mod tests;
