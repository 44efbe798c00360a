//! A share as this plugin uses it, and the versions of it that were sent to the plugin.
//!
//! The broker counts the plugin as one user of a share, however many guards, publishers and followers there are here. A [`Used`] is that
//! use: the last part of the plugin that lets it go has the broker told (`Relinquish`). A [`Version`] is one memory that was sent: with the
//! last guard of it the broker is told that it is used no more (`Done`), if it is not the newest one. Nothing here waits for the
//! broker, and nothing is locked while it is told.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use callgate_layout::control::{ShareToBroker, VersionFacts, VersionName};
use callgate_layout::shares::page::PageReader;
use callgate_layout::shares::sealed::Sealed;
use callgate_layout::sys::fork::ForkMark;
use parking_lot::Mutex;

use super::made::{Type, What};

/// Tells a broker something about shares, without waiting for it.
pub(crate) trait TellsBroker: Send + Sync {
    fn tell(&self, record: ShareToBroker);
}

/// Where uses are found by their tags.
pub(crate) trait Finds: Send + Sync {
    /// A use has ended, of which the broker was told.
    fn left(&self, tag: &str, used: &Used);
}

/// A share as the broker of one membership knows it.
#[derive(Clone)]
pub(crate) struct Place {
    /// The number of the membership.
    pub(crate) of: u64,
    pub(crate) broker: Weak<dyn TellsBroker>,
    /// The broker's number of the share.
    pub(crate) share: u64,
    pub(crate) page: PageReader,
    pub(crate) incarnation: u64,
}

impl Place {
    fn tell(&self, record: ShareToBroker) {
        if let Some(broker) = self.broker.upgrade() {
            broker.tell(record);
        }
    }

    /// Whether a version is the newest one, as far as the page says.
    pub(crate) fn is_newest(&self, name: VersionName) -> bool {
        self.incarnation == name.incarnation && self.page.number() == name.number
    }
}

/// What a share is for a type that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has this type.
    Is(Type),
    /// It can become it.
    Converts(Type),
}

