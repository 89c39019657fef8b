//! What is known of all servers at one time, and what follows: which one is the primary, how far the others are behind,
//! and whether a write has survived. Values in, values out: no clock, no connection.

mod lag;
mod lineage;

use std::time::Duration;

use tokio::time::Instant;

use crate::intent::{Lag, QueryIntent, Token};
use crate::lsn::Lsn;
use crate::sight::{Role, Sight};

pub(crate) use lineage::Fate;

use lag::Track;
use lineage::Lineage;

/// What is known of all servers.
#[derive(Clone, Debug)]
pub(crate) struct View {
    members: Vec<Member>,
    primary: Option<usize>,
    /// Two servers of one timeline take writes: neither of them counts.
    conflict: Option<(usize, usize)>,
    /// The server that was the primary last: callers may have connections to it.
    trusted: Option<usize>,
    /// Servers that take writes and are not the primary.
    stale: Vec<usize>,
    lineage: Lineage,
    track: Track,
    /// Until when the addresses are asked often, because the primary is lost.
    search_until: Option<Instant>,
    search: Duration,
}

/// What is known of one server.
#[derive(Clone, Debug, Default)]
struct Member {
    state: State,
    /// What it said when it answered last, and when.
    known: Option<Sight>,
    at: Option<Instant>,
    /// How far it had replayed when it answered before that, and when.
    earlier: Option<(Instant, Lsn)>,
    /// How far it has replayed by now. Lag is not measured by this, as the primary was not asked at the same time.
    replayed: Lsn,
    /// How many probes have ended.
    rounds: u64,
}

/// What the last probe of a server found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// None has ended yet.
    #[default]
    Pending,
    /// It answered.
    Seen,
    /// It answered, and a caller could not connect since, for this reason.
    Suspect(String),
    /// It did not answer, for this reason.
    Down(String),
}

/// What a probe has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The server answers, and did not before.
    Established(usize),
    /// The server is the primary now.
    Elected(usize),
    /// The server was the primary, and no server is known that is.
    Lost(usize),
    /// The server takes writes, or did, and is not the primary: its connections are to be closed.
    Demoted(usize),
    /// Two servers of the same timeline take writes.
    Conflict(usize, usize),
    /// The server belongs to another cluster than the first address.
    Foreign(usize),
}

impl View {
    /// Returns a view of servers of which nothing is known; `search` is for how long a lost primary is searched for.
    pub(crate) fn new(members: usize, search: Duration) -> Self {
        Self {
            members: vec![Member::default(); members],
            primary: None,
            conflict: None,
            trusted: None,
            stale: Vec::new(),
            lineage: Lineage::default(),
            track: Track::default(),
            search_until: None,
            search,
        }
    }

    /// Takes in what a probe found, and returns what that changes.
    pub(crate) fn record(&mut self, index: usize, outcome: Result<Sight, String>, now: Instant) -> Vec<Event> {
        let system = self.system().map(str::to_owned);
        let member = &mut self.members[index];
        member.rounds += 1;
        let mut events = Vec::new();
        match outcome {
            Ok(sight) => {
                if matches!(member.state, State::Pending | State::Down(_)) {
                    events.push(Event::Established(index));
                }
                let before = member.known.replace(sight);
                member.earlier = member.at.zip(before.as_ref().map(|before| before.lsn));
                member.at = Some(now);
                member.replayed = member.known.as_ref().map(|sight| sight.lsn).unwrap_or_default();
                member.state = State::Seen;
                if system.is_some() && self.system() != system.as_deref() {
                    // What was taken for the cluster until an earlier address answered was another one.
                    self.lineage = Lineage::default();
                }
                events.extend(self.take_in(index, before.as_ref(), now));
            }
            Err(reason) => member.state = State::Down(reason),
        }
        events.extend(self.elect(now));
        events
    }

    /// Takes in that a server could not be reached by a caller.
    pub(crate) fn suspect(&mut self, index: usize, reason: String, now: Instant) -> Vec<Event> {
        let member = &mut self.members[index];
        if member.state == State::Seen {
            member.state = State::Suspect(reason);
        }
        self.elect(now)
    }

    fn take_in(&mut self, index: usize, before: Option<&Sight>, now: Instant) -> Option<Event> {
        let system = self.system()?.to_owned();
        let sight = self.members[index].known.clone()?;
        if sight.system != system {
            let known = before.is_some_and(|before| before.system == sight.system);
            return (!known).then_some(Event::Foreign(index));
        }
        self.lineage.take_in(&sight, before);
        if self.primary == Some(index) && sight.role == Role::Primary {
            self.track.add(now, sight.lsn);
        }
        None
    }

