//! Calls between plugins of one process: on the caller's thread, under the provider's token,
//! without an archive where both sides have the same types.

use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::Duration;

use callgate_layout::Code;
use callgate_layout::control::LinkEnd;
use callgate_layout::envelope::{CallKind, Cell, Chain, MAX_DEPTH};
use parking_lot::Mutex;

use crate::archive::{self, MAX_LEN_HERE};
use crate::buffers::{Scratch, no_memory};
use crate::bus::Bus;
use crate::caller::answer::decode;
use crate::cancel::CancelToken;
use crate::chain;
use crate::context::{Caller, Context};
use crate::dispatch::{Core, Dispatch};
use crate::error::{Error, Result};
use crate::extents::too_large;
use crate::gates::Callable;
use crate::handler::{ErasedHandler, ReplyBuffer};
use crate::lend;
use crate::link::Link;
use crate::refusal;
use crate::serve::{discard, not_provided, too_deep};
use crate::subscriber::deadline;
use crate::token::{Token, Turn};
use crate::trace;
use crate::types::{Failed, GateType};
use crate::wait::Patience;

/// The plugins of this process.
static MEMBERS: Mutex<Vec<Member>> = Mutex::new(Vec::new());

struct Member {
    /// The bus's own number, because two brokers may number their plugins alike.
    bus: u64,
    plugin: u64,
    core: Weak<Core>,
}

/// Lets other plugins of this process call this one directly.
pub(crate) fn join(bus: &Bus, core: &Arc<Core>) {
    MEMBERS.lock().push(Member {
        bus: bus.number,
        plugin: bus.plugin,
        core: Arc::downgrade(core),
    });
}

/// Ends that.
pub(crate) fn leave(core: &Arc<Core>) {
    let is_it = |member: &Member| std::ptr::eq(member.core.as_ptr(), Arc::as_ptr(core));
    MEMBERS.lock().retain(|member| !is_it(member));
}

/// A provider in this process, and what it let this plugin call when its version was that.
#[derive(Clone)]
pub(crate) struct Local {
    core: Arc<Core>,
    caller: Arc<Caller>,
    /// The provider's end of the link, and the grant: as if the call went that way, it leads only
    /// to the types that it was granted for, and nowhere once it is revoked.
    granted: (LinkEnd, u16),
    version: u64,
    callable: Callable,
}

impl Local {
    /// The provider at the other end of a link, if it is in this process.
    pub(crate) fn find(bus: &Bus, link: &Link, index: u16) -> Option<Local> {
        let peer = link.peer();
        if peer.pid() != std::process::id() {
            return None;
        }
        let is_it = |member: &&Member| member.bus == bus.number && member.plugin == peer.plugin();
        let core = MEMBERS.lock().iter().find(is_it)?.core.upgrade()?;
        let caller = Arc::new(Caller {
            name: bus.identity.name.clone(),
            display_name: bus.identity.display_name.clone(),
            version: bus.identity.version.clone(),
            pid: std::process::id(),
            plugin: bus.plugin,
        });
        let unknown = Local {
            core,
            caller,
            granted: (link.end().other(), index),
            version: 0,
            callable: Callable::Absent,
        };
        Some(unknown.renewed())
    }

    /// The same as it is now.
    pub(crate) fn renewed(&self) -> Local {
        let served = self.core.served();
        // The version first: what is newer than its version is looked up once too often.
        let version = match served.version() {
            // Never current: such a call is to find out that the plugin closes.
            _ if served.is_closing() => u64::MAX,
            version => version,
        };
        let (end, index) = self.granted;
        Local {
            core: self.core.clone(),
            caller: self.caller.clone(),
            granted: self.granted,
            version,
            callable: served.granted(end, index),
        }
    }

    /// Whether nothing was provided, withdrawn, granted or revoked since.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.core.served().version() == self.version
    }

    /// Whether this thread may run the provider's handlers.
    #[inline]
    pub(crate) fn is_for_here(&self) -> bool {
        self.core.dispatch() != Dispatch::Pump || self.core.is_mine()
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

/// Arguments that may be moved into the handler, or only looked at.
pub(crate) enum Given<'a, A> {
    Moved(Option<A>),
    Lent(&'a A),
}

impl<A> Given<'_, A> {
    /// The arguments; `None` once they were moved.
    #[inline]
    pub(crate) fn get(&self) -> Option<&A> {
        match self {
            Given::Moved(arguments) => arguments.as_ref(),
            Given::Lent(arguments) => Some(arguments),
        }
    }
}

/// A call, and how long it may wait for its turn.
pub(crate) struct Visit<'a> {
    pub(crate) local: &'a Local,
    pub(crate) kind: CallKind,
    /// Counted from now; the clock is only read where somebody looks at it.
    pub(crate) timeout: Duration,
    pub(crate) cancel: Option<&'a CancelToken>,
    pub(crate) patience: &'a Patience,
}

