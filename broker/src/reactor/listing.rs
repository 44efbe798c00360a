//! Listings: who asks for one, and when it is made.
//!
//! The broker's thread only takes a [`Snapshot`]; a helper thread reads the counters and writes the document. One listing is made at a
//! time, for all who had asked when it began, and the broker's thread spends at most a tenth of its time on them, however many ask.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, SessionToPlugin};
use callgate_layout::sys::memfd;
use crossbeam_channel::Sender;

use super::commands::Outcome;
use super::failures::no_memory;
use super::snapshot::Snapshot;
use super::{Reactor, Timer};
use crate::helper::Helper;
use crate::id::PluginId;
use crate::listing::Listing;
use crate::quota::Charge;

/// The shortest time from one listing to the next.
const LEAST_PAUSE: Duration = Duration::from_millis(5);
/// The time from one listing to the next is so many times what the snapshot took.
const PAUSES: u32 = 10;
/// The longest time from one listing to the next.
const MOST_PAUSE: Duration = Duration::from_secs(1);

/// Who has asked for a listing.
#[derive(Debug)]
enum Asker {
    /// A plugin, with the number of its request. The charge ends when it has taken the listing.
    Plugin(PluginId, u32, Charge),
    /// The broker's handle.
    Handle(Sender<Listing>),
}

/// What a helper has made of a snapshot: a listing for handles, and a file for plugins.
#[derive(Debug)]
struct Made {
    listing: Listing,
    file: Option<io::Result<Arc<OwnedFd>>>,
}

/// Those who wait for a listing, and the thread that makes it.
#[derive(Debug, Default)]
pub(super) struct Listings {
    /// Started with the first listing; `None` before that, and if no thread could be started.
    helper: Option<Helper<Outcome>>,
    waiting: Vec<Asker>,
    is_being_made: bool,
    /// The next listing is not begun before this.
    not_before: Option<Instant>,
}

impl Reactor {
    /// A plugin asks for a listing.
    pub(super) fn list(&mut self, to: PluginId, request: u32, now: Instant) {
        let Some(session) = self.sessions.get(&to) else {
            return;
        };
        // Limited, because a listing can be large and lives until the plugin takes it.
        let Some(charge) = session.listings.charge() else {
            let message = "an earlier listing was not taken yet; ask again when it was";
            let failure = Some(Failure::new(Code::Overloaded, message));
            let record = SessionToPlugin::Answer { request, failure };
            return self.send(to, record, Vec::new(), now);
        };
        let asker = Asker::Plugin(to, request, charge);
        self.listings.waiting.push(asker);
        self.begin_listing(now);
    }

    /// The broker's handle asks for a listing.
    pub(super) fn list_for_handle(&mut self, reply: Sender<Listing>, now: Instant) {
        self.listings.waiting.push(Asker::Handle(reply));
        self.begin_listing(now);
    }

    /// Begins a listing, if anybody waits for one and the pause is over.
    pub(super) fn begin_listing(&mut self, now: Instant) {
        let listings = &mut self.listings;
        if listings.is_being_made || listings.waiting.is_empty() {
            return;
        }
        if let Some(then) = listings.not_before.filter(|then| *then > now) {
            return self.timers.set(Timer::Listing, Some(then));
        }
        let begun = Instant::now();
        let snapshot = self.snapshot();
        let pause = begun.elapsed().saturating_mul(PAUSES);
        let listings = &mut self.listings;
        listings.not_before = Some(begun + pause.clamp(LEAST_PAUSE, MOST_PAUSE));
        listings.is_being_made = true;
        let askers = std::mem::take(&mut listings.waiting);
        let job = move || {
            let made = make(snapshot, &askers);
            Outcome::new(move |reactor, now| reactor.hand_out(askers, made, now))
        };
        if listings.helper.is_none() {
            listings.helper = self.way_back.helper("callgate-listing").ok();
        }
        match &listings.helper {
            Some(helper) => helper.run(job),
            // Without a helper thread, the broker's thread makes it.
            None => job().run(self, now),
        }
    }

    /// Gives a listing to all for whom it was made.
    fn hand_out(&mut self, askers: Vec<Asker>, made: Made, now: Instant) {
        self.listings.is_being_made = false;
        for asker in askers {
            match asker {
                Asker::Plugin(to, request, charge) => {
                    self.hand_file_out((to, request, charge), made.file.as_ref(), now);
                }
                Asker::Handle(reply) => {
                    // Sending fails if the asker has stopped waiting.
                    let _ = reply.send(made.listing.clone());
                }
            }
        }
        self.begin_listing(now);
    }

    fn hand_file_out(
        &mut self,
        (to, request, charge): (PluginId, u32, Charge),
        file: Option<&io::Result<Arc<OwnedFd>>>,
        now: Instant,
    ) {
        let failure = match file {
            Some(Ok(file)) => {
                // The file is sealed, so all can have the same one.
                let descriptors = (vec![file.clone()], Some(charge));
                let record = SessionToPlugin::Listing { request }.into();
                return self.send_charged(to, &record, descriptors, now);
            }
            Some(Err(error)) => Some(no_memory("a listing", error)),
            None => None,
        };
        let record = SessionToPlugin::Answer { request, failure };
        self.send(to, record, Vec::new(), now);
    }
}

/// Makes what the askers need of a snapshot.
fn make(snapshot: Snapshot, askers: &[Asker]) -> Made {
    let listing = snapshot.listing();
    let is_plugin = |asker: &Asker| matches!(asker, Asker::Plugin(..));
    let file = askers.iter().any(is_plugin).then(|| {
        let bytes = serde_json::to_vec(&listing).map_err(io::Error::from);
        let file = bytes.and_then(|bytes| memfd::sealed("callgate-listing", &bytes));
        file.map(Arc::new)
    });
    Made { listing, file }
}
