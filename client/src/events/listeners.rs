//! Who listens to one ring: how far each is, which of them bound its source, and which sleep.
//!
//! | a listener says | its source |
//! |---|---|
//! | a position that goes back | keeps the highest that it has seen |
//! | one beyond the end of what was written | drops it: it is not waited for and not woken any more |
//! | the same one for ever | waits until its plugin's budget is used up, if the topic counts that, or the event's time; then overwrites what it has not handled |
//! | that it has left | drops it |

use std::sync::Arc;

use callgate_layout::events::Extent;
use callgate_layout::events::cursor::{self, Waiter};
use callgate_layout::pages::{self, Activity};

use super::peers::Peer;
use crate::base::debug;

/// What is listened by, as the broker says.
#[derive(Debug)]
pub(crate) struct Listening {
    /// The broker's number.
    pub(crate) feed: u64,
    /// Its cursor in the peer's status page.
    pub(crate) cursor: u16,
    /// Whether a thread of its own takes from it, and not the peer's dispatcher.
    pub(crate) pulled: bool,
    pub(crate) peer: Arc<Peer>,
}

#[derive(Debug)]
struct Listener {
    by: Listening,
    /// The highest position that its cursor has had.
    position: u64,
}

/// Who listens to one ring.
#[derive(Debug)]
pub(crate) struct Listeners {
    all: Vec<Listener>,
    /// Whether what they hold the source up is counted.
    has_budgets: bool,
    /// Up to where nobody was in the way when they were last looked at. Positions do not go back, so it may be further by now.
    bound: u64,
}

/// Listeners that were in the way of an event.
#[derive(Debug)]
pub(crate) struct InTheWay {
    /// By their feeds, in order.
    feeds: Vec<u64>,
    /// The least of their budgets, in nanoseconds.
    pub(crate) least: u64,
    /// Whether there are others that cannot move on before this thread does.
    pub(crate) is_in_vain: bool,
    /// The one that is farthest behind of those from whose feeds a dispatcher takes, and its position.
    slowest: Option<(u64, Arc<Peer>)>,
}

impl InTheWay {
    pub(crate) fn is_none(&self) -> bool {
        self.feeds.is_empty()
    }

    /// The plugin that is farthest behind, of those whose dispatcher takes.
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

/// A listener that has not handled everything.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) peer: Arc<Peer>,
    /// Whether a thread of its own takes, and not its dispatcher.
    pub(crate) pulled: bool,
}

/// A listener that sleeps, and what it sleeps on.
#[derive(Debug)]
pub(crate) enum Sleeper {
    Dispatcher(Arc<Peer>),
    /// On one of its callers' bells.
    Bell(Arc<Peer>, u8),
    /// On the feed word of its cursor.
    Feed(Arc<Peer>, u16),
}

impl Listeners {
    /// Nobody. Whether those that come are waited for only while they have budget.
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

    /// Up to where nobody is in the way, as far as that is known.
    #[inline]
    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// One listens from a position on.
    pub(crate) fn add(&mut self, by: Listening, position: u64) {
        self.all.push(Listener { by, position });
        self.bound = self.bound.min(position);
    }

    /// A feed has ended; whether it was there.
    pub(crate) fn remove(&mut self, feed: u64) -> bool {
        self.keep(|listener| listener.by.feed != feed)
    }

    /// A plugin has ended; whether it listened.
    pub(crate) fn remove_peer(&mut self, peer: &Arc<Peer>) -> bool {
        self.keep(|listener| !Arc::ptr_eq(&listener.by.peer, peer))
    }

    fn keep(&mut self, is_kept: impl FnMut(&Listener) -> bool) -> bool {
        let before = self.all.len();
        self.all.retain(is_kept);
        self.all.len() < before
    }

    /// Looks at all cursors: drops who has left or lies, and finds out up to where nobody is in the way.
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
        // Who does not bound may do so again when it has caught up, or has budget: it is looked at the next time.
        self.bound = if do_all {
            bound
        } else {
            ring.oldest.min(bound)
        };
        bound
    }

    /// Those that bound and keep a ring from being overwritten up to a position, as far as the last look goes.
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

    /// A thread has waited for those that were in the way.
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

    /// Whether nothing is counted: on such a topic, and while somebody looks at the program with a debugger.
    fn waits_for_ever(&self) -> bool {
        !self.has_budgets || debug::is_on()
    }

    /// How long a listener may still hold the source up, in nanoseconds.
    fn left(&self, listener: &Listener, now: u64) -> u64 {
        match self.waits_for_ever() {
            true => u64::MAX,
            false => listener.by.peer.budget.lock().left(now),
        }
    }

    /// From where on a listener keeps the ring from being overwritten, if it does.
    fn bounds(&self, listener: &Listener, ring: Extent, now: u64) -> Option<u64> {
        let at = listener.position;
        (at >= ring.oldest && self.left(listener, now) > 0).then_some(at)
    }

    /// The feeds that there are.
    pub(crate) fn feeds(&self) -> Vec<u64> {
        self.all.iter().map(|listener| listener.by.feed).collect()
    }

    /// Which of these have not handled everything before a position, nor been overtaken, as far as the last look goes.
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

    /// Adds those that sleep: a plugin's dispatcher once, however many of its feeds there are.
    pub(crate) fn sleepers(&self, found: &mut Vec<Sleeper>) {
        found.extend(self.all.iter().filter_map(Listener::sleeper));
    }
}

impl Listener {
    /// Takes in what its cursor says. Whether it is to be kept.
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

    /// What it sleeps on, if it does.
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

/// Wakes those that sleep.
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
