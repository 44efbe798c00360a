//! Questions to the broker: how a gate stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::control::GateToBroker;
use callgate_layout::{Code, clock};

use super::PluginState;
use crate::base::cancel::CancelToken;
use crate::base::deadline::instant_after;
use crate::base::error::Result;
use crate::session::open_gate::{Asked, OpenGate, Question};
use crate::session::presence::Wait;

impl PluginState {
    /// As [`PluginState::open`], without waiting: what the broker's socket has no room for is sent by the control thread, and where
    /// there is no broker, the next one is asked about all open gates.
    pub(crate) fn open_later(&self, gate: &OpenGate, number: u32) -> Result<()> {
        let asked = self.check_here().and_then(|()| self.say_open(number));
        asked.map_err(|error| error.at_gate(gate.name().clone()))
    }

    fn say_open(&self, number: u32) -> Result<()> {
        self.see_that_it_comes_back();
        // Who comes back at this moment has asked the next broker before this, or does so after it.
        let _alone = self.saying.lock();
        let membership = self.membership();
        let Some(open) = self.gates.to_open(membership.id, number) else {
            return Ok(());
        };
        let connection = &membership.connection;
        match connection.send_in_order(&open.into()) {
            Ok(()) => {
                self.gates.opened(membership.id, number);
                Ok(())
            }
            // It has ended, whether the control thread has heard that already or is about to.
            Err(error) if error.code() == Code::BrokerGone || connection.check_alive().is_err() => {
                self.presence.over().map_or(Ok(()), Err)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the broker how an open gate stands now. This does not wait for room in its socket longer than
    /// until then.
    pub(crate) fn ask(
        &self,
        number: u32,
        gate: &Arc<OpenGate>,
        until: Instant,
    ) -> Result<Question> {
        self.check_here()?;
        self.presence.check()?;
        let asked = gate.ask(|| self.sync((number, gate), until));
        asked.inspect_err(|_| self.sent.look_again())
    }

    /// Sends a question that somebody else was to send, who could not.
    pub(crate) fn ask_in_place(
        &self,
        number: u32,
        (gate, question): (&Arc<OpenGate>, Question),
        until: Instant,
    ) -> Result<()> {
        gate.send(question, || self.sync((number, gate), until))
    }

    /// Also asks why nobody provides the gate, where that is so as far as this plugin knows: whoever hears that it still is so hears why.
    fn sync(&self, (open, gate): (u32, &Arc<OpenGate>), until: Instant) -> Result<()> {
        self.presence.check()?;
        let membership = self.membership();
        membership.connection.ask_why(gate);
        let sync = GateToBroker::Sync { open }.into();
        let sent = membership.connection.send_until(&sync, until);
        // Whoever asks the next broker is to find that this one has ended.
        self.has_ended(&membership, sent.as_ref().err(), until);
        sent
    }

    /// Asks, and waits for the answer until a time of the monotonic clock; where there is no broker, for
    /// the next one first. The control thread, which would wait for what it hears itself, does not ask.
    pub(crate) fn await_standing(
        &self,
        (number, gate): (u32, &Arc<OpenGate>),
        until: u64,
        cancel: Option<&CancelToken>,
    ) -> Asked {
        if self.membership().connection.is_control_thread() {
            return Asked::Untold;
        }
        loop {
            self.see_that_it_comes_back();
            match self.presence.await_back(until, cancel) {
                Wait::Back => {}
                Wait::None(_) => return Asked::NoBroker,
                Wait::Cancelled => return Asked::Cancelled,
            }
            let by = self.membership().id;
            let asked = self.ask_and_wait((number, gate), until, cancel);
            let is_other = || self.presence.is_away() || self.membership().id != by;
            if asked != Asked::Untold || !is_other() {
                return asked;
            }
        }
    }

    /// As [`PluginState::await_standing`], without waiting for a broker.
    pub(crate) fn ask_standing(&self, gate: (u32, &Arc<OpenGate>), until: u64) {
        if !self.membership().connection.is_control_thread() {
            self.ask_and_wait(gate, until, None);
        }
    }

    fn ask_and_wait(
        &self,
        (number, gate): (u32, &Arc<OpenGate>),
        until: u64,
        cancel: Option<&CancelToken>,
    ) -> Asked {
        let room = instant_after(Duration::from_nanos(until.saturating_sub(clock::now())));
        let Ok(question) = self.ask(number, gate, room) else {
            return Asked::Untold;
        };
        let send = || self.sync((number, gate), room);
        let asked = gate.await_answer(question, (until, cancel), send);
        if asked == Asked::Untold {
            // A sent call may wait for a question that this thread could not send.
            self.sent.look_again();
        }
        asked
    }
}
