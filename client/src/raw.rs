//! Raw payloads: bytes that the caller fills in place, in shared memory, and the provider reads
//! there. Nobody copies them, so that a call costs the same for a byte as for a megabyte.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use callgate_layout::envelope::CallKind;
use callgate_layout::payload::{PayloadView, Space, Words};
use callgate_layout::{Code, Schema, Signature};

use crate::caller::{self, NO_TIME, Target};
use crate::cancel::CancelToken;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::handler::{ErasedHandler, InPlaceHandler, Reply, ReplyBuffer};
use crate::opened::{Standing, Way};
use crate::subscriber::{DEFAULT_TIMEOUT, Shared, due, no_time};
use crate::trace;
use crate::types::{GateType, schema_of};

/// A raw payload on the provider's side, for as long as its handler runs.
///
/// Its bytes lie in memory that the caller could still change. They are read by atomic loads,
/// which is sound whatever the caller does; a plugin that trusts its peers
/// ([`PluginBuilder::read_in_place`](crate::PluginBuilder::read_in_place)) also gets them as a
/// slice.
#[derive(Debug)]
pub struct Payload<'a> {
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    Shared(&'a PayloadView<'a>),
    Private(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// What lies in shared memory, or else these private bytes.
    pub(crate) fn new(view: Option<&'a PayloadView<'a>>, private: &'a [u8]) -> Payload<'a> {
        Payload {
            source: view.map_or(Source::Private(private), Source::Shared),
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        match self.source {
            Source::Shared(view) => view.len(),
            Source::Private(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The eight bytes from `8 * index` on as a little-endian word, as they are now; the last
    /// word is filled up with zeros. `None` behind the end.
    pub fn word(&self, index: usize) -> Option<u64> {
        match self.source {
            Source::Shared(view) => view.word(index),
            Source::Private(bytes) => {
                let rest = bytes
                    .get(index.checked_mul(8)?..)
                    .filter(|rest| !rest.is_empty())?;
                let mut word = [0; 8];
                let len = rest.len().min(8);
                word[..len].copy_from_slice(&rest[..len]);
                Some(u64::from_le_bytes(word))
            }
        }
    }

    /// All words, in order; see [`Payload::word`].
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        match self.source {
            Source::Shared(view) => view.words(),
            Source::Private(bytes) => Words::of_bytes(bytes),
        }
    }

    /// Copies as much as fits into private memory, and says how many bytes that was.
    pub fn copy_to(&self, into: &mut [u8]) -> usize {
        match self.source {
            Source::Shared(view) => view.copy_to(into),
            Source::Private(bytes) => {
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                len
            }
        }
    }

    /// The bytes where they lie; `None` unless this plugin trusts its peers.
    pub fn as_slice(&self) -> Option<&[u8]> {
        match self.source {
            Source::Shared(view) => view.as_slice(),
            Source::Private(bytes) => Some(bytes),
        }
    }
}

/// The signature of a gate that takes raw bytes and gives `R`.
pub(crate) fn raw_signature<R: GateType>() -> Signature {
    let bytes = Schema::Opaque("raw bytes".to_owned());
    Signature {
        params: vec![bytes],
        result: Some(schema_of::<R>()),
    }
}

/// Forgets the types of a handler of raw bytes.
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

    fn in_place(&self) -> Option<&dyn InPlaceHandler> {
        Some(self)
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

/// An open gate that takes raw bytes.
///
/// ```no_run
/// use callgate_client::Plugin;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Camera")?;
/// let viewer = plugin.raw_subscriber::<u64>("Viewer.Show")?;
/// let mut frame = viewer.loan(1920 * 1080 * 4)?;
/// frame.bytes().fill(0x7f);
/// let shown = frame.invoke()?;
/// # Ok(())
/// # }
/// ```
pub struct RawSubscriber<R: GateType> {
    shared: Arc<Shared>,
    timeout: Duration,
    cancel: Option<CancelToken>,
    result: PhantomData<fn() -> R>,
}

impl<R: GateType> RawSubscriber<R> {
    pub(crate) fn new(shared: Shared) -> RawSubscriber<R> {
        RawSubscriber {
            shared: Arc::new(shared),
            timeout: DEFAULT_TIMEOUT,
            cancel: None,
            result: PhantomData,
        }
    }

    /// The same gate with another deadline for each loan and call, counted from its start. With a
    /// zero timeout a loan takes memory that is there and waits for none, and no call is made, as with
    /// [`Subscriber::with_timeout`](crate::Subscriber::with_timeout).
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> RawSubscriber<R> {
        RawSubscriber {
            timeout,
            ..self.clone()
        }
    }

    /// The same gate, with loans and calls that end when a token is cancelled.
    #[must_use]
    pub fn with_cancel(&self, token: &CancelToken) -> RawSubscriber<R> {
        RawSubscriber {
            cancel: Some(token.clone()),
            ..self.clone()
        }
    }

    /// The gate's name.
    pub fn gate(&self) -> &str {
        self.shared.opened.gate()
    }

    /// Waits until the gate can be called.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::wait_ready`](crate::Subscriber::wait_ready).
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        self.shared.wait_ready(timeout)
    }

    /// Lends shared memory for a payload of `len` bytes, up to 64 MiB. What it holds at first is
    /// whatever was there before.
    ///
    /// # Errors
    ///
    /// `NOT_READY` without a provider, `REQUEST_TOO_LARGE`, `OVERLOADED` over a limit (of this plugin,
    /// of the bus, or of this process's memory cgroup) or when no memory comes free before the deadline,
    /// `SYSTEM` where it cannot be made.
    ///
    /// Payloads to one plugin may take half of this plugin's limit (`extent_mib`), and memory comes in
    /// powers of two: with the limit of 256 MiB, two loans of 40 MiB to one plugin are all that fit.
    pub fn loan(&self, len: usize) -> Result<Loan<R>> {
        let gate = self.shared.opened.gate();
        let standing = self.shared.opened.standing();
        let way = standing.way(CallKind::Function, gate)?;
        let room = caller::loan(&way.link, len, || {
            self.target(way, due(self.timeout).unwrap_or(NO_TIME))
        });
        let room = room.map_err(|error| error.at_gate(gate.clone()))?;
        Ok(Loan {
            standing,
            room: Some(room),
            subscriber: self.clone(),
        })
    }

    fn target<'a>(&'a self, way: &'a Way, deadline: u64) -> Target<'a> {
        Target {
            link: &way.link,
            index: way.index,
            kind: CallKind::Function,
            deadline,
            patience: &self.shared.patience,
            cancel: self.cancel.as_ref(),
        }
    }
}

impl<R: GateType> Clone for RawSubscriber<R> {
    fn clone(&self) -> Self {
        RawSubscriber {
            shared: self.shared.clone(),
            timeout: self.timeout,
            cancel: self.cancel.clone(),
            result: PhantomData,
        }
    }
}

impl<R: GateType> std::fmt::Debug for RawSubscriber<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawSubscriber")
            .field("gate", &self.gate())
            .finish_non_exhaustive()
    }
}

/// Shared memory on loan: filled in place, then passed on by [`Loan::invoke`] or given back by
/// dropping it.
pub struct Loan<R: GateType> {
    /// The gate as it was when the memory was lent.
    standing: Guard<Arc<Standing>>,
    /// `None` once it was passed on.
    room: Option<Space>,
    subscriber: RawSubscriber<R>,
}

impl<R: GateType> Loan<R> {
    /// The payload's bytes, to be filled.
    ///
    /// # Panics
    ///
    /// In a forked child of the process that took the loan: shared memory is not inherited.
    pub fn bytes(&mut self) -> &mut [u8] {
        assert!(
            self.subscriber.shared.bus.is_here(),
            "a loan cannot be used in a forked child"
        );
        self.room.as_mut().map_or(&mut [], Space::as_mut_slice)
    }

    /// Calls the gate with the payload, and waits for its result.
    ///
    /// # Errors
    ///
    /// As [`Subscriber::invoke`](crate::Subscriber::invoke); `PROVIDER_GONE` also when the
    /// provider that the memory was shared with is no longer the gate's.
    ///
    /// The memory of a call that was given up comes back when its handler returns.
    pub fn invoke(mut self) -> Result<R> {
        let shared = &*self.subscriber.shared;
        let gate = shared.opened.gate();
        let way = self.standing.way(CallKind::Function, gate)?;
        let _span = trace::call(gate, &way.link);
        let Some(deadline) = due(self.subscriber.timeout) else {
            return Err(no_time(gate));
        };
        let Some(room) = self.room.take() else {
            return Err(Error::new(
                Code::InvalidArgument,
                "the loan was passed on before",
            ));
        };
        let target = self.subscriber.target(way, deadline);
        let outcome = caller::call_loaned(&target, room);
        outcome.map_err(|error| shared.failed(&way.link, error))
    }
}

impl<R: GateType> Drop for Loan<R> {
    fn drop(&mut self) {
        // In a forked child there is nobody to tell, and the maps are gone.
        let is_here = self.subscriber.shared.bus.is_here();
        if self.room.take().is_some()
            && is_here
            && let Ok(way) = self
                .standing
                .way(CallKind::Function, self.subscriber.shared.opened.gate())
        {
            way.link.freed();
        }
    }
}

impl<R: GateType> std::fmt::Debug for Loan<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loan")
            .field("len", &self.room.as_ref().map(Space::len))
            .finish_non_exhaustive()
    }
}
