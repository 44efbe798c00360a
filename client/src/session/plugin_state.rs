//! What a plugin is beyond its memberships: what it provides, has opened and has sent. It outlives brokers.

mod asking;
mod cells;
mod offering;
mod providing;
mod returning;
pub(crate) mod sharing;
mod subscribing;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use callgate_layout::control::{GateToBroker, ToBroker, WaitToBroker};
use callgate_layout::envelope::CallKind;
use callgate_layout::payload::TrustPeers;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::{Code, Encodings};
use parking_lot::Mutex;

use super::cells::OpenCells;
use super::connection::{Answer, REQUEST_TIMEOUT, Returned};
use super::events::feeds::Subscriptions;
use super::events::sources::Offers;
use super::membership::{Membership, MembershipParts};
use super::notices::Notices;
use super::numbers::MembershipId;
use super::open_gate::OpenGate;
use super::open_gates::OpenGates;
use super::presence::{self, Presence, Wait};
use crate::base::backoff::WaitPolicy;
use crate::base::deadline::answer_due;
use crate::base::error::{Error, Result, forked};
use crate::call::sent::Sender;
use crate::link::Link;
use crate::serve::dispatch::Dispatch;
use crate::serve::provided::{Offer, ProvidedGates};
use crate::serve::waits::{ReportedWaits, Reporter};
use crate::shares::table::Table;

pub(crate) use returning::is_final;

/// What all handles of a plugin share.
pub(crate) struct PluginState {
    pub(crate) policy: WaitPolicy,
    pub(crate) trust: Option<TrustPeers>,
    /// How long an extent, or a buffer for large payloads, may lie idle.
    pub(crate) keep_idle: Duration,
    /// How its typed calls may be written, in both directions.
    pub(crate) encodings: Encodings,
    pub(crate) provided: Arc<ProvidedGates>,
    /// Calls that no thread waits for.
    pub(crate) sent: Sender,
    /// Whether there is a broker.
    pub(crate) presence: Presence,
    /// What the program is told of it.
    pub(crate) notices: Notices,
    waits: ReportedWaits,
    gates: Arc<OpenGates>,
    /// The topics on which it sends.
    offers: Offers,
    /// What it has asked to hear.
    pub(crate) subscriptions: Subscriptions,
    /// The cells that it has open.
    cells: OpenCells,
    /// What it uses of shares.
    pub(crate) shares: Arc<Table>,
    current: ArcSwap<Membership>,
    /// Those before it whose links are still used.
    older: Mutex<Vec<Arc<Membership>>>,
    /// Held while a record is sent that says of a gate what must be said once, or must come after another.
    saying: Mutex<()>,
    /// Held while a long schema goes to the broker, until it was taken.
    uploading: Mutex<()>,
    /// Has the plugin come back when its broker has ended; unless that is for good.
    comes_back: OnceLock<ComesBack>,
    fork: ForkMark,
}

/// Begins to look for the next broker.
pub(crate) type ComesBack = Box<dyn Fn() + Send + Sync>;

/// What [`PluginState::new`] takes.
pub(crate) struct PluginParts {
    pub(crate) policy: WaitPolicy,
    pub(crate) trust: Option<TrustPeers>,
    pub(crate) keep_idle: Duration,
    pub(crate) encodings: Encodings,
    pub(crate) sent: Sender,
    pub(crate) dispatch: Dispatch,
    pub(crate) membership: MembershipParts,
}

impl PluginState {
    pub(crate) fn new(parts: PluginParts) -> PluginState {
        let provided = Arc::new(ProvidedGates::new(parts.dispatch, parts.membership.owner()));
        let gates = Arc::new(OpenGates::new());
        let membership = Membership::new(parts.membership, (&provided, &gates));
        let subscriptions = Subscriptions::new();
        subscriptions.feeds.set_tell(membership.tell_of_feeds());
        PluginState {
            policy: parts.policy,
            trust: parts.trust,
            keep_idle: parts.keep_idle,
            encodings: parts.encodings,
            sent: parts.sent,
            provided,
            presence: Presence::default(),
            notices: Notices::default(),
            waits: ReportedWaits::default(),
            gates,
            offers: Offers::default(),
            subscriptions,
            cells: OpenCells::new(),
            shares: Arc::default(),
            current: ArcSwap::from_pointee(membership),
            older: Mutex::default(),
            saying: Mutex::new(()),
            uploading: Mutex::new(()),
            comes_back: OnceLock::new(),
            fork: ForkMark::here(),
        }
    }

