//! How much of everything one plugin may have: counts with guards, a rate of requests, and descriptors that are on their way to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How many things of one kind a plugin or the bus may have at once.
#[derive(Debug)]
pub(crate) struct Quota {
    used: Arc<AtomicU32>,
    limit: u32,
}

/// Places of a quota that are taken; dropping this frees them.
#[derive(Debug)]
pub(crate) struct Charge {
    used: Arc<AtomicU32>,
    count: u32,
}

impl Quota {
    pub(crate) fn new(limit: u32) -> Quota {
        Quota {
            used: Arc::default(),
            limit,
        }
    }

    /// Takes one place; `None` if all are taken.
    pub(crate) fn charge(&self) -> Option<Charge> {
        self.charge_many(1)
    }

    /// Takes so many places, or `None` if there are not as many.
    pub(crate) fn charge_many(&self, count: u32) -> Option<Charge> {
        // Only the broker's thread counts, so a load and an add need not be one step.
        let used = self.used.load(Ordering::Relaxed).checked_add(count)?;
        if used > self.limit {
            return None;
        }
        self.used.store(used, Ordering::Relaxed);
        Some(Charge {
            used: self.used.clone(),
            count,
        })
    }

    /// Takes so many places, even beyond the limit.
    pub(crate) fn charge_beyond(&self, count: u32) -> Charge {
        let used = self.used.load(Ordering::Relaxed);
        // Capped, so that exactly what was taken is given back.
        let count = count.min(u32::MAX - used);
        self.used.store(used + count, Ordering::Relaxed);
        Charge {
            used: self.used.clone(),
            count,
        }
    }

    /// Whether more places are taken than the limit.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.used() > self.limit
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// How many places are not taken.
    pub(crate) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used()).into()
    }

    /// How many places are taken.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.used.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// Counts requests that take places of a quota which their plugin had not taken before in its session. These are not charged to its rate,
/// so that it can come back to a new broker with everything that it has open, however few requests it may make. There are no more of them
/// than places.
#[derive(Debug, Default)]
pub(crate) struct FirstTimes {
    /// The largest number of places that were taken at once.
    most: u32,
    requests: u32,
}

impl FirstTimes {
    /// Whether a request is one of these, given how many places are taken after it.
    pub(crate) fn is_one(&mut self, used: u32) -> bool {
        self.most = self.most.max(used);
        let is_one = self.requests < self.most;
        self.requests += u32::from(is_one);
        is_one
    }
}

/// A rate with a burst: tokens come back as time passes, and each request takes one.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: u32,
    burst: u32,
    /// The tokens that there are, in billionths.
    level: u64,
    filled: Instant,
}

const WHOLE: u64 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket that gets `rate` tokens a second and holds `burst`.
    pub(crate) fn new(rate: u32, burst: u32, now: Instant) -> TokenBucket {
        TokenBucket {
            rate,
            burst,
            level: u64::from(burst) * WHOLE,
            filled: now,
        }
    }

    /// How many tokens it gets a second.
    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes a token. Returns `false` if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        match self.level.checked_sub(WHOLE) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }

    /// When there is a token again; `None` if never.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Instant> {
        self.fill(now);
        let missing = WHOLE.saturating_sub(self.level);
        let wait = missing.div_ceil(u64::from(self.rate).max(1));
        (self.rate > 0).then(|| now + Duration::from_nanos(wait))
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        let gained = passed.as_nanos().saturating_mul(u128::from(self.rate));
        let gained = u64::try_from(gained).unwrap_or(u64::MAX);
        let full = u64::from(self.burst) * WHOLE;
        self.level = self.level.saturating_add(gained).min(full);
        self.filled = self.filled.max(now);
    }
}

/// Descriptors that were sent to a plugin and that it has not acknowledged.
#[derive(Debug)]
pub(crate) struct InFlight {
    datagrams: VecDeque<(usize, Option<Charge>)>,
    total: usize,
    most: usize,
}

impl InFlight {
    pub(crate) fn new(most: usize) -> InFlight {
        InFlight {
            datagrams: VecDeque::new(),
            total: 0,
            most,
        }
    }

    /// Whether a datagram with so many descriptors may be sent now.
    pub(crate) fn has_room(&self, descriptors: usize) -> bool {
        descriptors == 0 || self.total + descriptors <= self.most
    }

