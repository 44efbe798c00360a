//! A provided gate: its halves, its options, and its handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encoding, Encodings};

use super::limits::Limit;
use super::offered::Types;
use super::options::GateOptions;
use crate::base::error::{Error, Result};
use crate::handler::{ErasedHandler, takes_only};

/// Says which names exist under a prefix.
pub(crate) type Names = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// One half of a provided gate: its function or its action.
#[derive(Clone)]
pub(crate) struct Half {
    /// The number of this registration; a late withdrawal with another number does not remove this half.
    pub(super) registration: u64,
    /// Its types and encodings.
    pub(super) types: Arc<Types>,
    pub(super) handler: Arc<dyn ErasedHandler>,
    /// The names that exist under a prefix; `None` if all do.
    pub(super) names: Option<Names>,
    /// Whether a broker has registered it, so that the next broker is asked as well.
    pub(super) is_offered: bool,
    /// Whether the broker says that another plugin provides the gate, so that nobody may call it here.
    pub(super) is_lost: bool,
}

impl Half {
    /// The encodings that its calls may have.
    pub(super) fn takes(&self) -> Encodings {
        self.types.shape.encodings
    }
}

/// A gate with its handlers, as the dispatcher uses it.
#[derive(Clone)]
pub(crate) struct Gate {
    /// The gate's name; under a prefix, the name that is called.
    name: Arc<str>,
    /// The record of the status page in which its calls are counted; `None` if the page has no room for it.
    record: Option<u16>,
    options: GateOptions,
    limit: Option<Arc<Limit>>,
    /// The life of the gate, as brokers have stated it.
    life: Option<u64>,
    pub(super) function: Option<Half>,
    pub(super) action: Option<Half>,
    /// Halves that may not be called with archives under this grant.
    pub(super) unseen: Vec<(CallKind, Half)>,
    /// Halves of a prefix that have no gate of this name. Kept here only because they must not be dropped where
    /// locks are held.
    pub(super) absent: Vec<Half>,
    /// Whether it was logged that the gate's calls come as JSON.
    is_logged: Arc<AtomicBool>,
}

impl Gate {
    /// A gate without halves.
    pub(super) fn new(
        name: Arc<str>,
        record: Option<u16>,
        (options, limit): (GateOptions, Option<Arc<Limit>>),
    ) -> Gate {
        Gate {
            name,
            record,
            options,
            limit,
            life: None,
            function: None,
            action: None,
            unseen: Vec::new(),
            absent: Vec::new(),
            is_logged: Arc::default(),
        }
    }

    pub(super) fn half(&mut self, kind: CallKind) -> &mut Option<Half> {
        match kind {
            CallKind::Function => &mut self.function,
            CallKind::Action => &mut self.action,
        }
    }

    /// The same gate under the name that is called.
    pub(super) fn named(&self, name: &Arc<str>) -> Gate {
        Gate {
            name: name.clone(),
            ..self.clone()
        }
    }

    #[inline]
    pub(super) fn half_of(&self, kind: CallKind) -> Option<&Half> {
        match kind {
            CallKind::Function => self.function.as_ref(),
            CallKind::Action => self.action.as_ref(),
        }
    }

    /// One half, and the life of the gate.
    pub(super) fn life_and_half(
        &mut self,
        kind: CallKind,
    ) -> (&mut Option<u64>, &mut Option<Half>) {
        let half = match kind {
            CallKind::Function => &mut self.function,
            CallKind::Action => &mut self.action,
        };
        (&mut self.life, half)
    }

    /// Whether another plugin has one of its halves now.
    pub(super) fn is_lost(&self) -> bool {
        let mut halves = [&self.function, &self.action].into_iter().flatten();
        halves.any(|half| half.is_lost)
    }

    /// The halves that it has.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = CallKind> {
        let kinds = [CallKind::Function, CallKind::Action].into_iter();
        kinds.filter(|kind| self.handler(*kind).is_some())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its options.
    pub(crate) fn options(&self) -> GateOptions {
        self.options
    }

    /// Its limit of calls at a time, if it has one.
    #[inline]
    pub(crate) fn limit(&self) -> Option<&Arc<Limit>> {
        self.limit.as_ref()
    }

    /// Its limit, if the provider has set it and it is not only about a pool's threads. Such a limit also applies
    /// to direct calls, and until a call is answered.
    #[inline]
    pub(crate) fn limit_of_calls(&self) -> Option<&Arc<Limit>> {
        let is_said = self.options().calls_at_a_time().is_some();
        self.limit().filter(|_| is_said)
    }

    pub(super) fn set_options(&mut self, options: GateOptions, limit: Option<Arc<Limit>>) {
        (self.options, self.limit) = (options, limit);
    }

    #[inline]
    pub(crate) fn record(&self) -> Option<u16> {
        self.record
    }

    #[inline]
    pub(crate) fn handler(&self, kind: CallKind) -> Option<&dyn ErasedHandler> {
        self.half_of(kind).map(|half| &*half.handler)
    }

    /// The handler for calls in JSON, for which the types in the grant do not matter.
    #[cold]
    pub(super) fn json_handler(&self, kind: CallKind) -> Result<&dyn ErasedHandler> {
        let half = self.half_of(kind).or_else(|| self.unseen(kind));
        let half = half.ok_or_else(|| not_provided(kind))?;
        match half.takes().has(Encoding::Json) {
            true => Ok(&*half.handler),
            false => Err(takes_only(half.takes())),
        }
    }

    /// A half that may not be called with archives under this grant, unless another plugin has it.
    fn unseen(&self, kind: CallKind) -> Option<&Half> {
        let its = self.unseen.iter().find(|(of, _)| *of == kind);
        its.map(|(_, half)| half).filter(|half| !half.is_lost)
    }

    /// Why a half cannot be called with archives.
    #[cold]
    pub(super) fn no_handler(&self, kind: CallKind) -> Error {
        match self.unseen(kind) {
            Some(half) if !half.takes().has(Encoding::Archive) => takes_only(half.takes()),
            _ => not_provided(kind),
        }
    }

    /// Logs once for each gate that its calls come as JSON, for the developers of both plugins.
    #[cold]
    pub(crate) fn note_json(&self, caller: &str) {
        let halves = [&self.function, &self.action].into_iter().flatten();
        let mut all = halves.chain(self.unseen.iter().map(|(_, half)| half));
        // A gate that takes only JSON, or any types, is meant to be called so.
        let is_meant =
            all.all(|half| half.takes() == Encodings::JSON || half.types.shape.params.is_none());
        if !is_meant && !self.is_logged.swap(true, Ordering::Relaxed) {
            let gate = self.name();
            tracing::info!(
                gate,
                caller,
                "calls of this gate come as JSON: its caller has other types, or none"
            );
        }
    }
}

/// The error for a half that the gate does not have.
#[cold]
pub(crate) fn not_provided(kind: CallKind) -> Error {
    let half = match kind {
        CallKind::Function => "function",
        CallKind::Action => "action",
    };
    Error::new(Code::NotReady, format!("the gate has no {half} now"))
}
