//! What a plugin has beyond its memberships: what it provides, has opened and has sent. It outlives brokers.

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

/// The state that all handles of a plugin share.
pub(crate) struct PluginState {
    pub(crate) policy: WaitPolicy,
    pub(crate) trust: Option<TrustPeers>,
    /// How long an extent, or a buffer for large payloads, may be idle before it is given back.
    pub(crate) keep_idle: Duration,
    /// The encodings of its typed calls, in both directions.
    pub(crate) encodings: Encodings,
    pub(crate) provided: Arc<ProvidedGates>,
    /// Calls that no thread waits for.
    pub(crate) sent: Sender,
    /// Whether there is a broker.
    pub(crate) presence: Presence,
    /// The notices to the program about its broker.
    pub(crate) notices: Notices,
    waits: ReportedWaits,
    gates: Arc<OpenGates>,
    /// The topics that it offers.
    offers: Offers,
    /// Its subscriptions.
    pub(crate) subscriptions: Subscriptions,
    /// The cells that it has open.
    cells: OpenCells,
    /// The shares that it uses.
    pub(crate) shares: Arc<Table>,
    current: ArcSwap<Membership>,
    /// Older memberships whose links are still used.
    older: Mutex<Vec<Arc<Membership>>>,
    /// Locked while a record is sent that must be sent once, or must come after another.
    saying: Mutex<()>,
    /// Locked while a long schema is uploaded, until the broker has used it.
    uploading: Mutex<()>,
    /// Has the plugin connect to the next broker when one has ended; not set if it does not outlive its broker.
    comes_back: OnceLock<ComesBack>,
    fork: ForkMark,
}

/// Begins to look for the next broker.
pub(crate) type ComesBack = Box<dyn Fn() + Send + Sync>;

/// Arguments of [`PluginState::new`].
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

    /// From here on the plugin's session goes on when its broker ends.
    pub(crate) fn set_comes_back(&self, comes_back: ComesBack) {
        // Called once.
        let _ = self.comes_back.set(comes_back);
    }

    /// The current membership, or the last one if there is no broker.
    pub(crate) fn membership(&self) -> Arc<Membership> {
        self.current.load_full()
    }

    /// As [`PluginState::membership`], but waits until there is a broker; fails at the deadline.
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

    /// If there is no broker, starts the thread that looks for the next one: that may have failed when the last one was
    /// lost.
    fn see_that_it_comes_back(&self) {
        if self.presence.is_away()
            && let Some(comes_back) = self.comes_back.get()
        {
            comes_back();
        }
    }

    /// Sends a request and waits for its answer. If the broker ends meanwhile, asks the next one.
    pub(crate) fn request_until(&self, until: Instant, make: impl Fn(u32) -> ToBroker) -> Answer {
        loop {
            let membership = self.await_membership(until)?;
            let answer = membership.connection.request_until(until, &make);
            if !self.has_ended(&membership, answer.as_ref().err(), until) {
                return answer;
            }
        }
    }

    /// Whether an operation has failed because its broker has ended, so that the next one has to be asked.
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
        // When the connection counts as ended, the presence has changed already.
        membership.connection.check_alive().is_err() && !self.is_over()
    }

    /// As [`PluginState::request_until`], with the usual deadline.
    pub(crate) fn request(&self, make: impl Fn(u32) -> ToBroker) -> Answer {
        self.request_until(answer_due(REQUEST_TIMEOUT), make)
    }

    /// Whether there will be no broker any more.
    pub(crate) fn is_over(&self) -> bool {
        self.presence.over().is_some()
    }

    /// Adds a gate that is about to be opened. Returns its number.
    pub(crate) fn add_open_gate(&self, gate: &Arc<OpenGate>) -> u32 {
        self.gates.add(gate)
    }

    pub(crate) fn open_gate(&self, number: u32) -> Option<Arc<OpenGate>> {
        self.gates.get(number)
    }

    /// Opens a gate at the current broker, which then reports its state and each change; and at each later broker.
    pub(crate) fn open(&self, number: u32, until: Instant) -> Result<()> {
        loop {
            let membership = self.await_membership(until)?;
            let sent = self.open_on(&membership, number);
            if !self.has_ended(&membership, sent.as_ref().err(), until) {
                return sent;
            }
        }
    }

    /// Opens a gate at one broker, unless that was asked already.
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

    /// Sends a record that must be sent once or in order. `say` returns `false` if the broker's socket has no room, and
    /// is called again when there is some.
    fn say(&self, membership: &Membership, say: impl Fn() -> Result<bool>) -> Result<()> {
        self.check_here()?;
        let until = answer_due(REQUEST_TIMEOUT);
        loop {
            let alone = self.saying.lock();
            if say()? {
                return Ok(());
            }
            // Unlocked, so that handles which are dropped meanwhile do not wait for the broker.
            drop(alone);
            membership.connection.await_room(until)?;
        }
    }

    /// Withdraws one half of a gate that is not provided here any more, and waits until the broker has read of it, or
    /// until the deadline.
    pub(crate) fn withdraw(&self, gate: &str, kind: CallKind, until: Instant) {
        // A plugin that comes back has either provided the gate before this, or finds it gone.
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

    /// Notes that a broker has registered a gate. Returns `false` if the plugin has another broker now, which has to be
    /// asked too.
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
            // A broker that has ended has forgotten it anyway.
            let _ = membership.send(&GateToBroker::Close { open: number }.into());
        }
    }

    /// Older memberships whose links are still used.
    fn older_memberships(&self) -> Vec<Arc<Membership>> {
        self.older.lock().clone()
    }

    /// The membership to which a link belongs, while the link has not ended.
    fn membership_of(&self, link: &Link) -> Option<Arc<Membership>> {
        let older = self.older.lock().clone();
        let mut all = older.into_iter().chain([self.membership()]);
        all.find(|membership| membership.has_link(link))
    }

    /// Calls no more gates over a link whose peer takes no more calls; calls that the peer has taken go on. If there is
    /// no broker, or another one, the peer may only have left the old broker, so its return is awaited.
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

    /// Ends a link whose peer broke the protocol, unless it has ended already.
    pub(crate) fn break_link(&self, link: &Link, error: &Error) {
        if let Some(membership) = self.membership_of(link) {
            membership.break_link(link.end(), error);
        }
    }

    /// Whether this is the process that connected, and not a forked child of it.
    pub(crate) fn is_here(&self) -> bool {
        self.fork.is_here()
    }

    /// Fails in a forked child: the plugin belongs to its parent.
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
        // Last, because peers that learn of the end from the broker report it with another error.
        for membership in memberships {
            membership.connection.shut_down();
        }
        // The program's function may need the control thread, so that thread does not wait for it.
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
