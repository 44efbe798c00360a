//! The providing side of a plugin: its gates, and the threads that serve them.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::GateToBroker;
use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Signature};

use super::{Plugin, check_gate, shape, spawn};
use crate::bus::Bus;
use crate::dispatch::{Core, Dispatch};
use crate::error::{Error, Result};
use crate::handler::ErasedHandler;
use crate::link::Link;
use crate::provider::Provider;
use crate::wait::Patience;

impl Plugin {
    pub(super) fn offer(
        &self,
        gate: &str,
        kind: CallKind,
        signature: &Signature,
        handler: Arc<dyn ErasedHandler>,
    ) -> Result<Provider> {
        check_gate(gate)?;
        self.bus.check_here()?;
        self.start_dispatchers()?;
        let name: Arc<str> = gate.into();
        // The handler is in place before the broker lets anybody call it.
        let shape = shape(signature);
        let (token, record) = self
            .bus
            .served
            .insert(&name, kind, shape.fingerprint, handler)?;
        let gate = gate.to_owned();
        let provide = |request| GateToBroker::Provide {
            request,
            gate,
            kind,
            shape,
            record,
        };
        let answer = self.bus.request(|request| provide(request).into());
        match answer {
            Ok(_) => Ok(Provider {
                bus: self.bus.clone(),
                gate: name,
                kind,
                token,
                keep: false,
            }),
            Err(error) => {
                let _gone = self.bus.served.remove(&name, kind, token);
                if error.code() == Code::Timeout {
                    // The broker may register it yet.
                    let (request, gate) = (self.bus.next_number(), name.to_string());
                    let withdraw = GateToBroker::Withdraw {
                        request,
                        gate,
                        kind,
                    };
                    let _ = self.bus.send(&withdraw.into());
                }
                Err(error.at_gate(name))
            }
        }
    }

    /// Starts the threads that serve, if there are to be any.
    fn start_dispatchers(&self) -> Result<()> {
        let mut threads = self.dispatchers.lock();
        if !threads.is_empty() {
            return Ok(());
        }
        for _ in 0..self.core.threads() {
            let core = self.core.clone();
            core.enlist();
            match spawn("callgate-calls", move || core.run()) {
                Ok(thread) => threads.push(thread),
                // A pool with fewer threads than asked for still serves.
                Err(error) => {
                    self.core.dismiss();
                    return if threads.is_empty() {
                        Err(error)
                    } else {
                        Ok(())
                    };
                }
            }
        }
        Ok(())
    }

    /// Serves, on this thread, the calls that are there: waits for the first until the deadline
    /// at most, and returns when there are none left or, after a call, the deadline has passed. With
    /// one that has passed already, it never waits and serves one call at most. Returns how many
    /// calls it served.
    ///
    /// For plugins that were built with [`Dispatch::Pump`], whose handlers run nowhere else:
    ///
    /// ```no_run
    /// use callgate_client::{Dispatch, Plugin};
    /// use std::time::{Duration, Instant};
    ///
    /// # fn main() -> callgate_client::Result<()> {
    /// let game = Plugin::builder("Game").dispatch(Dispatch::Pump).connect()?;
    /// let _hello = game.provide("Game.Hello", |name: String| format!("Hello {name}!"))?;
    /// loop {
    ///     // draw a frame, then serve what is there, for two milliseconds at most:
    ///     let until = Instant::now() + Duration::from_millis(2);
    ///     while game.pump(Instant::now())? > 0 && Instant::now() < until {}
    /// #   break;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a plugin with another [`Dispatch`] and inside a handler, `CLOSED` in
    /// a forked child. That the broker has ended is no error: peers still call.
    pub fn pump(&self, deadline: Instant) -> Result<usize> {
        self.bus.check_here()?;
        self.core.pump(deadline)
    }
}

/// The serving side of a plugin, which tells its bus of peers that broke the protocol.
pub(super) fn core(bus: &Arc<Bus>, dispatch: Dispatch) -> Arc<Core> {
    let served = bus.served.clone();
    let patience = Patience::new(bus.policy);
    let bus = Arc::downgrade(bus);
    let report = Box::new(move |link: &Link, error: &Error| {
        if let Some(bus) = bus.upgrade() {
            crate::listen::break_link(&bus, link.end(), error);
        }
    });
    Arc::new(Core::new(served, dispatch, patience, report))
}
