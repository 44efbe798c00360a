//! How a listener that looks all the time shares a core with others that do.

use std::thread;
use std::time::{Duration, Instant};

use super::Events;

/// How long it looks before it lets others run. As long as the last of many does not wait for long, and sleeping takes
/// little of the time: so one of them is looking all the time, however many there are.
const LOOKS_FOR: Duration = Duration::from_micros(20);
const SLEEPS_FOR: Duration = Duration::from_micros(1);

pub(super) struct Looking {
    gives_way: bool,
    since: Option<Instant>,
}

impl Looking {
    pub(super) fn new(events: Events) -> Looking {
        let gives_way = events.gives_way();
        if gives_way {
            // The kernel adds 50 microseconds to a sleep otherwise. Where that cannot be had, blocks take longer.
            let _ = nix::sys::prctl::set_timerslack(1);
        }
        Looking {
            gives_way,
            since: None,
        }
    }

    /// It has looked and found nothing.
    #[inline]
    pub(super) fn in_vain(&mut self) {
        if !self.gives_way {
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        // Yielding would not do: the scheduler may well choose the same one again.
        if since.elapsed() >= LOOKS_FOR {
            thread::sleep(SLEEPS_FOR);
            self.since = None;
        }
    }
}
