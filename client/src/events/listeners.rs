//! The listeners of one ring: how far each has come, which of them bound the source, and which sleep.
//!
//! | if a listener's cursor shows | the source |
//! |---|---|
//! | a position below an earlier one | keeps the highest that it has seen |
//! | a position beyond the end of what was written | drops the listener: it neither waits for it nor wakes it any more |
//! | the same position for ever | waits until the event's time is up, or until the plugin's budget is used up if the topic has budgets; then it overwrites what the listener has not handled |
//! | that the listener has left | drops the listener |

use std::sync::Arc;

use callgate_layout::events::Extent;
use callgate_layout::events::cursor::{self, Waiter};
use callgate_layout::pages::{self, Activity};

use super::peers::Peer;
use crate::base::debug;

/// A listener as the broker has described it.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The broker's number for the feed.
    pub(crate) feed: u64,
    /// The index of its cursor in the plugin's status page.
    pub(crate) cursor: u16,
    /// Whether the program takes from it on its own thread, instead of the plugin's dispatcher.
    pub(crate) pulled: bool,
    pub(crate) peer: Arc<Peer>,
}

#[derive(Debug)]
struct Listener {
    by: Listening,
    /// The highest position that its cursor has shown.
    position: u64,
}

/// The listeners of one ring.
#[derive(Debug)]
pub(crate) struct Listeners {
    all: Vec<Listener>,
    /// Whether waits are charged to the listeners' budgets.
    has_budgets: bool,
    /// Up to this position no listener was in the way at the last look. Positions only grow, so the true bound may
    /// be higher.
    bound: u64,
}

/// The listeners that keep an event from being written.
#[derive(Debug)]
pub(crate) struct InTheWay {
    /// The broker's numbers of their feeds, sorted.
    feeds: Vec<u64>,
    /// The smallest of their budgets, in nanoseconds.
    pub(crate) least: u64,
    /// Whether there are also listeners that cannot go on before this thread does.
    pub(crate) is_in_vain: bool,
    /// Among the feeds that are taken by a dispatcher, the one that is farthest behind: its position and plugin.
    slowest: Option<(u64, Arc<Peer>)>,
}

impl InTheWay {
    pub(crate) fn is_none(&self) -> bool {
        self.feeds.is_empty()
    }

    /// The plugin that is farthest behind, among those whose dispatcher takes.
    pub(crate) fn slowest(&self) -> Option<&Arc<Peer>> {
        self.slowest.as_ref().map(|(_, peer)| peer)
    }

    fn add(&mut self, listener: &Listener, left: u64) {
        let by = &listener.by;
        self.feeds.push(by.feed);
        self.least = self.least.min(left);
        let at = listener.position;
        if !by.pulled && self.slowest.as_ref().is_none_or(|(least, _)| at < *least) {
            self.slowest = Some((at, by.peer.clone()));
        }
    }
}

/// A listener that has not handled everything up to some position.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) peer: Arc<Peer>,
    /// Whether the program takes from it on its own thread, instead of the plugin's dispatcher.
    pub(crate) pulled: bool,
}

/// A listener that sleeps, and how it is woken.
#[derive(Debug)]
pub(crate) enum Sleeper {
    Dispatcher(Arc<Peer>),
    /// A thread that sleeps on one of its plugin's bells for callers.
    Bell(Arc<Peer>, u8),
    /// A thread that sleeps on the feed word of its cursor.
    Feed(Arc<Peer>, u16),
}

