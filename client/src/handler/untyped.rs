//! Handlers without types known at compile time, which answer when they return or later. They get archives
//! unchecked; JSON is checked before they get it, and so is the JSON that they return.

use std::sync::Arc;

use callgate_layout::{Code, Encoding};
use serde_json::Value;

use super::context::Context;
use super::responder::Responder;
use super::{ErasedHandler, HandlerError, HandlerKind, LaterHandler, ReplyBuffer};
use crate::base::buffers::{KEEP, no_memory, probe};
use crate::base::error::{Error, Result};
use crate::base::json;

/// A handler that answers when it returns. `params` is the number of parameters that JSON has to have, if known.
pub(crate) fn at_once<F>(handler: F, params: Option<usize>) -> Arc<dyn ErasedHandler>
where
    F: Fn(Context<'_>, Encoding, &[u8]) -> Result<Vec<u8>, HandlerError> + Send + Sync + 'static,
{
    Arc::new(AtOnce { handler, params })
}

/// A handler that answers later.
pub(crate) fn later<F>(handler: F, params: Option<usize>) -> Arc<dyn ErasedHandler>
where
    F: Fn(Context<'_>, &[u8], Responder) + Send + Sync + 'static,
{
    let check = move |bytes: &[u8], responder: &Responder| match responder.encoding() {
        Encoding::Archive => Ok(()),
        Encoding::Json => check_number(json::check_arguments(bytes)?.1, params),
    };
    Arc::new(Later(
        move |context: Context<'_>, bytes: &[u8], responder: Responder| match check(
            bytes, &responder,
        ) {
            Ok(()) => handler(context, bytes, responder),
            Err(error) => refuse(responder, error),
        },
    ))
}

/// A handler of JSON values that answers when it returns.
pub(crate) fn values<F>(handler: F, params: Option<usize>) -> Arc<dyn ErasedHandler>
where
    F: Fn(Context<'_>, Vec<Value>) -> Result<Value, HandlerError> + Send + Sync + 'static,
{
    Arc::new(Values { handler, params })
}

/// A handler of JSON values that answers later.
pub(crate) fn values_later<F>(handler: F, params: Option<usize>) -> Arc<dyn ErasedHandler>
where
    F: Fn(Context<'_>, Vec<Value>, Responder) + Send + Sync + 'static,
{
    Arc::new(Later(
        move |context: Context<'_>, bytes: &[u8], responder: Responder| match read_values(
            bytes, params,
        ) {
            Ok(values) => handler(context, values, responder),
            Err(error) => refuse(responder, error),
        },
    ))
}

/// Answers a call whose handler is not run.
fn refuse(responder: Responder, error: Error) {
    // If this fails, the caller has ended, so nobody waits for the answer.
    let _ = responder.refuse(error);
}

/// A call's JSON, which was checked to be UTF-8.
pub(crate) fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

fn check_number(found: usize, params: Option<usize>) -> Result<()> {
    match params {
        Some(expected) if expected != found => Err(json::wrong_number(expected, found)),
        _ => Ok(()),
    }
}

fn read_values(bytes: &[u8], params: Option<usize>) -> Result<Vec<Value>> {
    if bytes.len() > KEEP {
        let what = "parameters; the handler did not run";
        probe(bytes.len()).map_err(|why| no_memory(why, what))?;
    }
    let values = json::read_values(bytes)?;
    check_number(values.len(), params)?;
    Ok(values)
}

/// The error for an archive at a handler that takes only JSON. Callers know that from the gate, so this does not
/// happen.
#[cold]
fn takes_json() -> Error {
    super::takes_only(callgate_layout::Encodings::JSON)
}

struct AtOnce<F> {
    handler: F,
    params: Option<usize>,
}

impl<F> ErasedHandler for AtOnce<F>
where
    F: Fn(Context<'_>, Encoding, &[u8]) -> Result<Vec<u8>, HandlerError> + Send + Sync,
{
    fn call(
        &self,
        context: &Context<'_>,
        request: &[u8],
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()> {
        let result = (self.handler)(*context, Encoding::Archive, request).map_err(Error::from)?;
        reply.map_or(Ok(()), |reply| reply.put_bytes(&result))
    }

    fn call_json(
        &self,
        context: &Context<'_>,
        request: &[u8],
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()> {
        check_number(json::check_arguments(request)?.1, self.params)?;
        let result = (self.handler)(*context, Encoding::Json, request).map_err(Error::from)?;
        let Some(reply) = reply else {
            return Ok(());
        };
        reply.put_json_text(&result)
    }
}

struct Values<F> {
    handler: F,
    params: Option<usize>,
}

impl<F> ErasedHandler for Values<F>
where
    F: Fn(Context<'_>, Vec<Value>) -> Result<Value, HandlerError> + Send + Sync,
{
    fn call(&self, _: &Context<'_>, _: &[u8], _: Option<&mut ReplyBuffer>) -> Result<()> {
        Err(takes_json())
    }

    fn call_json(
        &self,
        context: &Context<'_>,
        request: &[u8],
        reply: Option<&mut ReplyBuffer>,
    ) -> Result<()> {
        let values = read_values(request, self.params)?;
        let result = (self.handler)(*context, values).map_err(Error::from)?;
        reply.map_or(Ok(()), |reply| reply.put_json(&result, context))
    }
}

struct Later<F>(F);

/// The error of a direct call: a moment ago the gate had another handler, for which a direct call was possible. A
/// direct call has no slot, so nobody could answer it later.
fn comes_back() -> Error {
    let text = "the gate came back with a handler that answers later; call again";
    Error::new(Code::NotReady, text)
}

impl<F> ErasedHandler for Later<F>
where
    F: Fn(Context<'_>, &[u8], Responder) + Send + Sync,
{
    fn call(&self, _: &Context<'_>, _: &[u8], _: Option<&mut ReplyBuffer>) -> Result<()> {
        Err(comes_back())
    }

    fn call_json(&self, _: &Context<'_>, _: &[u8], _: Option<&mut ReplyBuffer>) -> Result<()> {
        Err(comes_back())
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