    /// From here on the end of a broker is not the end of the plugin's session.
    pub(crate) fn set_comes_back(&self, comes_back: ComesBack) {
        // It is said once.
        let _ = self.comes_back.set(comes_back);
    }

    /// What the plugin is on its bus now, or was on the last one.
    pub(crate) fn membership(&self) -> Arc<Membership> {
        self.current.load_full()
    }

    /// The same where there is a broker, which is waited for until then.
    pub(crate) fn await_membership(&self, until: Instant) -> Result<Arc<Membership>> {
        self.check_here()?;
        let membership = self.membership();
        if membership.connection.is_control_thread() {
            return Ok(membership);
        }
        self.see_that_it_comes_back();
        match self.presence.await_back(presence::nanos(until), None) {
            Wait::None(error) => Err(error),
            Wait::Back | Wait::Cancelled => Ok(self.membership()),
        }
    }

    /// Where there is no broker, has somebody look for the next one: there may have been no thread for that when the last
    /// one was lost.
    fn see_that_it_comes_back(&self) {
        if self.presence.is_away()
            && let Some(comes_back) = self.comes_back.get()
        {
            comes_back();
        }
    }

    /// Sends a request and waits for its answer. Where the broker ends meanwhile, the next one is asked.
    pub(crate) fn request_until(&self, until: Instant, make: impl Fn(u32) -> ToBroker) -> Answer {
        loop {
            let membership = self.await_membership(until)?;
            let answer = membership.connection.request_until(until, &make);
            if !self.has_ended(&membership, answer.as_ref().err(), until) {
                return answer;
            }
        }
    }

    /// Whether something has failed because its broker has ended, so that the next one is to be asked.
    pub(crate) fn has_ended(
        &self,
        membership: &Membership,
        error: Option<&Error>,
        until: Instant,
    ) -> bool {
        let Some(error) = error else {
            return false;
        };
        if error.code() == Code::BrokerGone {
            membership.connection.await_end(until);
        }
        // The presence has changed before the connection was over.
        membership.connection.check_alive().is_err() && !self.is_over()
    }

    /// As [`PluginState::request_until`], in the time that all requests have.
    pub(crate) fn request(&self, make: impl Fn(u32) -> ToBroker) -> Answer {
        self.request_until(answer_due(REQUEST_TIMEOUT), make)
    }

    /// Whether there will be no broker any more.
    pub(crate) fn is_over(&self) -> bool {
        self.presence.over().is_some()
    }

    /// Takes in a gate that is about to be opened; gives back its number.
    pub(crate) fn add_open_gate(&self, gate: &Arc<OpenGate>) -> u32 {
        self.gates.add(gate)
    }

    pub(crate) fn open_gate(&self, number: u32) -> Option<Arc<OpenGate>> {
        self.gates.get(number)
    }

    /// Asks the broker how an open gate stands, and to be told of every change; and each one after it.
    pub(crate) fn open(&self, number: u32, until: Instant) -> Result<()> {
        loop {
            let membership = self.await_membership(until)?;
            let sent = self.open_on(&membership, number);
            if !self.has_ended(&membership, sent.as_ref().err(), until) {
                return sent;
            }
        }
    }

    /// The same of one broker, unless it was asked.
    fn open_on(&self, membership: &Membership, number: u32) -> Result<()> {
        self.say(membership, || {
            let Some(open) = self.gates.to_open(membership.id, number) else {
                return Ok(true);
            };
            let sent = membership.send_if_room(&open.into())?;
            if sent {
                self.gates.opened(membership.id, number);
            }
            Ok(sent)
        })
    }

    /// Says something of a gate that is said once, or must come before something else; `say` is false where the
    /// broker's socket has no room for it, and is tried again when it has.
    fn say(&self, membership: &Membership, say: impl Fn() -> Result<bool>) -> Result<()> {
        self.check_here()?;
        let until = answer_due(REQUEST_TIMEOUT);
        loop {
            let alone = self.saying.lock();
            if say()? {
                return Ok(());
            }
            // Handles that are dropped meanwhile do not wait for the broker.
            drop(alone);
            membership.connection.await_room(until)?;
        }
    }

    /// Withdraws one half of a gate that is not provided here any more, and waits until the broker has heard of it,
    /// until then at most.
    pub(crate) fn withdraw(&self, gate: &str, kind: CallKind, until: Instant) {
        // Who comes back at this moment has provided it before this, or finds it gone.
        drop(self.saying.lock());
        let membership = self.membership();
        let connection = &membership.connection;
        connection.forget_returns(|returned| match returned {
            Returned::Gate(offer) => &*offer.gate == gate && offer.kind == kind,
            Returned::Topic(_) | Returned::Cell | Returned::Why(_) => false,
        });
        connection.tell(until, |request| {
            let gate = gate.to_owned();
            let withdraw = GateToBroker::Withdraw {
                request,
                gate,
                kind,
            };
            withdraw.into()
        });
    }

