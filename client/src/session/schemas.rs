//! What the control thread knows of the schemas of a membership's bus: those that it fetches from the broker, in
//! parts and one at a time, and the gates whose news are held back until they have been compared.
//!
//! A gate whose provider has other types than its opener is not shown before it is known whether values can be
//! converted. `Synced` of such a gate is held back with it: who has asked is to find what it leads to. Newer news of
//! the gate take the place of those that are held. All of this ends with the connection: the next broker is asked
//! anew, and has numbers of its own.
//!
//! | who | does | what happens |
//! |---|---|---|
//! | broker | sends a part of no fetch | nothing |
//! | broker | sends parts that do not fit | the halves that need the schema fail with `PROTOCOL` |
//! | broker | refuses a fetch | the half that it was fetched for fails as the broker says, until there are news of the gate |
//! | broker | does not answer | the gate stays as it is; who opens it or waits for it fails at the deadline |
//! | provider | has a schema that is none | its gate is a `TYPE_MISMATCH`, which says whose it is |
//! | provider | has one schema after the other | one is fetched at a time; a few are kept; the control thread spends a tenth of its time on them |
//! | provider | has another schema before the last was compared | its gate stands behind the others that wait |
//! | provider | has a schema that takes long to compare with many gates | one gate is compared at a time, and the thread does other things in between |
//!
//! What takes long (decoding a schema, comparing the types of one half) is a [`step`](Schemas::step), which is made when the
//! control thread has time for it.

pub(super) mod known;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use callgate_layout::control::{Availability, GateState, SchemaToBroker};
use callgate_layout::envelope::CallKind;

use super::open_gate::OpenGate;
use super::verdict::{Verdict, Verdicts};
use crate::base::error::Error;
use known::{Known, Parts};

/// The two halves of a gate, in the order in which they stand in arrays.
const KINDS: [CallKind; 2] = [CallKind::Function, CallKind::Action];

/// What is known of schemas, and what waits for them.
#[derive(Default)]
pub(crate) struct Schemas {
    known: Known,
    /// Gates whose news are held back, by their numbers.
    held: HashMap<u32, Held>,
    /// Their numbers, in the order in which they are compared.
    order: BTreeMap<u64, u32>,
    /// Places in that order that were given.
    placed: u64,
    fetch: Option<Fetch>,
}

/// News of a gate that are not shown yet.
struct Held {
    /// Not the number alone: that may be another gate's by now.
    gate: Weak<OpenGate>,
    /// Its place in the order.
    place: u64,
    state: GateState,
    verdicts: Verdicts,
    /// Whether the broker has answered a question about the gate since.
    is_synced: bool,
}

/// A schema that is being fetched, or was and is not decoded yet.
struct Fetch {
    request: u32,
    /// The gate for which it is.
    open: u32,
    schema: u64,
    parts: Parts,
    is_whole: bool,
}

/// What a step has led to.
#[allow(
    clippy::large_enum_variant,
    reason = "it is made and taken apart in one place, one at a time"
)]
pub(crate) enum Step {
    /// A schema is to be asked for.
    Ask(SchemaToBroker),
    /// A gate can be shown.
    Show(Box<News>),
    /// Something was decoded or compared, and more is to be done.
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
    /// The half that waits for a schema, and for which one.
    fn wants(&self) -> Option<(usize, u64)> {
        let mut halves = (0..KINDS.len()).filter(|half| self.verdicts[*half].is_none());
        halves.find_map(|half| Some((half, schema_of(&self.state, KINDS[half])?)))
    }

    fn wants_schema(&self, schema: u64) -> bool {
        self.wants().is_some_and(|(_, wanted)| wanted == schema)
    }

    /// Fails the halves that wait for a schema.
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

    /// What is shown of the gate, if somebody has it open.
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

/// The schema with which one half of a gate is to be compared.
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
    /// Takes in news of a gate: gives them back where they can be shown now.
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

    /// The place of a gate in the order: the last, unless it waited for the same schemas before. So who provides a gate
    /// again and again does not keep others from being compared.
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

    /// The broker says of a gate that it cannot be opened: what is held of it is not shown any more. Whether an answer
    /// to a question was.
    pub(crate) fn forget(&mut self, open: u32) -> bool {
        self.remove(open).is_some_and(|held| held.is_synced)
    }

    /// The broker has answered a question about a gate; whether that is held back.
    pub(crate) fn hold_synced(&mut self, open: u32) -> bool {
        let held = self.held.get_mut(&open);
        held.map(|held| held.is_synced = true).is_some()
    }

    /// Whether there is something to do before the broker says more.
    pub(crate) fn is_step_due(&self) -> bool {
        let fetch = self.fetch.as_ref();
        fetch.map_or(!self.order.is_empty(), |fetch| {
            fetch.is_whole || !self.is_wanted_by(fetch.open, fetch.schema)
        })
    }

    /// Does what is to be done next, if anything is: decodes a schema, compares one half of a gate, or says what to fetch;
    /// `number` gives a number for that request.
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

    /// The gate that is the first in the order. Those that nobody has open any more are dropped.
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

    /// Gives a fetch up that nobody waits for any more: its answer is nothing then.
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

    /// Takes in a part: what is to be asked for next, or which gates can be shown now because the parts do not fit.
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

    /// Whether a request was for a part.
    pub(crate) fn is_fetch(&self, request: u32) -> bool {
        let mut fetch = self.fetch.iter();
        fetch.any(|fetch| fetch.request == request && !fetch.is_whole)
    }

    /// The broker refuses what was asked for: the gate for which it was, if it can be shown now.
    pub(crate) fn refused(&mut self, error: &Error) -> Option<News> {
        let Fetch { open, schema, .. } = self.fetch.take()?;
        self.failed(open, schema, error)
    }

    /// The connection is over.
    pub(crate) fn clear(&mut self) {
        *self = Schemas::default();
    }

    /// Fails whatever waits for a schema; the gates that can be shown now.
    fn all_failed(&mut self, schema: u64, error: &Error) -> Vec<News> {
        let all: Vec<u32> = self.held.keys().copied().collect();
        all.into_iter()
            .filter_map(|open| self.failed(open, schema, error))
            .collect()
    }

    /// The same of one gate.
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
