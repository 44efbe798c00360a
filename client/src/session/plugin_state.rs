//! What a plugin is, provides, has opened and is linked with. It outlives the connection to a broker:
//! linked plugins go on calling each other when the broker has ended.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use callgate_layout::control::{
    Failure, GateToBroker, LinkEnd, LinkToBroker, MemoryId, MemoryToBroker, PluginLimits, ToBroker,
    WaitToBroker,
};
use callgate_layout::envelope::CallKind;
use callgate_layout::payload::TrustPeers;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::{Code, clock};
use parking_lot::Mutex;

use super::connection::Connection;
use super::here::Here;
use super::numbers::Numbers;
use super::open_gate::{Asked, OpenGate, Question};
use crate::base::backoff::WaitPolicy;
use crate::base::cancel::CancelToken;
use crate::base::deadline::instant_after;
use crate::base::error::{Error, Result, forked};
use crate::call::sent::Sender;
use crate::link::Link;
use crate::link::own_memory::{ExtentSource, OwnMemory};
use crate::link::peer::Caller;
use crate::serve::changes::Changes;
use crate::serve::dispatch::Dispatch;
use crate::serve::outstanding::Outstanding;
use crate::serve::provided::ProvidedGates;
use crate::serve::waits::{ReportedWaits, Reporter};

/// What all handles of a plugin share.
pub(crate) struct PluginState {
    /// This plugin, as its peers know it.
    pub(crate) me: Arc<Caller>,
    /// The bus's own number, drawn at random by its broker.
    pub(crate) bus: u64,
    pub(crate) limits: PluginLimits,
    pub(crate) policy: WaitPolicy,
    pub(crate) trust: Option<TrustPeers>,
    /// How long an extent, or a buffer for large payloads, may lie idle.
    pub(crate) keep_idle: Duration,
    pub(crate) memory: Arc<OwnMemory>,
    pub(crate) provided: Arc<ProvidedGates>,
    pub(crate) connection: Connection,
    waits: ReportedWaits,
    /// Calls that no thread waits for.
    pub(crate) sent: Sender,
    numbers: Numbers,
    open_gates: Mutex<HashMap<u32, Weak<OpenGate>>>,
    pub(crate) links: Mutex<HashMap<LinkEnd, Arc<Link>>>,
    fork: ForkMark,
    _here: Here,
}

/// What [`PluginState::new`] takes.
pub(crate) struct PluginParts {
    pub(crate) me: Caller,
    pub(crate) bus: u64,
    pub(crate) limits: PluginLimits,
    pub(crate) policy: WaitPolicy,
    pub(crate) trust: Option<TrustPeers>,
    pub(crate) keep_idle: Duration,
    pub(crate) memory: OwnMemory,
    pub(crate) sent: Sender,
    pub(crate) connection: Connection,
    /// What its dispatcher takes note of, and how it runs handlers.
    pub(crate) serving: (Arc<Changes>, Dispatch, Arc<Outstanding>),
}

impl PluginState {
    pub(crate) fn new(parts: PluginParts) -> PluginState {
        let memory = Arc::new(parts.memory);
        let me = Arc::new(parts.me);
        let identity = (parts.bus, me.plugin());
        let provided = Arc::new(ProvidedGates::new(memory.clone(), parts.serving, identity));
        PluginState {
            _here: Here::new(parts.bus, &me, &provided),
            bus: parts.bus,
            limits: parts.limits,
            policy: parts.policy,
            trust: parts.trust,
            keep_idle: parts.keep_idle,
            sent: parts.sent,
            provided,
            memory,
            connection: parts.connection,
            waits: ReportedWaits::default(),
            numbers: Numbers::new(),
            open_gates: Mutex::default(),
            links: Mutex::default(),
            fork: ForkMark::here(),
            me,
        }
    }

    /// Sends a record; see [`Connection::send`].
    pub(crate) fn send(&self, record: &ToBroker) -> Result<()> {
        self.check_here()?;
        self.connection.send(record)
    }

    /// Takes in a gate that is about to be opened; gives back its number.
    pub(crate) fn add_open_gate(&self, gate: &Arc<OpenGate>) -> u32 {
        let gate = Arc::downgrade(gate);
        self.numbers.insert(&mut self.open_gates.lock(), gate)
    }

    pub(crate) fn open_gate(&self, number: u32) -> Option<Arc<OpenGate>> {
        self.open_gates.lock().get(&number)?.upgrade()
    }

