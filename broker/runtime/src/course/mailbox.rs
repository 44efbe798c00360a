//! The channel through which other threads send messages to the loop.

use std::fmt;
use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::{Registry, Token, Waker};

/// Queues messages for the loop, and wakes it.
pub(crate) struct Mailbox<T> {
    messages: Sender<T>,
    waker: Arc<Waker>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Mailbox<T> {
        Mailbox {
            messages: self.messages.clone(),
            waker: self.waker.clone(),
        }
    }
}

impl<T> Mailbox<T> {
    /// Creates a mailbox and its receiving end. The loop's poll gets an event with this token when there is a message.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<(Mailbox<T>, Receiver<T>)> {
        let (messages, received) = unbounded();
        let waker = Arc::new(Waker::new(registry, token)?);
        Ok((Mailbox { messages, waker }, received))
    }

    /// Sends a message to the loop. Returns false if the loop has ended, so that nobody will receive it.
    pub(crate) fn tell(&self, message: T) -> bool {
        if self.messages.send(message).is_err() {
            return false;
        }
        if let Err(error) = self.waker.wake() {
            tracing::error!("the runtime's loop cannot be woken: {error}");
        }
        true
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
