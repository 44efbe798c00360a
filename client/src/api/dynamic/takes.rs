//! The handler of a gate without types, with the encodings that it takes.

use std::sync::Arc;

use callgate_layout::{Encoding, Encodings, Signature};
use serde_json::Value;

use crate::handler::context::Context;
use crate::handler::responder::Responder;
use crate::handler::{ErasedHandler, HandlerError, untyped};

/// The handler of a gate without types, with the encodings that it takes.
///
/// | | takes | returns |
/// |---|---|---|
/// | [`archives`](Takes::archives) | the archive of the parameters | the archive of the result |
/// | [`json`](Takes::json) | the text of a JSON array, one element for each parameter | the text of one JSON value |
/// | [`values`](Takes::values) | the elements of that array | one JSON value |
/// | [`either`](Takes::either) | the encoding of the call, and bytes in it | bytes in the same encoding |
///
/// Each has a sibling whose handler answers later, through a [`Responder`], with the same rules as
/// [`provide_later`](super::provide_later).
///
/// JSON that comes in was checked to be an array that nests at most 64 deep, with as many elements as the gate's
/// signature has parameters. *The types of the elements were not checked*: a caller without types may send
/// anything. JSON that a handler returns is checked too, because peers would refuse anything else: if it is
/// invalid, the caller gets `HANDLER_ERROR`, with the `handler_code` `NOT_JSON`. The result of an action is
/// dropped.
pub struct Takes {
    encodings: Encodings,
    make: Box<dyn FnOnce(Option<usize>) -> Arc<dyn ErasedHandler>>,
}

impl Takes {
    fn new(
        encodings: Encodings,
        make: impl FnOnce(Option<usize>) -> Arc<dyn ErasedHandler> + 'static,
    ) -> Takes {
        Takes {
            encodings,
            make: Box::new(make),
        }
    }

    /// The encodings, and the handler for a signature.
    pub(super) fn of(self, signature: &Signature) -> (Encodings, Arc<dyn ErasedHandler>) {
        let params = signature.params.as_ref().map(Vec::len);
        (self.encodings, (self.make)(params))
    }

    /// The handler takes archives.
    pub fn archives(
        handler: impl Fn(Context<'_>, &[u8]) -> Result<Vec<u8>, HandlerError> + Send + Sync + 'static,
    ) -> Takes {
        let handler = move |context: Context<'_>, _, bytes: &[u8]| handler(context, bytes);
        Takes::new(Encodings::ARCHIVE, |params| {
            untyped::at_once(handler, params)
        })
    }

    /// The handler takes archives and answers later.
    pub fn archives_later(
        handler: impl Fn(Context<'_>, &[u8], Responder) + Send + Sync + 'static,
    ) -> Takes {
        Takes::new(Encodings::ARCHIVE, |params| untyped::later(handler, params))
    }

    /// The handler takes JSON, as text.
    pub fn json(
        handler: impl Fn(Context<'_>, &str) -> Result<String, HandlerError> + Send + Sync + 'static,
    ) -> Takes {
        let handler = move |context: Context<'_>, _, bytes: &[u8]| {
            handler(context, untyped::text(bytes)).map(String::into_bytes)
        };
        Takes::new(Encodings::JSON, |params| untyped::at_once(handler, params))
    }

    /// The handler takes JSON, as text, and answers later: with the text of the result by [`Responder::reply`], or
    /// with a value by [`Responder::reply_value`].
    pub fn json_later(
        handler: impl Fn(Context<'_>, &str, Responder) + Send + Sync + 'static,
    ) -> Takes {
        let handler = move |context: Context<'_>, bytes: &[u8], responder: Responder| {
            handler(context, untyped::text(bytes), responder);
        };
        Takes::new(Encodings::JSON, |params| untyped::later(handler, params))
    }

    /// The handler takes JSON, as values.
    pub fn values(
        handler: impl Fn(Context<'_>, Vec<Value>) -> Result<Value, HandlerError> + Send + Sync + 'static,
    ) -> Takes {
        Takes::new(Encodings::JSON, |params| untyped::values(handler, params))
    }

    /// The handler takes JSON, as values, and answers later.
    pub fn values_later(
        handler: impl Fn(Context<'_>, Vec<Value>, Responder) + Send + Sync + 'static,
    ) -> Takes {
        Takes::new(Encodings::JSON, |params| {
            untyped::values_later(handler, params)
        })
    }

    /// The handler takes archives and JSON, and is told which.
    pub fn either(
        handler: impl Fn(Context<'_>, Encoding, &[u8]) -> Result<Vec<u8>, HandlerError>
        + Send
        + Sync
        + 'static,
    ) -> Takes {
        Takes::new(Encodings::BOTH, |params| untyped::at_once(handler, params))
    }

    /// The handler takes archives and JSON, and answers later; [`Responder::encoding`] says in which encoding the
    /// call came.
    pub fn either_later(
        handler: impl Fn(Context<'_>, &[u8], Responder) + Send + Sync + 'static,
    ) -> Takes {
        Takes::new(Encodings::BOTH, |params| untyped::later(handler, params))
    }
}

impl std::fmt::Debug for Takes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Takes")
            .field(&self.encodings.as_str())
            .finish()
    }
}
