//! The plugins that a dispatcher serves, and the doorbells that wake it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use callgate_layout::pages::Doorbell;
use callgate_layout::sys::futex::{self, Awaited};

use super::Dispatcher;
use crate::serve::member::Member;
use crate::serve::scheduler::Members;

/// The plugins of a dispatcher, and how many of its threads sleep on its bells.
#[derive(Default)]
pub(super) struct Parked {
    pub(super) threads: u32,
    /// The plugins that are served; their status pages say whether a thread sleeps.
    members: Arc<Vec<Arc<Member>>>,
    /// The plugins that drain: no more calls are taken from their links, and some calls are not answered yet.
    draining: Arc<Vec<Arc<Member>>>,
    /// Whether the scheduler has not noticed all of the draining ones yet.
    is_new: bool,
    /// The plugins that the scheduler still has to part with.
    leaving: Vec<Arc<Member>>,
}

type DoorbellList = Arc<Vec<Arc<Doorbell>>>;

/// The doorbells of a dispatcher's plugins: one, unless a group is on several buses or has no plugin.
#[derive(Default)]
pub(super) struct Doorbells {
    all: ArcSwap<Vec<Arc<Doorbell>>>,
    /// Counts changes of the list; a thread sleeps on it if there is not exactly one bell.
    none: AtomicU32,
}

/// The doorbells on which a thread is about to sleep.
pub(crate) struct AwaitedBells<'a> {
    all: DoorbellList,
    none: &'a AtomicU32,
    seen: u32,
}

impl AwaitedBells<'_> {
    /// The words to sleep on, with their present values.
    pub(crate) fn words(&self) -> impl Iterator<Item = Awaited<'_>> {
        let none = match self.all.len() {
            1 => None,
            _ => Some(Awaited::private(self.none, self.seen)),
        };
        let bells = self.all.iter().map(|bell| bell.word());
        bells.chain(none)
    }

    /// The bells with their present values.
    pub(super) fn values(&self) -> Vec<(Arc<Doorbell>, u32)> {
        let bells = self.all.iter();
        bells.map(|bell| (bell.clone(), bell.value())).collect()
    }

    /// The bell, if there is only one.
    pub(super) fn only(&self) -> Option<&Doorbell> {
        match self.all.as_slice() {
            [bell] => Some(bell),
            _ => None,
        }
    }
}

impl Doorbells {
    /// Rings all bells.
    pub(super) fn ring(&self) {
        self.ring_these(&self.all.load());
    }

    fn ring_these(&self, bells: &[Arc<Doorbell>]) {
        self.none.fetch_add(1, Ordering::Release);
        futex::wake_private(&self.none);
        bells.iter().for_each(|bell| bell.ring());
    }

    fn heard(&self) -> AwaitedBells<'_> {
        // Read before the list, so that a change of the list ends the sleep.
        let seen = self.none.load(Ordering::Acquire);
        AwaitedBells {
            all: self.all.load_full(),
            none: &self.none,
            seen,
        }
    }

    /// Replaces the bells by those of these plugins. Returns the old ones.
    fn replace<'a>(&self, members: impl Iterator<Item = &'a Arc<Member>>) -> DoorbellList {
        let mut bells: Vec<Arc<Doorbell>> = Vec::new();
        for member in members {
            let bell = &member.memory.bell;
            if !bells.iter().any(|other| Arc::ptr_eq(other, bell)) {
                bells.push(bell.clone());
            }
        }
        self.all.swap(Arc::new(bells))
    }
}

impl Dispatcher {
    /// Serves a plugin from here on. Threads that sleep are woken, so that they announce to this plugin's peers, too,
    /// that they sleep.
    pub(crate) fn join(&self, member: Arc<Member>) {
        let mut parked = self.parked.lock();
        Arc::make_mut(&mut parked.members).push(member);
        self.members_changed(&parked);
    }

