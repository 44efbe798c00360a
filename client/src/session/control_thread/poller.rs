//! What a control thread waits for, and for which plugin.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

pub(super) const WAKER: Token = Token(0);

/// A poll, with the number of the plugin for each token.
pub(super) struct Poller {
    poll: Poll,
    waker: Arc<Waker>,
    plugins: HashMap<Token, u64>,
    next: usize,
}

impl Poller {
    /// A poller for a thread, and the waker for that thread.
    pub(super) fn new() -> io::Result<(Poller, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let poller = Poller {
            poll,
            waker: waker.clone(),
            plugins: HashMap::new(),
            next: WAKER.0 + 1,
        };
        Ok((poller, waker))
    }

    /// The waker of the thread.
    pub(super) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    pub(super) fn wait(&mut self, events: &mut Events, time: Option<Duration>) -> io::Result<()> {
        self.poll.poll(events, time)
    }

    /// The plugin to which a token belongs; `None` if the token is not watched any more.
    pub(super) fn plugin(&self, token: Token) -> Option<u64> {
        self.plugins.get(&token).copied()
    }

    /// Has the poll report when a plugin's descriptor is readable.
    pub(super) fn watch(&mut self, plugin: u64, fd: &OwnedFd) -> io::Result<Token> {
        let token = Token(self.next);
        let registry = self.poll.registry();
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        self.next += 1;
        self.plugins.insert(token, plugin);
        Ok(token)
    }

    /// Has the poll also report when the descriptor is writable, or not any more.
    pub(super) fn watch_writable(
        &self,
        token: Token,
        fd: &OwnedFd,
        wanted: bool,
    ) -> io::Result<()> {
        let interest = match wanted {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        let registry = self.poll.registry();
        registry.reregister(&mut SourceFd(&fd.as_raw_fd()), token, interest)
    }

    pub(super) fn unwatch(&mut self, token: Token, fd: &OwnedFd) {
        if self.plugins.remove(&token).is_some() {
            let registry = self.poll.registry();
            let _ = registry.deregister(&mut SourceFd(&fd.as_raw_fd()));
        }
    }
}
