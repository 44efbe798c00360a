//! What the control thread knows of the schemas of a membership's bus: it fetches them from the broker in parts,
//! one schema at a time, and holds back the news of gates until their types have been compared.
//!
//! If a gate's provider has other types than its opener, the gate is not shown before it is known whether values
//! can be converted. A `Synced` for such a gate is held back as well, so that a thread which has asked finds the
//! result. Newer news of the gate replace those that are held. All of this ends with the connection: the next
//! broker is asked anew, and has other numbers.
//!
//! | who | does | what happens |
//! |---|---|---|
//! | broker | sends a part that belongs to no fetch | nothing |
//! | broker | sends parts that do not fit each other | the halves that need the schema fail with `PROTOCOL` |
//! | broker | refuses a fetch | the half for which it was fetched fails with the broker's error, until there are news of the gate |
//! | broker | does not answer | the gate stays as it is; opening it and waits for it fail at their deadlines |
//! | provider | has an invalid schema | its gate is a `TYPE_MISMATCH` that names the provider |
//! | provider | has one schema after the other | one is fetched at a time; a few are kept; the control thread spends a tenth of its time on them |
//! | provider | has another schema before the last was compared | its gate goes behind the others that wait |
//! | provider | has a schema that takes long to compare with many gates | one gate is compared at a time, and the thread does other work in between |
//!
//! Work that takes long (decoding a schema, comparing the types of one half) is a [`step`](Schemas::step); the
//! control thread takes steps when it has time.

pub(super) mod known;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use callgate_layout::control::{Availability, GateState, SchemaToBroker};
use callgate_layout::envelope::CallKind;

use super::open_gate::OpenGate;
use super::verdict::{Verdict, Verdicts};
use crate::base::error::Error;
use known::{Known, Parts};

/// The two halves of a gate, in the order in which arrays have them.
const KINDS: [CallKind; 2] = [CallKind::Function, CallKind::Action];

/// The schemas that are known, and the gates that wait for others.
#[derive(Default)]
pub(crate) struct Schemas {
    known: Known,
    /// Gates whose news are held back, by their numbers.
    held: HashMap<u32, Held>,
    /// The numbers of these gates, in the order in which they are compared.
    order: BTreeMap<u64, u32>,
    /// The last place in that order that was given.
    placed: u64,
    fetch: Option<Fetch>,
}

/// The news of a gate that is not shown yet.
struct Held {
    /// The gate itself, because its number may be another gate's by now.
    gate: Weak<OpenGate>,
    /// Its place in the order.
    place: u64,
    state: GateState,
    verdicts: Verdicts,
    /// Whether the broker has answered a question about the gate meanwhile.
    is_synced: bool,
}

/// A schema that is being fetched, or that is fetched and not decoded yet.
struct Fetch {
    request: u32,
    /// The gate for which it is fetched.
    open: u32,
    schema: u64,
    parts: Parts,
    is_whole: bool,
}

/// The outcome of a step.
#[allow(
    clippy::large_enum_variant,
    reason = "it is made and taken apart in one place, one at a time"
)]
pub(crate) enum Step {
    /// The control thread has to send this request for a schema.
    Ask(SchemaToBroker),
    /// The control thread can show a gate.
    Show(Box<News>),
    /// Something was decoded or compared, and there is more to do.
    More,
}

/// News of a gate that can be shown.
pub(crate) struct News {
    pub(crate) open: u32,
    pub(crate) gate: Arc<OpenGate>,
    pub(crate) state: GateState,
    pub(crate) verdicts: Verdicts,
    /// Whether an answer to a question was held back with them.
    pub(crate) is_synced: bool,
}

impl Held {
    /// The first half that still waits for a schema, and that schema.
    fn wants(&self) -> Option<(usize, u64)> {
        let mut halves = (0..KINDS.len()).filter(|half| self.verdicts[*half].is_none());
        halves.find_map(|half| Some((half, schema_of(&self.state, KINDS[half])?)))
    }

    fn wants_schema(&self, schema: u64) -> bool {
        self.wants().is_some_and(|(_, wanted)| wanted == schema)
    }

    /// Fails the halves that wait for this schema.
    fn fail(&mut self, schema: u64, error: &Error) {
        for (kind, verdict) in KINDS.iter().zip(&mut self.verdicts) {
            if verdict.is_none() && schema_of(&self.state, *kind) == Some(schema) {
                *verdict = Some(Verdict::Failed(error.clone()));
            }
        }
    }

