//! What a plugin is beyond its memberships: what it provides, has opened and has sent. It outlives brokers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use callgate_layout::control::{GateToBroker, ToBroker, WaitToBroker};
use callgate_layout::envelope::CallKind;
use callgate_layout::payload::TrustPeers;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::{Code, clock};

use super::membership::{Membership, MembershipParts};
use super::open_gate::{Asked, OpenGate, Question};
use super::open_gates::OpenGates;
use crate::base::backoff::WaitPolicy;
use crate::base::cancel::CancelToken;
use crate::base::deadline::instant_after;
use crate::base::error::{Error, Result, forked};
use crate::call::sent::Sender;
use crate::link::Link;
use crate::serve::dispatch::Dispatch;
use crate::serve::provided::ProvidedGates;
use crate::serve::waits::{ReportedWaits, Reporter};

/// What all handles of a plugin share.
pub(crate) struct PluginState {
    pub(crate) policy: WaitPolicy,
    pub(crate) trust: Option<TrustPeers>,
    /// How long an extent, or a buffer for large payloads, may lie idle.
    pub(crate) keep_idle: Duration,
    pub(crate) provided: Arc<ProvidedGates>,
    /// Calls that no thread waits for.
    pub(crate) sent: Sender,
    waits: ReportedWaits,
    gates: Arc<OpenGates>,
    current: ArcSwap<Membership>,
    fork: ForkMark,
}

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
            waits: ReportedWaits::default(),
            gates,
            current: ArcSwap::from_pointee(membership),
            fork: ForkMark::here(),
        }
    }

    /// What the plugin is on its bus now.
    pub(crate) fn membership(&self) -> Arc<Membership> {
        self.current.load_full()
    }

    /// Sends a record to the broker; see [`Connection::send`](super::connection::Connection::send).
    pub(crate) fn send(&self, record: &ToBroker) -> Result<()> {
        self.check_here()?;
        self.membership().send(record)
    }

    /// Takes in a gate that is about to be opened; gives back its number.
    pub(crate) fn add_open_gate(&self, gate: &Arc<OpenGate>) -> u32 {
        self.gates.add(gate)
    }

    pub(crate) fn open_gate(&self, number: u32) -> Option<Arc<OpenGate>> {
        self.gates.get(number)
    }

    /// Asks the broker how an open gate stands now. This does not wait for room in its socket longer than
    /// until then.
    pub(crate) fn ask(&self, number: u32, gate: &OpenGate, until: Instant) -> Result<Question> {
        self.check_here()?;
        self.membership().connection.check_alive()?;
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
        self.membership()
            .connection
            .send_until(&GateToBroker::Sync { open }.into(), until)
    }

    /// Asks, and waits for the answer until a time of the monotonic clock. The control thread, which
    /// would wait for what it hears itself, does not ask.
    pub(crate) fn await_standing(
        &self,
        (number, gate): (u32, &OpenGate),
        until: u64,
        cancel: Option<&CancelToken>,
    ) -> Asked {
        if self.membership().connection.is_control_thread() {
            return Asked::Untold;
        }
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

    /// Withdraws one half of a gate, and waits until the broker has heard of it, until then at most.
    pub(crate) fn withdraw(&self, gate: &str, kind: CallKind, until: Instant) {
        self.membership().connection.tell(until, |request| {
            let gate = gate.to_owned();
            let withdraw = GateToBroker::Withdraw {
                request,
                gate,
                kind,
            };
            withdraw.into()
        });
    }

    /// Closes an open gate, here and at the broker.
    pub(crate) fn close_gate(&self, number: u32) {
        let was_open = self.gates.remove(number);
        if was_open && self.membership().connection.check_alive().is_ok() {
            // A broker that is gone has forgotten it anyway.
            let _ = self.send(&GateToBroker::Close { open: number }.into());
        }
    }

    /// The membership to which a link belongs, as long as it has not ended.
    fn membership_of(&self, link: &Link) -> Option<Arc<Membership>> {
        let membership = self.membership();
        membership.has_link(link).then_some(membership)
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

    /// The connection to the broker is over; links go on.
    pub(crate) fn disconnected(&self, membership: &Membership, reason: &Error) {
        let reason = &membership.disconnected(reason);
        for (_, gate) in self.gates.all() {
            gate.session_ended(reason);
        }
        self.sent.look_again();
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
        let membership = self.membership();
        self.disconnected(&membership, &reason);
        for (_, gate) in self.gates.all() {
            gate.close(&reason);
        }
        membership.close(&reason);
        self.sent.close();
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
        let membership = self.membership();
        membership.connection.check_alive()?;
        membership.connection.try_send(&record.into())
    }
}
