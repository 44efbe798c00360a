//! The thread on which plugins connect to their next broker. It runs only while a plugin has work for it.

use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::base::error::Result;
use crate::base::thread::{join, spawn};

/// A plugin that connects to its next broker by itself, and closes what it had at older ones.
pub(super) trait Returning: Send + Sync {
    /// Does what is due by now. Returns when the next look is due; `None` if nothing is left to do.
    fn look(self: Arc<Self>) -> Option<Instant>;
}

/// Starts and stops the thread. A group has one for all its plugins; a plugin without a group has its own.
#[derive(Default)]
pub(super) struct Returner(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Plugins that have work to do, each with the time of its next look; the time is `None` while the thread looks
    /// at the plugin.
    plugins: Vec<(Weak<dyn Returning>, Option<Instant>)>,
    is_running: bool,
    thread: Option<JoinHandle<()>>,
    is_closing: bool,
}

impl Returner {
    /// Has the thread look at a plugin at once.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started. The plugin stays in the list, so the next thread that is started looks at
    /// it.
    pub(super) fn look_after(&self, plugin: Weak<dyn Returning>) -> Result<()> {
        let mut state = self.0.state.lock();
        if state.is_closing {
            return Ok(());
        }
        let now = Instant::now();
        match state
            .plugins
            .iter_mut()
            .find(|(known, _)| known.ptr_eq(&plugin))
        {
            Some((_, due)) => *due = Some(now),
            None => state.plugins.push((plugin, Some(now))),
        }
        if !state.is_running {
            let shared = self.0.clone();
            state.thread = Some(spawn("callgate-return", move || shared.run())?);
            state.is_running = true;
        }
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }

    /// Whether the caller runs on this thread.
    pub(super) fn is_here(&self) -> bool {
        let state = self.0.state.lock();
        let thread = state.thread.as_ref();
        thread.is_some_and(|thread| thread.thread().id() == thread::current().id())
    }

    /// Ends the thread, and waits until it has ended.
    pub(super) fn stop(&self) {
        let thread = {
            let mut state = self.0.state.lock();
            state.is_closing = true;
            state.plugins.clear();
            state.thread.take()
        };
        self.0.changed.notify_all();
        if let Some(thread) = thread {
            join(thread);
        }
    }

    /// Forgets the thread without joining it: in a forked child it does not exist.
    pub(super) fn forget(&self) {
        // A thread of the parent may have held the lock at the fork; then nobody would ever release it.
        if let Some(mut state) = self.0.state.try_lock() {
            std::mem::forget(state.thread.take());
        }
        std::mem::forget(self.0.clone());
    }
}

impl Shared {
    fn run(&self) {
        while let Some(plugin) = self.next() {
            let Some(found) = plugin.upgrade() else {
                self.again(&plugin, None);
                continue;
            };
            let due = found.look();
            self.again(&plugin, due);
        }
    }

    /// Waits for the next plugin that is due and returns it; `None` if no plugin has anything to do.
    fn next(&self) -> Option<Weak<dyn Returning>> {
        let mut state = self.state.lock();
        loop {
            let dues = state.plugins.iter_mut();
            let dues = dues.filter_map(|(plugin, due)| Some((due.as_ref().copied()?, plugin, due)));
            let Some((until, plugin, due)) = dues.min_by_key(|(at, ..)| *at) else {
                state.is_running = false;
                return None;
            };
            if until <= Instant::now() {
                // From here on, `look_after` can note a new time for this plugin, and `again` keeps it.
                *due = None;
                return Some(plugin.clone());
            }
            self.changed.wait_until(&mut state, until);
        }
    }

    /// Notes when the plugin is looked at next, unless `look_after` has asked for a look meanwhile.
    fn again(&self, plugin: &Weak<dyn Returning>, due: Option<Instant>) {
        let mut state = self.state.lock();
        let mut plugins = state.plugins.iter();
        let Some(at) = plugins.position(|(known, _)| known.ptr_eq(plugin)) else {
            return;
        };
        if state.plugins[at].1.is_some() {
            return;
        }
        match due {
            Some(_) => state.plugins[at].1 = due,
            None => drop(state.plugins.swap_remove(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    /// Counts its looks; the first ones ask for another one at once.
    struct Counter {
        looks: AtomicU32,
        again: u32,
        asks: Option<Arc<Returner>>,
    }

    impl Returning for Counter {
        fn look(self: Arc<Self>) -> Option<Instant> {
            let look = self.looks.fetch_add(1, Ordering::Relaxed);
            if look == 0
                && let Some(returner) = &self.asks
            {
                let plugin: Weak<dyn Returning> = Arc::downgrade(&self) as Weak<Counter>;
                returner.look_after(plugin).unwrap();
            }
            (look < self.again).then(Instant::now)
        }
    }

    fn counter(again: u32, asks: Option<Arc<Returner>>) -> Arc<Counter> {
        Arc::new(Counter {
            looks: AtomicU32::new(0),
            again,
            asks,
        })
    }

    fn look_after(returner: &Returner, counter: &Arc<Counter>) {
        let plugin: Weak<Counter> = Arc::downgrade(counter);
        returner.look_after(plugin).unwrap();
    }

    fn await_looks(counter: &Counter, looks: u32) {
        let until = Instant::now() + Duration::from_secs(20);
        while counter.looks.load(Ordering::Relaxed) != looks {
            assert!(Instant::now() < until, "{looks} looks did not come");
            thread::yield_now();
        }
    }

    fn await_end(returner: &Returner) {
        let until = Instant::now() + Duration::from_secs(20);
        while returner.0.state.lock().is_running {
            assert!(Instant::now() < until, "the thread does not end");
            thread::yield_now();
        }
    }

    #[test]
    fn the_thread_lives_only_while_there_is_something_to_do() {
        let returner = Returner::default();
        let (one, other) = (counter(3, None), counter(0, None));
        for round in 1..=3 {
            look_after(&returner, &one);
            look_after(&returner, &other);
            await_end(&returner);
            await_looks(&one, 3 + round);
            await_looks(&other, round);
        }
        returner.stop();
        look_after(&returner, &one);
        assert!(!returner.0.state.lock().is_running, "it was stopped");
    }

    /// A look that was asked for while the thread looked at the plugin was forgotten when that look was done.
    #[test]
    fn who_asks_during_a_look_is_looked_at_once_more() {
        let returner = Arc::new(Returner::default());
        let counter = counter(0, Some(returner.clone()));
        look_after(&returner, &counter);
        await_looks(&counter, 2);
        await_end(&returner);
    }

    #[test]
    fn a_plugin_that_is_gone_is_forgotten() {
        let returner = Returner::default();
        let gone = counter(u32::MAX, None);
        look_after(&returner, &gone);
        drop(gone);
        await_end(&returner);
        assert!(returner.0.state.lock().plugins.is_empty());
    }
}