impl Visit<'_> {
    /// Runs the gate's handler on this thread.
    #[inline]
    pub(crate) fn call<A: GateType, R: GateType>(&self, given: &mut Given<'_, A>) -> Result<R> {
        let before = chain::current().unwrap_or_else(chain::fresh);
        if before.depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        let depth = before.depth + 1;
        let chain = Chain { depth, ..before };
        if self.cancel.is_some_and(CancelToken::is_cancelled) {
            return Err(self.no_turn());
        }
        let core = &self.local.core;
        let turn = match core.visit(chain.id) {
            Ok(turn) => turn,
            Err(token) => Some(self.await_turn(token, chain.id)?),
        };
        let mut renewed = None;
        let outcome = self.run(chain, given, &mut renewed);
        core.leave(turn, outcome.is_err());
        if let Some(local) = renewed {
            // It may be the last of a handler that was withdrawn meanwhile.
            discard(local);
        }
        if self.cancel.is_some_and(CancelToken::is_cancelled) {
            return Err(self.no_turn().maybe_run());
        }
        outcome
    }

    #[cold]
    fn await_turn(&self, token: &'static Token, chain: u64) -> Result<Turn> {
        let until = deadline(self.timeout);
        let turn = lend::visit_until(token, chain, until, self.cancel, self.patience);
        if turn.is_none() {
            refusal::say();
        }
        turn.ok_or_else(|| self.no_turn())
    }

    #[cold]
    fn no_turn(&self) -> Error {
        if self.cancel.is_some_and(CancelToken::is_cancelled) {
            return Error::new(Code::Cancelled, "the call was given up");
        }
        let text = "the provider, in this process, ran other handlers until the deadline";
        Error::new(Code::Timeout, text)
    }

    /// Runs the gate as it is now, which is kept in `renewed` if it is not as it was.
    #[inline]
    fn run<A: GateType, R: GateType>(
        &self,
        chain: Chain,
        given: &mut Given<'_, A>,
        renewed: &mut Option<Local>,
    ) -> Result<R> {
        // Now that it is this chain's turn: what was withdrawn or revoked before does not run any
        // more.
        if self.local.is_current() {
            return self.run_on(self.local, chain, given);
        }
        let local = renewed.insert(self.local.renewed());
        if local.core.served().is_closing() {
            let text = "the plugin has closed; the call was not run";
            return Err(Error::new(Code::ProviderGone, text));
        }
        self.run_on(local, chain, given)
    }

    #[inline]
    fn run_on<A: GateType, R: GateType>(
        &self,
        local: &Local,
        chain: Chain,
        given: &mut Given<'_, A>,
    ) -> Result<R> {
        let (gate, handler) = local.callable.handler(self.kind)?;
        let _entered = chain::enter(chain).ok_or_else(too_deep)?;
        let _span = trace::handle(gate.name(), local.caller.name());
        let deadline = match handler.looks() {
            true => deadline(self.timeout),
            false => 0,
        };
        let context = Context::here(&local.caller, gate.name(), deadline, self.cancel);
        local.core.counter().counted(gate, || {
            let mut result: Option<R> = None;
            let wanted = (self.kind == CallKind::Function).then_some(&mut result as &mut dyn Any);
            if let Given::Moved(given) = given
                && handler.call_moved(&context, given, wanted)?
            {
                // What an action returned nobody looks at.
                return result.map_or_else(|| decode(true, &[]), Ok);
            }
            self.call_archived(handler, &context, given)
        })
    }

    /// Where the types are others of the same shape, or the arguments are wanted as an archive.
    fn call_archived<A: GateType, R: GateType>(
        &self,
        handler: &dyn ErasedHandler,
        context: &Context<'_>,
        given: &Given<'_, A>,
    ) -> Result<R> {
        let arguments = given.get().ok_or_else(|| not_provided(self.kind))?;
        let (mut cell, mut reply) = (Cell::default(), ReplyBuffer::here());
        let wanted = (self.kind == CallKind::Function).then_some(&mut reply);
        match archive::serialize_into(arguments, cell.inline_mut()) {
            Some(length) => handler.call(context, &cell.inline()[..length], wanted)?,
            None => {
                let mut request = Scratch::take();
                archive::serialize_vec(arguments, &mut request, None, MAX_LEN_HERE).map_err(
                    |why| match why {
                        Failed::OutOfMemory(why) => no_memory(why, "arguments"),
                        _ => too_large(Code::RequestTooLarge, "arguments", MAX_LEN_HERE),
                    },
                )?;
                handler.call(context, &request, wanted)?;
            }
        }
        decode(true, reply.bytes())
    }
}
