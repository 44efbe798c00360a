//! Direct calls between plugins of one process: on the caller's thread, in the provider's turn, without an archive
//! if both sides have the same types.

mod waiting;

use std::any::Any;
use std::cell;
use std::sync::{Arc, Weak};

use callgate_layout::control::LinkEnd;
use callgate_layout::envelope::{CallKind, Cell, Chain, MAX_DEPTH};
use callgate_layout::{Code, Encoding};
use parking_lot::Mutex;

use super::decode::decode;
use super::json;
use super::target::{Origin, buried};
use crate::base::archive::{self, MAX_LEN_HERE};
use crate::base::buffers::{Scratch, no_memory};
use crate::base::cancel::CancelToken;
use crate::base::chain::{self, too_deep};
use crate::base::deadline::{call_due, no_time};
use crate::base::due::{Due, TimeLimit};
use crate::base::error::Result;
use crate::base::json as base_json;
use crate::base::thread::discard;
use crate::base::trace;
use crate::base::types::{Arguments, Failed, GateType};
use crate::handler::context::Context;
use crate::handler::{ErasedHandler, ReplyBuffer};
use crate::link::Link;
use crate::link::extents::too_large;
use crate::link::peer::Caller;
use crate::serve::dispatch::Dispatch;
use crate::serve::dispatcher::Dispatcher;
use crate::serve::frame::closed;
use crate::serve::gate::not_provided;
use crate::serve::grants::Callable;
use crate::serve::limits::Limit;
use crate::serve::member::Member;
use crate::serve::stack;
use waiting::Admitted;

/// The plugins of this process that may be called directly.
static PROVIDERS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

struct Entry {
    /// The bus's number, because two brokers may give plugins the same numbers.
    bus: u64,
    plugin: u64,
    provider: Weak<Member>,
    dispatcher: Weak<Dispatcher>,
}

/// Lets other plugins of this process call this one directly.
pub(crate) fn join(
    (bus, plugin): (u64, u64),
    provider: &Arc<Member>,
    dispatcher: &Arc<Dispatcher>,
) {
    PROVIDERS.lock().push(Entry {
        bus,
        plugin,
        provider: Arc::downgrade(provider),
        dispatcher: Arc::downgrade(dispatcher),
    });
}

/// From here on this plugin is not called directly any more.
pub(crate) fn leave(provider: &Arc<Member>) {
    let is_it = |entry: &Entry| std::ptr::eq(entry.provider.as_ptr(), Arc::as_ptr(provider));
    PROVIDERS.lock().retain(|entry| !is_it(entry));
}

/// A provider in this process, with what it let this plugin call at that version.
#[derive(Clone)]
pub(crate) struct Local {
    dispatcher: Arc<Dispatcher>,
    provider: Arc<Member>,
    caller: Arc<Caller>,
    /// The provider's end of the link, and the index of the grant. A direct call obeys the grant as if it came over
    /// the link: it reaches only the types for which it was granted, and nothing once it is revoked.
    granted: (LinkEnd, u16),
    version: u64,
    callable: Callable,
    /// Whether a handler of the gate answers later, so that calls need a slot and cannot be direct.
    answers_later: bool,
}

impl Local {
    /// Finds the provider at the other end of a link, if it is in this process.
    pub(crate) fn find(me: &Arc<Caller>, link: &Link, index: u16) -> Option<Local> {
        let peer = link.peer();
        if peer.pid() != std::process::id() {
            return None;
        }
        let is_it = |entry: &&Entry| entry.bus == link.bus() && entry.plugin == peer.plugin();
        let (dispatcher, provider) = {
            let providers = PROVIDERS.lock();
            let found = providers.iter().find(is_it)?;
            (found.dispatcher.clone(), found.provider.clone())
        };
        // Dropping these may drop the last reference to the provider's handlers, whose drops may call this again:
        // so no lock is held.
        let (dispatcher, provider) = (dispatcher.upgrade()?, provider.upgrade()?);
        let unknown = Local {
            dispatcher,
            provider,
            caller: me.clone(),
            granted: (link.end().other(), index),
            version: 0,
            callable: Callable::Absent,
            answers_later: false,
        };
        Some(unknown.renewed())
    }

