//! Whether a plugin has a broker, waits for the next one, or will never have one again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use callgate_layout::clock;
use callgate_layout::sys::futex::{self, Awaited};
use parking_lot::{Condvar, Mutex};

use crate::base::cancel::CancelToken;
use crate::base::deadline::instant_after;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;
use crate::link::together;

/// For how long after this plugin's return other plugins may still be coming back, in nanoseconds: they try about
/// every quarter of a second.
const RETURNING: u64 = 1_000_000_000;

/// Whether a plugin has a broker.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    now: Mutex<Now>,
    over: Condvar,
    /// When the plugin came back last, in nanoseconds of the monotonic clock; 0 if it never has.
    back_at: AtomicU64,
    /// Counts changes, for threads that also wait for something else.
    changes: AtomicU32,
}

#[derive(Debug, Default)]
struct Now {
    /// Why the last connection has ended, while the next one is awaited.
    away: Option<Error>,
    /// Why the last attempt to come back failed.
    refused: Option<Error>,
    /// Why there will be no broker any more.
    over: Option<Error>,
}

/// The outcome of a wait for a broker.
#[derive(Debug)]
pub(crate) enum Wait {
    Back,
    /// There is no broker, for this reason.
    None(Error),
    Cancelled,
}

impl Presence {
    /// Notes that the broker has ended and the next one is awaited, unless `is_current` says that the plugin has
    /// another one already. Returns whether there was a broker until now.
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

    /// Notes that an attempt to come back failed. Returns whether the attempt before failed with another code, or
    /// there was none.
    pub(crate) fn refused(&self, why: &Error) -> bool {
        let before = self.now.lock().refused.replace(why.clone());
        before.is_none_or(|before| before.code() != why.code())
    }

    /// Notes that the plugin is back.
    pub(super) fn back(&self) {
        let mut now = self.now.lock();
        (now.away, now.refused) = (None, None);
        self.back_at.store(clock::now(), Ordering::Relaxed);
        drop(now);
        self.changed();
    }

    /// Until when other plugins of the bus may still be coming back, in nanoseconds of the monotonic clock.
    pub(crate) fn others_return_until(&self) -> u64 {
        match self.back_at.load(Ordering::Relaxed) {
            0 => 0,
            at => at.saturating_add(RETURNING),
        }
    }

    /// Notes that there will be no broker any more. The first reason is kept.
    pub(super) fn end(&self, reason: &Error) {
        self.now.lock().over.get_or_insert_with(|| reason.clone());
        self.over.notify_all();
        self.changed();
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

    /// Why there will be no broker any more; `None` if there may be.
    pub(crate) fn over(&self) -> Option<Error> {
        self.now.lock().over.clone()
    }

    /// Fails if there is no broker now.
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

    /// Waits for a broker until a time in nanoseconds of the monotonic clock.
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
            together::ring_before_wait();
            let word = Awaited::private(&self.changes, seen);
            match cancel {
                Some(cancel) => futex::wait_any(&[word, cancel.word()], until),
                None => futex::wait_any(&[word], until),
            }
            futex_refused::log();
        }
    }

    /// Waits until there will be no broker any more, and returns the reason; `None` if the time is up before.
    pub(crate) fn await_over(&self, timeout: Option<Duration>) -> Option<Error> {
        together::ring_before_wait();
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

/// Converts an `Instant` to nanoseconds of the monotonic clock.
pub(super) fn nanos(until: Instant) -> u64 {
    let left = until.saturating_duration_since(Instant::now());
    let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
    clock::now().saturating_add(left)
}

#[cfg(test)]
mod tests {
    use callgate_layout::Code;
    use std::thread;

    use super::*;

    fn gone(text: &str) -> Error {
        Error::new(Code::BrokerGone, text)
    }

    const LONG: u64 = u64::MAX;

    #[test]
    fn who_waits_goes_on_when_the_plugin_is_back() {
        let presence = Presence::default();
        assert!(matches!(presence.await_back(0, None), Wait::Back));
        assert!(presence.lost(&gone("first"), || true));
        assert!(!presence.lost(&gone("second"), || true), "it is no news");
        assert!(presence.is_away());
        let Wait::None(error) = presence.await_back(clock::now(), None) else {
            panic!("there is no broker");
        };
        assert_eq!(error.message(), "first");
        thread::scope(|scope| {
            let waits = scope.spawn(|| presence.await_back(LONG, None));
            presence.back();
            assert!(matches!(waits.join().unwrap(), Wait::Back));
        });
        assert!(presence.check().is_ok());
    }

    /// The late news that an old connection had ended was taken for the end of the new one.
    #[test]
    fn the_end_of_another_connection_is_none() {
        let presence = Presence::default();
        assert!(!presence.lost(&gone("old"), || false));
        assert!(!presence.is_away());
    }

    #[test]
    fn what_was_wrong_with_the_last_attempt_is_said() {
        let presence = Presence::default();
        presence.lost(&gone("the broker has ended"), || true);
        let taken = Error::new(Code::NameTaken, "somebody has the name");
        assert!(presence.refused(&taken));
        assert!(!presence.refused(&taken), "the same once more is no news");
        let error = presence.check().unwrap_err();
        assert_eq!(error.code(), Code::BrokerGone);
        assert_eq!(
            error.message(),
            "the broker has ended; the last attempt: somebody has the name"
        );
        // The text only covers the last loss.
        presence.back();
        presence.lost(&gone("once more"), || true);
        assert_eq!(presence.check().unwrap_err().message(), "once more");
    }

    #[test]
    fn the_end_for_good_ends_every_wait() {
        let presence = Presence::default();
        presence.lost(&gone("away"), || true);
        let denied = Error::new(Code::PermissionDenied, "the policy has no such plugin");
        thread::scope(|scope| {
            let waits = scope.spawn(|| presence.await_back(LONG, None));
            let closed = scope.spawn(|| presence.await_over(None));
            assert!(
                presence
                    .await_over(Some(Duration::from_millis(1)))
                    .is_none()
            );
            presence.end(&denied);
            assert_eq!(closed.join().unwrap().unwrap().code(), denied.code());
            let Wait::None(error) = waits.join().unwrap() else {
                panic!("there will be none");
            };
            assert_eq!(error.code(), denied.code());
        });
        assert!(!presence.is_away() && !presence.lost(&gone("later"), || true));
        presence.end(&gone("later"));
        assert_eq!(presence.over().unwrap().code(), denied.code());
    }

    #[test]
    fn a_wait_is_given_up() {
        let presence = Presence::default();
        presence.lost(&gone("away"), || true);
        let token = CancelToken::new();
        thread::scope(|scope| {
            let waits = scope.spawn(|| presence.await_back(LONG, Some(&token)));
            token.cancel();
            assert!(matches!(waits.join().unwrap(), Wait::Cancelled));
        });
    }
}
