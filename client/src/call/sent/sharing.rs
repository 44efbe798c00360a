//! Which calls are sent together: those of one plugin, or of all plugins of a group that have one doorbell. They
//! share the thread that looks after them, and its bell, because there are only 63 bells on a page, and a group may
//! have more plugins.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::SentCalls;
/// A plugin's handle on the calls that are sent together.
#[derive(Debug)]
pub(crate) struct Sender {
    calls: Arc<SentCalls>,
    is_open: AtomicBool,
}

impl Sender {
    /// The handle of the first, or only, plugin with a doorbell.
    pub(crate) fn first() -> Sender {
        Sender::of(Arc::new(SentCalls::new()))
    }

    /// The handle of one more plugin; `None` if the last plugin before it has closed, and the thread has ended.
    pub(crate) fn one_more(calls: Arc<SentCalls>) -> Option<Sender> {
        let mut state = calls.shared.state.lock();
        if state.is_closing {
            return None;
        }
        state.plugins += 1;
        drop(state);
        Some(Sender::of(calls))
    }

    fn of(calls: Arc<SentCalls>) -> Sender {
        Sender {
            calls,
            is_open: AtomicBool::new(true),
        }
    }

    pub(crate) fn calls(&self) -> &Arc<SentCalls> {
        &self.calls
    }

    /// Ends the plugin's sending, after all its links have ended: the thread finds them gone, and reports their
    /// calls. The last plugin waits for that, and for the end of the thread.
    pub(crate) fn close(&self) {
        if self.is_open.swap(false, Ordering::Relaxed) {
            self.calls.leave();
        }
    }
}

impl Deref for Sender {
    type Target = SentCalls;

    fn deref(&self) -> &SentCalls {
        &self.calls
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // For a plugin that could not be started. In a forked child the lock may be held by a thread that does not
        // exist there.
        if self.calls.fork.is_here() {
            self.close();
        }
    }
}