/// A share that this plugin uses.
pub(crate) struct Used {
    pub(crate) tag: Arc<str>,
    /// The type in which it was wanted first.
    pub(crate) what: Arc<What>,
    /// Where it is found by its tag.
    found: Weak<dyn Finds>,
    fork: ForkMark,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` where no broker knows the use (any more).
    place: Option<Place>,
    /// The newest version that is mapped here.
    newest: Option<Weak<Version>>,
    known: Option<Known>,
    /// Versions of this place's broker that were let go while they were the newest.
    owed: Vec<u64>,
    /// What has come and is not mapped yet.
    parcel: Option<(VersionFacts, OwnedFd)>,
    /// Of the plugin that has made the newest version, its memory.
    made: Option<Arc<Made>>,
}

/// A version that this plugin has made, to be given to the next broker, or to be written as JSON.
pub(crate) struct Made {
    pub(crate) facts: VersionFacts,
    pub(crate) file: OwnedFd,
    pub(crate) persistent: bool,
    pub(crate) what: Arc<What>,
}

impl Used {
    pub(crate) fn new(
        (tag, what): (&Arc<str>, &Arc<What>),
        found: Weak<dyn Finds>,
        place: Place,
    ) -> Arc<Used> {
        Arc::new(Used {
            tag: tag.clone(),
            what: what.clone(),
            found,
            fork: ForkMark::here(),
            state: Mutex::new(State {
                place: Some(place),
                ..State::default()
            }),
        })
    }

    /// As the broker knows it, if one does.
    pub(crate) fn place(&self) -> Option<Place> {
        self.state.lock().place.clone()
    }

    pub(crate) fn known(&self) -> Option<Known> {
        self.state.lock().known
    }

    pub(crate) fn learn(&self, known: Known) {
        self.state.lock().known = Some(known);
    }

    /// No broker knows this use any more: what was held stays valid.
    pub(crate) fn detach(&self) -> Option<Place> {
        let mut state = self.state.lock();
        let parcel = state.parcel.take();
        let place = state.place.take();
        drop(state);
        drop(parcel);
        place
    }

    /// The next broker knows this use: there, and with this newest version, whose memory has come along where it is not the one that
    /// is held here.
    pub(crate) fn attach(
        &self,
        (place, known): (Place, Option<Known>),
        facts: VersionFacts,
        memory: Option<OwnedFd>,
    ) {
        let of = place.of;
        let held = self.held();
        let held = held.filter(|held| held.facts.name == facts.name);
        let mut state = self.state.lock();
        state.place = Some(place);
        // It may be another share, of another type.
        state.known = known;
        state.owed.clear();
        let before = state.parcel.take();
        match (&held, memory) {
            (Some(held), _) => *held.number.lock() = (of, facts.version),
            (None, Some(memory)) => state.parcel = Some((facts, memory)),
            // It was let go meanwhile.
            (None, None) => state.owed.push(facts.version),
        }
        drop(state);
        drop((before, held));
    }

    /// The version that is mapped here, which need not be the newest one any more.
    pub(crate) fn held(&self) -> Option<Arc<Version>> {
        let newest = self.state.lock().newest.clone()?;
        newest.upgrade()
    }

    /// The newest version, where it is mapped here.
    pub(crate) fn newest(&self) -> Option<Arc<Version>> {
        let (newest, place) = {
            let state = self.state.lock();
            (state.newest.clone()?, state.place.clone()?)
        };
        // Nothing is locked: it may be the last one.
        let newest = newest.upgrade()?;
        place.is_newest(newest.facts.name).then_some(newest)
    }

    /// Takes in a version that was sent, with its map. What was owed for others is settled.
    pub(crate) fn sent(
        self: &Arc<Used>,
        facts: VersionFacts,
        of: u64,
        memory: Sealed,
    ) -> Arc<Version> {
        let known = self.state.lock().newest.as_ref().and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.facts.name == facts.name) {
            // It was sent twice.
            return known;
        }
        let mut state = self.state.lock();
        state.owed.retain(|owed| *owed != facts.version);
        let owed = std::mem::take(&mut state.owed);
        let version = Arc::new(Version {
            number: Mutex::new((of, facts.version)),
            facts,
            memory: Some(Arc::new(memory)),
            used: self.clone(),
        });
        state.newest = Some(Arc::downgrade(&version));
        let place = state.place.clone();
        let made = state
            .made
            .take_if(|made| made.facts.name != version.facts.name);
        drop(state);
        // Somebody has made a newer one.
        drop(made);
        if let Some(place) = place.filter(|place| place.of == of) {
            for version in owed {
                place.tell(ShareToBroker::Done { version });
            }
        }
        version
    }

    /// What has come and was not mapped yet.
    pub(crate) fn take_parcel(
        &self,
        is_wanted: impl FnOnce(&VersionFacts) -> bool,
    ) -> Option<(VersionFacts, OwnedFd)> {
        self.state
            .lock()
            .parcel
            .take_if(|(facts, _)| is_wanted(facts))
    }

    /// What this plugin has made of it last.
    pub(crate) fn made(&self) -> Option<Arc<Made>> {
        self.state.lock().made.clone()
    }

    pub(crate) fn set_made(&self, made: Arc<Made>) {
        let before = self.state.lock().made.replace(made);
        drop(before);
    }

    /// A version of which no guard is left, and that is not mapped any more.
    fn let_go(&self, name: VersionName, number: &Mutex<(u64, u64)>) {
        // In a forked child others may have held the locks.
        if !self.fork.is_here() {
            return;
        }
        let (of, version) = *number.lock();
        let place = {
            let mut state = self.state.lock();
            match &state.place {
                Some(place) if place.of == of && place.is_newest(name) => {
                    // It may be asked for again.
                    state.owed.push(version);
                    None
                }
                place => place.clone().filter(|place| place.of == of),
            }
        };
        if let Some(place) = place {
            place.tell(ShareToBroker::Done { version });
        }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        if !self.fork.is_here() {
            return;
        }
        let state = std::mem::take(self.state.get_mut());
        let place = state.place.clone();
        // The broker is told that nothing is mapped or kept.
        drop(state);
        if let Some(place) = place {
            place.tell(ShareToBroker::Relinquish { share: place.share });
        }
        // Only now may it be wanted again: the broker is to hear of the end first.
        if let Some(found) = self.found.upgrade() {
            found.left(&self.tag, self);
        }
    }
}

/// A version that was sent, mapped.
pub(crate) struct Version {
    pub(crate) facts: VersionFacts,
    /// The membership of whose broker this is the number.
    number: Mutex<(u64, u64)>,
    /// There until it is dropped.
    memory: Option<Arc<Sealed>>,
    pub(crate) used: Arc<Used>,
}

impl Version {
    /// Its memory.
    pub(crate) fn memory(&self) -> Option<&Arc<Sealed>> {
        self.memory.as_ref()
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        drop(self.memory.take());
        self.used.let_go(self.facts.name, &self.number);
    }
}
