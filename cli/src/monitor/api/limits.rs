//! How often one address may ask: so many at once, and then one each so often. What is over that is refused, with the time to wait.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::secured::Need;

/// Reads: fifty a second.
const READS: Rate = Rate {
    interval: Duration::from_millis(20),
    burst: 100,
};

/// Writes, those that are refused included: thirty-two a minute.
const WRITES: Rate = Rate {
    interval: Duration::from_millis(1_875),
    burst: 32,
};

/// How many addresses are kept account of. Those that have waited long enough are forgotten first.
const ADDRESSES: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Rate {
    interval: Duration,
    burst: u32,
}

/// When each address may ask without a wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits(Arc<Mutex<BTreeMap<(IpAddr, bool), Instant>>>);

impl Limits {
    /// Counts a request; returns how long to wait where there were too many.
    pub(super) fn count(&self, address: IpAddr, need: Need, now: Instant) -> Result<(), Duration> {
        let rate = match need {
            // Load balancers ask as often as they are told to.
            Need::Nothing => return Ok(()),
            Need::Reading => READS,
            Need::Writing => WRITES,
        };
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES {
            addresses.retain(|_, free| *free > now);
        }
        if addresses.len() >= ADDRESSES {
            addresses.clear();
        }
        let free = addresses.entry((address, need == Need::Writing)).or_insert(now);
        let ahead = free.saturating_duration_since(now);
        let most = rate.interval * (rate.burst - 1);
        if let Some(wait) = ahead.checked_sub(most).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        *free = now + ahead + rate.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn passes(limits: &Limits, last: u8, need: Need, now: Instant) -> bool {
        limits.count(Ipv4Addr::new(192, 0, 2, last).into(), need, now).is_ok()
    }

    #[test]
    fn an_address_that_asks_too_often_waits_and_others_do_not() {
        let (limits, now) = (Limits::default(), Instant::now());
        let writes = (0..100).filter(|_| passes(&limits, 1, Need::Writing, now)).count();
        assert_eq!(writes, 32);
        let wait = limits.count(Ipv4Addr::new(192, 0, 2, 1).into(), Need::Writing, now);
        assert_eq!(wait, Err(WRITES.interval));
        assert!(
            passes(&limits, 1, Need::Reading, now),
            "reads are counted by themselves"
        );
        assert!(passes(&limits, 2, Need::Writing, now));
        assert!(passes(&limits, 1, Need::Writing, now + WRITES.interval));
        assert!(!passes(&limits, 1, Need::Writing, now + WRITES.interval));
        let reads = (0..1_000).filter(|_| passes(&limits, 3, Need::Reading, now)).count();
        assert_eq!(reads, 100);
        assert!((0..1_000).all(|_| passes(&limits, 4, Need::Nothing, now)));
    }

    #[test]
    fn many_addresses_take_a_bounded_place() {
        let (limits, now) = (Limits::default(), Instant::now());
        for address in 0..20_000_u32 {
            limits
                .count(Ipv4Addr::from(address).into(), Need::Reading, now)
                .unwrap();
        }
        assert!(limits.0.lock().unwrap().len() <= ADDRESSES);
    }
}
