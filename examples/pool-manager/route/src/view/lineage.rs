//! Timelines: which one is the newest, where each began, and whether a write has survived the switches since.

use std::collections::BTreeMap;

use crate::intent::Token;
use crate::lsn::Lsn;
use crate::sight::{Role, Sight};

/// The timelines that were seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage {
    newest: u32,
    /// Where timelines began that were seen to begin.
    began: BTreeMap<u32, Lsn>,
}

/// What has become of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is part of what the primary has.
    Kept,
    /// It was made on a timeline that no probe has seen yet.
    Ahead,
    /// Nothing proves that it has survived. Where the switch was seen, it was before the position of the token.
    Unproven { switch: Option<Lsn> },
}

impl Lineage {
    /// Takes in what a server said, and what it had said before.
    pub(crate) fn take_in(&mut self, sight: &Sight, before: Option<&Sight>) {
        self.newest = self.newest.max(sight.timeline);
        // A server that was promoted without a restart still knows where its recovery ended.
        let promoted = sight.role != Role::Standby
            && before.is_some_and(|before| before.role == Role::Standby && before.started == sight.started);
        if let Some(switch) = sight.recovered.filter(|_| promoted) {
            self.began.entry(sight.timeline).or_insert(switch);
        }
    }

    /// Returns the newest timeline; 0 before the first answer.
    pub(crate) fn newest(&self) -> u32 {
        self.newest
    }

    /// Returns what has become of a write.
    ///
    /// Which timeline branched off which is not known: the write is kept where it lies before every switch since. The
    /// position of a token may include writes of others, so one beyond the switch is not proven lost either.
    pub(crate) fn fate(&self, token: Token) -> Fate {
        if token.timeline > self.newest {
            return Fate::Ahead;
        }
        let switches = (token.timeline + 1..=self.newest).map(|timeline| self.began.get(&timeline).copied());
        let mut first: Option<Lsn> = None;
        for switch in switches {
            let Some(switch) = switch else {
                return Fate::Unproven { switch: None };
            };
            first = Some(first.map_or(switch, |first| first.min(switch)));
        }
        match first {
            Some(switch) if token.lsn > switch => Fate::Unproven { switch: Some(switch) },
            _ => Fate::Kept,
        }
    }
}