    /// The first address that has ever answered says which cluster is meant.
    fn system(&self) -> Option<&str> {
        let known = self.members.iter().find_map(|member| member.known.as_ref());
        known.map(|sight| sight.system.as_str())
    }

    fn ours(&self, index: usize) -> Option<&Sight> {
        let known = self.members[index].known.as_ref()?;
        (Some(known.system.as_str()) == self.system()).then_some(known)
    }

    fn seen(&self, index: usize) -> Option<&Sight> {
        self.ours(index).filter(|_| self.members[index].state == State::Seen)
    }

    /// Finds the primary: it takes writes, on the newest timeline that was ever seen.
    fn elect(&mut self, now: Instant) -> Vec<Event> {
        let before = (self.primary, self.conflict);
        let writers: Vec<usize> = (0..self.members.len())
            .filter(|index| self.seen(*index).is_some_and(|sight| sight.role == Role::Primary))
            .collect();
        let mut newest = writers.iter().copied().filter(|index| {
            let sight = self.seen(*index);
            sight.is_some_and(|sight| sight.timeline >= self.lineage.newest())
        });
        let first = newest.next();
        // Two addresses may lead to one server.
        let second = newest.find(|index| first.is_some_and(|first| !self.is_same(first, *index)));
        (self.primary, self.conflict) = match (first, second) {
            (Some(first), Some(second)) => (None, Some((first, second))),
            (first, _) => (first, None),
        };
        self.changes(before, &writers, now)
    }

    fn changes(
        &mut self,
        (primary, conflict): (Option<usize>, Option<(usize, usize)>),
        writers: &[usize],
        now: Instant,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some((one, two)) = self.conflict.filter(|_| self.conflict != conflict) {
            events.push(Event::Conflict(one, two));
        }
        if let Some(elected) = self.primary.filter(|_| self.primary != primary) {
            let lsn = self.seen(elected).map(|sight| sight.lsn).unwrap_or_default();
            self.track = Track::default();
            self.track.add(now, lsn);
            events.push(Event::Elected(elected));
        }
        if let Some(lost) = primary.filter(|_| self.primary.is_none()) {
            events.push(Event::Lost(lost));
            self.search_until = Some(now + self.search);
        }
        if self.primary.is_some() {
            self.search_until = None;
        }
        events.extend(self.demote(writers).into_iter().map(Event::Demoted));
        events
    }

    /// Returns the servers that have come to be no primary: their connections end.
    fn demote(&mut self, writers: &[usize]) -> Vec<usize> {
        let stale: Vec<usize> = writers.iter().copied().filter(|index| self.is_stale(*index)).collect();
        let known = std::mem::replace(&mut self.stale, stale);
        let mut demoted: Vec<usize> = self
            .stale
            .iter()
            .copied()
            .filter(|index| !known.contains(index))
            .collect();
        let Some(trusted) = self.trusted else {
            self.trusted = self.primary;
            return demoted;
        };
        // It may hang, and its clients with it; or it answers, and is no longer what they were promised.
        let replaced = self.primary.is_some_and(|primary| !self.is_same(trusted, primary));
        let answers = self.seen(trusted).is_some_and(|sight| sight.role != Role::Primary);
        let ended = replaced || answers || self.stale.contains(&trusted);
        if ended && !demoted.contains(&trusted) && !known.contains(&trusted) {
            demoted.push(trusted);
        }
        if ended || self.primary.is_some() {
            self.trusted = self.primary;
        }
        demoted
    }

    /// Returns whether a server that takes writes is another one than the primary.
    fn is_stale(&self, index: usize) -> bool {
        self.primary != Some(index) && !self.primary.is_some_and(|primary| self.is_same(index, primary))
    }

    /// Returns whether two addresses lead to one server.
    fn is_same(&self, one: usize, other: usize) -> bool {
        let started = |index: usize| self.ours(index).map(|sight| &sight.started);
        started(one) == started(other)
    }

    /// Returns whether every server but the primary answers as it should.
    pub(crate) fn others_answer(&self) -> bool {
        let answers = |index: &usize| {
            let standby = self.seen(*index).is_some_and(|sight| sight.role == Role::Standby);
            standby
                || self
                    .primary
                    .is_some_and(|primary| self.seen(*index).is_some() && self.is_same(*index, primary))
        };
        let answering = (0..self.members.len())
            .filter(|index| self.primary != Some(*index))
            .filter(answers);
        answering.count() + 1 >= self.members.len()
    }

    /// Returns the primary, where one is known.
    pub(crate) fn primary(&self) -> Option<usize> {
        self.primary
    }

    /// Returns the timeline on which writes are taken.
    pub(crate) fn timeline(&self) -> u32 {
        self.lineage.newest()
    }