impl Listeners {
    /// No listeners. `has_budgets` says whether the source waits for listeners only while they have budget.
    pub(crate) fn new(has_budgets: bool) -> Listeners {
        Listeners {
            all: Vec::new(),
            has_budgets,
            bound: u64::MAX,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The position up to which no listener was in the way at the last look.
    #[inline]
    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// Adds a listener that listens from a position on.
    pub(crate) fn add(&mut self, by: Listening, position: u64) {
        self.all.push(Listener { by, position });
        self.bound = self.bound.min(position);
    }

    /// Removes a feed that has ended. Returns whether it was here.
    pub(crate) fn remove(&mut self, feed: u64) -> bool {
        self.keep(|listener| listener.by.feed != feed)
    }

    /// Removes all feeds of a plugin that has ended. Returns whether it had any.
    pub(crate) fn remove_peer(&mut self, peer: &Arc<Peer>) -> bool {
        self.keep(|listener| !Arc::ptr_eq(&listener.by.peer, peer))
    }

    fn keep(&mut self, is_kept: impl FnMut(&Listener) -> bool) -> bool {
        let before = self.all.len();
        self.all.retain(is_kept);
        self.all.len() < before
    }

    /// Reads all cursors: drops listeners that have left or lie, and returns the position up to which none is in
    /// the way.
    #[cold]
    pub(crate) fn look(&mut self, ring: Extent, now: u64) -> u64 {
        self.all.retain_mut(|listener| listener.look(ring));
        let (mut bound, mut do_all) = (u64::MAX, true);
        for listener in &self.all {
            match self.bounds(listener, ring, now) {
                Some(position) => bound = bound.min(position),
                None => do_all = false,
            }
        }
        // A listener that does not bound now may do so again, once it has caught up or has budget: so the bound is
        // kept low enough that the next write looks again.
        self.bound = if do_all {
            bound
        } else {
            ring.oldest.min(bound)
        };
        bound
    }

    /// The listeners that keep a ring from being overwritten up to a position, according to the last look.
    pub(crate) fn in_the_way(
        &self,
        of: u64,
        (ring, now): (Extent, u64),
        stands_still: impl Fn(&Peer) -> bool,
    ) -> InTheWay {
        let mut found = InTheWay {
            feeds: Vec::new(),
            least: u64::MAX,
            is_in_vain: false,
            slowest: None,
        };
        for listener in &self.all {
            if self.bounds(listener, ring, now).is_none_or(|at| at >= of) {
                continue;
            }
            if stands_still(&listener.by.peer) {
                found.is_in_vain = true;
            } else {
                let left = self.left(listener, now);
                found.add(listener, left);
            }
        }
        found.feeds.sort_unstable();
        found
    }

    /// Charges a wait to the budgets of those that were in the way.
    pub(crate) fn spend(&self, waited_for: &InTheWay, since: u64, now: u64) {
        if self.waits_for_ever() {
            return;
        }
        for listener in &self.all {
            if waited_for.feeds.binary_search(&listener.by.feed).is_ok() {
                listener.by.peer.budget.lock().spend(since, now);
            }
        }
    }

    /// Whether budgets do not count: the topic has none, or a debugger is attached to the program.
    fn waits_for_ever(&self) -> bool {
        !self.has_budgets || debug::is_on()
    }

    /// How long a listener may still delay the source, in nanoseconds.
    fn left(&self, listener: &Listener, now: u64) -> u64 {
        match self.waits_for_ever() {
            true => u64::MAX,
            false => listener.by.peer.budget.lock().left(now),
        }
    }

    /// The position from which on a listener keeps the ring from being overwritten; `None` if it does not bound.
    fn bounds(&self, listener: &Listener, ring: Extent, now: u64) -> Option<u64> {
        let at = listener.position;
        (at >= ring.oldest && self.left(listener, now) > 0).then_some(at)
    }

    /// The broker's numbers of all feeds.
    pub(crate) fn feeds(&self) -> Vec<u64> {
        self.all.iter().map(|listener| listener.by.feed).collect()
    }

    /// Those of the given feeds that have not handled everything before `goal`, and have not been overtaken,
    /// according to the last look.
    pub(crate) fn behind(&self, feeds: &[u64], goal: u64, oldest: u64) -> Vec<Behind> {
        let is_behind = |listener: &&Listener| {
            let at = listener.position;
            feeds.contains(&listener.by.feed) && at < goal && at >= oldest
        };
        let behind = self.all.iter().filter(is_behind);
        let behind = behind.map(|listener| Behind {
            peer: listener.by.peer.clone(),
            pulled: listener.by.pulled,
        });
        behind.collect()
    }

    /// Adds the listeners that sleep to `found`, a feed's thread or its plugin's dispatcher.
    pub(crate) fn sleepers(&self, found: &mut Vec<Sleeper>) {
        found.extend(self.all.iter().filter_map(Listener::sleeper));
    }
}

impl Listener {
    /// Reads its cursor. Returns whether the listener is to be kept.
    fn look(&mut self, ring: Extent) -> bool {
        let (status, index) = (&self.by.peer.status, self.by.cursor);
        let seen = cursor::read(status, index);
        self.position = self.position.max(seen.position);
        let is_liar = self.position > ring.head;
        if is_liar {
            let peer = self.by.peer.who.name();
            tracing::warn!(
                peer,
                "a listener says that it has handled events that were not sent yet, and is dropped"
            );
        }
        !seen.has_left && !is_liar
    }

    /// How it is woken, if it sleeps.
    fn sleeper(&self) -> Option<Sleeper> {
        let peer = &self.by.peer;
        if !self.by.pulled {
            let sleeps = pages::activity(&peer.status) == Activity::Parked;
            return sleeps.then(|| Sleeper::Dispatcher(peer.clone()));
        }
        match cursor::waiter(&peer.status, self.by.cursor) {
            Waiter::Nobody => None,
            Waiter::Feed => Some(Sleeper::Feed(peer.clone(), self.by.cursor)),
            Waiter::Bell(bell) => Some(Sleeper::Bell(peer.clone(), bell)),
        }
    }
}

/// Wakes the sleepers; each dispatcher once, even if it has several feeds.
#[cold]
pub(crate) fn wake(sleepers: Vec<Sleeper>) {
    let mut rung: Vec<Arc<Peer>> = Vec::new();
    for sleeper in sleepers {
        match sleeper {
            Sleeper::Dispatcher(peer) => {
                if !rung.iter().any(|other| Arc::ptr_eq(other, &peer)) {
                    peer.bell.ring();
                    rung.push(peer);
                }
            }
            Sleeper::Bell(peer, bell) => peer.bell.ring_callers(bell),
            Sleeper::Feed(peer, cursor) => peer.bell.ring_feed(cursor),
        }
    }
}
