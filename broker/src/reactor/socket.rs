//! Looking after the broker's socket, which somebody else may remove.

use std::time::{Duration, Instant};

use super::tokens::{DIRECTORY, LISTENER};
use super::{Reactor, Timer};
use crate::error::StartError;
use crate::socket::DirectoryWatch;

/// After a removal, to wait for those that come with it.
const SETTLING: Duration = Duration::from_millis(20);
/// How often to look where the kernel does not say when something is removed.
const LOOK: Duration = Duration::from_secs(2);

impl Reactor {
    /// Has the kernel say when something is removed beside the socket; where it does not, a timer has to
    /// do.
    pub(super) fn watch_directory(&mut self, now: Instant) {
        // A socket that somebody else has made is looked after by them.
        let Some(listener) = self.listener.as_ref().filter(|listener| listener.is_own()) else {
            return;
        };
        let watch = DirectoryWatch::new(listener.address(), self.poll.registry(), DIRECTORY);
        self.directory = watch.ok();
        let look = match self.directory {
            None => Some(LOOK),
            // It may have been removed just before.
            Some(_) if !listener.is_in_place() => Some(SETTLING),
            Some(_) => None,
        };
        if let Some(look) = look {
            self.timers.set(Timer::Socket, Some(now + look));
        }
    }

    /// Something was removed. It is looked at a little later: who removes much there must not keep the
    /// broker busy.
    pub(super) fn directory_changed(&mut self, now: Instant) {
        if self.directory.as_ref().is_some_and(|watch| !watch.take()) {
            self.directory = None;
        }
        self.timers.set(Timer::Socket, Some(now + SETTLING));
    }

    /// Puts the socket back where it was removed. One that is another broker's by now stays: then this
    /// broker serves those it has.
    pub(super) fn look_after_socket(&mut self, now: Instant) {
        if self
            .listener
            .as_ref()
            .is_some_and(|listener| !listener.is_in_place())
        {
            // Who found the old one is still let in.
            self.accept(now);
            self.put_socket_back(now);
        }
        if self.directory.is_none() {
            self.watch_directory(now);
        }
    }

    fn put_socket_back(&mut self, now: Instant) {
        let Some(listener) = &mut self.listener else {
            return;
        };
        let before = listener.descriptor();
        let outcome = listener.put_back();
        let path = listener.address().display();
        let watched = match outcome {
            Ok(()) if listener.descriptor() == before => Ok(()),
            Ok(()) => listener.watch(self.poll.registry(), LISTENER),
            Err(error) => {
                // Another broker's end is a removal, too, and is heard of.
                let is_taken = matches!(error, StartError::AlreadyRunning { .. });
                if !is_taken || self.directory.is_none() {
                    self.timers.set(Timer::Socket, Some(now + LOOK));
                }
                if self.warnings.take(now) {
                    tracing::warn!(
                        "the socket was removed, so that nobody can connect any more; those who have \
                         connected are served on: {error}"
                    );
                }
                return;
            }
        };
        match watched {
            Ok(()) => tracing::warn!("the socket {path} or its lock was removed and is put back"),
            Err(error) => tracing::error!("the socket {path} cannot be watched: {error}"),
        }
    }
}
