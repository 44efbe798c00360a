//! The differences of types that this process has logged.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// How many differences are remembered. Beyond these, a difference is logged whenever it is found.
const MOST: usize = 1024;

/// A gate, and how its types differ.
static TOLD: Mutex<BTreeSet<(Arc<str>, String)>> = Mutex::new(BTreeSet::new());

/// Whether a difference is new, and remembers it: a program that opens its gates for each call would fill the log.
pub(super) fn is_news(gate: &Arc<str>, difference: &str) -> bool {
    let mut told = TOLD.lock();
    let of = (gate.clone(), difference.to_owned());
    match told.len() < MOST {
        true => told.insert(of),
        false => !told.contains(&of),
    }
}
