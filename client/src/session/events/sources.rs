//! The topics on which a plugin sends: the records about them, and what the broker of one membership knows of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{SchemaSource, SourceToBroker};
use parking_lot::{Condvar, Mutex};

use crate::base::error::{Error, Result};
use crate::events::peers::Peers;
use crate::events::source::Source;
use crate::link::own_memory::OwnMemory;
use crate::link::together;
use crate::serve::offered::Types;
use crate::session::numbers::MembershipId;

/// A topic that a plugin offers.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) source: Arc<Source>,
    pub(crate) types: Types,
    /// Whether other plugins may send on it as well.
    pub(crate) open: bool,
    standing: Mutex<Standing>,
    /// The outcome of the first ring that the broker has asked for.
    first_ring: Mutex<Option<Result<()>>>,
    /// Notified when that outcome is known.
    settled: Condvar,
}

/// The current broker's answer to an offer.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// The broker has not answered yet.
    Asked,
    Offered,
    /// Another plugin has the topic.
    InLine {
        owner: String,
    },
    /// This plugin does not send on it any more.
    Ended(Error),
}

impl Offered {
    pub(crate) fn new(source: Source, types: Types, open: bool) -> Offered {
        Offered {
            source: Arc::new(source),
            types,
            open,
            standing: Mutex::new(Standing::Asked),
            first_ring: Mutex::new(None),
            settled: Condvar::new(),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.lock().clone()
    }

    /// Notes the broker's answer. Returns the one before.
    pub(crate) fn stands(&self, now: Standing) -> Standing {
        std::mem::replace(&mut *self.standing.lock(), now)
    }

    /// Notes that the next broker is asked. A topic that another plugin had may still be that plugin's.
    pub(crate) fn asked_again(&self) {
        let mut standing = self.standing.lock();
        if !matches!(*standing, Standing::InLine { .. }) {
            *standing = Standing::Asked;
        }
    }

    /// Notes that a ring was made, or cannot be made.
    pub(crate) fn ring_settled(&self, made: &Result<()>) {
        self.first_ring.lock().get_or_insert_with(|| made.clone());
        self.settled.notify_all();
    }

    /// If the source keeps a history, waits until it has memory for it, so that later listeners get what is sent
    /// from here on. The broker asks for that ring before it answers the offer.
    ///
    /// # Errors
    ///
    /// The reason why there is no ring; `TIMEOUT`.
    pub(crate) fn await_history(&self, until: Instant) -> Result<()> {
        if self.source.settings().history == 0 {
            return Ok(());
        }
        together::ring_before_wait();
        let mut made = self.first_ring.lock();
        loop {
            if let Some(made) = &*made {
                return made.clone();
            }
            if self.settled.wait_until(&mut made, until).timed_out() {
                let text = "the memory for the topic's history was not there in time";
                return Err(Error::new(Code::Timeout, text));
            }
        }
    }

    /// Ends the source: sending on it fails with this error from now on.
    pub(crate) fn end(&self, reason: &Error) {
        self.source.end(reason);
        self.stands(Standing::Ended(reason.clone()));
    }

    /// Gives the source a place in a membership. Returns the index of its topic word there.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` if all topic words are taken.
    pub(crate) fn place(&self, (of, memory): (MembershipId, &OwnMemory)) -> Result<u16> {
        let word = memory.topics.take().ok_or_else(|| {
            let text = "the plugin, or its group, sends on as many topics as a doorbell page has words for: drop some, or use another group";
            Error::new(Code::Overloaded, text)
        })?;
        let index = word.index();
        self.source.place(of.number(), word);
        Ok(index)
    }

    /// The record that offers the source.
    pub(crate) fn record(
        &self,
        (request, word): (u32, u16),
        (schema, returning): (SchemaSource, bool),
    ) -> SourceToBroker {
        let (shape, settings) = (&self.types.shape, self.source.settings());
        SourceToBroker::Offer {
            request,
            topic: self.source.name().to_string(),
            open: self.open,
            schema,
            signature: shape.signature.clone(),
            encodings: shape.encodings,
            capacity: settings.capacity,
            history: settings.history,
            word,
            incarnation: self.source.incarnation(),
            returning,
        }
    }
}

/// The topics that brokers have registered for this plugin. They outlive brokers: each new one is told of all of
/// them.
#[derive(Debug, Default)]
pub(crate) struct Offers(Mutex<Vec<Arc<Offered>>>);

impl Offers {
    pub(crate) fn add(&self, offered: &Arc<Offered>) {
        self.0.lock().push(offered.clone());
    }

