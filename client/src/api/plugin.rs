//! A plugin: the handle with which a program provides, opens, sends, subscribes and shares.

pub(crate) mod builder;
mod core;
mod course;
mod farewell;
mod hearing;
mod joining;
mod opening;
mod serving;
mod topics;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use callgate_layout::control::{PluginLimits, SessionToBroker};
use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encodings, Signature, control};
use parking_lot::Mutex;

use self::core::{CoreParts, PluginCore};
use super::provider::Provider;
use super::raw::RawSubscriber;
use super::shared::Shared;
use super::shares::Shares;
use super::subscriber::Subscriber;
use super::watch::Watch;
use crate::base::deadline::{answer_due, instant_after};
use crate::base::error::{Error, Result};
use crate::base::types::{Arguments, GateType, action_signature_of, signature_of};
use crate::handler::context::Context;
use crate::handler::payload::Payload;
use crate::handler::raw::{erase_raw, raw_signature};
use crate::handler::{Handler, Reply, erase};
use crate::serve::dispatch::Dispatch;
use crate::serve::dispatcher::serving_thread;
use crate::session::connection::{Answered, REQUEST_TIMEOUT};
use crate::session::handshake::Reached;
use crate::session::notices::BrokerEvent;
use crate::session::open_gate::OpenGate;
use crate::session::plugin_state::PluginState;
use builder::PluginBuilder;

/// How long a plugin that closes waits for the broker to read that its gates are withdrawn.
const CLOSING: Duration = Duration::from_millis(500);

/// A participant on a bus.
///
/// Dropping it closes the plugin. Its gates are withdrawn, as by dropping their [`Provider`]s (if the broker is
/// stopped, the drop waits half a second for it). Calls that still wait to be handled are answered `PROVIDER_GONE`,
/// and the plugin's subscribers fail with `CLOSED`. The drop waits for a handler that is running.
///
/// When the broker ends, the plugin goes on, and waits for the next broker: see [`BrokerEvent::Lost`].
///
/// ```no_run
/// use callgate_client::Plugin;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Calculator")?;
/// let _add = plugin.provide("Calculator.Add", |a: u32, b: u32| a.wrapping_add(b))?;
/// plugin.wait_closed(); // until it is sent away
/// # Ok(())
/// # }
/// ```
pub struct Plugin {
    name: Arc<str>,
    state: Arc<PluginState>,
    core: Arc<PluginCore>,
    /// Locked while a listing is requested.
    listing: Mutex<()>,
}

impl Plugin {
    /// Connects under a name of 1 to 128 bytes without control characters, with the defaults of [`PluginBuilder`]
    /// for everything else.
    ///
    /// # Errors
    ///
    /// As [`PluginBuilder::connect`].
    pub fn connect(name: &str) -> Result<Plugin> {
        Plugin::builder(name).connect()
    }

    /// Starts a plugin with further settings; [`PluginBuilder::connect`] connects it.
    pub fn builder(name: &str) -> PluginBuilder {
        PluginBuilder::new(name)
    }

    fn start(parts: CoreParts) -> Result<Plugin> {
        let core = PluginCore::start(parts)?;
        let dispatcher = &core.group.dispatcher;
        if dispatcher.dispatch() == Dispatch::Pump {
            dispatcher.set_pump_thread();
            serving_thread::serve_here(dispatcher);
        }
        let state = core.state.clone();
        Ok(Plugin {
            name: state.membership().me.name().into(),
            state,
            core,
            listing: Mutex::new(()),
        })
    }

    /// The name it connected under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The plugin's number on the bus. It gets another one each time it connects, also to a broker that was
    /// restarted.
    pub fn id(&self) -> u64 {
        self.state.membership().me.plugin()
    }

    /// The limits that the broker has set for this plugin.
    pub fn limits(&self) -> PluginLimits {
        self.state.membership().limits
    }

