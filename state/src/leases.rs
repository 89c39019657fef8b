//! Who holds the lock of a record, as a value: what every backend keeps in one place and changes in one piece.

use serde::{Deserialize, Serialize};

use crate::backend::{BackendError, Lease, LockOutcome, Token};
use crate::extent::Extent;
use crate::owner::Owner;

/// All holdings of the lock, of which no two are about the same cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leases {
    /// The greatest token that was ever handed out.
    pub last: Token,
    /// The holdings, the oldest first.
    pub held: Vec<Lease>,
}

impl Leases {
    /// Returns whether the token holds the lock.
    pub fn has(&self, token: Token) -> bool {
        self.held.iter().any(|lease| lease.token == token)
    }

    /// Returns the holding of a token; [`BackendError::Lost`] where it has none any more.
    pub fn of(&mut self, token: Token) -> Result<&mut Lease, BackendError> {
        let mut held = self.held.iter_mut();
        held.find(|lease| lease.token == token).ok_or(BackendError::Lost)
    }

    /// Returns the holding, if any, that keeps one more from being about an extent. Those that are to be taken over keep it from nothing
    /// while they are exactly as they were seen.
    pub fn obstacle(&self, extent: &Extent, take_over: &[Lease]) -> Option<&Lease> {
        let is_seen = |lease: &Lease| take_over.iter().any(|seen| seen.is_exactly(lease));
        let mut held = self.held.iter();
        held.find(|lease| lease.owner.extent.overlaps(extent) && !is_seen(lease))
    }

    /// Gives the lock to an owner, in place of the holdings that it takes over.
    pub fn take(&mut self, owner: &Owner, take_over: &[Lease]) -> LockOutcome {
        if let Some(lease) = self.obstacle(&owner.extent, take_over) {
            return LockOutcome::Held(Box::new(lease.clone()));
        }
        self.held.retain(|lease| !lease.owner.extent.overlaps(&owner.extent));
        self.last.0 += 1;
        self.held.push(Lease {
            token: self.last,
            beat: 0,
            owner: owner.clone(),
        });
        LockOutcome::Granted(self.last)
    }

    /// Counts a heartbeat up.
    pub fn renew(&mut self, token: Token) -> Result<(), BackendError> {
        self.of(token)?.beat += 1;
        Ok(())
    }

    /// Lets a holding be about something else; its heartbeat moves, so that a contender who saw it before looks again.
    pub fn change(&mut self, token: Token, extent: &Extent) -> Result<LockOutcome, BackendError> {
        let own = self.of(token)?.clone();
        if let Some(lease) = self.obstacle(extent, std::slice::from_ref(&own)) {
            return Ok(LockOutcome::Held(Box::new(lease.clone())));
        }
        let own = self.of(token)?;
        own.owner.extent = extent.clone();
        own.beat += 1;
        Ok(LockOutcome::Granted(token))
    }

    /// Frees what the token holds.
    pub fn free(&mut self, token: Token) -> Result<(), BackendError> {
        self.of(token)?;
        self.held.retain(|lease| lease.token != token);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn owner(extent: &[&str]) -> Owner {
        let mut owner = Owner::this_process("apply", Duration::from_mins(1));
        if !extent.is_empty() {
            owner.extent = Extent::Clusters(extent.iter().map(|name| name.parse().unwrap()).collect());
        }
        owner
    }

    fn granted(outcome: &LockOutcome) -> Token {
        match outcome {
            LockOutcome::Granted(token) => *token,
            LockOutcome::Held(lease) => panic!("{lease:?}"),
        }
    }

    #[test]
    fn clusters_that_differ_are_held_side_by_side_and_everything_waits_for_all_of_them() {
        let mut leases = Leases::default();
        let one = granted(&leases.take(&owner(&["a", "b"]), &[]));
        let other = granted(&leases.take(&owner(&["c"]), &[]));
        assert!(other > one && leases.has(one) && leases.has(other));
        let refused =
            |leases: &mut Leases, extent: &[&str]| matches!(leases.take(&owner(extent), &[]), LockOutcome::Held(_));
        assert!(refused(&mut leases, &["b"]) && refused(&mut leases, &[]));
        leases.free(one).unwrap();
        assert!(refused(&mut leases, &[]), "c is held");
        leases.free(other).unwrap();
        granted(&leases.take(&owner(&[]), &[]));
        assert!(refused(&mut leases, &["d"]), "everything is held");
    }

    #[test]
    fn exactly_the_holdings_that_were_seen_are_taken_over_and_all_of_them_must_be() {
        let mut leases = Leases::default();
        let one = granted(&leases.take(&owner(&["a"]), &[]));
        granted(&leases.take(&owner(&["b"]), &[]));
        let seen = leases.held.clone();
        leases.renew(one).unwrap();
        assert!(matches!(leases.take(&owner(&[]), &seen), LockOutcome::Held(lease) if lease.token == one));
        assert!(matches!(
            leases.take(&owner(&[]), &leases.held.clone()[..1]),
            LockOutcome::Held(_)
        ));
        let all = leases.held.clone();
        let token = granted(&leases.take(&owner(&[]), &all));
        assert_eq!(leases.held.len(), 1);
        assert!(leases.has(token) && matches!(leases.renew(one), Err(BackendError::Lost)));
    }

    #[test]
    fn a_holding_that_becomes_smaller_lets_others_in_and_grows_only_where_none_is() {
        let mut leases = Leases::default();
        let wide = granted(&leases.take(&owner(&[]), &[]));
        let before = leases.held[0].clone();
        let a = owner(&["a"]).extent;
        assert_eq!(granted(&leases.change(wide, &a).unwrap()), wide);
        assert!(!leases.held[0].is_exactly(&before), "who saw it before looks again");
        let other = granted(&leases.take(&owner(&["b"]), &[]));
        assert!(
            matches!(leases.change(wide, &Extent::Everything).unwrap(), LockOutcome::Held(lease) if lease.token == other)
        );
        assert_eq!(leases.held[0].owner.extent, a, "it is what it was");
        leases.free(other).unwrap();
        granted(&leases.change(wide, &Extent::Everything).unwrap());
        assert!(matches!(leases.change(other, &a), Err(BackendError::Lost)));
    }
}
