//! What a plugin is beyond its memberships: what it provides, has opened and has sent. It outlives brokers.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use callgate_layout::control::{GateToBroker, SessionToBroker, Shape, ToBroker, WaitToBroker};
use callgate_layout::envelope::CallKind;
use callgate_layout::payload::TrustPeers;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::{Code, clock};
use parking_lot::Mutex;

use super::connection::{Answer, REQUEST_TIMEOUT};
use super::membership::{Membership, MembershipParts};
use super::notices::{BrokerEvent, Notices};
use super::open_gate::{Asked, OpenGate, Question};
use super::open_gates::OpenGates;
use super::presence::{self, Presence, Wait};
use crate::base::backoff::WaitPolicy;
use crate::base::cancel::CancelToken;
use crate::base::deadline::{answer_due, instant_after};
use crate::base::error::{Error, Result, forked};
use crate::call::sent::Sender;
use crate::link::Link;
use crate::serve::dispatch::Dispatch;
use crate::serve::provided::{Offer, ProvidedGates};
use crate::serve::waits::{ReportedWaits, Reporter};

/// Whether a broker that ends a session with this, or refuses one, wants the plugin to stay away.
pub(crate) fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::PermissionDenied
            | Code::Protocol
            | Code::Overloaded
            | Code::VersionMismatch
            | Code::InvalidArgument
            | Code::Closed
    )
}

/// What all handles of a plugin share.
pub(crate) struct PluginState {
    pub(crate) policy: WaitPolicy,
    pub(crate) trust: Option<TrustPeers>,
    /// How long an extent, or a buffer for large payloads, may lie idle.
    pub(crate) keep_idle: Duration,
    pub(crate) provided: Arc<ProvidedGates>,
    /// Calls that no thread waits for.
    pub(crate) sent: Sender,
    /// Whether there is a broker.
    pub(crate) presence: Presence,
    /// What the program is told of it.
    pub(crate) notices: Notices,
    waits: ReportedWaits,
    gates: Arc<OpenGates>,
    current: ArcSwap<Membership>,
    /// Those before it whose links are still used.
    older: Mutex<Vec<Arc<Membership>>>,
    /// Held while a record is sent that says of a gate what must be said once, or must come after another.
    saying: Mutex<()>,
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
    pub(crate) sent: Sender,
    pub(crate) dispatch: Dispatch,
    pub(crate) membership: MembershipParts,
}

