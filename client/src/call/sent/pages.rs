//! The doorbell pages on whose bells the thread sleeps that looks after sent calls: one, and for a while a second
//! one after the plugin has come back to a new broker.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use callgate_layout::bells::KeptBell;
use callgate_layout::clock;
use callgate_layout::sys::futex::{self, Awaited};

use super::lead::PERIOD;
use crate::link::own_memory::SentBell;

/// What the thread sleeps on besides the word that counts changes of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// The bells.
    OnBells,
    /// The bells; and calls wait for space, so also until some may have been released.
    OnBellsAndSpace,
    /// Nothing: another thread takes the answers, and wakes this one.
    WithoutBells,
    /// The same, for a short time: other threads take the answers, and wake nobody.
    ForAPeriod,
}

/// The pages, with the values of their bells before the last look.
#[derive(Default)]
pub(super) struct Pages {
    /// The value of the word that counts changes of the pages.
    changes: Option<u32>,
    all: Vec<Page>,
}

struct Page {
    bell: Arc<SentBell>,
    /// The value of the bell for sent calls.
    seen: u32,
    /// The value of the plugin's own bell, which rings when space is released.
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
    /// Notes the values before a look. If the pages have changed, `find` finds them.
    pub(super) fn note(&mut self, changes: u32, find: impl FnOnce() -> Vec<Arc<SentBell>>) {
        if self.changes != Some(changes) {
            // Dropped first, because these may be the last references to the pages.
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

    /// Whether there are several. A thread that leads sleeps on the bell of one of them.
    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Sleeps until one of the bells is rung, or the pages change.
    pub(super) fn sleep(&self, changes: &AtomicU32, on: Sleep, until: u64) {
        if let ([page], Sleep::OnBells) = (self.all.as_slice(), on)
            && let Some(word) = page.word()
        {
            return futex::wait_any(&[word], until);
        }
        let changes = Awaited::private(changes, self.changes.unwrap_or(0));
        match on {
            Sleep::WithoutBells => return futex::wait_any(&[changes], until),
            Sleep::ForAPeriod => {
                return futex::wait_any(&[changes], until.min(clock::now() + PERIOD));
            }
            Sleep::OnBells | Sleep::OnBellsAndSpace => {}
        }
        let space = on == Sleep::OnBellsAndSpace;
        let bells = self.all.iter().filter_map(Page::word);
        let spaces = self.all.iter().filter(|_| space).map(Page::space_word);
        let words: Vec<_> = bells.chain(spaces).chain([changes]).collect();
        futex::wait_any_of(&words, until);
    }
}
