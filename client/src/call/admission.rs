//! How a direct call waits until it may begin: for the turn of a plugin of its process, or for a permit of the
//! gate. If the wait lasts, the broker is told, and may end it.

use callgate_layout::clock;
use callgate_layout::sys::futex::{self, Awaited};

use crate::base::error::Error;
use crate::serve::turn::{Patience, Waiter};
use crate::serve::waits::{About, Reporter, Wait, Word};

/// The wait of a direct call for its turn or for a permit.
pub(super) struct AdmissionWait<'a, F> {
    patience: Patience<'a>,
    wait: Wait<'a>,
    /// Describes the wait for the broker.
    about: F,
    /// The broker's latest record about the wait, not handled yet.
    word: Option<Word>,
}

impl<'a, F: Fn() -> Option<About>> AdmissionWait<'a, F> {
    pub(super) fn new(
        patience: Patience<'a>,
        reporter: &'a dyn Reporter,
        about: F,
    ) -> AdmissionWait<'a, F> {
        AdmissionWait {
            patience,
            wait: Wait::new(reporter),
            about,
            word: None,
        }
    }

    /// The broker's error, if the broker has ended the wait.
    pub(super) fn failure(self) -> Option<Error> {
        match self.word {
            Some(Word::Deadlock(error)) => Some(error),
            _ => None,
        }
    }

    /// Until when to sleep or to stay awake, at most, before the broker has to be told.
    fn until(&mut self, now: u64) -> u64 {
        self.wait.until(now).min(self.patience.deadline)
    }

    fn stay_awake(&mut self, has_changed: impl Fn() -> bool) -> bool {
        let backoff = self.patience.backoff;
        let until = match backoff.never_sleeps() {
            true => self.until(clock::now()),
            false => self.patience.deadline,
        };
        let is_over = || has_changed() || self.patience.is_cancelled() || self.wait.is_asked();
        backoff.stay_awake(until, is_over) || backoff.never_sleeps()
    }
}

impl<F: Fn() -> Option<About>> Waiter for AdmissionWait<'_, F> {
    fn is_over(&mut self) -> bool {
        matches!(self.word, Some(Word::Deadlock(_))) || self.patience.is_over()
    }

    fn sleep(&mut self, has_changed: impl Fn() -> bool, changes: Awaited<'_>) {
        // Since the broker asked, this thread has looked for turn or permit, and found none: the wait still stands.
        if let Some(Word::Confirm(round)) = self.word.take() {
            self.wait.confirm(round);
        }
        if !self.stay_awake(has_changed) {
            let until = self.until(clock::now());
            let cancel = self.patience.cancel.map(|cancel| cancel.word());
            let words = [Some(changes), cancel, self.wait.word()];
            let words: Vec<_> = words.into_iter().flatten().collect();
            futex::wait_any_of(&words, until);
        }
        self.wait.tell(clock::now(), &self.about);
        // Read before the next look for turn or permit, so that the look can confirm the wait.
        self.word = self.wait.heard();
    }

    fn end(&mut self) {
        self.wait.over();
    }
}
