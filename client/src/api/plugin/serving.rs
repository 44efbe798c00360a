//! The providing side of a plugin: its gates, and the threads that serve them.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::control::GateToBroker;
use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Signature};

use super::{Plugin, check_gate, shape};
use crate::api::provider::Provider;
use crate::base::error::{Error, Result};
use crate::handler::ErasedHandler;
use crate::link::Link;
use crate::serve::member::Member;
use crate::serve::owners::Identity;
use crate::session::membership::Membership;

impl Plugin {
    /// Provides one half of a gate.
    pub(crate) fn offer(
        &self,
        gate: &str,
        kind: CallKind,
        signature: &Signature,
        handler: Arc<dyn ErasedHandler>,
    ) -> Result<Provider> {
        check_gate(gate)?;
        self.state.check_here()?;
        self.group.start_serving()?;
        let name: Arc<str> = gate.into();
        // The handler is in place before the broker lets anybody call it.
        let shape = shape(signature);
        let (registration, record) =
            self.state
                .provided
                .insert(&name, kind, shape.fingerprint, handler)?;
        let gate = gate.to_owned();
        let provide = |request| GateToBroker::Provide {
            request,
            gate,
            kind,
            shape,
            record,
            life: None,
        };
        let connection = &self.state.membership().connection;
        let answer = connection.request(|request| provide(request).into());
        match answer {
            Ok(_) => {
                self.state.provided.offered(&name, kind, registration);
                Ok(Provider {
                    state: self.state.clone(),
                    gate: name,
                    kind,
                    registration,
                    keep: false,
                })
            }
            Err(error) => {
                let _gone = self.state.provided.remove(&name, kind, registration);
                if error.code() == Code::Timeout {
                    // The broker may register it yet.
                    let (request, gate) = (connection.next_number(), name.to_string());
                    let withdraw = GateToBroker::Withdraw {
                        request,
                        gate,
                        kind,
                    };
                    let _ = self.state.send(&withdraw.into());
                }
                Err(error.at_gate(name))
            }
        }
    }

    /// Serves, on this thread, the calls that are there: waits for the first until the deadline
    /// at most, and returns when there are none left or, after a call, the deadline has passed. With
    /// one that has passed already, it never waits and serves one call at most. Returns how many
    /// calls it served.
    ///
    /// For plugins that were built with [`Dispatch::Pump`](crate::Dispatch::Pump), whose handlers run here and inside calls of
    /// this thread that lead back to the plugin:
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
    /// `INVALID_ARGUMENT` for a plugin with another [`Dispatch`](crate::Dispatch) and inside a handler, `CLOSED` in
    /// a forked child. That the broker has ended is no error: peers still call.
    pub fn pump(&self, deadline: Instant) -> Result<usize> {
        self.state.check_here()?;
        self.group.dispatcher.pump(deadline)
    }
}

/// What the dispatcher has of a plugin. It closes the links of peers that break the protocol.
pub(super) fn member(membership: &Arc<Membership>) -> Arc<Member> {
    let (provided, memory) = (membership.provided.clone(), membership.memory.clone());
    let identity = Identity {
        bus: membership.bus,
        plugin: membership.me.plugin(),
    };
    let membership = Arc::downgrade(membership);
    let report = move |link: &Link, error: &Error| {
        if let Some(membership) = membership.upgrade() {
            membership.break_link(link.end(), error);
        }
    };
    Arc::new(Member::new(provided, memory, (identity, Box::new(report))))
}
