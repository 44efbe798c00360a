//! Handlers of raw bytes, which read them in shared memory.

use std::marker::PhantomData;
use std::sync::Arc;

use callgate_layout::{Describer, Schema, Signature};

use super::context::Context;
use super::payload::Payload;
use super::{ErasedHandler, HandlerKind, InPlaceHandler, Reply, ReplyBuffer};
use crate::base::error::{Error, Result};
use crate::base::types::GateType;

/// The signature of a gate that takes raw bytes and returns `R`.
pub(crate) fn raw_signature<R: GateType>() -> Signature {
    let bytes = Schema::Opaque("raw bytes".to_owned());
    let mut describer = Describer::new();
    let result = R::schema(&mut describer);
    describer.signature(Some(vec![bytes]), Some(result))
}

/// Wraps a handler of raw bytes so that its types do not show.
pub(crate) fn erase_raw<F, O>(handler: F) -> Arc<dyn ErasedHandler>
where
    F: Fn(Context<'_>, Payload<'_>) -> O + Send + Sync + 'static,
    O: Reply + 'static,
{
    Arc::new(RawHandler {
        handler,
        output: PhantomData,
    })
}

struct RawHandler<F, O> {
    handler: F,
    output: PhantomData<fn() -> O>,
}

impl<F, O> ErasedHandler for RawHandler<F, O>
where
    F: Fn(Context<'_>, Payload<'_>) -> O + Send + Sync,
    O: Reply,
{
    fn call(
        &self,
        context: &Context<'_>,
        request: &[u8],
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()> {
        InPlaceHandler::call(self, context, Payload::new(None, request), reply)
    }

    fn kind(&self) -> HandlerKind<'_> {
        HandlerKind::InPlace(self)
    }
}

impl<F, O> InPlaceHandler for RawHandler<F, O>
where
    F: Fn(Context<'_>, Payload<'_>) -> O + Send + Sync,
    O: Reply,
{
    fn call(
        &self,
        context: &Context<'_>,
        payload: Payload<'_>,
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()> {
        let output = (self.handler)(*context, payload)
            .into_output()
            .map_err(Error::from)?;
        reply.map_or(Ok(()), |reply| reply.put_result(&output, context))
    }
}
