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
//! | provider | has one schema after the other | one is fetched at a time; a few are kept |

mod known;

use std::collections::HashMap;
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
    fetch: Option<Fetch>,
}

/// News of a gate that are not shown yet.
struct Held {
    /// Not the number alone: that may be another gate's by now.
    gate: Weak<OpenGate>,
    state: GateState,
    verdicts: Verdicts,
    /// Whether the broker has answered a question about the gate since.
    is_synced: bool,
}

/// A schema that is being fetched.
struct Fetch {
    request: u32,
    /// The gate for which it is.
    open: u32,
    schema: u64,
    parts: Parts,
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
    /// The schema that a half waits for.
    fn wants(&self) -> Option<u64> {
        let each = KINDS.iter().zip(&self.verdicts);
        let mut open = each.filter(|(_, verdict)| verdict.is_none());
        open.find_map(|(kind, _)| schema_of(&self.state, *kind))
    }

    /// Fails the half that waits for a schema.
    fn fail(&mut self, schema: u64, error: &Error) {
        for (kind, verdict) in KINDS.iter().zip(&mut self.verdicts) {
            if verdict.is_none() && schema_of(&self.state, *kind) == Some(schema) {
                *verdict = Some(Verdict::Failed(error.clone()));
            }
        }
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
        let before = self.held.remove(&open);
        let held = Held {
            is_synced: before.is_some_and(|before| before.is_synced && before.is_of(gate)),
            gate: Arc::downgrade(gate),
            state,
            verdicts: [None, None],
        };
        self.held.insert(open, held);
        let news = self.compared(open);
        if news.is_none() {
            gate.begin_comparing();
        }
        news
    }

    /// The broker says of a gate that it cannot be opened: what is held of it is not shown any more. Whether an answer
    /// to a question was.
    pub(crate) fn forget(&mut self, open: u32) -> bool {
        self.held.remove(&open).is_some_and(|held| held.is_synced)
    }

    /// The broker has answered a question about a gate; whether that is held back.
    pub(crate) fn hold_synced(&mut self, open: u32) -> bool {
        let held = self.held.get_mut(&open);
        held.map(|held| held.is_synced = true).is_some()
    }

    /// What is to be asked next, if a schema is wanted and none is being fetched; `number` gives a number for the request.
    pub(crate) fn next(&mut self, number: impl FnOnce() -> u32) -> Option<SchemaToBroker> {
        self.held.retain(|_, held| held.gate.strong_count() > 0);
        match &self.fetch {
            Some(fetch) if self.is_wanted(fetch.schema) => return None,
            // Its answer is one that nobody waits for.
            _ => self.fetch = None,
        }
        let mut wanted = self.held.iter();
        let (open, schema) = wanted.find_map(|(open, held)| Some((*open, held.wants()?)))?;
        let request = number();
        self.fetch = Some(Fetch {
            request,
            open,
            schema,
            parts: Parts::default(),
        });
        Some(SchemaToBroker::Fetch {
            request,
            open,
            schema,
            offset: 0,
        })
    }

    fn is_wanted(&self, schema: u64) -> bool {
        self.held.values().any(|held| held.wants() == Some(schema))
    }

    /// Takes in a part: what is to be asked for next, or which gates can be shown now.
    pub(crate) fn part(
        &mut self,
        (request, total): (u32, u32),
        bytes: &[u8],
        number: impl FnOnce() -> u32,
    ) -> (Option<SchemaToBroker>, Vec<News>) {
        let Some(fetch) = self.fetch.as_mut().filter(|fetch| fetch.request == request) else {
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
                let whole = std::mem::take(&mut fetch.parts);
                self.fetch = None;
                self.known.add(schema, whole);
                (None, self.all_compared(schema))
            }
            Err(misfit) => {
                self.fetch = None;
                let waiting = self.held.values_mut();
                waiting.for_each(|held| held.fail(schema, &misfit));
                (None, self.all_compared(schema))
            }
        }
    }

    /// Whether a request was for a part.
    pub(crate) fn is_fetch(&self, request: u32) -> bool {
        self.fetch
            .as_ref()
            .is_some_and(|fetch| fetch.request == request)
    }

    /// The broker refuses what was asked for: the gate for which it was, if it can be shown now.
    pub(crate) fn refused(&mut self, error: &Error) -> Option<News> {
        let Fetch { open, schema, .. } = self.fetch.take()?;
        self.held.get_mut(&open)?.fail(schema, error);
        self.compared(open)
    }

    /// The connection is over.
    pub(crate) fn clear(&mut self) {
        *self = Schemas::default();
    }

    /// The gates that can be shown now that a schema is there, or will not be.
    fn all_compared(&mut self, schema: u64) -> Vec<News> {
        let waiting = self
            .held
            .iter()
            .filter(|(_, held)| held.wants() == Some(schema) || held.wants().is_none());
        let waiting: Vec<u32> = waiting.map(|(open, _)| *open).collect();
        waiting
            .into_iter()
            .filter_map(|open| self.compared(open))
            .collect()
    }

    /// Compares what can be compared of a gate; gives its news back where nothing of it waits any more.
    fn compared(&mut self, open: u32) -> Option<News> {
        let held = self.held.get_mut(&open)?;
        // Nobody has it open any more.
        let Some(gate) = held.gate.upgrade() else {
            self.held.remove(&open);
            return None;
        };
        for (index, kind) in KINDS.into_iter().enumerate() {
            if held.verdicts[index].is_none()
                && let Some(schema) = schema_of(&held.state, kind)
            {
                held.verdicts[index] = self.known.verdict(gate.wanted(kind), schema);
            }
        }
        if held.wants().is_some() {
            return None;
        }
        let Held {
            state,
            verdicts,
            is_synced,
            ..
        } = self.held.remove(&open)?;
        Some(News {
            open,
            gate,
            state,
            verdicts,
            is_synced,
        })
    }
}

impl Held {
    fn is_of(&self, gate: &Arc<OpenGate>) -> bool {
        std::ptr::eq(self.gate.as_ptr(), Arc::as_ptr(gate))
    }
}

#[cfg(test)]
mod tests;
