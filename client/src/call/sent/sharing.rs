//! Whose calls are sent together: those of one plugin, or of a group's plugins that have one doorbell. They
//! share the thread that looks after them, and its bell: there are 63 bells on a page, and a group may have
//! more plugins.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::SentCalls;
/// A plugin's share in the calls that are sent together.
#[derive(Debug)]
pub(crate) struct Sender {
    calls: Arc<SentCalls>,
    is_open: AtomicBool,
}

impl Sender {
    /// The first of those that share a doorbell, or the only one.
    pub(crate) fn first() -> Sender {
        Sender::of(Arc::new(SentCalls::new()))
    }

    /// One more of them; `None` where the last one before it has closed, and the thread with it.
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

    /// Sends no more, after all links of the plugin have ended: the thread finds them gone, and tells of
    /// their calls. The last plugin waits for that, and for the end of the thread.
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
        // Of a plugin that could not be started. In a forked child the lock may be somebody else's.
        if self.calls.fork.is_here() {
            self.close();
        }
    }
}
