//! The end of a broker: nobody new, everybody told, every child ended.

use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::Failure;
use mio::Events;

use super::Reactor;
use super::tokens::{Kind, parts};
use crate::child::Tracked;
use crate::registry::PluginId;

/// How long a child may take to end after SIGKILL: only one that hangs in the kernel takes it.
const KILL_GRACE: Duration = Duration::from_secs(2);

impl Reactor {
    /// Ends everything, in bounded time.
    pub(super) fn wind_down(&mut self, events: &mut Events) {
        let now = Instant::now();
        let lock = self.listener.take().map(|listener| listener.close());
        let mut ids: Vec<PluginId> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        let failure = Failure::new(Code::BrokerGone, "the broker stops");
        for id in ids {
            // What the bus would tell the others of it would only confuse them: they are told
            // the same.
            self.end(id, &failure, now);
            while self.bus.next_effect().is_some() {}
        }
        for tracked in self.children.values() {
            tracked.terminate();
        }
        self.await_children(events, now + self.settings.stop_grace);
        for tracked in self.children.values() {
            tracing::warn!(
                pid = tracked.id(),
                "a plugin did not end in time and is killed"
            );
            tracked.kill();
        }
        self.await_children(events, Instant::now() + KILL_GRACE);
        drop(lock);
    }

    fn await_children(&mut self, events: &mut Events, deadline: Instant) {
        loop {
            // Also those whose end was reported before.
            let ids: Vec<u64> = self.children.keys().copied().collect();
            for id in ids {
                self.reap(id);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.children.values().all(Tracked::reap) || left.is_zero() {
                return;
            }
            if self.poll.poll(events, Some(left)).is_err() {
                continue;
            }
            for event in &*events {
                if let (Kind::Child, id) = parts(event.token()) {
                    self.reap(id);
                }
            }
        }
    }
}
