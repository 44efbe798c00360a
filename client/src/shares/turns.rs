//! Which thread of a plugin asks the broker about a tag: one at a time. The others wait for it, and then look whether they have what they
//! want.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callgate_layout::sys::futex;
use parking_lot::Mutex;

use crate::base::chain;

/// The tags about which threads ask.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Mutex<HashMap<Arc<str>, Taken>>,
    /// Changes whenever one is over, or a use has ended.
    changes: AtomicU32,
}

/// Who asks about a tag.
#[derive(Clone, Copy)]
struct Taken {
    thread: u64,
    /// The chain of the handler that it runs; 0 for none.
    chain: u64,
    /// It makes the first version now.
    makes: bool,
}

/// What a thread is told that wants to ask about a tag.
pub(crate) enum Entry<'a> {
    Mine(Turn<'a>),
    /// Another one asks.
    Taken {
        /// It makes the share, so that there is none yet.
        makes: bool,
    },
    /// This very thread asks, or its chain.
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

    /// What changes when something is over.
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
    /// Says whether this thread makes the first version of the share.
    pub(crate) fn makes(&self, makes: bool) {
        if let Some(taken) = self.turns.taken.lock().get_mut(&self.tag) {
            taken.makes = makes;
        }
        // Who does not want to make it need not wait.
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
