//! Running the handler of a call that was taken from a ring.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use callgate_layout::buffer::Buffer;
use callgate_layout::envelope::{Call, CallKind, MAX_DEPTH, Place, Violation};
use callgate_layout::{Code, clock};

use crate::buffers::{KEEP, no_memory};
use crate::chain;
use crate::context::Context;
use crate::count::Counter;
use crate::debug;
use crate::error::{Error, Result};
use crate::gates::{Callable, Gate, Served};
use crate::handler::{ErasedHandler, ReplyBuffer};
use crate::intake::Intake;
use crate::link::Link;
use crate::raw::Payload;
use crate::server::Job;
use crate::trace;

/// What the calls that a thread serves pass through, one after the other.
pub(crate) struct Tools {
    pub(crate) job: Job,
    pub(crate) request: Buffer,
    pub(crate) reply: ReplyBuffer,
}

impl Tools {
    /// Passes the memory of large payloads on: to the plugin's pool, or where the link that they came
    /// through is gone, to the system.
    #[inline]
    pub(crate) fn tidy(&mut self, link: Option<&Link>) {
        self.reply.clear(link);
        if self.request.capacity() > KEEP {
            self.let_go(link);
        }
    }

    #[cold]
    fn let_go(&mut self, link: Option<&Link>) {
        match link {
            Some(link) => link.pass_on(&mut self.request),
            None => self.request = Buffer::new(),
        }
    }
}

/// What serving one call at a time needs: one for each call that is under way on a stack.
///
/// A frame has its own copies of what may be called, so that a handler stays where it is while it
/// runs, whatever is withdrawn or granted meanwhile.
pub(crate) struct Frame {
    pub(crate) version: u64,
    tables: Vec<Table>,
    pub(crate) tools: Tools,
}

/// What one peer may call here.
pub(crate) struct Table {
    key: u64,
    link: Arc<Link>,
    gates: Vec<Callable>,
}

impl Default for Frame {
    fn default() -> Frame {
        Frame {
            version: 0,
            tables: Vec::new(),
            tools: Tools {
                job: Job::none(),
                request: Buffer::new(),
                reply: ReplyBuffer::new(),
            },
        }
    }
}

impl Frame {
    /// Takes new copies, in the order of the intake's servers. The old ones are given back: what
    /// handlers have captured is to be dropped where nothing is borrowed.
    pub(crate) fn refresh(&mut self, intake: &Intake, served: &Served, version: u64) -> Vec<Table> {
        self.version = version;
        let table = |server: &crate::server::Server| Table {
            key: server.key(),
            link: server.link().clone(),
            gates: server.link().callable(|name| served.look_up(name)),
        };
        let tables = intake.servers().iter().map(table).collect();
        std::mem::replace(&mut self.tables, tables)
    }

    /// Runs the handler of the call in `tools.job`; the archived result stands in `tools.reply`.
    #[inline(always)]
    pub(crate) fn run(&mut self, counter: Counter<'_>) -> Result<Result<()>, Violation> {
        let Frame { tables, tools, .. } = self;
        let is_it = |table: &&Table| table.key == tools.job.key;
        let table = tables.get(tools.job.index).filter(is_it);
        match table.or_else(|| tables.iter().find(is_it)) {
            Some(table) => table.run(tools, counter),
            // The link went meanwhile.
            None => Ok(Err(Error::new(Code::ProviderGone, "the link is gone"))),
        }
    }
}