    /// The same provider, with its present version.
    pub(crate) fn renewed(&self) -> Local {
        let provided = &self.provider.provided;
        // The version is read first: if something changes after that, it is only looked up once too often. If the
        // plugin is closing, the version never counts as current, so that each call finds out.
        let version = provided.open_version().unwrap_or(u64::MAX);
        let (end, index) = self.granted;
        let callable = provided.granted(end, index);
        Local {
            dispatcher: self.dispatcher.clone(),
            provider: self.provider.clone(),
            caller: self.caller.clone(),
            granted: self.granted,
            version,
            answers_later: callable.answers_later(),
            callable,
        }
    }

    /// Whether nothing was provided, withdrawn, granted or revoked since.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.provider.provided.version() == self.version
    }

    /// The gate's limit of calls at a time, if it applies to direct calls.
    #[inline]
    fn limit(&self) -> Option<&Arc<Limit>> {
        let Callable::Here(gate) = &self.callable else {
            return None;
        };
        gate.limit_of_calls()
    }

    /// Whether this thread may run the gate's handlers.
    #[inline]
    pub(crate) fn is_for_here(&self) -> bool {
        let may_run = self.dispatcher.dispatch() != Dispatch::Pump || self.dispatcher.is_mine();
        may_run && !self.answers_later
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").finish_non_exhaustive()
    }
}

/// Arguments that are either moved into the handler, or borrowed.
pub(crate) enum Given<'a, A> {
    Owned(Option<A>),
    Borrowed(&'a A),
}

impl<A> Given<'_, A> {
    /// The arguments; `None` once they were moved.
    #[inline]
    pub(crate) fn get(&self) -> Option<&A> {
        match self {
            Given::Owned(arguments) => arguments.as_ref(),
            Given::Borrowed(arguments) => Some(arguments),
        }
    }
}

/// A direct call, with the time for which it may wait for its turn.
pub(crate) struct Visit<'a> {
    pub(crate) local: &'a Local,
    pub(crate) kind: CallKind,
    /// JSON if the types differ.
    pub(crate) encoding: Encoding,
    /// Outside of handlers its deadline is only computed when somebody asks for it, which saves reading a clock.
    pub(crate) limit: TimeLimit,
    pub(crate) cancel: Option<&'a CancelToken>,
    pub(crate) by: &'a Origin,
    /// The deadline, once it was computed; 0 before.
    pub(crate) due: cell::Cell<u64>,
}

