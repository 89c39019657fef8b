//! Events as they happen, the newest run step by step, and the clusters each second, for as long as a client listens (server-sent events).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{Stream, unfold};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Api;
use super::answer::Answer;
use super::own;
use crate::monitor::board::Event;
use crate::monitor::journal::Journal;
use crate::views::doc::FORMAT_VERSION;

/// How often the clusters are told.
const CLUSTERS: Duration = Duration::from_secs(1);

/// After how long of silence a comment shows that the stream lives.
const COMMENT: Duration = Duration::from_secs(15);

/// Opens a stream. It goes on after the event that `Last-Event-ID` names; without one it begins with the next.
pub(super) async fn open(State(api): State<Api>, headers: HeaderMap) -> Response {
    let Ok(room) = Arc::clone(&api.streams).try_acquire_owned() else {
        return Answer::error(StatusCode::TOO_MANY_REQUESTS, "too many streams are open").into_response();
    };
    let last = match headers
        .get("last-event-id")
        .map(|id| id.to_str().ok().and_then(|id| id.parse().ok()))
    {
        Some(Some(last)) => Some(last),
        Some(None) => return Answer::error(StatusCode::BAD_REQUEST, "Last-Event-ID is no number").into_response(),
        None => None,
    };
    let keep = KeepAlive::new().interval(COMMENT);
    Sse::new(told(Feed::new(api, room, last)))
        .keep_alive(keep)
        .into_response()
}

fn told(feed: Feed) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    unfold(feed, async |mut feed| {
        let message = feed.next().await?;
        Some((Ok(message.into_event()), feed))
    })
}

/// What is told to a listener.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    /// Something happened.
    Event(u64, String),
    /// How the clusters are.
    Clusters(String),
    /// How far the newest run is.
    Run(String),
    /// Events before this one are kept no more, or were another monitor's.
    Reset(u64),
}

impl Message {
    fn into_event(self) -> sse::Event {
        match self {
            Message::Event(number, document) => sse::Event::default()
                .event("event")
                .id(number.to_string())
                .data(document),
            Message::Clusters(document) => sse::Event::default().event("clusters").data(document),
            Message::Run(document) => sse::Event::default().event("run").data(document),
            Message::Reset(last) => sse::Event::default()
                .event("reset")
                .id(last.to_string())
                .data(json!({ "format_version": FORMAT_VERSION, "last": last }).to_string()),
        }
    }
}

/// Returns the events that a listener has yet to hear, after the one that it heard last, and whether some are missing.
pub(super) fn missed(kept: &[Arc<Event>], last: u64) -> (bool, Vec<Arc<Event>>) {
    let oldest = kept.first().map_or(1, |event| event.number);
    let newest = kept.last().map_or(0, |event| event.number);
    let is_missing = last > newest || last.saturating_add(1) < oldest;
    let from = if last > newest { 0 } else { last };
    let events = kept.iter().filter(|event| event.number > from);
    (is_missing, events.cloned().collect())
}

/// One listener.
struct Feed {
    api: Api,
    events: broadcast::Receiver<Arc<Event>>,
    runs: watch::Receiver<Arc<Journal>>,
    ticks: Interval,
    /// The event that was told last.
    last: u64,
    waiting: VecDeque<Message>,
    _room: OwnedSemaphorePermit,
}

impl Feed {
    fn new(api: Api, room: OwnedSemaphorePermit, last: Option<u64>) -> Self {
        let events = api.board.events();
        let mut runs = api.journal.clone();
        // The run that was the newest before is told, too.
        runs.mark_changed();
        let newest = api.board.events_after(0).last().map_or(0, |event| event.number);
        let mut ticks = interval(CLUSTERS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut feed = Self {
            api,
            events,
            runs,
            ticks,
            last: last.unwrap_or(newest),
            waiting: VecDeque::new(),
            _room: room,
        };
        feed.catch_up();
        feed
    }

    /// Returns what is to be told next; nothing where the monitor ends.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            tokio::select! {
                event = self.events.recv() => {
                    // Those that this listener was too slow for are kept on the board.
                    if matches!(event, Err(broadcast::error::RecvError::Closed)) {
                        return None;
                    }
                    self.catch_up();
                }
                Ok(()) = self.runs.changed() => {
                    let run = self.runs.borrow_and_update().run.clone();
                    self.waiting.extend(run.map(|run| Message::Run(run.to_string())));
                }
                _ = self.ticks.tick() => {
                    let document = own::clusters(&self.api.view()).body;
                    self.waiting.push_back(Message::Clusters(document.trim_end().to_owned()));
                }
            }
        }
    }

    fn catch_up(&mut self) {
        let (is_missing, events) = missed(&self.api.board.events_after(0), self.last);
        if is_missing {
            let before = events.first().map_or(0, |event| event.number.saturating_sub(1));
            self.last = before;
            self.waiting.push_back(Message::Reset(before));
        }
        for event in events {
            self.last = event.number;
            let mut document = json!(*event);
            if let Value::Object(members) = &mut document {
                members.insert("format_version".to_owned(), FORMAT_VERSION.into());
            }
            self.waiting
                .push_back(Message::Event(event.number, document.to_string()));
        }
    }
}