    fn is_of(&self, gate: &Arc<OpenGate>) -> bool {
        std::ptr::eq(self.gate.as_ptr(), Arc::as_ptr(gate))
    }

    /// The news to be shown; `None` if nobody has the gate open any more.
    fn shown(self, open: u32) -> Option<News> {
        Some(News {
            open,
            gate: self.gate.upgrade()?,
            state: self.state,
            verdicts: self.verdicts,
            is_synced: self.is_synced,
        })
    }
}

/// The schema with which one half of a gate has to be compared; `None` if it need not be.
fn schema_of(state: &GateState, kind: CallKind) -> Option<u64> {
    let half = match kind {
        CallKind::Function => &state.function,
        CallKind::Action => &state.action,
    };
    match half {
        Availability::Differs { schema, .. } => Some(*schema),
        _ => None,
    }
}

impl Schemas {
    /// Takes news of a gate. Returns them if they can be shown at once.
    pub(crate) fn take_in(
        &mut self,
        open: u32,
        gate: &Arc<OpenGate>,
        state: GateState,
    ) -> Option<News> {
        let before = self.remove(open).filter(|before| before.is_of(gate));
        let mut verdicts = [None, None];
        for (verdict, kind) in verdicts.iter_mut().zip(KINDS) {
            if let Some(schema) = schema_of(&state, kind) {
                *verdict = self.known.verdict_there(gate.wanted(kind), schema);
            }
        }
        let held = Held {
            is_synced: before.as_ref().is_some_and(|before| before.is_synced),
            place: self.place(before.as_ref(), &state),
            gate: Arc::downgrade(gate),
            state,
            verdicts,
        };
        if held.wants().is_none() {
            return held.shown(open);
        }
        self.order.insert(held.place, open);
        self.held.insert(open, held);
        gate.begin_comparing();
        None
    }

    /// The place of a gate in the order: the last, unless it waited for the same schemas before. So a plugin that
    /// provides a gate again and again does not keep other gates from being compared.
    fn place(&mut self, before: Option<&Held>, state: &GateState) -> u64 {
        let schemas = |state| KINDS.map(|kind| schema_of(state, kind));
        if let Some(before) = before
            && schemas(&before.state) == schemas(state)
        {
            return before.place;
        }
        self.placed += 1;
        self.placed
    }

    fn remove(&mut self, open: u32) -> Option<Held> {
        let held = self.held.remove(&open)?;
        self.order.remove(&held.place);
        Some(held)
    }

    /// Drops the news that are held of a gate, because the broker says that it cannot be opened. Returns whether an
    /// answer to a question was held with them.
    pub(crate) fn forget(&mut self, open: u32) -> bool {
        self.remove(open).is_some_and(|held| held.is_synced)
    }

    /// Notes that the broker has answered a question about a gate. Returns whether the answer is held back with the
    /// gate's news.
    pub(crate) fn hold_synced(&mut self, open: u32) -> bool {
        let held = self.held.get_mut(&open);
        held.map(|held| held.is_synced = true).is_some()
    }

    /// Whether there is a step to be taken before the broker sends more.
    pub(crate) fn is_step_due(&self) -> bool {
        let fetch = self.fetch.as_ref();
        fetch.map_or(!self.order.is_empty(), |fetch| {
            fetch.is_whole || !self.is_wanted_by(fetch.open, fetch.schema)
        })
    }

    /// Takes the next step, if there is one: decodes a schema, compares one half of a gate, or says which schema to
    /// fetch. `number` gives the number for that request.
    pub(crate) fn step(&mut self, number: impl FnOnce() -> u32) -> Option<Step> {
        self.keep_fetch_if_wanted();
        if let Some(fetch) = self.fetch.take_if(|fetch| fetch.is_whole) {
            self.known.add(fetch.schema, fetch.parts);
            return Some(Step::More);
        }
        if self.fetch.is_some() {
            return None;
        }
        let (open, gate) = self.first()?;
        let held = self.held.get_mut(&open)?;
        if let Some((half, schema)) = held.wants() {
            let wanted = gate.wanted(KINDS[half]);
            let Some(verdict) = self.known.verdict(wanted, schema) else {
                return Some(Step::Ask(self.fetch(open, schema, number())));
            };
            held.verdicts[half] = Some(verdict);
        }
        if held.wants().is_some() {
            return Some(Step::More);
        }
        let news = self.remove(open)?.shown(open)?;
        Some(Step::Show(Box::new(news)))
    }

