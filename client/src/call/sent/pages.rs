//! The pages on whose bells the thread sleeps that looks after sent calls: one, and for a while another one when
//! the plugin has come back to a new broker.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use callgate_layout::bells::KeptBell;
use callgate_layout::sys::futex::{self, Awaited};

use crate::link::own_memory::SentBell;

/// The pages, and how they were before the last look.
#[derive(Default)]
pub(super) struct Pages {
    /// The value of the word that changes with them.
    changes: Option<u32>,
    all: Vec<Page>,
}

struct Page {
    bell: Arc<SentBell>,
    /// The value of its bell for sent calls.
    seen: u32,
    /// The value of its plugin's own bell, which rings for space.
    space: u32,
}

impl Page {
    fn word(&self) -> Option<Awaited<'_>> {
        Some(self.bell.taken()?.word(self.seen))
    }

    fn space_word(&self) -> Awaited<'_> {
        self.bell.doorbell().word_seen(self.space)
    }
}

impl Pages {
    /// Notes how they are, before a look; `find` finds them, if the word has changed.
    pub(super) fn note(&mut self, changes: u32, find: impl FnOnce() -> Vec<Arc<SentBell>>) {
        if self.changes != Some(changes) {
            // First, because nobody else may have them any more.
            self.all.clear();
            self.changes = Some(changes);
            let page = |bell| Page {
                bell,
                seen: 0,
                space: 0,
            };
            self.all.extend(find().into_iter().map(page));
        }
        for page in &mut self.all {
            page.seen = page.bell.taken().map_or(0, KeptBell::value);
            page.space = page.bell.doorbell().value();
        }
    }

    /// Sleeps until one of the bells is rung, or the word that changes with them is no longer as it was noted;
    /// where calls wait for `space`, for that as well.
    pub(super) fn sleep(&self, changes: &AtomicU32, space: bool, until: u64) {
        if let ([page], false) = (self.all.as_slice(), space)
            && let Some(word) = page.word()
        {
            return futex::wait_any(&[word], until);
        }
        let changes = Awaited::private(changes, self.changes.unwrap_or(0));
        let bells = self.all.iter().filter_map(Page::word);
        let spaces = self.all.iter().filter(|_| space).map(Page::space_word);
        let words: Vec<_> = bells.chain(spaces).chain([changes]).collect();
        futex::wait_any_of(&words, until);
    }
}