    /// Asks the broker how an open gate stands now. This does not wait for room in its socket longer than
    /// until then.
    pub(crate) fn ask(&self, number: u32, gate: &OpenGate, until: Instant) -> Result<Question> {
        self.check_here()?;
        self.connection.check_alive()?;
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
        self.connection
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
        if self.connection.is_control_thread() {
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
        self.connection.tell(until, |request| {
            let gate = gate.to_owned();
            let withdraw = GateToBroker::Withdraw {
                request,
                gate,
                kind,
            };
            withdraw.into()
        });
    }

    fn all_open_gates(&self) -> Vec<Arc<OpenGate>> {
        let gates = self.open_gates.lock();
        gates.values().filter_map(Weak::upgrade).collect()
    }

    /// Closes an open gate, here and at the broker.
    pub(crate) fn close_gate(&self, number: u32) {
        let was_open = self.open_gates.lock().remove(&number).is_some();
        if was_open && self.connection.check_alive().is_ok() {
            // A broker that is gone has forgotten it anyway.
            let _ = self.send(&GateToBroker::Close { open: number }.into());
        }
    }

    pub(crate) fn add_link(&self, link: &Arc<Link>) {
        self.links.lock().insert(link.end(), link.clone());
        self.provided.add_link(link.clone());
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().values().cloned().collect()
    }

    pub(crate) fn link(&self, end: LinkEnd) -> Option<Arc<Link>> {
        self.links.lock().get(&end).cloned()
    }

    /// Ends a link: its calls fail, its gates are no longer there, its memory is unmapped when the last
    /// call has returned.
    pub(crate) fn end_link(&self, end: LinkEnd, reason: &Error) {
        let Some(link) = self.links.lock().remove(&end) else {
            return;
        };
        // First the gates, so that who hears of the end and waits for the gate does not find it
        // as it was.
        for gate in self.all_open_gates() {
            gate.lose(&link);
        }
        link.end_with(reason.clone());
        self.provided.remove_link(&link);
    }

    /// A link's peer takes no more calls: gates are called over it no more. Those that it has taken are waited for.
    pub(crate) fn close_link(&self, end: LinkEnd) {
        if let Some(link) = self.link(end) {
            for gate in self.all_open_gates() {
                gate.lose(&link);
            }
        }
    }

    /// Ends a link whose peer broke the protocol, and tells the broker.
    pub(crate) fn break_link(&self, end: LinkEnd, error: &Error) {
        tracing::warn!(%error, "a link is closed");
        self.end_link(end, error);
        let failure = Failure::new(error.code(), error.message());
        let _ = self.send(&LinkToBroker::Failed { end, failure }.into());
    }

    /// The connection to the broker is over; links go on.
    pub(crate) fn disconnected(&self, reason: &Error) {
        let reason = &self.connection.end(reason);
        for gate in self.all_open_gates() {
            gate.session_ended(reason);
        }
        self.sent.look_again();
        // Who waits for an extent that is not made any more.
        for link in self.links() {
            link.extents().forget_wanted();
            link.wake_waiting();
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
        self.disconnected(&reason);
        for gate in self.all_open_gates() {
            gate.close(&reason);
        }
        let ends: Vec<_> = self.links.lock().keys().copied().collect();
        for end in ends {
            self.end_link(end, &reason);
        }
        self.sent.close();
        self.connection.shut_down();
    }
}

impl Reporter for PluginState {
    fn bus(&self) -> u64 {
        self.bus
    }

    fn waits(&self) -> &ReportedWaits {
        &self.waits
    }

    fn tell(&self, record: WaitToBroker) -> Result<()> {
        self.check_here()?;
        self.connection.check_alive()?;
        self.connection.try_send(&record.into())
    }
}

impl ExtentSource for PluginState {
    fn check_alive(&self) -> Result<()> {
        self.connection.check_alive()
    }

    fn want(&self, end: LinkEnd, number: u8, len: u32) -> Result<()> {
        self.check_here()?;
        let memory = MemoryId::Extent { end, number };
        self.connection
            .try_send(&MemoryToBroker::Want { memory, len }.into())
    }

    fn return_extent(&self, end: LinkEnd, number: u8) -> Result<()> {
        self.check_here()?;
        let memory = MemoryId::Extent { end, number };
        self.connection
            .try_send(&MemoryToBroker::Return { memory }.into())
    }
}
