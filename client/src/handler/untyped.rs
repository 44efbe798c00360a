//! Handlers of bytes that nobody here looks into: one that answers when it returns, and one that
//! answers later.

use std::sync::Arc;

use super::context::Context;
use super::responder::Responder;
use super::{ErasedHandler, HandlerError, HandlerKind, LaterHandler, ReplyBuffer};
use crate::base::error::{Error, Result};

/// A handler of bytes that answers when it returns.
pub(crate) fn untyped<F>(handler: F) -> Arc<dyn ErasedHandler>
where
    F: Fn(Context<'_>, &[u8]) -> Result<Vec<u8>, HandlerError> + Send + Sync + 'static,
{
    Arc::new(Untyped(handler))
}

/// A handler of bytes that answers later.
pub(crate) fn later<F>(handler: F) -> Arc<dyn ErasedHandler>
where
    F: Fn(Context<'_>, &[u8], Responder) + Send + Sync + 'static,
{
    Arc::new(Later(handler))
}

struct Untyped<F>(F);

impl<F> ErasedHandler for Untyped<F>
where
    F: Fn(Context<'_>, &[u8]) -> Result<Vec<u8>, HandlerError> + Send + Sync,
{
    fn call(
        &self,
        context: &Context<'_>,
        request: &[u8],
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()> {
        let result = (self.0)(*context, request).map_err(Error::from)?;
        reply.map_or(Ok(()), |reply| reply.put_bytes(&result))
    }
}

struct Later<F>(F);

impl<F> ErasedHandler for Later<F>
where
    F: Fn(Context<'_>, &[u8], Responder) + Send + Sync,
{
    /// Called by a thread of this process that has found another handler here a moment ago: without a
    /// slot there is nothing that could be answered later.
    fn call(&self, _: &Context<'_>, _: &[u8], _: Option<&mut ReplyBuffer>) -> Result<()> {
        let text = "the gate came back with a handler that answers later; call again";
        Err(Error::new(callgate_layout::Code::NotReady, text))
    }

    fn kind(&self) -> HandlerKind<'_> {
        HandlerKind::Later(self)
    }
}

impl<F> LaterHandler for Later<F>
where
    F: Fn(Context<'_>, &[u8], Responder) + Send + Sync,
{
    fn call(&self, context: &Context<'_>, request: &[u8], responder: Responder) {
        (self.0)(*context, request, responder);
    }
}