    /// A broker has agreed that a gate is provided; false where that is not the one that there is now, which
    /// has to be asked as well.
    pub(crate) fn offered(&self, offer: &Offer, life: u64, by: MembershipId) -> bool {
        let _alone = self.saying.lock();
        let is_current = self.membership().id == by;
        if is_current {
            self.provided.offered(offer, life);
        }
        is_current
    }

    /// Closes an open gate, here and at the broker.
    pub(crate) fn close_gate(&self, number: u32) {
        let opened_by = {
            let _alone = self.saying.lock();
            self.gates.remove(number)
        };
        let membership = self.membership();
        if opened_by == Some(membership.id) && membership.connection.check_alive().is_ok() {
            // A broker that is gone has forgotten it anyway.
            let _ = membership.send(&GateToBroker::Close { open: number }.into());
        }
    }

    /// Memberships before the current one whose links are still used.
    fn older_memberships(&self) -> Vec<Arc<Membership>> {
        self.older.lock().clone()
    }

    /// The membership to which a link belongs, as long as it has not ended.
    fn membership_of(&self, link: &Link) -> Option<Arc<Membership>> {
        let older = self.older.lock().clone();
        let mut all = older.into_iter().chain([self.membership()]);
        all.find(|membership| membership.has_link(link))
    }

    /// A link's peer takes no more calls: gates are called over it no more. Those that it has taken are waited for.
    /// Where there is no broker, or another one, the peer may only have left the old one: it is awaited.
    pub(crate) fn close_link(&self, link: &Link) {
        let Some(membership) = self.membership_of(link) else {
            return;
        };
        let is_current = membership.id == self.membership().id;
        let is_awaited = !is_current || self.presence.is_away();
        let Some(link) = membership.link(link.end()) else {
            return;
        };
        for (_, gate) in self.gates.all() {
            match is_awaited {
                true => gate.go_without(&link),
                false => gate.lose(&link, membership.id),
            }
        }
    }

    /// Ends a link; see [`Membership::end_link`].
    pub(crate) fn end_link(&self, link: &Link, reason: &Error) {
        if let Some(membership) = self.membership_of(link) {
            membership.end_link(link.end(), reason);
        }
    }

    /// Ends a link whose peer broke the protocol, unless it has ended before.
    pub(crate) fn break_link(&self, link: &Link, error: &Error) {
        if let Some(membership) = self.membership_of(link) {
            membership.break_link(link.end(), error);
        }
    }

    /// Whether this is still the process that connected, and not a forked child of it.
    pub(crate) fn is_here(&self) -> bool {
        self.fork.is_here()
    }

    /// An error in a forked child, whose parent the plugin belongs to.
    pub(crate) fn check_here(&self) -> Result<()> {
        if self.is_here() {
            Ok(())
        } else {
            Err(forked())
        }
    }

    /// Ends the connections and links of all memberships, because the plugin closes.
    pub(crate) fn close<'a>(&self, memberships: impl Iterator<Item = &'a Membership> + Clone) {
        let reason = Error::new(Code::Closed, "this plugin has closed");
        self.over(&reason);
        for (_, gate) in self.gates.all() {
            gate.close(&reason);
        }
        for offered in self.offers.all() {
            offered.end(&reason);
        }
        self.subscriptions.close(&reason);
        self.end_cells(&reason);
        self.shares.clear();
        drop(std::mem::take(&mut *self.older.lock()));
        for membership in memberships.clone() {
            membership.ended(&reason);
            membership.end_links(&reason);
        }
        self.sent.close();
        // Last: peers that hear of it from the broker answer otherwise.
        for membership in memberships {
            membership.connection.shut_down();
        }
        // What the program does there may need the control thread.
        let is_control_thread = self.membership().connection.is_control_thread();
        self.notices.close(!is_control_thread);
    }
}

impl Reporter for PluginState {
    fn bus(&self) -> u64 {
        self.membership().bus
    }

    fn waits(&self) -> &ReportedWaits {
        &self.waits
    }

    fn tell(&self, record: WaitToBroker) -> Result<()> {
        self.check_here()?;
        if self.presence.is_away() {
            return Err(Error::new(Code::NotReady, "there is no broker now"));
        }
        self.presence.check()?;
        self.membership().connection.try_send(&record.into())
    }
}
