//! The frames that a child may send, after parsing.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Failure, Fields};

/// A frame from a child.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    Ready,
    ServeReady,
    /// The nonce is `None` also if the child sent one that is not a `u64`: the pong still counts as an answer.
    Pong {
        nonce: Option<u64>,
    },
    Response(Response<'a>),
    DeliverError(DeliverError<'a>),
    Publish(Publish<'a>),
    Subscribe(Subscribe<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Service(Service<'a>),
    /// A type that neither the runtime nor a service has, without an id: no answer is sent, because the child waits for none.
    Unknown {
        kind: Cow<'a, str>,
    },
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    pub(crate) id: Cow<'a, str>,
    /// Failed if `error` is there and not `null`, whatever `result` is. A missing `result` counts as `null`.
    pub(crate) outcome: Result<&'a RawValue, Failure<'a>>,
}

/// The child reports that it could not handle an event.
#[derive(Debug)]
pub(crate) struct DeliverError<'a> {
    /// The id of the event.
    pub(crate) id: Cow<'a, str>,
    pub(crate) error: Cow<'a, str>,
}

/// A request to send an event.
#[derive(Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) topic: Cow<'a, str>,
    /// `null` if the frame has no payload.
    pub(crate) payload: &'a RawValue,
    /// The version, a number or a text as the child wrote it; `None` stands for 1, which is also the default.
    pub(crate) version: Option<&'a RawValue>,
}

/// A request to subscribe to a topic, or to all topics below a prefix (`x.*`).
#[derive(Debug)]
pub(crate) struct Subscribe<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) topic: Cow<'a, str>,
    pub(crate) overflow: Option<Overflow>,
    /// At least 1.
    pub(crate) queue_size: Option<u32>,
}

/// A request to end a subscription.
#[derive(Debug)]
pub(crate) struct Unsubscribe<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) topic: Cow<'a, str>,
}

/// What the runtime does with an event when the queue of the subscription is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    DropOldest,
    DropNewest,
    MarkUnhealthy,
}

/// A call of a gate, whose name is the type of the frame.
#[derive(Debug)]
pub(crate) struct Service<'a> {
    /// The name of the gate.
    pub(crate) kind: Cow<'a, str>,
    /// `None` only for types that `docs/stdio.md` lists: then no answer is sent.
    pub(crate) id: Option<Cow<'a, str>>,
    pub(super) fields: Fields<'a>,
}

impl<'a> Service<'a> {
    /// The value of a field; no name occurs twice.
    pub(crate) fn field(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.get(name)
    }

    /// The value of a field that is a text; `None` if it is missing or of another kind.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        super::fields::text(self.field(name)?)
    }

    /// The gate's one argument: an object of all fields but `type` and `id`, in their order and as the child wrote them.
    pub(crate) fn arguments(&self) -> String {
        self.fields.without(&["type", "id"])
    }
}
