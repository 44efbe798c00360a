//! Whether a plugin has a broker: it has, it waits for the next one, or there will be none any more.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use callgate_layout::clock;
use callgate_layout::sys::futex::{self, Awaited};
use parking_lot::{Condvar, Mutex};

use crate::base::cancel::CancelToken;
use crate::base::deadline::instant_after;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;

/// Whether a plugin has a broker.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    now: Mutex<Now>,
    over: Condvar,
    /// Changes with the others, for those who wait for something else besides.
    changes: AtomicU32,
}

#[derive(Debug, Default)]
struct Now {
    /// Why the last connection is over, where the next one is to come.
    away: Option<Error>,
    /// Why the last attempt to come back failed.
    refused: Option<Error>,
    /// Why there will be none.
    over: Option<Error>,
}

/// What a wait for a broker came to.
#[derive(Debug)]
pub(crate) enum Wait {
    Back,
    /// There is none; why.
    None(Error),
    Cancelled,
}

impl Presence {
    /// The broker has ended, unless `is_current` says that the plugin has gone on to another one; another one is to
    /// come. Whether it was there until now.
    pub(super) fn lost(&self, reason: &Error, is_current: impl FnOnce() -> bool) -> bool {
        let mut now = self.now.lock();
        if now.over.is_some() || now.away.is_some() || !is_current() {
            return false;
        }
        now.away = Some(reason.clone());
        now.refused = None;
        drop(now);
        self.changed();
        true
    }

    /// An attempt to come back failed; whether the one before failed with another code.
    pub(crate) fn refused(&self, why: &Error) -> bool {
        let before = self.now.lock().refused.replace(why.clone());
        before.is_none_or(|before| before.code() != why.code())
    }

    /// The plugin is back.
    pub(super) fn back(&self) {
        let mut now = self.now.lock();
        (now.away, now.refused) = (None, None);
        drop(now);
        self.changed();
    }

    /// There will be no broker any more. Gives back why: the first reason stands.
    pub(super) fn end(&self, reason: &Error) -> Error {
        let mut now = self.now.lock();
        let reason = now.over.get_or_insert_with(|| reason.clone()).clone();
        drop(now);
        self.over.notify_all();
        self.changed();
        reason
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        futex::wake_private(&self.changes);
    }

    /// Whether the plugin waits for the next broker.
    pub(crate) fn is_away(&self) -> bool {
        let now = self.now.lock();
        now.away.is_some() && now.over.is_none()
    }

    /// Why there will be no broker any more.
    pub(crate) fn over(&self) -> Option<Error> {
        self.now.lock().over.clone()
    }

    /// An error where there is no broker now.
    pub(crate) fn check(&self) -> Result<()> {
        match self.why_not() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn why_not(&self) -> Option<Error> {
        let now = self.now.lock();
        if let Some(over) = &now.over {
            return Some(over.clone());
        }
        let away = now.away.as_ref()?;
        Some(match &now.refused {
            Some(refused) => Error::new(
                away.code(),
                format!(
                    "{}; the last attempt: {}",
                    away.message(),
                    refused.message()
                ),
            ),
            None => away.clone(),
        })
    }

    /// Waits for a broker until a time of the monotonic clock.
    pub(crate) fn await_back(&self, until: u64, cancel: Option<&CancelToken>) -> Wait {
        loop {
            let seen = self.changes.load(Ordering::Acquire);
            let Some(error) = self.why_not() else {
                return Wait::Back;
            };
            if self.over().is_some() || clock::now() >= until {
                return Wait::None(error);
            }
            if cancel.is_some_and(CancelToken::is_cancelled) {
                return Wait::Cancelled;
            }
            let word = Awaited::private(&self.changes, seen);
            match cancel {
                Some(cancel) => futex::wait_any(&[word, cancel.word()], until),
                None => futex::wait_any(&[word], until),
            }
            futex_refused::log();
        }
    }

    /// Waits until there will be no broker any more; why, or `None` when the time was up before.
    pub(crate) fn await_over(&self, timeout: Option<Duration>) -> Option<Error> {
        let mut now = self.now.lock();
        let until = timeout.map(instant_after);
        while now.over.is_none() {
            match until {
                Some(until) if self.over.wait_until(&mut now, until).timed_out() => break,
                Some(_) => {}
                None => self.over.wait(&mut now),
            }
        }
        now.over.clone()
    }
}

/// A time of the standard library as one of the monotonic clock.
pub(super) fn nanos(until: Instant) -> u64 {
    let left = until.saturating_duration_since(Instant::now());
    let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
    clock::now().saturating_add(left)
}
