//! Handlers without their types, as gates keep them.

use core::any::Any;
use core::marker::PhantomData;
use std::sync::Arc;

use callgate_layout::envelope::{Place, Violation};
use callgate_layout::{Code, Encodings};

use super::context::Context;
use super::payload::Payload;
use super::responder::Responder;
use super::{Handler, ReplyBuffer};
use crate::base::archive::{self, MAX_LEN_HERE};
use crate::base::buffers::{KEEP, Scratch, no_memory, probe};
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::types::Failed;
use crate::link::Link;
use crate::link::extents::too_large;

/// A handler without its types: it takes an archived request and writes an archived reply.
pub(crate) trait ErasedHandler: Send + Sync {
    /// Checks the request, runs the handler, and archives its result if `reply` is given. Panics are not caught
    /// here.
    fn call(
        &self,
        context: &Context<'_>,
        request: &[u8],
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()>;

    /// As `call`, for a request in JSON; the reply is JSON too.
    fn call_json(
        &self,
        _context: &Context<'_>,
        _request: &[u8],
        _reply: Option<&mut ReplyBuffer>,
    ) -> Result<()> {
        Err(takes_only(Encodings::ARCHIVE))
    }

    /// Whether it uses its context.
    fn looks(&self) -> bool {
        true
    }

    /// Runs the handler on the values in `arguments`, an `Option` of its parameters, and puts the result into
    /// `result`, an `Option` of that, if given. Returns `false` and changes nothing if the types differ or the
    /// handler needs an archive. Panics are not caught here.
    fn call_moved(
        &self,
        _context: &Context<'_>,
        _arguments: &mut dyn Any,
        _result: Option<&mut dyn Any>,
    ) -> Result<bool> {
        Ok(false)
    }

    /// Reads the parameters directly from a request in shared memory, if they are plain numbers and vectors of them
    /// and the handler takes them as values. Returns the handler with these parameters, ready to run.
    fn take_direct(
        &self,
        _link: &Link,
        _request: (Place, u32),
    ) -> Result<Option<Ready<'_>>, Violation> {
        Ok(None)
    }

    /// The kind of the handler.
    #[inline]
    fn kind(&self) -> HandlerKind<'_> {
        HandlerKind::Archived
    }
}

/// The error for a call in an encoding that its gate does not take.
#[cold]
pub(crate) fn takes_only(takes: Encodings) -> Error {
    let text = format!(
        "the gate takes {} alone, and this call is written otherwise; it was not run",
        takes.as_str()
    );
    Error::new(Code::TypeMismatch, text)
}

/// How a handler takes its payload and gives its answer.
pub(crate) enum HandlerKind<'h> {
    /// It takes an archive in private memory, and answers when it returns.
    Archived,
    /// It reads the payload in shared memory, and answers when it returns.
    InPlace(&'h dyn InPlaceHandler),
    /// It takes an archive in private memory, and answers later.
    Later(&'h dyn LaterHandler),
}

/// A handler that answers later, through a responder.
pub(crate) trait LaterHandler: Send + Sync {
    /// Runs the handler. Panics are not caught here.
    fn call(&self, context: &Context<'_>, request: &[u8], responder: Responder);
}

/// A handler whose parameters have been read. It archives its result if a buffer is given. Panics are not caught
/// here.
pub(crate) type Ready<'h> =
    Box<dyn FnOnce(&Context<'_>, Option<&mut ReplyBuffer>) -> Result<()> + 'h>;

/// A handler of raw bytes, which reads them in shared memory.
pub(crate) trait InPlaceHandler: Send + Sync {
    /// Runs the handler, and archives its result if `reply` is given. Panics are not caught here.
    fn call(
        &self,
        context: &Context<'_>,
        payload: Payload<'_>,
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()>;
}

/// Wraps a handler so that its types do not show.
pub(crate) fn erase<M: 'static, H: Handler<M>>(handler: H) -> Arc<dyn ErasedHandler> {
    Arc::new(Erased {
        handler,
        marker: PhantomData,
    })
}

struct Erased<H, M> {
    handler: H,
    marker: PhantomData<fn() -> M>,
}

impl<M, H: Handler<M>> Erased<H, M> {
    /// Archives the values and runs the handler on the archive, for handlers with `View` parameters.
    #[cold]
    fn run_archived(&self, context: &Context<'_>, arguments: H::Args) -> Result<H::Output> {
        let mut request = Scratch::take();
        archive::serialize_vec(&arguments, &mut request, None, MAX_LEN_HERE).map_err(|why| {
            match why {
                Failed::OutOfMemory(why) => no_memory(why, "parameters; the handler did not run"),
                _ => too_large(Code::RequestTooLarge, "parameters", MAX_LEN_HERE),
            }
        })?;
        drop(arguments);
        self.handler
            .run(context, archive::access::<H::Args>(&request)?)
    }
}

impl<M, H: Handler<M>> ErasedHandler for Erased<H, M> {
    fn call(
        &self,
        context: &Context<'_>,
        request: &[u8],
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()> {
        let length = request.len();
        let request = archive::access::<H::Args>(request)?;
        if length > KEEP && H::COPIES {
            let what = "parameters; the handler did not run";
            probe(length).map_err(|why| no_memory(why, what))?;
        }
        let output = self.handler.run(context, request)?;
        reply.map_or(Ok(()), |reply| reply.put_result(&output, context))
    }

    fn call_json(
        &self,
        context: &Context<'_>,
        request: &[u8],
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()> {
        if request.len() > KEEP {
            let what = "parameters; the handler did not run";
            probe(request.len()).map_err(|why| no_memory(why, what))?;
        }
        let arguments = json::read_arguments::<H::Args>(request)?;
        let output = match H::MOVES {
            true => self.handler.run_moved(context, arguments).transpose()?,
            false => Some(self.run_archived(context, arguments)?),
        };
        match (output, reply) {
            (Some(output), Some(reply)) => reply.put_json(&output, context),
            // Nobody wants the result.
            _ => Ok(()),
        }
    }

    fn take_direct(
        &self,
        link: &Link,
        request: (Place, u32),
    ) -> Result<Option<Ready<'_>>, Violation> {
        if !H::MOVES {
            return Ok(None);
        }
        let parameters = link.take_direct::<H::Args>(request)?;
        Ok(parameters.map(|parameters| -> Ready<'_> {
            Box::new(move |context, reply| {
                let output = self.handler.run_moved(context, parameters).transpose()?;
                match (output, reply) {
                    (Some(output), Some(reply)) => reply.put_result(&output, context),
                    // Nobody wants the result. (A handler that `MOVES` always has one.)
                    _ => Ok(()),
                }
            })
        }))
    }

    fn looks(&self) -> bool {
        H::LOOKS
    }

    #[inline]
    fn call_moved(
        &self,
        context: &Context<'_>,
        arguments: &mut dyn Any,
        result: Option<&mut dyn Any>,
    ) -> Result<bool> {
        let wanted = match result {
            None => None,
            Some(result) => match result.downcast_mut::<Option<H::Output>>() {
                None => return Ok(false),
                some => some,
            },
        };
        let arguments = arguments.downcast_mut::<Option<H::Args>>();
        let Some(arguments) = arguments.filter(|_| H::MOVES).and_then(Option::take) else {
            return Ok(false);
        };
        let Some(outcome) = self.handler.run_moved(context, arguments) else {
            return Ok(false);
        };
        let output = outcome?;
        if let Some(wanted) = wanted {
            *wanted = Some(output);
        }
        Ok(true)
    }
}
