//! A share as this plugin uses it, and the versions of it that the broker has sent.
//!
//! The broker counts the plugin as one user of a share, however many guards, publishers and followers it has. A
//! [`Used`] is that use: when its last reference in the plugin is dropped, the broker is told (`Relinquish`). A
//! [`Version`] is one memory that was sent: when its last guard is dropped and it is not the newest version, the
//! broker is told that this plugin uses it no more (`Done`). Nothing here waits for the broker, and no lock is held
//! while it is told.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use callgate_layout::control::{ShareToBroker, VersionFacts, VersionName};
use callgate_layout::shares::page::PageReader;
use callgate_layout::shares::sealed::Sealed;
use callgate_layout::sys::fork::ForkMark;
use parking_lot::Mutex;

use super::made::{Type, What};

/// Sends the broker a record about shares, without waiting.
pub(crate) trait TellsBroker: Send + Sync {
    fn tell(&self, record: ShareToBroker);
}

/// The table in which uses are found by tag.
pub(crate) trait Finds: Send + Sync {
    /// Removes a use that has ended. The broker was told before.
    fn left(&self, tag: &str, used: &Used);
}

/// A share as the broker of one membership knows it.
#[derive(Clone)]
pub(crate) struct Place {
    /// The number of the membership.
    pub(crate) of: u64,
    pub(crate) broker: Weak<dyn TellsBroker>,
    /// The broker's number for the share.
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

    /// Whether a version is the newest one, according to the page.
    pub(crate) fn is_newest(&self, name: VersionName) -> bool {
        self.incarnation == name.incarnation && self.page.number() == name.number
    }
}

/// How the share's type relates to the type that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The share has this type, which is the wanted one.
    Is(Type),
    /// The share has this type, from which the wanted one can be converted.
    Converts(Type),
}

/// A share that this plugin uses.
pub(crate) struct Used {
    pub(crate) tag: Arc<str>,
    /// The type in which the plugin first wanted it.
    pub(crate) what: Arc<What>,
    /// The table in which it is found by its tag.
    found: Weak<dyn Finds>,
    fork: ForkMark,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `None` while no broker knows the use.
    place: Option<Place>,
    /// The newest version that is mapped in this process.
    newest: Option<Weak<Version>>,
    known: Option<Known>,
    /// Versions that the plugin let go while they were the newest, with their numbers at this place's broker. The
    /// broker is told (`Done`) once there is a newer one.
    owed: Vec<(VersionName, u64)>,
    /// A version that the broker has sent and that is not mapped yet.
    parcel: Option<(VersionFacts, OwnedFd)>,
    /// The newest version's memory, if this plugin has made it.
    made: Option<Arc<Made>>,
}

