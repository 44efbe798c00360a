//! The counts and checks of a listener.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::Events;
use crate::Result;
use crate::payload::{self, Small};

/// The number of the event that ends a part of a block; no other event's number.
pub(crate) const LAST: u64 = 1 << 62;
/// How long the slow listener sleeps at each event, and for how long in all it does so.
const SLOW: Duration = Duration::from_millis(10);
pub(crate) const SLOW_FOR: Duration = Duration::from_millis(60);

/// The time, of a clock that all processes share.
pub(crate) fn now() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// Counts events. One thread does so at a time, but in a handler, which cannot borrow mutably: that is why these are
/// atomic; none is changed by a read-modify-write, which would cost more than some of the systems do.
#[derive(Debug)]
pub(crate) struct Tally {
    /// The number that the next event is to have.
    next: AtomicU64,
    taken: AtomicU64,
    lost: AtomicU64,
    /// How many the system says that were lost.
    told: AtomicU64,
    /// The sum over all words of all events.
    sum: AtomicU64,
    /// Events that were not as they were sent, or came late.
    wrong: AtomicU64,
    ended: AtomicU64,
    /// When the slow listener stops being slow; none is slow where this is 0.
    slow_until: AtomicU64,
    slow: bool,
    /// When each event came, where that is asked for.
    times: Option<Mutex<Vec<u64>>>,
}

fn add(word: &AtomicU64, by: u64) {
    let sum = word.load(Ordering::Relaxed).wrapping_add(by);
    word.store(sum, Ordering::Relaxed);
}

impl Tally {
    pub(crate) fn new(events: Events) -> Tally {
        Tally {
            next: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            told: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            slow_until: AtomicU64::new(0),
            slow: events == Events::Slow,
            times: events.is_asleep().then(|| Mutex::new(Vec::new())),
        }
    }

    /// Counts an event. Whether it ends this part of the block.
    #[inline]
    pub(crate) fn take(&self, words: &Small) -> bool {
        let (number, sum) = (words[0], payload::answer(*words)[0]);
        if number == LAST {
            self.ended
                .store(now().unwrap_or_default(), Ordering::Relaxed);
            return true;
        }
        let next = self.next.load(Ordering::Relaxed);
        if number < next || sum != sum_of(number) {
            add(&self.wrong, 1);
        }
        if number > next {
            add(&self.lost, number - next);
        }
        self.next.store(number.wrapping_add(1), Ordering::Relaxed);
        add(&self.taken, 1);
        add(&self.sum, sum);
        if self.slow || self.times.is_some() {
            self.linger();
        }
        false
    }

    #[cold]
    fn linger(&self) {
        let time = now().unwrap_or_default();
        if let Some(times) = &self.times {
            times
                .lock()
                .unwrap_or_else(|times| times.into_inner())
                .push(time);
        }
        if self.slow && time < self.slow_until.load(Ordering::Relaxed) {
            thread::sleep(SLOW);
        }
    }

    /// The system says that so many were lost.
    pub(crate) fn told(&self, lost: u64) {
        add(&self.told, lost);
    }

    /// Is slow from now on for a while, where the scenario says so.
    pub(crate) fn begin(&self) -> Result<()> {
        let until = now()? + u64::try_from(SLOW_FOR.as_nanos())?;
        self.slow_until.store(until, Ordering::Relaxed);
        Ok(())
    }

    /// What was counted since the listener started, as a line for the sender's process, and when events came since the last
    /// such line.
    pub(crate) fn line(&self) -> String {
        let words = [
            &self.taken,
            &self.lost,
            &self.told,
            &self.sum,
            &self.wrong,
            &self.ended,
        ];
        let mut line: Vec<u64> = words.map(|word| word.load(Ordering::Relaxed)).to_vec();
        if let Some(times) = &self.times {
            line.append(&mut times.lock().unwrap_or_else(|times| times.into_inner()));
        }
        let line: Vec<String> = line.iter().map(u64::to_string).collect();
        line.join(" ")
    }
}

/// The sum of an event's words.
#[inline]
fn sum_of(number: u64) -> u64 {
    number.wrapping_mul(8).wrapping_add(28)
}

/// The counts that a listener's process reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    taken: u64,
    lost: u64,
    told: u64,
    sum: u64,
    wrong: u64,
    /// When the last event came.
    pub(crate) ended: u64,
    /// When each came, where that is asked for.
    pub(crate) times: Vec<u64>,
}

impl Counted {
    pub(crate) fn read(line: &str) -> Result<Counted> {
        let mut words = line.split_whitespace().map(str::parse::<u64>);
        let mut next = || -> Result<u64> { Ok(words.next().ok_or("a listener says nothing")??) };
        Ok(Counted {
            taken: next()?,
            lost: next()?,
            told: next()?,
            sum: next()?,
            wrong: next()?,
            ended: next()?,
            times: words.collect::<std::result::Result<_, _>>()?,
        })
    }

    /// Fails unless each of so many events was counted once, as it was sent. Where events may be lost, and the system says how many,
    /// none may be missing; the numbers show only those before the last that came.
    pub(crate) fn check(&self, sent: u64, may_lose: bool) -> Result<()> {
        let sum = (0..sent).fold(0u64, |sum, number| sum.wrapping_add(sum_of(number)));
        let is_right = match may_lose {
            true if self.told > 0 => self.taken + self.told == sent,
            true => self.taken + self.lost <= sent,
            false => self.told == 0 && self.taken == sent && self.lost == 0 && self.sum == sum,
        };
        if is_right && self.wrong == 0 {
            return Ok(());
        }
        Err(format!("{sent} events were sent, and of these {self:?}").into())
    }
}
