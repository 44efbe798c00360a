//! What a gate without types takes, and the handler for it.

use std::sync::Arc;

use callgate_layout::{Encoding, Encodings, Signature};
use serde_json::Value;

use crate::handler::context::Context;
use crate::handler::responder::Responder;
use crate::handler::{ErasedHandler, HandlerError, untyped};

/// What a gate without types takes, and the handler for it.
///
/// | | takes | gives |
/// |---|---|---|
/// | [`archives`](Takes::archives) | the archive of the parameters | that of the result |
/// | [`json`](Takes::json) | the text of a JSON array, one element a parameter | the text of one JSON value |
/// | [`values`](Takes::values) | these elements | that value |
/// | [`either`](Takes::either) | whatever the call is written in, which it is told | the same |
///
/// Each has a sister that answers later, through a [`Responder`], with the same rules as
/// [`provide_later`](super::provide_later).
///
/// JSON that comes in has been checked: it is an array, nests at most 64 deep, and has as many elements as the gate's
/// signature has parameters. *What these are has not*: a caller without types may send anything. What a handler gives back
/// as JSON is looked at, too, because no peer would take anything else: where it is none, the caller is told `HANDLER_ERROR`,
/// with the `handler_code` `NOT_JSON`. Of an action it is dropped.
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

    /// Its encodings, and the handler for a signature.
    pub(super) fn of(self, signature: &Signature) -> (Encodings, Arc<dyn ErasedHandler>) {
        let params = signature.params.as_ref().map(Vec::len);
        (self.encodings, (self.make)(params))
    }

    /// Archives.
    pub fn archives(
        handler: impl Fn(Context<'_>, &[u8]) -> Result<Vec<u8>, HandlerError> + Send + Sync + 'static,
    ) -> Takes {
        let handler = move |context: Context<'_>, _, bytes: &[u8]| handler(context, bytes);
        Takes::new(Encodings::ARCHIVE, |params| {
            untyped::at_once(handler, params)
        })
    }

    /// Archives, to be answered later.
    pub fn archives_later(
        handler: impl Fn(Context<'_>, &[u8], Responder) + Send + Sync + 'static,
    ) -> Takes {
        Takes::new(Encodings::ARCHIVE, |params| untyped::later(handler, params))
    }

    /// JSON, as text.
    pub fn json(
        handler: impl Fn(Context<'_>, &str) -> Result<String, HandlerError> + Send + Sync + 'static,
    ) -> Takes {
        let handler = move |context: Context<'_>, _, bytes: &[u8]| {
            handler(context, untyped::text(bytes)).map(String::into_bytes)
        };
        Takes::new(Encodings::JSON, |params| untyped::at_once(handler, params))
    }

    /// JSON, as text, to be answered later: by [`Responder::reply`] with the text of the result, or
    /// [`Responder::reply_value`].
    pub fn json_later(
        handler: impl Fn(Context<'_>, &str, Responder) + Send + Sync + 'static,
    ) -> Takes {
        let handler = move |context: Context<'_>, bytes: &[u8], responder: Responder| {
            handler(context, untyped::text(bytes), responder);
        };
        Takes::new(Encodings::JSON, |params| untyped::later(handler, params))
    }

    /// JSON, as values.
    pub fn values(
        handler: impl Fn(Context<'_>, Vec<Value>) -> Result<Value, HandlerError> + Send + Sync + 'static,
    ) -> Takes {
        Takes::new(Encodings::JSON, |params| untyped::values(handler, params))
    }

    /// JSON, as values, to be answered later.
    pub fn values_later(
        handler: impl Fn(Context<'_>, Vec<Value>, Responder) + Send + Sync + 'static,
    ) -> Takes {
        Takes::new(Encodings::JSON, |params| {
            untyped::values_later(handler, params)
        })
    }

    /// Archives and JSON.
    pub fn either(
        handler: impl Fn(Context<'_>, Encoding, &[u8]) -> Result<Vec<u8>, HandlerError>
        + Send
        + Sync
        + 'static,
    ) -> Takes {
        Takes::new(Encodings::BOTH, |params| untyped::at_once(handler, params))
    }

    /// Archives and JSON, to be answered later; [`Responder::encoding`] says in which.
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