    /// Returns whether a lost primary is being searched for.
    pub(crate) fn is_searching(&self, now: Instant) -> bool {
        self.search_until.is_some_and(|until| now < until)
    }

    /// Returns until when a lost primary is searched for.
    pub(crate) fn search_until(&self) -> Option<Instant> {
        self.search_until
    }

    /// Begins a search, where no primary is known yet.
    pub(crate) fn begin_search(&mut self, now: Instant) {
        if self.primary.is_none() {
            self.search_until = Some(now + self.search);
        }
    }

    /// Returns how many probes of each server have ended.
    pub(crate) fn rounds(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.rounds).collect()
    }

    /// Returns the standbys that answer and belong to the cluster.
    pub(crate) fn standbys(&self) -> Vec<usize> {
        let standby = |index: &usize| self.seen(*index).is_some_and(|sight| sight.role == Role::Standby);
        (0..self.members.len()).filter(standby).collect()
    }

    /// Returns what each server is, and why no more is known of those that do not answer.
    pub(crate) fn describe(&self, index: usize) -> String {
        let member = &self.members[index];
        match (&member.state, &member.known) {
            (State::Pending, _) | (State::Seen, None) => "not probed yet".to_owned(),
            (State::Down(reason) | State::Suspect(reason), _) => reason.clone(),
            (State::Seen, Some(_)) if self.ours(index).is_none() => "belongs to another cluster".to_owned(),
            (State::Seen, Some(sight)) => match sight.role {
                Role::Standby => "standby".to_owned(),
                Role::ReadOnly => "read-only".to_owned(),
                Role::Primary if self.conflict.is_some() => {
                    format!("takes writes on timeline {}, as another server does", sight.timeline)
                }
                Role::Primary if self.primary == Some(index) => "primary".to_owned(),
                Role::Primary => format!(
                    "takes writes on timeline {}, which {} has replaced",
                    sight.timeline,
                    self.lineage.newest()
                ),
            },
        }
    }

    /// Returns the standbys that may serve a read, `usual` being the limits of one that names none.
    ///
    /// While no primary answers, lag cannot be known: such reads go on wherever a standby answers, and those that name
    /// their limits have none.
    pub(crate) fn readable(&self, intent: QueryIntent, usual: Lag) -> Vec<usize> {
        let serves = |index: &usize| match intent {
            QueryIntent::Write => false,
            QueryIntent::Read => self.primary.is_none() || self.is_within(*index, usual),
            QueryIntent::ReadWithin(limits) => self.primary.is_some() && self.is_within(*index, limits),
            QueryIntent::ReadAfter(token) => self.has_replayed(*index, token),
        };
        self.standbys().into_iter().filter(serves).collect()
    }

    /// Returns whether a standby was within limits when it was probed. What is not known is not within them.
    fn is_within(&self, index: usize, limits: Lag) -> bool {
        let member = &self.members[index];
        let now = self.seen(index).and_then(|sight| Some((member.at?, sight.lsn)));
        let Some(now) = now else { return false };
        // In a round in which the standby has answered first, the primary's answer to compare with is yet to come.
        let comparable = |(at, _): &(Instant, Lsn)| self.track.reaches(*at);
        let (at, lsn) = [Some(now), member.earlier]
            .into_iter()
            .flatten()
            .find(comparable)
            .unwrap_or(now);
        let Some(lag) = self.track.lag(lsn, at) else {
            return false;
        };
        let bytes = limits.bytes.is_none_or(|limit| lag.bytes <= limit);
        let time = limits
            .time
            .is_none_or(|limit| lag.time.is_some_and(|time| time <= limit));
        bytes && time
    }

    /// Returns whether a standby has replayed a write.
    fn has_replayed(&self, index: usize, token: Token) -> bool {
        self.follows(index, token) && self.members[index].replayed >= token.lsn
    }

    /// Returns whether a standby is known to be on the timeline of a write that is kept, or on a later one.
    pub(crate) fn follows(&self, index: usize, token: Token) -> bool {
        let standby = self.seen(index).filter(|sight| sight.role == Role::Standby);
        self.fate(token) == Fate::Kept && standby.is_some_and(|sight| sight.timeline >= token.timeline)
    }

    /// Takes in how far a standby has replayed by now.
    pub(crate) fn advance(&mut self, index: usize, replayed: Lsn) {
        let member = &mut self.members[index];
        member.replayed = member.replayed.max(replayed);
    }

    /// Returns what has become of a write.
    pub(crate) fn fate(&self, token: Token) -> Fate {
        self.lineage.fate(token)
    }
}

#[cfg(test)]
mod tests;
