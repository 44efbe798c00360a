//! Closures as handlers of events, and how their parameters are read from an event's bytes.

mod closure;
mod context;

use core::marker::PhantomData;

use callgate_layout::{Code, Encoding, Signature};
use rkyv::Archive;
use serde_json::Value;

use crate::base::archive::{self, MAX_LEN_HERE};
use crate::base::buffers::{KEEP, Scratch, no_memory, probe};
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::types::{Arguments, Failed, action_signature_of};
use crate::handler::HandlerError;
use crate::link::extents::too_large;

pub use context::EventContext;
pub(crate) use context::{Sending, time_of};

/// A closure or function that can handle events.
///
/// It takes up to eight parameters, each a gate type or a [`View`](crate::View) of one, optionally after an
/// [`EventContext`]; the closure has to name its parameters' types. It returns nothing, or a `Result` whose error
/// converts into [`HandlerError`]. It has to be `Fn`, because it may run on several threads at once if the plugin's
/// dispatch is a pool and there are several senders. `Marker` is inferred by the compiler.
///
/// ```
/// use callgate_client::{EventContext, EventHandler, HandlerError, View};
///
/// fn is_handler<M>(_: impl EventHandler<M>) {}
/// is_handler(|degrees: u32, text: String| println!("{degrees}: {text}"));
/// is_handler(|event: EventContext<'_>, text: View<'_, String>| println!("{}: {}", event.topic(), text.as_str()));
/// is_handler(|text: String| -> Result<(), HandlerError> {
///     let _number: u32 = text.trim().parse()?;
///     Ok(())
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler of events",
    note = "a handler of events is a `Fn + Send + Sync + 'static` with up to 8 annotated parameters: gate types, `serde_json::Value` or `View<T>`, after an optional `EventContext<'_>`; it returns nothing, or a `Result`"
)]
pub trait EventHandler<Marker>: Send + Sync + Sized + 'static {
    /// The parameters as they are sent: a tuple, `()` for none.
    type Args: Arguments;

    /// Runs the handler on a checked event.
    #[doc(hidden)]
    fn run(
        &self,
        context: &EventContext<'_>,
        event: &<Self::Args as Archive>::Archived,
    ) -> Result<()>;

    /// Whether the handler can be called with owned values, without an archive.
    #[doc(hidden)]
    const MOVES: bool;

    /// Whether reading the parameters may allocate as much memory as the archive has.
    #[doc(hidden)]
    const COPIES: bool;

    /// Runs the handler on owned values; `None` if it needs an archive.
    #[doc(hidden)]
    fn run_moved(&self, context: &EventContext<'_>, arguments: Self::Args) -> Option<Result<()>>;

    /// The signature of the events that it takes.
    fn event_signature() -> Signature {
        action_signature_of::<Self::Args>()
    }
}

/// What a handler of events may return: nothing, or a `Result` whose error converts into [`HandlerError`].
#[diagnostic::on_unimplemented(
    message = "a handler of events cannot return `{Self}`",
    note = "a handler of events returns nothing, or `Result<(), E>` whose error converts into HandlerError"
)]
pub trait EventReply {
    /// The handler's outcome.
    #[doc(hidden)]
    fn into_outcome(self) -> Result<()>;
}

