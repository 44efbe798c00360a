//! A plugin's own handle: everything begins here.

mod serving;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use callgate_layout::control::{GateToBroker, PluginLimits, SessionToBroker, Shape};
use callgate_layout::envelope::CallKind;
use callgate_layout::text::cut;
use callgate_layout::{Code, Signature, control};
use parking_lot::Mutex;

use crate::bus::{self, Bus, REQUEST_TIMEOUT, Session};
use crate::chain;
use crate::connect::PluginBuilder;
use crate::context::Context;
use crate::dispatch::{Core, Dispatch};
use crate::error::{Error, Result};
use crate::handler::{Handler, Reply, erase};
use crate::listen::Listener;
use crate::local;
use crate::opened::Opened;
use crate::provider::Provider;
use crate::raw::{Payload, RawSubscriber, erase_raw, raw_signature};
use crate::serve::discard;
use crate::subscriber::{Shared, Subscriber};
use crate::types::{Arguments, GateType, action_signature_of, signature_of};
use crate::wait::Patience;
use crate::watch::Watch;

/// A participant on a bus.
///
/// Dropping it closes the plugin: its gates vanish, calls that are still waiting to be handled
/// are answered `PROVIDER_GONE`, and its subscribers fail with `CLOSED`. A handler that is running
/// is waited for.
///
/// ```no_run
/// use callgate_client::Plugin;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Calculator")?;
/// let _add = plugin.provide("Calculator.Add", |a: u32, b: u32| a.wrapping_add(b))?;
/// plugin.wait_closed(); // until the broker ends
/// # Ok(())
/// # }
/// ```
pub struct Plugin {
    bus: Arc<Bus>,
    listener: Listener,
    core: Arc<Core>,
    /// Started when the first gate is provided.
    dispatchers: Mutex<Vec<JoinHandle<()>>>,
    /// Held while a listing is asked for.
    listing: Mutex<()>,
}

impl Plugin {
    /// Connects under a name of 1 to 128 bytes without control characters, with everything else as
    /// [`PluginBuilder`] has it by default.
    ///
    /// # Errors
    ///
    /// As [`PluginBuilder::connect`].
    pub fn connect(name: &str) -> Result<Plugin> {
        Plugin::builder(name).connect()
    }

    /// Says more about the plugin before it connects.
    pub fn builder(name: &str) -> PluginBuilder {
        PluginBuilder::new(name)
    }

    pub(crate) fn start(mut session: Session) -> Result<Plugin> {
        let (dispatch, direct) = (session.dispatch, session.direct);
        let host = session.host.take();
        let bus = Arc::new(Bus::new(session));
        let listener = Listener::start(&bus, host)?;
        let core = serving::core(&bus, dispatch);
        if direct {
            local::join(&bus, &core);
        }
        if dispatch == Dispatch::Pump {
            core.claim_pump();
            chain::serve_here(&core);
        }
        Ok(Plugin {
            bus,
            listener,
            core,
            dispatchers: Mutex::default(),
            listing: Mutex::new(()),
        })
    }

    /// The name it connected under.
    pub fn name(&self) -> &str {
        &self.bus.identity.name
    }

    /// The id of this incarnation on the bus.
    pub fn id(&self) -> u64 {
        self.bus.plugin
    }

    /// How much of everything this plugin may have.
    pub fn limits(&self) -> PluginLimits {
        self.bus.limits
    }