/// A version that this plugin has made. It keeps it to give it to the next broker, or to write it as JSON.
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

    /// The share as the current broker knows it; `None` if none does.
    pub(crate) fn place(&self) -> Option<Place> {
        self.state.lock().place.clone()
    }

    pub(crate) fn known(&self) -> Option<Known> {
        self.state.lock().known
    }

    pub(crate) fn learn(&self, known: Known) {
        self.state.lock().known = Some(known);
    }

    /// Forgets the broker, which does not know this use any more. What guards hold stays valid. Returns the old
    /// place.
    pub(crate) fn detach(&self) -> Option<Place> {
        let mut state = self.state.lock();
        let parcel = state.parcel.take();
        let place = state.place.take();
        drop(state);
        drop(parcel);
        place
    }

    /// Notes that the next broker knows this use, with `facts` as the newest version. The broker has sent `memory`
    /// unless that version is the one that is mapped here.
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
        // It may be another share under the same tag, with another type.
        state.known = known;
        state.owed.clear();
        let before = state.parcel.take();
        match (&held, memory) {
            (Some(held), _) => *held.number.lock() = (of, facts.version),
            (None, Some(memory)) => state.parcel = Some((facts, memory)),
            // The plugin said that it had this version, and has let it go since.
            (None, None) => state.owed.push((facts.name, facts.version)),
        }
        drop(state);
        drop((before, held));
    }

    /// The newest version that is mapped here, which may be superseded by now.
    pub(crate) fn held(&self) -> Option<Arc<Version>> {
        let newest = self.state.lock().newest.clone()?;
        newest.upgrade()
    }

    /// The newest version of the share, if it is mapped here.
    pub(crate) fn newest(&self) -> Option<Arc<Version>> {
        let (newest, place) = {
            let state = self.state.lock();
            (state.newest.clone()?, state.place.clone()?)
        };
        // No lock is held: this may be the last reference, whose drop takes the lock.
        let newest = newest.upgrade()?;
        place.is_newest(newest.facts.name).then_some(newest)
    }

    /// Adds a version that the broker has sent, with its mapping. Tells the broker about owed versions.
    pub(crate) fn sent(
        self: &Arc<Used>,
        facts: VersionFacts,
        of: u64,
        memory: Sealed,
    ) -> Arc<Version> {
        let known = self.state.lock().newest.as_ref().and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.facts.name == facts.name) {
            // The broker has sent it twice.
            return known;
        }
        let mut state = self.state.lock();
        state.owed.retain(|(_, owed)| *owed != facts.version);
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
        // Another plugin has made a newer version.
        drop(made);
        if let Some(place) = place.filter(|place| place.of == of) {
            for (_, version) in owed {
                place.tell(ShareToBroker::Done { version });
            }
        }
        version
    }

    /// Tells the broker (`Done`) about superseded versions that the plugin let go while they were the newest, and
    /// about a superseded one that was sent and never mapped. Otherwise they stay charged to this plugin.
    pub(crate) fn settle(&self) {
        let mut state = self.state.lock();
        let Some(place) = state.place.clone() else {
            return;
        };
        let is_old = |name: VersionName| !place.is_newest(name);
        let parcel = state.parcel.take_if(|(facts, _)| is_old(facts.name));
        let owed = state.owed.extract_if(.., |(name, _)| is_old(*name));
        let mut versions: Vec<u64> = owed.map(|(_, version)| version).collect();
        drop(state);
        versions.extend(parcel.map(|(facts, _)| facts.version));
        for version in versions {
            place.tell(ShareToBroker::Done { version });
        }
    }

    /// Takes the version that was sent and is not mapped yet, if `is_wanted` accepts it.
    pub(crate) fn take_parcel(
        &self,
        is_wanted: impl FnOnce(&VersionFacts) -> bool,
    ) -> Option<(VersionFacts, OwnedFd)> {
        self.state
            .lock()
            .parcel
            .take_if(|(facts, _)| is_wanted(facts))
    }

    /// The version that this plugin has made last, if it is still the newest.
    pub(crate) fn made(&self) -> Option<Arc<Made>> {
        self.state.lock().made.clone()
    }

    pub(crate) fn set_made(&self, made: Arc<Made>) {
        let before = self.state.lock().made.replace(made);
        drop(before);
    }

    /// Called when a version's last guard is gone and its memory unmapped. Tells the broker, unless it is the
    /// newest version.
    fn let_go(&self, name: VersionName, number: &Mutex<(u64, u64)>) {
        // In a forked child the locks may be held by threads that do not exist there.
        if !self.fork.is_here() {
            return;
        }
        let (of, version) = *number.lock();
        let place = {
            let mut state = self.state.lock();
            match &state.place {
                Some(place) if place.of == of && place.is_newest(name) => {
                    // The plugin may ask for it again, so the broker is told only when there is a newer one.
                    state.owed.push((name, version));
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
        // First drops what is mapped or kept: `Relinquish` tells the broker that nothing is.
        drop(state);
        if let Some(place) = place {
            place.tell(ShareToBroker::Relinquish { share: place.share });
        }
        // Only now may the tag be asked for again: the broker has to read of the end first.
        if let Some(found) = self.found.upgrade() {
            found.left(&self.tag, self);
        }
    }
}

/// A version that the broker has sent, mapped.
pub(crate) struct Version {
    pub(crate) facts: VersionFacts,
    /// The membership, and the version's number at that membership's broker.
    number: Mutex<(u64, u64)>,
    /// `Some` until it is dropped.
    memory: Option<Arc<Sealed>>,
    pub(crate) used: Arc<Used>,
}

impl Version {
    /// The mapped memory.
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