    /// Removes a topic. Returns whether it was here.
    pub(crate) fn remove(&self, offered: &Arc<Offered>) -> bool {
        let mut all = self.0.lock();
        let before = all.len();
        all.retain(|other| !Arc::ptr_eq(other, offered));
        all.len() < before
    }

    pub(crate) fn has(&self, offered: &Arc<Offered>) -> bool {
        self.0
            .lock()
            .iter()
            .any(|other| Arc::ptr_eq(other, offered))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Offered>> {
        self.0.lock().clone()
    }
}

/// The sources of a plugin that the broker of one membership was told of.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    known: Mutex<Known>,
    pub(crate) peers: Peers,
}

#[derive(Debug, Default)]
struct Known {
    /// The sources, by the numbers of the requests that offered them.
    offers: HashMap<u32, Arc<Offered>>,
    /// The numbers of these requests, by the broker's numbers for the sources.
    sources: HashMap<u64, u32>,
    /// The sources, by the broker's numbers for their rings.
    rings: HashMap<u64, Arc<Offered>>,
}

impl Placed {
    /// Notes that a source is about to be offered by this request.
    pub(crate) fn offering(&self, request: u32, offered: &Arc<Offered>) {
        self.known.lock().offers.insert(request, offered.clone());
    }

    /// The source that was offered by a request.
    pub(crate) fn offer(&self, request: u32) -> Option<Arc<Offered>> {
        self.known.lock().offers.get(&request).cloned()
    }

    /// Notes that the broker has registered a source, and its number for it.
    pub(crate) fn offered(&self, request: u32, source: u64) {
        let mut known = self.known.lock();
        if known.offers.contains_key(&request) {
            known.sources.insert(source, request);
        }
    }

    /// The source with this number, which the broker has ended.
    pub(crate) fn closed(&self, source: u64) -> Option<Arc<Offered>> {
        let known = self.known.lock();
        let request = known.sources.get(&source)?;
        known.offers.get(request).cloned()
    }

    /// Notes a ring for the source that was offered by this request, and returns the source.
    pub(crate) fn add_ring(&self, request: u32, ring: u64) -> Option<Arc<Offered>> {
        let mut known = self.known.lock();
        let offered = known.offers.get(&request)?.clone();
        known.rings.insert(ring, offered.clone());
        Some(offered)
    }

    /// The source of a ring.
    pub(crate) fn ring(&self, ring: u64) -> Option<Arc<Offered>> {
        self.known.lock().rings.get(&ring).cloned()
    }

    pub(crate) fn remove_ring(&self, ring: u64) -> Option<Arc<Offered>> {
        self.known.lock().rings.remove(&ring)
    }

    /// Removes a source that has ended.
    pub(crate) fn remove(&self, offered: &Arc<Offered>) {
        let mut known = self.known.lock();
        let is_other = |other: &Arc<Offered>| !Arc::ptr_eq(other, offered);
        known.offers.retain(|_, other| is_other(other));
        known.rings.retain(|_, other| is_other(other));
        let Known {
            offers, sources, ..
        } = &mut *known;
        sources.retain(|_, request| offers.contains_key(request));
    }

    /// Whether any plugin listens to one of them.
    pub(crate) fn are_heard(&self, of: MembershipId) -> bool {
        let mut all = self.all().into_iter();
        all.any(|offered| offered.source.is_heard(of.number()))
    }

    /// All sources that the broker was told of.
    pub(crate) fn all(&self) -> Vec<Arc<Offered>> {
        self.known.lock().offers.values().cloned().collect()
    }
}
