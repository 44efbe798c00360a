//! The files of persistent shares: what the store does, on a thread of its own.

use std::sync::Arc;

use super::Outcome;
use crate::helper::Helper;
use crate::persistent::Store;

/// The files of a bus, and who works on them.
#[derive(Debug)]
pub(super) struct Files {
    /// `None` where the bus has no name to keep any under.
    store: Option<Arc<Store>>,
    /// `None` until there is something to do.
    helper: Option<Helper<Outcome>>,
}

impl Files {
    pub(super) fn new(store: Option<Store>) -> Files {
        Files {
            store: store.map(Arc::new),
            helper: None,
        }
    }

    pub(super) fn store(&self) -> Option<Arc<Store>> {
        self.store.clone()
    }

    /// Lets another broker have them, after what is under way.
    pub(super) fn close(&mut self) {
        self.helper = None;
        self.store = None;
    }
}
