//! The end of a broker: it accepts no plugin any more, tells all plugins, and ends all children.

use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::Failure;
use mio::Events;

use super::Reactor;
use crate::child::Tracked;
use crate::id::PluginId;

/// How long a child may take to end after SIGKILL. Only one that hangs in the kernel needs it.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// How often a process group is looked at whose first process has ended.
const GROUP_LOOK: Duration = Duration::from_millis(10);

impl Reactor {
    /// Ends all sessions and children, in bounded time.
    pub(super) fn wind_down(&mut self, events: &mut Events) {
        let now = Instant::now();
        self.stopping = true;
        // Whoever waits for a program to be started sees that the channel for the answer is closed.
        self.execs.clear();
        let lock = self.listener.take().map(|listener| listener.close());
        let mut ids: Vec<PluginId> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        let failure = Failure::new(Code::BrokerGone, "the broker stops");
        for id in ids {
            // Each plugin is told that the broker stops. What the bus would tell the others of its end is dropped, because they are told
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
        // The next broker starts as soon as it gets the lock of the socket, and needs that of the files then.
        self.files.close();
        drop(lock);
    }

    /// Waits until all children, and all processes of their groups, have ended.
    fn await_children(&mut self, events: &mut Events, deadline: Instant) {
        loop {
            self.children.retain(|_, tracked| !tracked.is_over());
            let left = deadline.saturating_duration_since(Instant::now());
            if self.children.is_empty() || left.is_zero() {
                return;
            }
            // The end of a child wakes this up, but not the end of the last process of its group.
            let patience = match self.children.values().any(Tracked::reap) {
                true => left.min(GROUP_LOOK),
                false => left,
            };
            let _ = self.poll.poll(events, Some(patience));
        }
    }
}
