//! What children say.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Failure, Fields};

/// A frame of a child.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    Ready,
    ServeReady,
    /// The nonce is `None` also where the child sent one that is no `u64`: it has answered all the same.
    Pong {
        nonce: Option<u64>,
    },
    Response(Response<'a>),
    DeliverError(DeliverError<'a>),
    Publish(Publish<'a>),
    Subscribe(Subscribe<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Service(Service<'a>),
    /// Of a type that is neither ours nor a service's, and without an id, so that nobody waits for an answer.
    Unknown {
        kind: Cow<'a, str>,
    },
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    pub(crate) id: Cow<'a, str>,
    /// An `error` that is not `null` decides, whatever `result` is; a `result` that is not there is `null`.
    pub(crate) outcome: Result<&'a RawValue, Failure<'a>>,
}

/// An event could not be handled.
#[derive(Debug)]
pub(crate) struct DeliverError<'a> {
    /// The event's.
    pub(crate) id: Cow<'a, str>,
    pub(crate) error: Cow<'a, str>,
}

/// An event to send.
#[derive(Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) topic: Cow<'a, str>,
    /// `null` where there is none.
    pub(crate) payload: &'a RawValue,
    /// A number or a text, as the child wrote it; `None` for 1, which is also what it is without one.
    pub(crate) version: Option<&'a RawValue>,
}

/// A topic to hear, or all below a prefix (`x.*`).
#[derive(Debug)]
pub(crate) struct Subscribe<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) topic: Cow<'a, str>,
    pub(crate) overflow: Option<Overflow>,
    /// At least 1.
    pub(crate) queue_size: Option<u32>,
}

/// A topic to hear no more.
#[derive(Debug)]
pub(crate) struct Unsubscribe<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) topic: Cow<'a, str>,
}

/// What is to be done with an event for which a subscription's queue has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    DropOldest,
    DropNewest,
    MarkUnhealthy,
}

/// A call of the gate that its type names.
#[derive(Debug)]
pub(crate) struct Service<'a> {
    /// The name of the gate.
    pub(crate) kind: Cow<'a, str>,
    /// `None` only for types that `docs/stdio.md` names: nobody waits for an answer then.
    pub(crate) id: Option<Cow<'a, str>>,
    pub(super) fields: Fields<'a>,
}

impl<'a> Service<'a> {
    /// A field by its name; each name is there once.
    pub(crate) fn field(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.get(name)
    }

    /// A field that is a text; `None` where it is something else.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        super::fields::text(self.field(name)?)
    }

    /// The gate's one argument: an object with all fields but `type` and `id`, in their order and as the child wrote them.
    pub(crate) fn arguments(&self) -> String {
        self.fields.without(&["type", "id"])
    }
}
