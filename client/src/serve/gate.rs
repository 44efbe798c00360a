//! A gate that is provided: its halves, how its calls are run, and which handlers they lead to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use callgate_layout::envelope::CallKind;
use callgate_layout::{Code, Encoding, Encodings};

use super::limits::Limit;
use super::offered::Types;
use super::options::GateOptions;
use crate::base::error::{Error, Result};
use crate::handler::{ErasedHandler, takes_only};

/// Says which names there are under a prefix.
pub(crate) type Names = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// One half of a provided gate.
#[derive(Clone)]
pub(crate) struct Half {
    /// So that a late withdrawal does not remove its successor.
    pub(super) registration: u64,
    /// What it takes and gives.
    pub(super) types: Arc<Types>,
    pub(super) handler: Arc<dyn ErasedHandler>,
    /// Which names it has under a prefix; all, where nothing is said.
    pub(super) names: Option<Names>,
    /// Whether a broker has agreed, so that the next one is asked as well.
    pub(super) is_offered: bool,
    /// Another plugin provides the gate, as the broker says: nobody may call it here.
    pub(super) is_lost: bool,
}

impl Half {
    /// How its calls may be written.
    pub(super) fn takes(&self) -> Encodings {
        self.types.shape.encodings
    }
}

/// A gate's handlers as the dispatcher holds them.
#[derive(Clone)]
pub(crate) struct Gate {
    /// Under a prefix, the name that is called.
    name: Arc<str>,
    /// Where its calls are counted, if the status page has room for it.
    record: Option<u16>,
    options: GateOptions,
    limit: Option<Arc<Limit>>,
    /// Which life of the gate brokers have said that this is.
    life: Option<u64>,
    pub(super) function: Option<Half>,
    pub(super) action: Option<Half>,
    /// Halves that may not be called here by archives.
    pub(super) unseen: Vec<(CallKind, Half)>,
    /// Halves of a prefix that have no gate of this name. Here only because they are not to be dropped where
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

    /// The same gate by the name that is called.
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

    /// One half, and which life of the gate it is.
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

    /// Whether one of its halves is another plugin's now.
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

    /// How its calls are run.
    pub(crate) fn options(&self) -> GateOptions {
        self.options
    }

    /// How many of its calls are handled at a time, if that is limited.
    #[inline]
    pub(crate) fn limit(&self) -> Option<&Arc<Limit>> {
        self.limit.as_ref()
    }

    /// The same if it is about calls because the provider has said it, and not about a pool's threads. Then
    /// it holds for visitors, too, and until a call was answered.
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

    /// The same for calls in JSON, of which the types are no matter.
    #[cold]
    pub(super) fn json_handler(&self, kind: CallKind) -> Result<&dyn ErasedHandler> {
        let half = self.half_of(kind).or_else(|| self.unseen(kind));
        let half = half.ok_or_else(|| not_provided(kind))?;
        match half.takes().has(Encoding::Json) {
            true => Ok(&*half.handler),
            false => Err(takes_only(half.takes())),
        }
    }

    /// A half that is not called by archives under this index, unless another plugin has it.
    fn unseen(&self, kind: CallKind) -> Option<&Half> {
        let its = self.unseen.iter().find(|(of, _)| *of == kind);
        its.map(|(_, half)| half).filter(|half| !half.is_lost)
    }

    /// Why a half cannot be called by archives.
    #[cold]
    pub(super) fn no_handler(&self, kind: CallKind) -> Error {
        match self.unseen(kind) {
            Some(half) if !half.takes().has(Encoding::Archive) => takes_only(half.takes()),
            _ => not_provided(kind),
        }
    }

    /// Notes a call in JSON: whoever develops either plugin is to see that there are such, once a gate.
    #[cold]
    pub(crate) fn note_json(&self, caller: &str) {
        let halves = [&self.function, &self.action].into_iter().flatten();
        let mut all = halves.chain(self.unseen.iter().map(|(_, half)| half));
        // One that takes JSON alone, or anything, means it so.
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

/// The error for a half of a gate that is not there.
#[cold]
pub(crate) fn not_provided(kind: CallKind) -> Error {
    let half = match kind {
        CallKind::Function => "function",
        CallKind::Action => "action",
    };
    Error::new(Code::NotReady, format!("the gate has no {half} now"))
}