    /// The first gate in the order. Gates that nobody has open any more are dropped.
    fn first(&mut self) -> Option<(u32, Arc<OpenGate>)> {
        loop {
            let open = *self.order.first_key_value()?.1;
            let gate = self.held.get(&open).and_then(|held| held.gate.upgrade());
            match gate {
                Some(gate) => return Some((open, gate)),
                None => drop(self.remove(open)),
            }
        }
    }

    fn fetch(&mut self, open: u32, schema: u64, request: u32) -> SchemaToBroker {
        self.fetch = Some(Fetch {
            request,
            open,
            schema,
            parts: Parts::default(),
            is_whole: false,
        });
        SchemaToBroker::Fetch {
            request,
            open,
            schema,
            offset: 0,
        }
    }

    /// Gives up a fetch for which no gate waits any more; its answer will be ignored.
    fn keep_fetch_if_wanted(&mut self) {
        let Some(Fetch { open, schema, .. }) = self.fetch else {
            return;
        };
        if self.is_wanted_by(open, schema) {
            return;
        }
        let mut all = self.held.keys().copied();
        let other = all.find(|open| self.is_wanted_by(*open, schema));
        self.fetch = self.fetch.take().and_then(|fetch| {
            let open = other?;
            Some(Fetch { open, ..fetch })
        });
    }

    fn is_wanted_by(&self, open: u32, schema: u64) -> bool {
        self.held
            .get(&open)
            .is_some_and(|held| held.gate.strong_count() > 0 && held.wants_schema(schema))
    }

    /// Adds a part. Returns the request for the next one, or the gates that can be shown now because the parts do
    /// not fit.
    pub(crate) fn part(
        &mut self,
        (request, total): (u32, u32),
        bytes: &[u8],
        number: impl FnOnce() -> u32,
    ) -> (Option<SchemaToBroker>, Vec<News>) {
        let fetch = self.fetch.as_mut();
        let Some(fetch) = fetch.filter(|fetch| fetch.request == request && !fetch.is_whole) else {
            return (None, Vec::new());
        };
        let (open, schema) = (fetch.open, fetch.schema);
        match fetch.parts.add(total, bytes) {
            Ok(false) => {
                fetch.request = number();
                let next = SchemaToBroker::Fetch {
                    request: fetch.request,
                    open,
                    schema,
                    offset: fetch.parts.len(),
                };
                (Some(next), Vec::new())
            }
            Ok(true) => {
                fetch.is_whole = true;
                (None, Vec::new())
            }
            Err(misfit) => {
                self.fetch = None;
                (None, self.all_failed(schema, &misfit))
            }
        }
    }

    /// Whether a request was for a part of a schema.
    pub(crate) fn is_fetch(&self, request: u32) -> bool {
        let mut fetch = self.fetch.iter();
        fetch.any(|fetch| fetch.request == request && !fetch.is_whole)
    }

    /// Handles the broker's refusal of a fetch. Returns the gate for which it was, if that can be shown now.
    pub(crate) fn refused(&mut self, error: &Error) -> Option<News> {
        let Fetch { open, schema, .. } = self.fetch.take()?;
        self.failed(open, schema, error)
    }

    /// Forgets everything, because the connection is over.
    pub(crate) fn clear(&mut self) {
        *self = Schemas::default();
    }

    /// Fails all halves that wait for a schema. Returns the gates that can be shown now.
    fn all_failed(&mut self, schema: u64, error: &Error) -> Vec<News> {
        let all: Vec<u32> = self.held.keys().copied().collect();
        all.into_iter()
            .filter_map(|open| self.failed(open, schema, error))
            .collect()
    }

    /// Fails the halves of one gate that wait for a schema. Returns the gate if it can be shown now.
    fn failed(&mut self, open: u32, schema: u64, error: &Error) -> Option<News> {
        let held = self.held.get_mut(&open)?;
        held.fail(schema, error);
        match held.wants() {
            Some(_) => None,
            None => self.remove(open)?.shown(open),
        }
    }
}

#[cfg(test)]
mod tests;
