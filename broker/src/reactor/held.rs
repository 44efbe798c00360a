//! Memory that was let go, that some process may still hold, and that could not be [watched](super::watches). The broker asks the kernel
//! for a lease on it from time to time: the kernel grants one when nobody else holds the memory.
//!
//! An honest peer unmaps what was returned within a moment. The longer some memory is held, the more rarely it is looked at, and only a
//! limited number at once. When nobody else holds it, the broker's descriptor is the last one, so closing it frees the memory, which takes
//! milliseconds for 64 MiB. Both happen on the helper thread, and one close at a time, so that its other tasks come in between.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::sys::lease;

use super::memory::Closing;
use super::{Outcome, Reactor, Timer};
use crate::deadlines::Deadlines;

/// The time until the first look at some memory, and the longest time between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const RAREST_LOOK: Duration = Duration::from_secs(1);
/// How much is looked at in one go.
const BATCH: usize = 64;

/// Memory that some process may hold.
#[derive(Debug)]
struct Held {
    /// The broker's last descriptor of it.
    own: Arc<OwnedFd>,
    /// The time from the next look to the one after it.
    pause: Duration,
}

/// All such memory, by serial number.
#[derive(Debug)]
pub(super) struct HeldMemory {
    held: HashMap<u64, Held>,
    due: Deadlines<u64>,
    /// Whether the helper thread is looking at some.
    is_looking: bool,
    /// Memory that nobody else holds, to be closed.
    free: VecDeque<(u64, Arc<OwnedFd>)>,
    /// Whether the helper thread is closing some of it.
    is_closing: bool,
    /// Other memory that the helper thread is to close.
    pub(super) closing: Closing,
}

impl HeldMemory {
    pub(super) fn new() -> HeldMemory {
        HeldMemory {
            held: HashMap::new(),
            due: Deadlines::new(),
            is_looking: false,
            free: VecDeque::new(),
            is_closing: false,
            closing: Closing::default(),
        }
    }

    /// Takes out the memory that is due, up to a number.
    fn take_due(&mut self, now: Instant) -> Vec<(u64, Held)> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(serial) = self.due.pop(now)
        {
            batch.extend(self.held.remove(&serial).map(|held| (serial, held)));
        }
        batch
    }

    fn put_back(&mut self, serial: u64, held: Held, now: Instant) {
        let pause = (held.pause * 2).min(RAREST_LOOK);
        self.due.set(serial, Some(now + held.pause));
        self.held.insert(serial, Held { pause, ..held });
    }

    /// When the next look is due; `None` while one is under way.
    fn next_look(&self) -> Option<Instant> {
        self.due.next().filter(|_| !self.is_looking)
    }
}

/// Whether no other process holds the memory, or the kernel cannot tell.
fn is_free(own: &OwnedFd) -> bool {
    match lease::is_held_elsewhere(own.as_fd()) {
        Ok(is_held) => !is_held,
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => false,
        Err(error) => {
            tracing::warn!("this kernel does not say who holds the memory of an extent: {error}");
            true
        }
    }
}

impl Reactor {
    /// Looks at memory from time to time until nobody else holds it; then tells the bus.
    pub(super) fn keep_held(&mut self, serial: u64, own: Arc<OwnedFd>, now: Instant) {
        let pause = FIRST_LOOK;
        self.held.put_back(serial, Held { own, pause }, now);
        self.timers.set(Timer::Held, self.held.next_look());
    }

    /// Has the helper thread look at the memory that is due.
    pub(super) fn look_at_held(&mut self, now: Instant) {
        if self.held.is_looking {
            return;
        }
        let batch = self.held.take_due(now);
        if !batch.is_empty() {
            self.held.is_looking = true;
            self.help_with_memory(move || {
                let (free, held) = batch.into_iter().partition(|(_, held)| is_free(&held.own));
                Outcome::new(move |reactor, now| reactor.looked_at_held(free, held, now))
            });
        }
        self.timers.set(Timer::Held, self.held.next_look());
    }

    fn looked_at_held(&mut self, free: Vec<(u64, Held)>, held: Vec<(u64, Held)>, now: Instant) {
        self.held.is_looking = false;
        for (serial, held) in held {
            self.held.put_back(serial, held, now);
        }
        self.timers.set(Timer::Held, self.held.next_look());
        let free = free.into_iter().map(|(serial, held)| (serial, held.own));
        self.held.free.extend(free);
        self.close_next();
    }

    /// Has the helper thread close the next memory that nobody else holds; then tells the bus.
    fn close_next(&mut self) {
        if self.held.is_closing {
            return;
        }
        let Some((serial, own)) = self.held.free.pop_front() else {
            return;
        };
        self.held.is_closing = true;
        self.help_with_memory(move || {
            drop(own);
            Outcome::new(move |reactor, now| {
                reactor.held.is_closing = false;
                reactor.close_next();
                reactor.bus.extents_freed(&[serial], now);
            })
        });
    }

    /// Starts the thread that works on memory, if it does not run yet.
    pub(super) fn start_memory_helper(&mut self) -> io::Result<()> {
        if self.memory_helper.is_none() {
            self.memory_helper = Some(self.way_back.helper("callgate-memory")?);
        }
        Ok(())
    }

    /// Has the helper thread do a job. It was started when the first such memory was made.
    pub(super) fn help_with_memory(&self, job: impl FnOnce() -> Outcome + Send + 'static) {
        if let Some(helper) = &self.memory_helper {
            helper.run(job);
        }
    }
}
