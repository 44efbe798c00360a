//! Has only one thread of a plugin at a time ask the broker about a tag. Other threads wait for it, and then look
//! whether the table has what they want.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callgate_layout::sys::futex;
use parking_lot::Mutex;

use crate::base::chain;

/// The tags about which threads are asking.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Mutex<HashMap<Arc<str>, Taken>>,
    /// Counts changes: threads that have finished asking, uses that have ended. Waiting threads sleep on it.
    changes: AtomicU32,
}

/// The thread that asks about a tag.
#[derive(Clone, Copy)]
struct Taken {
    thread: u64,
    /// The chain of the handler that it runs; 0 if it runs none.
    chain: u64,
    /// Whether it is making the first version.
    makes: bool,
}

/// The answer to a thread that wants to ask about a tag.
pub(crate) enum Entry<'a> {
    Mine(Turn<'a>),
    /// Another thread is asking.
    Taken {
        /// It is making the first version, so there is no share yet.
        makes: bool,
    },
    /// The caller's own thread or chain is asking already; to wait for it would be a deadlock.
    Own,
}

impl Turns {
    pub(crate) fn enter(&self, tag: &Arc<str>) -> Entry<'_> {
        let (thread, chain) = here();
        let mut taken = self.taken.lock();
        if let Some(other) = taken.get(tag) {
            return match other.thread == thread || (chain != 0 && other.chain == chain) {
                true => Entry::Own,
                false => Entry::Taken { makes: other.makes },
            };
        }
        let new = Taken {
            thread,
            chain,
            makes: false,
        };
        taken.insert(tag.clone(), new);
        let tag = tag.clone();
        Entry::Mine(Turn { turns: self, tag })
    }

    /// The word that changes when a thread has finished asking.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.changes
    }

    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        futex::wake_private(&self.changes);
    }
}

fn here() -> (u64, u64) {
    let chain = chain::current().map_or(0, |chain| chain.id);
    (chain::thread_number(), chain)
}

/// The right to ask about a tag, until this is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    tag: Arc<str>,
}

impl Turn<'_> {
    /// Notes whether this thread is making the first version of the share.
    pub(crate) fn makes(&self, makes: bool) {
        if let Some(taken) = self.turns.taken.lock().get_mut(&self.tag) {
            taken.makes = makes;
        }
        // Wakes the waiting threads: those that only want to find a share need not wait for one that is being made.
        self.turns.changed();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken.lock().remove(&self.tag);
        self.turns.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_asks_about_a_tag() {
        let turns = Turns::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let Entry::Mine(turn) = turns.enter(&a) else {
            panic!("nobody has it");
        };
        assert!(matches!(turns.enter(&a), Entry::Own));
        assert!(matches!(turns.enter(&b), Entry::Mine(_)));
        let other = |makes| {
            std::thread::scope(|scope| {
                let entry = scope.spawn(|| match turns.enter(&a) {
                    Entry::Taken { makes } => Some(makes),
                    _ => None,
                });
                assert_eq!(entry.join().unwrap(), Some(makes));
            });
        };
        other(false);
        turn.makes(true);
        other(true);
        drop(turn);
        assert!(matches!(turns.enter(&a), Entry::Mine(_)));
    }
}