impl EventReply for () {
    #[inline]
    fn into_outcome(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<HandlerError>> EventReply for Result<(), E> {
    #[inline]
    fn into_outcome(self) -> Result<()> {
        self.map_err(|error| Error::from(error.into()))
    }
}

/// A handler of events without its types. Its panics are not caught here.
pub(crate) trait ErasedEvents: Send + Sync {
    /// Checks an event and runs the handler.
    fn run(&self, context: &EventContext<'_>, encoding: Encoding, event: &[u8]) -> Result<()>;
}

/// Forgets a handler's types.
pub(crate) fn erase<M: 'static, H: EventHandler<M>>(handler: H) -> Box<dyn ErasedEvents> {
    Box::new(Erased {
        handler,
        marker: PhantomData,
    })
}

struct Erased<H, M> {
    handler: H,
    marker: PhantomData<fn() -> M>,
}

impl<M, H: EventHandler<M>> Erased<H, M> {
    #[cold]
    fn run_json(&self, context: &EventContext<'_>, event: &[u8]) -> Result<()> {
        let arguments = read_json::<H::Args>(event)?;
        match H::MOVES {
            true => self.handler.run_moved(context, arguments).unwrap_or(Ok(())),
            false => self.run_archived(context, arguments),
        }
    }

    /// Archives the values and runs the handler on the archive.
    fn run_archived(&self, context: &EventContext<'_>, arguments: H::Args) -> Result<()> {
        let mut event = Scratch::take();
        archive::serialize_vec(&arguments, &mut event, None, MAX_LEN_HERE).map_err(
            |why| match why {
                Failed::OutOfMemory(why) => no_memory(why, WHAT),
                _ => too_large(Code::RequestTooLarge, "parameters", MAX_LEN_HERE),
            },
        )?;
        drop(arguments);
        self.handler
            .run(context, archive::access::<H::Args>(&event)?)
    }
}

/// What the error says that the memory was for.
const WHAT: &str = "event's parameters; the handler did not run";

impl<M, H: EventHandler<M>> ErasedEvents for Erased<H, M> {
    #[inline]
    fn run(&self, context: &EventContext<'_>, encoding: Encoding, event: &[u8]) -> Result<()> {
        if encoding == Encoding::Json {
            return self.run_json(context, event);
        }
        let archived = archive::access::<H::Args>(event)?;
        if event.len() > KEEP && H::COPIES {
            probe(event.len()).map_err(|why| no_memory(why, WHAT))?;
        }
        self.handler.run(context, archived)
    }
}

/// Reads an event's bytes into values.
pub(crate) fn read<A: Arguments>(encoding: Encoding, event: &[u8]) -> Result<A> {
    match encoding {
        Encoding::Json => read_json(event),
        Encoding::Archive => {
            let archived = archive::access::<A>(event)?;
            if event.len() > KEEP {
                probe(event.len()).map_err(|why| no_memory(why, WHAT))?;
            }
            archive::deserialize::<A>(archived)
        }
    }
}

fn read_json<A: Arguments>(event: &[u8]) -> Result<A> {
    if event.len() > KEEP {
        probe(event.len()).map_err(|why| no_memory(why, WHAT))?;
    }
    json::read_arguments::<A>(event)
}

/// A handler of bytes: archives that were not checked, or JSON that was checked.
pub(crate) struct OfBytes<F>(pub(crate) F);

impl<F> ErasedEvents for OfBytes<F>
where
    F: Fn(EventContext<'_>, Encoding, &[u8]) -> Result<(), HandlerError> + Send + Sync,
{
    fn run(&self, context: &EventContext<'_>, encoding: Encoding, event: &[u8]) -> Result<()> {
        if encoding == Encoding::Json {
            json::check_arguments(event)?;
        }
        (self.0)(*context, encoding, event).map_err(Error::from)
    }
}

/// A handler of JSON values.
pub(crate) struct OfValues<F>(pub(crate) F);

impl<F> ErasedEvents for OfValues<F>
where
    F: Fn(EventContext<'_>, Vec<Value>) -> Result<(), HandlerError> + Send + Sync,
{
    fn run(&self, context: &EventContext<'_>, encoding: Encoding, event: &[u8]) -> Result<()> {
        (self.0)(*context, read_values(encoding, event)?).map_err(Error::from)
    }
}

/// The values of an event that came as JSON.
pub(crate) fn read_values(encoding: Encoding, event: &[u8]) -> Result<Vec<Value>> {
    if encoding != Encoding::Json {
        return Err(Error::new(
            Code::Protocol,
            "an event that was to come as JSON did not",
        ));
    }
    if event.len() > KEEP {
        probe(event.len()).map_err(|why| no_memory(why, WHAT))?;
    }
    json::read_values(event)
}