impl Table {
    #[inline(always)]
    fn run(&self, tools: &mut Tools, counter: Counter<'_>) -> Result<Result<()>, Violation> {
        let Tools {
            job,
            request,
            reply,
        } = tools;
        let (call, link) = (&job.call, &self.link);
        let now = clock::coarse_now();
        let deadline = clock::from_tick(call.deadline, now);
        if now >= deadline && !debug::is_on() {
            return Ok(Err(Error::new(
                Code::Timeout,
                "the call's deadline had passed when it was its turn; it was not run",
            )));
        }
        let (gate, handler) = match self.handler(call) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let Some(_entered) = chain::enter(job.chain) else {
            return Ok(Err(too_deep()));
        };
        let _span = trace::handle(gate.name(), link.peer().name());
        let context = Context::of_call(link, gate.name(), (job.ticket, deadline));
        let is_nested = call.chain.is_some();
        // Nobody looks at what an action returns.
        let reply = (call.kind == CallKind::Function).then_some(reply);
        if let Some(handler) = handler.in_place() {
            let inline = job.cell.payload(is_nested);
            let inline = &inline[..(call.length as usize).min(inline.len())];
            return link.view_payload((call.place, call.length), |view| {
                let payload = Payload::new(view, inline);
                counter.counted(gate, || handler.call(&context, payload, reply))
            });
        }
        if call.place != Place::Inline {
            return self.run_large((gate, handler), call, &context, (request, reply), counter);
        }
        let bytes = &job.cell.payload(is_nested)[..call.length as usize];
        Ok(counter.counted(gate, || handler.call(&context, bytes, reply)))
    }

    /// Runs a handler whose parameters do not lie inline.
    #[cold]
    fn run_large(
        &self,
        (gate, handler): (&Gate, &dyn ErasedHandler),
        call: &Call,
        context: &Context<'_>,
        (request, reply): (&mut Buffer, Option<&mut ReplyBuffer>),
        counter: Counter<'_>,
    ) -> Result<Result<()>, Violation> {
        if let Some(run) = handler.take_direct(&self.link, (call.place, call.length))? {
            return Ok(counter.counted(gate, || run(context, reply)));
        }
        if let Err(why) = self.link.read_payload(call.place, call.length, request)? {
            return Ok(Err(no_memory(why, "arguments; the call was not run")));
        }
        Ok(counter.counted(gate, || handler.call(context, request, reply)))
    }

    #[inline(always)]
    fn handler(&self, call: &Call) -> Result<(&Gate, &dyn ErasedHandler)> {
        let callable = self.gates.get(usize::from(call.gate));
        callable.ok_or_else(not_granted)?.handler(call.kind)
    }
}

/// Runs a handler; a panic ends the call and nothing else.
#[inline]
pub(crate) fn guarded<T>(gate: &Gate, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let outcome = catch_unwind(AssertUnwindSafe(run));
    outcome.unwrap_or_else(|panic| {
        let error = panicked(gate.name(), &*panic);
        discard(panic);
        Err(error)
    })
}

/// Drops something of a user's, which may panic and ends nothing by that. Not to be called while
/// anything is locked or borrowed, for it may come back here, too.
pub(crate) fn discard<T>(what: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(what))) {
        tracing::warn!(panic = text_of(&*panic), "what was let go of panicked");
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            // There would be no end to it.
            std::mem::forget(again);
        }
    }
}

/// The error for a chain that is too long.
#[cold]
pub(crate) fn too_deep() -> Error {
    Error::new(
        Code::CallDepthExceeded,
        format!(
            "{MAX_DEPTH} calls are under way, each made while handling the one before; this one was not run"
        ),
    )
}

/// The error for an index under which nothing may be called.
#[cold]
pub(crate) fn not_granted() -> Error {
    let text = "no such gate is granted on this link, or not any more";
    Error::new(Code::PermissionDenied, text)
}

/// The error for a half of a gate that is not there.
#[cold]
pub(crate) fn not_provided(kind: CallKind) -> Error {
    let half = match kind {
        CallKind::Function => "function",
        CallKind::Action => "action",
    };
    Error::new(Code::NotReady, format!("the gate has no {half} now"))
}

#[cold]
fn panicked(gate: &str, panic: &(dyn Any + Send)) -> Error {
    let text = text_of(panic);
    tracing::warn!(gate, panic = text, "a handler panicked");
    Error::new(
        Code::HandlerPanicked,
        format!("the handler panicked: {text}"),
    )
    .maybe_run()
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no text")
}
