//! Looks after the broker's socket, whose file another process may remove.

use std::time::{Duration, Instant};

use super::tokens::{DIRECTORY, LISTENER};
use super::{Reactor, Timer};
use crate::error::StartError;
use crate::socket::DirectoryWatch;

/// The time to wait after a removal for others that come with it.
const SETTLING: Duration = Duration::from_millis(20);
/// How often to look if the kernel does not report removals.
const LOOK: Duration = Duration::from_secs(2);

impl Reactor {
    /// Has the kernel report removals beside the socket. If it cannot, a timer is set to look from time to time.
    pub(super) fn watch_directory(&mut self, now: Instant) {
        // Whoever has made a given socket looks after it.
        let Some(listener) = self.listener.as_ref().filter(|listener| listener.is_own()) else {
            return;
        };
        let watch = DirectoryWatch::new(listener.address(), self.poll.registry(), DIRECTORY);
        self.directory = watch.ok();
        let look = match self.directory {
            None => Some(LOOK),
            // It may have been removed just before the watch was set.
            Some(_) if !listener.is_in_place() => Some(SETTLING),
            Some(_) => None,
        };
        if let Some(look) = look {
            self.timers.set(Timer::Socket, Some(now + look));
        }
    }

    /// Something was removed in the socket's directory. The broker looks a little later, so that a process that removes many files there
    /// does not keep it busy.
    pub(super) fn directory_changed(&mut self, now: Instant) {
        if self.directory.as_ref().is_some_and(|watch| !watch.take()) {
            self.directory = None;
        }
        self.timers.set(Timer::Socket, Some(now + SETTLING));
    }

    /// Puts the socket back if it was removed. If another broker's socket is there by now, that one stays, and this broker goes on serving
    /// the plugins that it has.
    pub(super) fn look_after_socket(&mut self, now: Instant) {
        if self
            .listener
            .as_ref()
            .is_some_and(|listener| !listener.is_in_place())
        {
            // Processes that have connected to the old socket are still let in.
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
                // The end of the other broker removes its socket, too, and is reported.
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
