//! Asking the broker for the state of a gate.

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
    /// As [`PluginState::open`], without waiting: if the broker's socket is full, the control thread sends the
    /// record later; if there is no broker, the next one is asked about all open gates.
    pub(crate) fn open_later(&self, gate: &OpenGate, number: u32) -> Result<()> {
        let asked = self.check_here().and_then(|()| self.say_open(number));
        asked.map_err(|error| error.at_gate(gate.name().clone()))
    }

    fn say_open(&self, number: u32) -> Result<()> {
        self.see_that_it_comes_back();
        // Under this lock a plugin that comes back has either asked the next broker already, or does so afterwards.
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
            // The broker has ended, even if the control thread has not noticed yet.
            Err(error) if error.code() == Code::BrokerGone || connection.check_alive().is_err() => {
                self.presence.over().map_or(Ok(()), Err)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the broker for the present state of an open gate. Waits for room in its socket until the deadline at
    /// most.
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

    /// Sends a question that another thread had to send and could not.
    pub(crate) fn ask_in_place(
        &self,
        number: u32,
        (gate, question): (&Arc<OpenGate>, Question),
        until: Instant,
    ) -> Result<()> {
        gate.send(question, || self.sync((number, gate), until))
    }

    /// Also asks why nobody provides the gate, if that is so as far as this plugin knows. Then a thread that finds
    /// it still absent also knows the reason.
    fn sync(&self, (open, gate): (u32, &Arc<OpenGate>), until: Instant) -> Result<()> {
        self.presence.check()?;
        let membership = self.membership();
        membership.connection.ask_why(gate);
        let sync = GateToBroker::Sync { open }.into();
        let sent = membership.connection.send_until(&sync, until);
        // Waits for the end of the connection if it is over, so that a caller which asks the next broker sees that
        // this one has ended.
        self.has_ended(&membership, sent.as_ref().err(), until);
        sent
    }

    /// Asks for a gate's state, and waits for the answer until a time in nanoseconds of the monotonic clock. If
    /// there is no broker, waits for the next one first. Does not ask on the control thread, which would wait for a
    /// record that it has to read itself.
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