    /// Provides a gate's function. It can be called when this returns, and until the provider is
    /// dropped.
    ///
    /// A gate's name is 1 to 256 bytes without control characters; by custom `Plugin.Something`, which
    /// `Subscriber::wait_ready` goes by.
    ///
    /// Where handlers run is said by [`Dispatch`]: one after the other, on a thread of the
    /// plugin's, unless it was built otherwise.
    ///
    /// # Errors
    ///
    /// `ALREADY_PROVIDED`, `INVALID_ARGUMENT` for a name that cannot be, `OVERLOADED` over the
    /// limit of gates, `BROKER_GONE`.
    pub fn provide<M: 'static, H: Handler<M>>(&self, gate: &str, handler: H) -> Result<Provider> {
        self.offer(
            gate,
            CallKind::Function,
            &H::function_signature(),
            erase(handler),
        )
    }

    /// Provides a gate's action, whose result nobody is told. A gate may have both.
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
            &H::action_signature(),
            erase(handler),
        )
    }

    /// Provides a gate's function that takes raw bytes, which it reads where they lie; see
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
            &raw_signature::<O::Output>(),
            erase_raw(handler),
        )
    }

    /// Opens a gate to call it. Types are `A`, a tuple of the parameters, and `R`, the result.
    ///
    /// Returns when the broker has said how the gate stands; where somebody provides it, it can
    /// be called at once. Where nobody does, calls are `NOT_READY` until somebody comes.
    ///
    /// Where there can be no link to the provider at the moment, opening and calling say why. A
    /// subscriber that is kept can be called as soon as there is one: a link that failed for want of
    /// descriptors or address space is tried again within half a minute, and one whose provider
    /// did not answer when it goes on. Opening the gate anew tries at once.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a name that cannot be, `OVERLOADED` over the limit of open gates,
    /// `TIMEOUT` where the provider does not answer the broker, [`SYSTEM`](Code::System) where one
    /// of both processes lacks descriptors or address space, `BROKER_GONE`.
    pub fn subscriber<A: Arguments, R: GateType>(&self, gate: &str) -> Result<Subscriber<A, R>> {
        let shared = self.open(gate, &signature_of::<A, R>(), &action_signature_of::<A>())?;
        Ok(Subscriber::new(shared))
    }

    /// Opens a gate that takes raw bytes and gives `R`; otherwise as [`Plugin::subscriber`].
    ///
    /// # Errors
    ///
    /// As [`Plugin::subscriber`].
    pub fn raw_subscriber<R: GateType>(&self, gate: &str) -> Result<RawSubscriber<R>> {
        let signature = raw_signature::<R>();
        let action = Signature {
            result: None,
            ..signature.clone()
        };
        Ok(RawSubscriber::new(self.open(gate, &signature, &action)?))
    }

    /// Watches a gate come and go, whatever its types; see [`Watch`].
    ///
    /// # Errors
    ///
    /// As [`Plugin::subscriber`].
    pub fn watch(&self, gate: &str) -> Result<Watch> {
        check_gate(gate)?;
        let opened = Arc::new(Opened::new(gate.into()));
        opened.watch();
        let number = self.bus.add_opened(&opened);
        // From here on dropping the watch closes the gate again.
        let watch = Watch::new(self.bus.clone(), number, opened.clone());
        let [function, action] = [signature_of::<(), ()>(), action_signature_of::<()>()];
        self.ask_to_open(&opened, number, (&function, &action))?;
        Ok(watch)
    }

    /// Asks the broker how a gate stands, and to be told of every change.
    fn ask_to_open(
        &self,
        opened: &Opened,
        number: u32,
        (function, action): (&Signature, &Signature),
    ) -> Result<()> {
        self.bus.check_alive()?;
        let open = GateToBroker::Open {
            open: number,
            gate: opened.gate().to_string(),
            function: shape(function),
            action: shape(action),
        };
        self.bus.send(&open.into())?;
        opened.wait_known(self.bus.broker(), bus::answer_due(REQUEST_TIMEOUT))
    }

    fn open(&self, gate: &str, function: &Signature, action: &Signature) -> Result<Shared> {
        check_gate(gate)?;
        let opened = Arc::new(Opened::new(gate.into()));
        let number = self.bus.add_opened(&opened);
        // From here on dropping `shared` closes the gate again.
        let patience = Patience::new(self.bus.policy);
        let shared = Shared {
            bus: self.bus.clone(),
            number,
            opened: opened.clone(),
            patience,
        };
        self.ask_to_open(&opened, number, (function, action))?;
        Ok(shared)
    }

    /// What is on the bus, as the JSON document that `callgate ls --json` prints.
    ///
    /// # Errors
    ///
    /// `BROKER_GONE`, `TIMEOUT`.
    pub fn list(&self) -> Result<serde_json::Value> {
        let damaged = || Error::new(Code::Protocol, "the broker's listing cannot be read");
        // The broker makes one at a time for each plugin.
        let _alone = self.listing.lock();
        let list = |request| SessionToBroker::List { request }.into();
        let listing = self.bus.request(list)?;
        let file = std::fs::File::from(listing.ok_or_else(damaged)?);
        // Read by position: the descriptor may share its own with the broker's.
        let len = file.metadata().map_err(|_| damaged())?.len();
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| damaged())?];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).map_err(|_| damaged())?;
        serde_json::from_slice(&bytes).map_err(|_| damaged())
    }

    /// Waits until the broker ends the session, and says why it did.
    pub fn wait_closed(&self) -> Error {
        loop {
            if let Some(reason) = self.bus.wait_ended(None) {
                return reason;
            }
        }
    }

    /// As [`Plugin::wait_closed`], but at most for a while; `None` when the session goes on.
    pub fn wait_closed_for(&self, timeout: Duration) -> Option<Error> {
        self.bus.wait_ended(Some(timeout))
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if !self.bus.is_here() {
            return self.leave_to_parent();
        }
        // First the dispatcher: it answers what is left while the links still live.
        self.bus.served.close();
        local::leave(&self.core);
        let threads = std::mem::take(self.dispatchers.get_mut());
        if threads.is_empty() {
            // Peers that were linked without ever calling here see the end, too.
            self.core.finish();
            chain::leave_here(&self.core);
        }
        // Inside one of its own handlers there is nothing to wait for but this very call.
        if !self.core.is_inside() {
            threads.into_iter().for_each(join);
        }
        // Handlers may own handles of this very plugin.
        discard(self.bus.served.take_gates());
        self.bus.close();
        self.listener.stop();
    }
}

impl Plugin {
    /// In a forked child, which has copies of the handles and none of the threads: to join or detach
    /// them would reach for memory that the C library has given to others. What the threads of the
    /// parent may have locked at the fork is not touched either.
    fn leave_to_parent(&mut self) {
        std::mem::take(self.dispatchers.get_mut())
            .into_iter()
            .for_each(std::mem::forget);
        self.listener.forget();
        std::mem::forget(self.core.clone());
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

/// Starts a thread under a name that shows in debuggers.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        // A chain of calls may have 64 handlers on one stack. Only what is used takes memory.
        .stack_size(8 << 20)
        .spawn(work)
        .map_err(|error| Error::new(Code::System, format!("starting the thread {name}: {error}")))
}

/// Waits for a thread, unless this is it: a handler may drop its own plugin.
pub(crate) fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() {
        // The threads of this crate catch the panics of handlers and have none of their own.
        let _ = thread.join();
    }
}

fn check_gate(name: &str) -> Result<()> {
    control::check_gate_name(name).map_err(|text| Error::new(Code::InvalidArgument, text))
}

fn shape(signature: &Signature) -> Shape {
    Shape {
        params: u8::try_from(signature.params.len()).unwrap_or(u8::MAX),
        fingerprint: signature.fingerprint().0,
        signature: cut(signature.text(), control::MAX_TEXT),
    }
}
