//! Which differences the log of this process has been told of.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// How many are remembered; beyond these, one is told whenever it is found.
const MOST: usize = 1024;

/// A gate, and how its types differ.
static TOLD: Mutex<BTreeSet<(Arc<str>, String)>> = Mutex::new(BTreeSet::new());

/// Whether a difference is new, which then is known: a program that opens its gates for each call would fill the log.
pub(super) fn is_news(gate: &Arc<str>, difference: &str) -> bool {
    let mut told = TOLD.lock();
    let of = (gate.clone(), difference.to_owned());
    match told.len() < MOST {
        true => told.insert(of),
        false => !told.contains(&of),
    }
}