    /// Counts a datagram that was sent. Its charge ends when the plugin has acknowledged it.
    pub(crate) fn sent(&mut self, descriptors: usize, charge: Option<Charge>) {
        if descriptors > 0 {
            self.datagrams.push_back((descriptors, charge));
            self.total += descriptors;
        }
    }

    /// Counts an acknowledgement of the oldest datagram. Returns `false` if there is none.
    pub(crate) fn took(&mut self) -> bool {
        match self.datagrams.pop_front() {
            Some((descriptors, _charge)) => {
                self.total -= descriptors;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A charge that is not given back would shut its owner out for good.
    #[test]
    fn a_charge_is_given_back_on_drop() {
        let quota = Quota::new(2);
        let first = quota.charge().unwrap();
        let _second = quota.charge().unwrap();
        assert!(quota.charge().is_none());
        drop(first);
        assert!(quota.charge().is_some());
    }

    /// A thing takes all of its places or none.
    #[test]
    fn many_places_are_taken_at_once() {
        let quota = Quota::new(10);
        assert_eq!((quota.limit(), quota.used()), (10, 0));
        let seven = quota.charge_many(7).unwrap();
        assert_eq!(quota.used(), 7);
        assert!(quota.charge_many(4).is_none() && quota.charge_many(u32::MAX).is_none());
        assert_eq!(quota.used(), 7, "what was refused takes nothing");
        let three = quota.charge_many(3).unwrap();
        drop(seven);
        assert_eq!(quota.used(), 3);
        drop(three);
        assert_eq!(quota.used(), 0);
    }

    /// What must be charged is charged even beyond the limit; after that nothing more is, until enough was given back.
    #[test]
    fn what_must_be_charged_is_charged_beyond_the_limit() {
        let quota = Quota::new(4);
        let three = quota.charge_beyond(3);
        assert!(!quota.is_exceeded());
        let more = quota.charge_beyond(3);
        assert!(quota.is_exceeded() && quota.charge().is_none());
        let all = quota.charge_beyond(u32::MAX);
        assert_eq!(quota.used(), u32::MAX);
        drop((all, more));
        assert!(!quota.is_exceeded() && quota.charge().is_some());
        drop(three);
        assert_eq!(quota.used(), 0);
    }

    /// A flood must be noticed; a burst after a quiet time must be allowed.
    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 20, start);
        assert_eq!(bucket.rate(), 10);
        assert!((0..20).all(|_| bucket.take(start)));
        assert!(!bucket.take(start));
        let later = start + Duration::from_millis(150);
        assert!(bucket.take(later));
        assert!(!bucket.take(later));
        let much_later = start + Duration::from_secs(1_000_000);
        assert_eq!((0..30).filter(|_| bucket.take(much_later)).count(), 20);
        assert!(!bucket.take(start), "a clock that steps back gives nothing");
    }

    /// A plugin that waits for a token must wait neither too long nor again and again.
    #[test]
    fn a_bucket_says_when_there_is_a_token() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(3, 1, start);
        assert_eq!(bucket.next(start), Some(start));
        assert!(bucket.take(start));
        let next = bucket.next(start).unwrap();
        assert!(!bucket.take(next - Duration::from_nanos(1)));
        assert!(bucket.take(next));
        assert_eq!(TokenBucket::new(0, 0, start).next(start), None);
    }

    /// The largest rate must not overflow, so that everything is refused.
    #[test]
    fn any_rate_is_possible() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(u32::MAX, u32::MAX, start);
        assert!(bucket.take(start + Duration::from_secs(9)));
        let mut none = TokenBucket::new(0, 0, start);
        assert!(!none.take(start + Duration::from_secs(9)));
    }

    /// Without the limit, a plugin that does not read would keep descriptors in flight until the kernel refuses to send any for this user.
    #[test]
    fn descriptors_wait_for_acknowledgements() {
        let mut flight = InFlight::new(8);
        flight.sent(4, None);
        flight.sent(0, None);
        flight.sent(3, None);
        assert!(flight.has_room(1) && flight.has_room(0));
        assert!(!flight.has_room(2));
        flight.sent(1, None);
        assert!(!flight.has_room(1) && flight.has_room(0));
        assert!(flight.took());
        assert!(flight.has_room(4) && !flight.has_room(5));
        assert!(flight.took() && flight.took());
        assert!(!flight.took(), "nothing was left to acknowledge");
    }
}