    /// Announces that a plugin is served no more: the next look at changes tells its peers, and answers what is
    /// left. Until then its status page stays unchanged.
    pub(crate) fn announce_end(&self, member: &Arc<Member>) {
        let mut parked = self.parked.lock();
        take_out(&mut parked.members, member);
        take_out(&mut parked.draining, member);
        parked.leaving.push(member.clone());
        self.members_changed(&parked);
    }

    /// Announces that for all plugins, because the dispatcher ends.
    pub(super) fn announce_all_ends(&self) {
        let mut parked = self.parked.lock();
        let members = std::mem::take(&mut parked.members);
        parked.leaving.extend(members.iter().cloned());
        let draining = std::mem::take(&mut parked.draining);
        parked.leaving.extend(draining.iter().cloned());
        self.members_changed(&parked);
    }

    /// Announces that a plugin drains: the next look at changes takes no more calls from its links, and tells its
    /// peers. Returns `false` if the plugin is not served any more, or drains already.
    pub(super) fn announce_drain(&self, member: &Arc<Member>) -> bool {
        let mut parked = self.parked.lock();
        if !take_out(&mut parked.members, member) {
            return false;
        }
        Arc::make_mut(&mut parked.draining).push(member.clone());
        parked.is_new = true;
        self.members_changed(&parked);
        true
    }

    /// Removes plugins that have drained.
    pub(super) fn forget_drained(&self, drained: &[Arc<Member>]) {
        let mut parked = self.parked.lock();
        for member in drained {
            take_out(&mut parked.draining, member);
        }
        self.members_changed(&parked);
    }

    /// The plugins that the scheduler still has to part with.
    pub(super) fn leaving(&self) -> Vec<Arc<Member>> {
        self.parked.lock().leaving.clone()
    }

    /// Whether a plugin drains that the scheduler has not noticed yet.
    pub(super) fn has_new_draining(&self) -> bool {
        self.parked.lock().is_new
    }

    fn members_changed(&self, parked: &Parked) {
        let all = || parked.members.iter().chain(parked.draining.iter());
        let before = self.bells.replace(all());
        let identities = all().map(|member| member.identity);
        self.turn_lock.owners().set(identities, &self.outstanding);
        self.changes.changed();
        // Rung too, so that a thread that sleeps on the old bells, or is about to, looks at the changes.
        self.bells.ring_these(&before);
        self.bells.ring();
    }

    /// The doorbells on which a serving thread sleeps. To be read before [`Dispatcher::begin_park`].
    pub(crate) fn bells(&self) -> AwaitedBells<'_> {
        self.bells.heard()
    }

    /// Announces that a thread is about to wait for the bells. Afterwards it looks once more: after the fence of
    /// `Status::park`, and in a group without plugins, which no peer calls, after this lock, which whoever looks for
    /// threads that are parked takes as well.
    pub(crate) fn begin_park(&self) {
        let mut parked = self.parked.lock();
        parked.threads += 1;
        for member in parked.members.iter() {
            member.memory.status.park(&member.memory.bell);
        }
    }

    /// Takes that back: the thread is awake.
    pub(crate) fn end_park(&self) {
        let mut parked = self.parked.lock();
        parked.threads -= 1;
        if parked.threads == 0 {
            for member in parked.members.iter() {
                member.memory.status.awake();
            }
        }
    }

    /// The present plugins, for the scheduler.
    pub(super) fn take_members(&self) -> Members {
        let mut parked = self.parked.lock();
        parked.is_new = false;
        Members {
            served: parked.members.clone(),
            draining: parked.draining.clone(),
            leaving: std::mem::take(&mut parked.leaving),
        }
    }
}

/// Removes a plugin from a list. Returns whether it was there.
fn take_out(members: &mut Arc<Vec<Arc<Member>>>, member: &Arc<Member>) -> bool {
    let place = members.iter().position(|other| Arc::ptr_eq(other, member));
    place.is_some_and(|place| {
        Arc::make_mut(members).remove(place);
        true
    })
}
