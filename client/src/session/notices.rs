//! Tells a plugin's program what happens to its connection with the broker.
//!
//! The control thread and the thread that comes back only queue events. Another thread passes them to the program's
//! function, in order, and lives only while there are events: the function may call anything of the plugin, take
//! long, panic, or drop the plugin.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use callgate_layout::sys::fork::ForkMark;
use parking_lot::Mutex;

use crate::base::error::{Error, Result};
use crate::base::thread::{contain, discard, join, spawn};

/// How many events wait at most for a function that does not return. A lying broker could send any number.
const MOST_WAITING: usize = 4096;

/// What a plugin's program is told about its broker, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BrokerEvent {
    /// The broker has ended, or the connection to it. The plugin waits for the next one.
    ///
    /// Meanwhile linked plugins can go on to call each other. Other calls, and waits for a gate, wait for the next
    /// broker until their own deadline; providing, opening, watching and listing wait for five seconds. If there is
    /// still no broker then, they fail with `BROKER_GONE`, and can be tried again. Connecting another plugin does
    /// not wait: if nobody listens, it fails at once.
    ///
    /// A plugin that does not [outlive its broker](crate::PluginBuilder::outlives_broker) is told `Ended` instead.
    Lost(Error),
    /// A broker has accepted the plugin again, and was told everything that the plugin provides and has open. Other
    /// plugins come back at other times, mostly within a quarter of a second. So for one second after this event, a
    /// call of a gate that nobody provides yet waits for its provider. Opening and watching do not wait: they may
    /// find that nobody provides the gate yet. [`Subscriber::wait_ready`](crate::Subscriber::wait_ready) waits for
    /// its timeout.
    Back {
        /// The broker's process; 0 if it is not known, as in another pid namespace.
        pid: u32,
        /// The broker's number in a row of brokers on the same socket: one more than that of a broker which was
        /// killed there, or which had the socket of a service manager. It is 1 after a broker that was stopped and
        /// had made its socket itself, and for a broker without a socket.
        generation: u64,
    },
    /// A broker does not accept the plugin yet, for example because another plugin has its name; or a process of
    /// another user listens in its place. The plugin tries again about every two seconds.
    Refused(Error),
    /// There will be no broker for this plugin any more: the broker has sent it away or refused it for good, or the
    /// plugin does not outlive its broker. This is the last event;
    /// [`Plugin::wait_closed`](crate::Plugin::wait_closed) returns the same error.
    Ended(Error),
    /// The broker has accepted the plugin, but does not let it provide this gate, for example because its policy
    /// forbids it. Everything else goes on. No later broker is asked for the gate again: the program has to drop
    /// its [`Provider`](crate::Provider) and provide the gate anew.
    GateRefused {
        /// The gate's name.
        gate: String,
        /// The broker's reason.
        error: Error,
    },
    /// Another plugin provided a gate of this one before this one came back. Calls of it do not reach this plugin
    /// any more; the broker gives the gate back to it as soon as it is free.
    GateLost {
        /// The gate's name.
        gate: String,
        /// The plugin that provides it.
        owner: String,
    },
    /// A gate that was lost belongs to this plugin again.
    GateBack {
        /// The gate's name.
        gate: String,
    },
}

/// The program's function for events.
pub(crate) type Callback = Arc<dyn Fn(BrokerEvent) + Send + Sync>;

/// The program's function, and the events that it was not told yet.
#[derive(Clone)]
pub(crate) struct Notices {
    state: Arc<Mutex<State>>,
}

struct State {
    callback: Option<Callback>,
    waiting: VecDeque<BrokerEvent>,
    /// Whether events were dropped since the queue was last empty.
    has_lost: bool,
    /// Whether a thread is calling the function; it also takes events that come meanwhile.
    is_telling: bool,
    /// The thread that was started last.
    thread: Option<JoinHandle<()>>,
    is_closed: bool,
    fork: ForkMark,
}

impl Drop for State {
    fn drop(&mut self) {
        if !self.fork.is_here() {
            // In a forked child the thread does not exist, and its handle may name somebody else's.
            std::mem::forget(self.thread.take());
        }
    }
}

impl Default for Notices {
    fn default() -> Notices {
        let state = State {
            callback: None,
            waiting: VecDeque::new(),
            has_lost: false,
            is_telling: false,
            thread: None,
            is_closed: false,
            fork: ForkMark::here(),
        };
        Notices {
            state: Arc::new(Mutex::new(state)),
        }
    }
}

impl Notices {
    /// Sets the function, in place of an earlier one. Events that happened before are not kept for it.
    pub(crate) fn set(&self, callback: Callback) {
        let mut state = self.state.lock();
        let unused = match state.is_closed {
            true => Some(callback),
            false => state.callback.replace(callback),
        };
        drop(state);
        discard(unused);
    }

    /// Queues an event for the function, if there is one.
    pub(crate) fn tell(&self, event: BrokerEvent) {
        let mut state = self.state.lock();
        if state.callback.is_none() {
            return;
        }
        let mut is_first_lost = false;
        if state.waiting.len() == MOST_WAITING {
            state.waiting.pop_front();
            is_first_lost = !state.has_lost;
            state.has_lost = true;
        }
        state.waiting.push_back(event);
        let started = self.ensure_thread(&mut state);
        drop(state);
        // A subscriber of the log may call anything, even this very plugin; so no lock is held.
        if is_first_lost {
            tracing::warn!(
                "the function that is told of the broker does not return: events are lost"
            );
        }
        if let Err(error) = started {
            tracing::warn!("what became of the broker is told later: {error}");
        }
    }

    fn ensure_thread(&self, state: &mut State) -> Result<()> {
        if !state.is_telling {
            let notices = self.clone();
            state.thread = Some(spawn("callgate-notice", move || notices.tell_all())?);
            state.is_telling = true;
        }
        Ok(())
    }

    /// Calls the function with each event that waits, until none is left.
    fn tell_all(&self) {
        while let Some((callback, event)) = self.next() {
            contain("the function that is told of the broker panicked", || {
                callback(event);
            });
            // This may be the last reference, if the function was replaced meanwhile.
            discard(callback);
        }
    }

    fn next(&self) -> Option<(Callback, BrokerEvent)> {
        let mut state = self.state.lock();
        let next = state.callback.clone().zip(state.waiting.pop_front());
        if next.is_none() {
            (state.is_telling, state.has_lost) = (false, false);
        }
        next
    }

    /// Drops the events that wait and the function. If `waits`, waits for a running function, unless the caller is
    /// that function.
    pub(crate) fn close(&self, waits: bool) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.waiting.clear();
        let (callback, thread) = (state.callback.take(), state.thread.take());
        drop(state);
        if let Some(thread) = thread.filter(|_| waits) {
            join(thread);
        }
        discard(callback);
    }
}
