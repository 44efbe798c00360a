//! Copies of what may be called, renewed where it has changed.
//!
//! Peers decide how many grants they have, and how often these change. If only grants have changed, only those are
//! copied, and not all that there are.

use super::Table;
use crate::serve::grants::{Callable, Changed};
use crate::serve::incoming::Incoming;
use crate::serve::member::Member;

/// The present copy for a link: the `known` one with what has changed since. The replaced parts are added to
/// `gone`.
pub(super) fn renewed(side: &Incoming, known: Option<Table>, gone: &mut Vec<Table>) -> Table {
    let now = side.member().provided.version();
    match known {
        Some(table) if table.version == now => table,
        Some(table) => match table.changed(side) {
            Some(changed) => table.with(changed, now, gone),
            None => {
                gone.push(table);
                Table::new(side, now)
            }
        },
        None => Table::new(side, now),
    }
}

impl Table {
    fn new(side: &Incoming, version: u64) -> Table {
        let Member {
            provided, memory, ..
        } = &**side.member();
        // Read first: changes in between are then copied once more.
        let of_gates = provided.gates().changes();
        let copied = provided.callable(side.peer());
        Table {
            key: side.key(),
            link: side.link().clone(),
            answers: side.answers().clone(),
            memory: memory.clone(),
            version,
            changes: (of_gates, copied.changes),
            gates: copied.callable,
        }
    }

    /// The grants that have changed; `None` if gates have changed too, or it is not known which grants have.
    fn changed(&self, side: &Incoming) -> Option<Changed> {
        let provided = &side.member().provided;
        let (of_gates, of_grants) = self.changes;
        let is_same = provided.gates().changes() == of_gates;
        is_same.then(|| provided.changes(side.peer(), of_grants))?
    }

    /// Applies the changes. The replaced parts are added to `gone`.
    fn with(mut self, changed: Changed, version: u64, gone: &mut Vec<Table>) -> Table {
        let mut old = self.gates.split_off(changed.len.min(self.gates.len()));
        self.gates.resize_with(changed.len, || Callable::Refused);
        for (index, now) in changed.callable {
            if let Some(callable) = self.gates.get_mut(usize::from(index)) {
                old.push(std::mem::replace(callable, now));
            }
        }
        if !old.is_empty() {
            gone.push(Table {
                link: self.link.clone(),
                answers: self.answers.clone(),
                memory: self.memory.clone(),
                gates: old,
                ..self
            });
        }
        self.changes.1 = changed.changes;
        self.version = version;
        self
    }
}