    /// Provides a gate's function. It can be called once this has returned, and until the provider is dropped.
    ///
    /// A gate's name has 1 to 256 bytes without control characters; by custom it is `Plugin.Something`, on which
    /// `Subscriber::wait_ready` relies.
    ///
    /// [`Dispatch`] decides where handlers run: one after the other on a thread of the plugin, unless the plugin
    /// was built otherwise.
    ///
    /// # Errors
    ///
    /// `ALREADY_PROVIDED` if another plugin provides the gate, or this one provides the function already;
    /// `INVALID_ARGUMENT` for a name that is not allowed; `OVERLOADED` over the limit of gates; `BROKER_GONE`.
    pub fn provide<M: 'static, H: Handler<M>>(&self, gate: &str, handler: H) -> Result<Provider> {
        self.offer(
            gate,
            CallKind::Function,
            (&H::function_signature(), self.state.encodings),
            erase(handler),
        )
    }

    /// Provides a gate's action, which has no result. A gate may have both a function and an action.
    ///
    /// # Errors
    ///
    /// As [`Plugin::provide`].
    pub fn provide_action<M: 'static, H: Handler<M>>(
        &self,
        gate: &str,
        handler: H,
    ) -> Result<Provider> {
        self.offer(
            gate,
            CallKind::Action,
            (&H::action_signature(), self.state.encodings),
            erase(handler),
        )
    }

    /// Provides a gate's function that takes raw bytes, which the handler reads in shared memory; see
    /// [`RawSubscriber`].
    ///
    /// # Errors
    ///
    /// As [`Plugin::provide`].
    pub fn provide_raw<O: Reply + 'static>(
        &self,
        gate: &str,
        handler: impl Fn(Context<'_>, Payload<'_>) -> O + Send + Sync + 'static,
    ) -> Result<Provider> {
        self.offer(
            gate,
            CallKind::Function,
            (&raw_signature::<O::Output>(), Encodings::ARCHIVE),
            erase_raw(handler),
        )
    }

    /// Opens a gate to call it. `A` is the tuple of the parameters, `R` the result.
    ///
    /// Returns when the broker has told the state of the gate. If a plugin provides the gate, it can be called at
    /// once. If none does, calls fail with `NOT_READY` until one does.
    ///
    /// The provider's types may differ. Then values are converted, by the names of fields and variants, and calls
    /// travel as JSON ([`Subscriber::is_converted`]). Types that cannot be converted are a `TYPE_MISMATCH` that
    /// says what differs ([`Subscriber::wait_ready`]). The same holds for gates that this plugin provides, whose
    /// callers may have other types. [`PluginBuilder::exact_only`] turns conversion off.
    ///
    /// If there can be no link to the provider at the moment, opening and calling return the reason. A subscriber
    /// that is kept can be called as soon as there is a link: if the link failed for lack of descriptors or address
    /// space, it is tried again within half a minute; if the provider did not answer, once it does. Opening the
    /// gate anew tries at once.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a name that is not allowed; `OVERLOADED` over the limit of open gates; `TIMEOUT` if
    /// the provider does not answer the broker; [`SYSTEM`](Code::System) if one of the two processes lacks
    /// descriptors or address space; `BROKER_GONE`.
    pub fn subscriber<A: Arguments, R: GateType>(&self, gate: &str) -> Result<Subscriber<A, R>> {
        let signatures = [signature_of::<A, R>(), action_signature_of::<A>()];
        let shared = self.open(gate, signatures, self.state.encodings)?;
        Ok(Subscriber::new(shared))
    }

    /// Opens a gate that takes raw bytes and returns `R`; otherwise as [`Plugin::subscriber`].
    ///
    /// # Errors
    ///
    /// As [`Plugin::subscriber`].
    pub fn raw_subscriber<R: GateType>(&self, gate: &str) -> Result<RawSubscriber<R>> {
        let signature = raw_signature::<R>();
        let mut action = signature.clone();
        action.result = None;
        let shared = self.open(gate, [signature, action], Encodings::ARCHIVE)?;
        Ok(RawSubscriber::new(shared))
    }

    /// Watches a gate's providers come and go, whatever its types; see [`Watch`].
    ///
    /// # Errors
    ///
    /// As [`Plugin::subscriber`].
    pub fn watch(&self, gate: &str) -> Result<Watch> {
        let watch = opening::begin_to_watch(&self.state, gate)?;
        self.ask_to_open(&watch.gate, watch.number)?;
        Ok(watch)
    }

    /// Asks the broker for the state of a gate and for news of each change, and waits for the first answer.
    fn ask_to_open(&self, gate: &OpenGate, number: u32) -> Result<()> {
        let until = answer_due(REQUEST_TIMEOUT);
        let opened = self.state.open(number, until);
        opened.map_err(|error| error.at_gate(gate.name().clone()))?;
        let late = || match self.state.presence.check() {
            Err(away) => away,
            Ok(()) => {
                let membership = self.state.membership();
                let broker = membership.connection.broker();
                broker.is_late("did not say how the gate stands")
            }
        };
        gate.wait_known(late, until)
    }

    /// Opens a gate for a handle that calls it, with these types for its function and its action, in these
    /// encodings.
    pub(crate) fn open(
        &self,
        gate: &str,
        signatures: [Signature; 2],
        encodings: Encodings,
    ) -> Result<Shared> {
        let shared = opening::begin(&self.state, gate, signatures, encodings)?;
        self.ask_to_open(&shared.gate, shared.number)?;
        Ok(shared)
    }

    /// The values that the plugins of the bus have in common; see [`Shares`].
    pub fn shares(&self) -> Shares {
        Shares::new(&self.state, &self.core.group)
    }

    /// Returns what is on the bus, as the JSON document that `callgate ls --json` prints.
    ///
    /// # Errors
    ///
    /// `BROKER_GONE`, `TIMEOUT`.
    pub fn list(&self) -> Result<serde_json::Value> {
        let damaged = || Error::new(Code::Protocol, "the broker's listing cannot be read");
        // The broker makes only one listing at a time for each plugin.
        let _alone = self.listing.lock();
        let list = |request| SessionToBroker::List { request }.into();
        let Answered::Listing(Some(listing)) = self.state.request(list)? else {
            return Err(damaged());
        };
        let file = std::fs::File::from(listing);
        // Read at explicit positions: the descriptor may share its file position with the broker's.
        let len = file.metadata().map_err(|_| damaged())?.len();
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| damaged())?];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).map_err(|_| damaged())?;
        serde_json::from_slice(&bytes).map_err(|_| damaged())
    }

    /// Sets a function that is called when the broker is lost, is back, or does not accept this plugin; see
    /// [`BrokerEvent`]. It is called on a thread of its own, one event after the other, from the next event on.
    ///
    /// ```no_run
    /// # use callgate_client::{BrokerEvent, Plugin};
    /// # fn main() -> callgate_client::Result<()> {
    /// let plugin = Plugin::connect("Mixer")?;
    /// plugin.on_broker(|event| match event {
    ///     BrokerEvent::Lost(why) => eprintln!("{why}"),
    ///     BrokerEvent::Back { pid, .. } => eprintln!("the broker is back as process {pid}"),
    ///     _ => {}
    /// });
    /// # Ok(()) }
    /// ```
    pub fn on_broker(&self, told: impl Fn(BrokerEvent) + Send + Sync + 'static) {
        self.state.notices.set(Arc::new(told));
    }

    /// Joins the broker at the other end of a connected socket. Meant for plugins of a host whose embedded broker
    /// was replaced by another one ([`PluginBuilder::descriptor`]). The plugin tells the new broker everything that
    /// it provides and has open; calls that are under way over links of the old broker go on.
    ///
    /// The old broker may still run; then there is no [`BrokerEvent::Lost`], and coming back to it within five
    /// seconds fails with `NAME_TAKEN`.
    ///
    /// # Errors
    ///
    /// As [`PluginBuilder::connect`]; the plugin then stays with its broker. But if the new broker ends while the
    /// plugin tells it everything, the plugin has no broker and looks for the next one. Once
    /// [`Plugin::wait_closed`] has returned, the error is the one that it returned.
    pub fn rejoin(&self, socket: OwnedFd) -> Result<()> {
        self.state.check_here()?;
        self.core.rejoin(Reached::by(socket)?, REQUEST_TIMEOUT)
    }

    /// Waits until there will be no broker for this plugin any more, and returns the reason: the broker has sent it
    /// away, or refuses to accept it again, or the host that has started this process has stopped. That a broker
    /// was killed, has ended (even one that this program embeds) or is restarted does not end this wait
    /// ([`Plugin::on_broker`]), unless [`PluginBuilder::outlives_broker`] is `false`.
    pub fn wait_closed(&self) -> Error {
        loop {
            if let Some(reason) = self.state.presence.await_over(None) {
                return reason;
            }
        }
    }

    /// As [`Plugin::wait_closed`], but for `timeout` at most; `None` if the plugin goes on.
    pub fn wait_closed_for(&self, timeout: Duration) -> Option<Error> {
        self.state.presence.await_over(Some(timeout))
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if !self.state.is_here() {
            return;
        }
        // After this, no attempt to come back to a broker that does not answer holds anything.
        self.core.begin_closing();
        // The broker first: a plugin that learns that this one has closed then finds its gates gone, and can
        // provide them.
        let until = instant_after(CLOSING);
        for (gate, kind) in self.state.provided.all() {
            self.state.withdraw(&gate, kind, until);
            // For plugins of this process too, because the handlers stay in place while one of them runs.
            self.state.provided.withdrawn(&gate, kind);
        }
        // Then the dispatcher, which answers what is left while the links still live.
        self.core.close_all();
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

fn check_gate(name: &str) -> Result<()> {
    control::check_gate_name(name).map_err(|text| Error::new(Code::InvalidArgument, text))
}

#[cfg(test)]
mod tests;
