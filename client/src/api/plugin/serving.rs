//! The providing side of a plugin: its gates, and the threads that serve them.

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encodings, Signature, control};

use super::{Plugin, check_gate};
use crate::api::provider::Provider;
use crate::base::deadline::answer_due;
use crate::base::error::{Error, Result};
use crate::handler::ErasedHandler;
use crate::link::Link;
use crate::serve::member::{Member, Report};
use crate::serve::offered::Types;
use crate::serve::options::GateOptions;
use crate::serve::owners::Identity;
use crate::serve::provided::{Offer, Serving, is_prefix};
use crate::session::connection::{Answered, REQUEST_TIMEOUT};
use crate::session::membership::Membership;
use crate::session::plugin_state::PluginState;

impl Plugin {
    /// Provides one half of a gate; [`Plugin::provide`] and the others of its kind end here.
    pub(crate) fn offer(
        &self,
        gate: &str,
        kind: CallKind,
        (signature, takes): (&Signature, Encodings),
        handler: Arc<dyn ErasedHandler>,
    ) -> Result<Provider> {
        check_gate(gate)?;
        let serving = Serving {
            handler,
            names: None,
        };
        self.offer_name(gate, kind, (signature, takes), serving)
    }

    /// Provides one half of all gates whose names begin with a prefix.
    pub(crate) fn offer_prefix(
        &self,
        prefix: &str,
        kind: CallKind,
        types: (&Signature, Encodings),
        serving: Serving,
    ) -> Result<Provider> {
        check_prefix(prefix)?;
        self.offer_name(prefix, kind, types, serving)
    }

    /// Sets how calls of a gate are run. The options apply from the next call on, whether the gate is provided
    /// already or will be later; for a name that this plugin never provides they have no effect. Options of a
    /// [prefix](crate::dynamic::provide_prefix) apply to all names under it together: they share one limit.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a name that is not allowed.
    pub fn set_gate_options(&self, gate: &str, options: GateOptions) -> Result<()> {
        match is_prefix(gate) {
            true => check_prefix(gate)?,
            false => check_gate(gate)?,
        }
        self.state.provided.set_options(&gate.into(), options);
        Ok(())
    }

    fn offer_name(
        &self,
        gate: &str,
        kind: CallKind,
        (signature, takes): (&Signature, Encodings),
        serving: Serving,
    ) -> Result<Provider> {
        self.state.check_here()?;
        self.core.group.start_serving()?;
        let name: Arc<str> = gate.into();
        // The handler has to be in place first: callers may call as soon as the broker has registered the gate.
        let types = Types::of(signature, takes).map_err(|error| error.at_gate(gate))?;
        let offer = self.state.provided.insert(&name, kind, types, serving)?;
        match self.ask_to_provide(&offer) {
            Ok(()) => Ok(Provider {
                state: self.state.clone(),
                offer,
                keep: false,
            }),
            Err(error) => {
                let _gone = self.state.provided.remove(&offer);
                if error.code() == Code::Timeout {
                    // The broker may still register it later, so it is told to forget the gate.
                    self.state.withdraw(&name, kind, Instant::now());
                }
                Err(error.at_gate(name))
            }
        }
    }

    /// Asks the broker to register a gate. If that broker ends meanwhile, asks the next one.
    fn ask_to_provide(&self, offer: &Offer) -> Result<()> {
        let until = answer_due(REQUEST_TIMEOUT);
        loop {
            let membership = self.state.await_membership(until)?;
            match self.state.request_to_provide(&membership, offer, until) {
                Ok(Answered::Provided(life)) => {
                    if self.state.offered(offer, life, membership.id) {
                        return Ok(());
                    }
                }
                Ok(_) => {
                    let text = "the broker did not say in which life the gate is provided";
                    return Err(Error::new(Code::Protocol, text));
                }
                Err(error) => {
                    if !self.state.has_ended(&membership, Some(&error), until) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Runs, on this thread, the calls that are waiting. If none is waiting, waits for the first one until the
    /// deadline at most. Returns when no more calls wait, or when the deadline has passed and at least one call was
    /// run. With a deadline that has passed already, it never waits and runs one call at most. Returns the number
    /// of calls that it ran.
    ///
    /// Only for plugins that were built with [`Dispatch::Pump`](crate::Dispatch::Pump). Their handlers run here,
    /// and inside calls of this thread that lead back to the plugin:
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
    /// `INVALID_ARGUMENT` for a plugin with another [`Dispatch`](crate::Dispatch) and inside a handler; `CLOSED` in
    /// a forked child. If the broker has ended, that is no error: peers can still call.
    pub fn pump(&self, deadline: Instant) -> Result<usize> {
        self.state.check_here()?;
        self.core.group.dispatcher.pump(deadline)
    }
}

fn check_prefix(name: &str) -> Result<()> {
    control::check_prefix(name).map_err(|text| Error::new(Code::InvalidArgument, text))
}

/// Makes the dispatcher's view of a plugin. Its callback closes the links of peers that break the protocol.
pub(super) fn member(
    (state, membership): (&PluginState, &Arc<Membership>),
    on_let_go: Box<dyn Fn() + Send + Sync>,
) -> Arc<Member> {
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
    let about = (identity, Box::new(report) as Report);
    let feeds = state.subscriptions.feeds.clone();
    let member = Member::new(provided, (memory, feeds), about);
    member.on_let_go(on_let_go);
    Arc::new(member)
}