impl PluginState {
    pub(crate) fn new(parts: PluginParts) -> PluginState {
        let provided = Arc::new(ProvidedGates::new(parts.dispatch, parts.membership.owner()));
        let gates = Arc::new(OpenGates::new());
        let membership = Membership::new(parts.membership, (&provided, &gates));
        PluginState {
            policy: parts.policy,
            trust: parts.trust,
            keep_idle: parts.keep_idle,
            sent: parts.sent,
            provided,
            presence: Presence::default(),
            notices: Notices::default(),
            waits: ReportedWaits::default(),
            gates,
            current: ArcSwap::from_pointee(membership),
            older: Mutex::default(),
            saying: Mutex::new(()),
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
        match self.presence.await_back(presence::nanos(until), None) {
            Wait::None(error) => Err(error),
            Wait::Back | Wait::Cancelled => Ok(self.membership()),
        }
    }

    /// Sends a request and waits for its answer. Where the broker ends meanwhile, the next one is asked.
    pub(crate) fn request_until(&self, until: Instant, make: impl Fn(u32) -> ToBroker) -> Answer {
        loop {
            let membership = self.await_membership(until)?;
            let answer = membership.connection.request_until(until, &make);
            // The presence has changed before the connection was over.
            if answer.is_ok() || membership.connection.check_alive().is_ok() || self.is_over() {
                return answer;
            }
        }
    }

    /// As [`PluginState::request_until`], in the time that all requests have.
    pub(crate) fn request(&self, make: impl Fn(u32) -> ToBroker) -> Answer {
        self.request_until(answer_due(REQUEST_TIMEOUT), make)
    }

    /// Whether there will be no broker any more.
    pub(crate) fn is_over(&self) -> bool {
        self.presence.over().is_some()
    }

    /// Takes in a gate that is about to be opened, with the shapes of function and action; gives back its number.
    pub(crate) fn add_open_gate(&self, gate: &Arc<OpenGate>, shapes: [Shape; 2]) -> u32 {
        self.gates.add(gate, shapes)
    }

    pub(crate) fn open_gate(&self, number: u32) -> Option<Arc<OpenGate>> {
        self.gates.get(number)
    }

    /// Asks the broker how an open gate stands, and to be told of every change; and each one after it.
    pub(crate) fn open(&self, number: u32, until: Instant) -> Result<()> {
        loop {
            let membership = self.await_membership(until)?;
            let sent = self.open_on(&membership, number);
            if sent.is_ok() || membership.connection.check_alive().is_ok() || self.is_over() {
                return sent;
            }
        }
    }

    /// The same of one broker, unless it was asked.
    fn open_on(&self, membership: &Membership, number: u32) -> Result<()> {
        let _alone = self.saying.lock();
        match self.gates.open_on(membership.bus, number) {
            Some(open) => membership.send(&open.into()),
            None => Ok(()),
        }
    }

    /// Asks the broker how an open gate stands now. This does not wait for room in its socket longer than
    /// until then.
    pub(crate) fn ask(&self, number: u32, gate: &OpenGate, until: Instant) -> Result<Question> {
        self.check_here()?;
        self.presence.check()?;
        let asked = gate.ask(|| self.sync(number, until));
        asked.inspect_err(|_| self.sent.look_again())
    }

    /// Sends a question that somebody else was to send, who could not.
    pub(crate) fn ask_in_place(
        &self,
        number: u32,
        (gate, question): (&OpenGate, Question),
        until: Instant,
    ) -> Result<()> {
        gate.send(question, || self.sync(number, until))
    }

    fn sync(&self, open: u32, until: Instant) -> Result<()> {
        self.presence.check()?;
        let membership = self.membership();
        membership
            .connection
            .send_until(&GateToBroker::Sync { open }.into(), until)
    }

    /// Asks, and waits for the answer until a time of the monotonic clock; where there is no broker, for
    /// the next one first. The control thread, which would wait for what it hears itself, does not ask.
    pub(crate) fn await_standing(
        &self,
        (number, gate): (u32, &OpenGate),
        until: u64,
        cancel: Option<&CancelToken>,
    ) -> Asked {
        if self.membership().connection.is_control_thread() {
            return Asked::Untold;
        }
        loop {
            match self.presence.await_back(until, cancel) {
                Wait::Back => {}
                Wait::None(_) => return Asked::NoBroker,
                Wait::Cancelled => return Asked::Cancelled,
            }
            let asked = self.ask_and_wait((number, gate), until, cancel);
            if asked != Asked::Untold || !self.presence.is_away() {
                return asked;
            }
        }
    }

    /// As [`PluginState::await_standing`], without waiting for a broker.
    pub(crate) fn ask_standing(&self, gate: (u32, &OpenGate), until: u64) {
        if !self.membership().connection.is_control_thread() {
            self.ask_and_wait(gate, until, None);
        }
    }

    fn ask_and_wait(
        &self,
        (number, gate): (u32, &OpenGate),
        until: u64,
        cancel: Option<&CancelToken>,
    ) -> Asked {
        let room = instant_after(Duration::from_nanos(until.saturating_sub(clock::now())));
        let Ok(question) = self.ask(number, gate, room) else {
            return Asked::Untold;
        };
        let send = || self.sync(number, room);
        let asked = gate.await_answer(question, (until, cancel), send);
        if asked == Asked::Untold {
            // A sent call may wait for a question that this thread could not send.
            self.sent.look_again();
        }
        asked
    }

    /// Withdraws one half of a gate that is not provided here any more, and waits until the broker has heard of it,
    /// until then at most.
    pub(crate) fn withdraw(&self, gate: &str, kind: CallKind, until: Instant) {
        // Who comes back at this moment has provided it before this, or finds it gone.
        drop(self.saying.lock());
        let membership = self.membership();
        let connection = &membership.connection;
        connection.forget_returns(|offer| &*offer.gate == gate && offer.kind == kind);
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
    pub(crate) fn offered(&self, offer: &Offer, life: u64, bus: u64) -> bool {
        let _alone = self.saying.lock();
        let is_current = self.membership().bus == bus;
        if is_current {
            self.provided.offered(offer, life);
        }
        is_current
    }

    /// Closes an open gate, here and at the broker.
    pub(crate) fn close_gate(&self, number: u32) {
        let opened_on = {
            let _alone = self.saying.lock();
            self.gates.remove(number)
        };
        let membership = self.membership();
        if opened_on == Some(membership.bus) && membership.connection.check_alive().is_ok() {
            // A broker that is gone has forgotten it anyway.
            let _ = membership.send(&GateToBroker::Close { open: number }.into());
        }
    }

    /// The membership to which a link belongs, as long as it has not ended.
    fn membership_of(&self, link: &Link) -> Option<Arc<Membership>> {
        let older = self.older.lock().clone();
        let mut all = older.into_iter().chain([self.membership()]);
        all.find(|membership| membership.has_link(link))
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

    /// The connection of a membership is over; its links go on. Where it is the current one, another broker is
    /// looked for, unless this one has said that there is none for this plugin.
    pub(crate) fn disconnected(&self, membership: &Membership, reason: &Error) {
        if self.membership().bus != membership.bus {
            membership.disconnected(reason);
            return;
        }
        let comes_back = self.comes_back.get().filter(|_| !is_final(reason.code()));
        let Some(comes_back) = comes_back else {
            self.over(reason);
            membership.disconnected(reason);
            return;
        };
        // First, so that whoever fails with the connection finds that there is none.
        let is_news = self.presence.lost(reason);
        membership.disconnected(reason);
        for (_, gate) in self.gates.all() {
            gate.lost();
        }
        self.sent.look_again();
        if is_news {
            tracing::warn!(%reason, "the broker is gone");
            self.notices.tell(BrokerEvent::Lost(reason.clone()));
            comes_back();
        }
    }

    /// There will be no broker any more.
    pub(crate) fn over(&self, reason: &Error) {
        let reason = &self.presence.end(reason);
        for (_, gate) in self.gates.all() {
            gate.session_ended(reason);
        }
        self.sent.look_again();
    }

    /// A new broker has taken the plugin in: this membership is the current one from here on. Tells the broker
    /// everything that is to be told; `heard` is called before, and has it heard.
    pub(crate) fn come_back(
        &self,
        parts: MembershipParts,
        heard: impl FnOnce(&Arc<Membership>) -> Result<()>,
    ) -> Result<()> {
        let membership = Membership::new(parts, (&self.provided, &self.gates));
        let membership = Arc::new(membership);
        heard(&membership)?;
        self.waits.forget();
        {
            let _alone = self.saying.lock();
            let before = self.current.swap(membership.clone());
            self.older.lock().push(before);
        }
        self.tell_all(&membership)?;
        self.presence.back();
        self.sent.look_again();
        if let Err(ended) = membership.connection.check_alive() {
            // It has ended before it was the current one, which nobody was told.
            self.disconnected(&membership, &ended);
        }
        Ok(())
    }

    /// No calls are made any more over the links of an older membership; those that are under way go on.
    pub(crate) fn part(&self, membership: &Membership) {
        for (_, gate) in self.gates.all() {
            gate.left(membership.bus);
        }
    }

    /// Tells a new broker what stands, what is provided and what is open.
    fn tell_all(&self, membership: &Arc<Membership>) -> Result<()> {
        for older in self.older.lock().clone() {
            membership.tell_standing(&older)?;
        }
        for (offer, life) in self.provided.offered_before() {
            let _alone = self.saying.lock();
            if self.provided.has(&offer) {
                membership.provide_again(offer, life)?;
            }
        }
        for (number, _) in self.gates.all() {
            self.open_on(membership, number)?;
        }
        Ok(())
    }

    /// Lets a membership go whose links are not used any more.
    pub(crate) fn leave(&self, membership: &Arc<Membership>) {
        let mut older = self.older.lock();
        older.retain(|other| !Arc::ptr_eq(other, membership));
        let is_last = older.is_empty();
        drop(older);
        for (_, gate) in self.gates.all() {
            gate.left(membership.bus);
        }
        let text = "the broker of this link has ended, and there is a new one";
        membership.close(&Error::new(Code::ProviderGone, text));
        if is_last {
            let _ = self.membership().send(&SessionToBroker::Drained.into());
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

    /// Ends the connection and all links, because the plugin closes.
    pub(crate) fn close(&self) {
        let reason = Error::new(Code::Closed, "this plugin has closed");
        self.over(&reason);
        for (_, gate) in self.gates.all() {
            gate.close(&reason);
        }
        let older = std::mem::take(&mut *self.older.lock());
        for membership in older.iter().chain([&self.membership()]) {
            membership.disconnected(&reason);
            membership.close(&reason);
        }
        self.sent.close();
        self.notices.close();
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
