//! Telling a plugin's program what becomes of its broker.
//!
//! The control thread and the thread that comes back only queue what there is to tell. A thread of its
//! own tells it, in order, and lives only while there is something: the program's function may call
//! anything of the plugin, take its time, panic, or drop the plugin.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use callgate_layout::sys::fork::ForkMark;
use parking_lot::Mutex;

use crate::base::error::{Error, Result};
use crate::base::thread::{contain, discard, join, spawn};

/// As many events are kept for a function that does not return. A broker that lies could send any number.
const MOST_WAITING: usize = 4096;

/// What a plugin's program is told of its broker, in order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BrokerEvent {
    /// The broker has ended, or the connection to it. The plugin waits for the next one.
    ///
    /// Meanwhile linked plugins go on calling each other. Other calls, and waits for a gate, wait for the next broker until
    /// their own time is up; providing, opening, watching and listing wait for five seconds. What still has no
    /// broker then fails with `BROKER_GONE`, and can be tried again. Connecting another plugin does not wait: where nobody
    /// listens, it fails at once.
    ///
    /// A plugin that does not [outlive its broker](crate::PluginBuilder::outlives_broker) is told `Ended` instead.
    Lost(Error),
    /// A broker has taken the plugin in again, and has been told of everything that it provides and has
    /// open. Other plugins come back at other times, mostly within a quarter of a second. So calls of gates that nobody
    /// provides yet wait for their provider for a second after this. Opening and watching do not wait: they may find
    /// that nobody provides the gate yet; [`Subscriber::wait_ready`](crate::Subscriber::wait_ready) waits as long as it is
    /// told to.
    Back {
        /// The broker's process; 0 where it is not known, as in another pid namespace.
        pid: u32,
        /// Which broker in a row this is on its socket: one more than the last that was killed there, or that had the
        /// socket of a manager of services. After one that was stopped with a socket of its own, and for a broker without a
        /// socket, it is 1 again.
        generation: u64,
    },
    /// A broker does not take the plugin in yet, because another plugin has its name, for example; or another user's
    /// process listens in its place. It is tried again, every two seconds.
    Refused(Error),
    /// There will be no broker for this plugin any more: the broker has sent it away, or refuses it for good. It is the
    /// last event, and [`Plugin::wait_closed`](crate::Plugin::wait_closed) returns the same error.
    Ended(Error),
    /// The broker has taken the plugin in, and does not let it provide this gate, which its policy forbids, for
    /// example. Everything else goes on. No later broker is asked for the gate again: the program has to drop its
    /// [`Provider`](crate::Provider) and provide it anew.
    GateRefused {
        /// The gate's name.
        gate: String,
        /// Why.
        error: Error,
    },
    /// Another plugin has provided a gate of this one before this one was back. Its calls are not taken any
    /// more, and it is provided again as soon as it is free.
    GateLost {
        /// The gate's name.
        gate: String,
        /// The plugin that provides it.
        owner: String,
    },
    /// A gate that was lost is this plugin's again.
    GateBack {
        /// The gate's name.
        gate: String,
    },
}

/// The program's function that is told.
pub(crate) type Callback = Arc<dyn Fn(BrokerEvent) + Send + Sync>;

/// Who is told, and what was not told yet.
#[derive(Clone)]
pub(crate) struct Notices {
    state: Arc<Mutex<State>>,
}

struct State {
    callback: Option<Callback>,
    waiting: VecDeque<BrokerEvent>,
    /// Some events were lost since there were none left to tell.
    has_lost: bool,
    /// A thread tells what waits, and takes what comes meanwhile.
    is_telling: bool,
    /// The thread that was started last.
    thread: Option<JoinHandle<()>>,
    is_closed: bool,
    fork: ForkMark,
}

impl Drop for State {
    fn drop(&mut self) {
        if !self.fork.is_here() {
            // In a forked child there is no thread, and what its handle names may be somebody else's.
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
    /// From now on this function is told, in the place of the one before. What happened earlier is not
    /// kept for it.
    pub(crate) fn set(&self, callback: Callback) {
        let mut state = self.state.lock();
        let unused = match state.is_closed {
            true => Some(callback),
            false => state.callback.replace(callback),
        };
        drop(state);
        discard(unused);
    }

    /// Has the program told, if it wants to be, by another thread.
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
        // Whoever listens to the log may call, even this very plugin.
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

    /// Tells what waits until nothing does.
    fn tell_all(&self) {
        while let Some((callback, event)) = self.next() {
            contain("the function that is told of the broker panicked", || {
                callback(event);
            });
            // The last one to have it, if it was replaced meanwhile.
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

    /// Nothing is told from now on. Waits for the function if it runs and `waits` says so, unless this is called by it.
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
