//! Helpers that several of these tests use.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use callgate_client::{Plugin, Provider};
use callgate_tests::PATIENCE;

/// A timeout that the test lets pass.
pub(crate) const SHORT: Duration = Duration::from_millis(100);

const WHOLE: &str = "no thread panics with it";

/// A gate whose handlers wait until they are released.
pub(crate) struct Barrier {
    state: Mutex<(u64, bool)>,
    change: Condvar,
}

impl Barrier {
    pub(crate) fn new() -> Arc<Barrier> {
        Arc::new(Barrier {
            state: Mutex::new((0, false)),
            change: Condvar::new(),
        })
    }

    /// Provides `gate`, which stands at the barrier and then answers with its argument.
    pub(crate) fn provide(self: &Arc<Self>, plugin: &Plugin, gate: &str) -> Provider {
        let barrier = self.clone();
        let handler = move |bytes: Vec<u8>| {
            let mut state = barrier.state.lock().expect(WHOLE);
            state.0 += 1;
            barrier.change.notify_all();
            let _open = barrier
                .change
                .wait_while(state, |state| !state.1)
                .expect(WHOLE);
            bytes
        };
        plugin.provide(gate, handler).expect("providing")
    }

    /// Waits until so many calls have reached the handler.
    pub(crate) fn wait_for(&self, calls: u64) {
        let state = self.state.lock().expect(WHOLE);
        let waited = self
            .change
            .wait_timeout_while(state, PATIENCE, |state| state.0 < calls);
        assert!(
            !waited.expect(WHOLE).1.timed_out(),
            "no call has come to the handler"
        );
    }

    /// Releases all handlers from now on; returns how many have come so far.
    pub(crate) fn open(&self) -> u64 {
        let mut state = self.state.lock().expect(WHOLE);
        state.1 = true;
        self.change.notify_all();
        state.0
    }
}

/// Opens a barrier when it is dropped. A failing test would not end otherwise.
pub(crate) struct Opens<'a>(pub(crate) &'a Barrier);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}
