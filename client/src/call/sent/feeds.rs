//! Tasks that wait for events: the thread that looks after sent calls also looks after them, and sleeps on the same
//! bells.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{SentCalls, Shared};
use crate::base::error::Result;
use crate::events::pulled::Puller;
use crate::link::own_memory::SentBell;

impl SentCalls {
    /// Looks after a task that waits for events, whose sources ring the bells of these pages.
    pub(crate) fn attend_feeds(&self, pages: &[Arc<SentBell>], puller: &Arc<Puller>) -> Result<()> {
        self.start()?;
        let shared = &self.shared;
        {
            let mut all = shared.pulled.lock();
            all.retain(|other| other.strong_count() > 0);
            if !all
                .iter()
                .any(|other| other.as_ptr() == Arc::as_ptr(puller))
            {
                all.push(Arc::downgrade(puller));
            }
            shared.has_pulled.store(true, Ordering::Relaxed);
        }
        for page in pages {
            shared.add_page(page);
        }
        shared.ring();
        Ok(())
    }
}

impl Shared {
    /// Wakes the tasks for which there are events, and arms the sources of the others.
    pub(super) fn look_at_feeds(&self) {
        if !self.has_pulled.load(Ordering::Relaxed) {
            return;
        }
        let all: Vec<_> = {
            let mut all = self.pulled.lock();
            all.retain(|puller| puller.strong_count() > 0);
            self.has_pulled.store(!all.is_empty(), Ordering::Relaxed);
            all.iter().filter_map(|puller| puller.upgrade()).collect()
        };
        all.iter().for_each(|puller| puller.look_for_task());
    }
}