impl Visit<'_> {
    /// Runs the gate's handler on this thread.
    #[inline]
    pub(crate) fn call<A: Arguments, R: GateType>(&self, given: &mut Given<'_, A>) -> Result<R> {
        let (before, mut due) = match chain::current() {
            Some(chain) if stack::is_on_top(chain.id) => return Err(buried()),
            Some(chain) => (chain, Due::at(call_due(self.limit)?)),
            None if self.limit.is_zero() => return Err(no_time()),
            None => (chain::fresh(), self.limit.not_counted()),
        };
        if before.depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        let depth = before.depth + 1;
        let chain = Chain { depth, ..before };
        if self.cancel.is_some_and(CancelToken::is_cancelled) {
            return Err(self.no_turn(due));
        }
        let dispatcher = &self.local.dispatcher;
        let mut turn = match dispatcher.visit(chain.id) {
            Ok(turn) => turn,
            Err(turn_lock) => {
                due = Due::at(due.end());
                Some(self.await_turn(turn_lock, chain.id, due)?)
            }
        };
        // Looked up now that this chain has the turn: a gate that was withdrawn or revoked before must not run any
        // more.
        let mut renewed = Vec::new();
        if !self.local.is_current() {
            renewed.push(self.local.renewed());
        }
        let mut permit = None;
        if let Some(limit) = renewed.last().unwrap_or(self.local).limit() {
            let limit = limit.clone();
            match self.admit((chain.id, &mut due), (turn, limit), &mut renewed) {
                Ok(admitted) => Admitted { turn, permit } = admitted,
                Err(error) => {
                    renewed.into_iter().for_each(discard);
                    return Err(error);
                }
            }
        }
        let outcome = self.run(renewed.last(), (chain, due), given);
        drop(permit);
        let status = &self.local.provider.memory.status;
        dispatcher.leave(turn, status, outcome.is_err());
        // This may be the last reference to a handler that was withdrawn meanwhile.
        renewed.into_iter().for_each(discard);
        if self.cancel.is_some_and(CancelToken::is_cancelled) {
            return Err(self.no_turn(due).maybe_run());
        }
        outcome
    }

    /// Runs the gate in its present state, which is `renewed` if it has changed.
    #[inline]
    fn run<A: Arguments, R: GateType>(
        &self,
        renewed: Option<&Local>,
        call: (Chain, Due),
        given: &mut Given<'_, A>,
    ) -> Result<R> {
        match renewed {
            None => self.run_on(self.local, call, given),
            Some(local) if local.provider.provided.is_closing() => Err(closed()),
            Some(local) => self.run_on(local, call, given),
        }
    }

    #[inline]
    fn run_on<A: Arguments, R: GateType>(
        &self,
        local: &Local,
        (chain, mut due): (Chain, Due),
        given: &mut Given<'_, A>,
    ) -> Result<R> {
        let (gate, handler) = match self.encoding {
            Encoding::Archive => local.callable.handler(self.kind)?,
            Encoding::Json => local.callable.json_handler(self.kind)?,
        };
        let deadline = match handler.looks() {
            true => due.end(),
            false => 0,
        };
        if handler.looks() {
            due = Due::at(deadline);
        }
        let _entered = chain::enter(chain, due).ok_or_else(too_deep)?;
        let _span = trace::handle(gate.name(), local.caller.name());
        let context = Context::here(&local.caller, gate.name(), deadline, self.cancel);
        let status = &local.provider.memory.status;
        let counter = local.dispatcher.counter(status);
        if self.encoding == Encoding::Json {
            counter.note_json(gate, local.caller.name());
            return counter.counted(gate, || self.call_json(handler, &context, given));
        }
        counter.counted(gate, || {
            let mut result: Option<R> = None;
            let wanted = (self.kind == CallKind::Function).then_some(&mut result as &mut dyn Any);
            if let Given::Owned(given) = given
                && handler.call_moved(&context, given, wanted)?
            {
                // An action has no result, whatever its handler returns.
                return result.map_or_else(|| decode(true, &[]), Ok);
            }
            self.call_archived(handler, &context, given)
        })
    }

    /// Calls the handler with an archive, because the types differ but have the same shape, or the handler needs an
    /// archive.
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
                        Failed::Unfit(why) => why.error("arguments"),
                        _ => too_large(Code::RequestTooLarge, "arguments", MAX_LEN_HERE),
                    },
                )?;
                handler.call(context, &request, wanted)?;
            }
        }
        decode(true, reply.bytes())
    }

    /// Calls the handler through JSON in private memory, because the types differ.
    #[cold]
    fn call_json<A: Arguments, R: GateType>(
        &self,
        handler: &dyn ErasedHandler,
        context: &Context<'_>,
        given: &Given<'_, A>,
    ) -> Result<R> {
        let arguments = given.get().ok_or_else(|| not_provided(self.kind))?;
        let (mut request, mut reply) = (Scratch::take(), ReplyBuffer::here());
        base_json::write_arguments(arguments, &mut request, None, MAX_LEN_HERE)?;
        let wanted = (self.kind == CallKind::Function).then_some(&mut reply);
        handler.call_json(context, &request, wanted)?;
        json::decode(true, reply.bytes())
    }
}
