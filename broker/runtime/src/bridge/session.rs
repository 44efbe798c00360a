//! What the worker alone has of a bridge: its session, and what is made and dropped there because the broker is waited for.

use std::collections::HashMap;
use std::sync::Arc;

use callgate_client::{Plugin, Provider, Subscription};
use parking_lot::Mutex;

use super::bus::Tell;

/// The session of a bridge.
pub(super) struct Session {
    /// Locked by the worker alone, also for as long as it waits for the broker. `None` once it was closed.
    open: Mutex<Option<Opened>>,
    tell: Arc<dyn Tell>,
}

pub(super) struct Opened {
    pub(super) plugin: Plugin,
    /// The gates under the plugin's prefix.
    pub(super) provided: Vec<Provider>,
    /// By their topics or patterns.
    pub(super) subscriptions: HashMap<Box<str>, Subscription>,
}

impl Session {
    pub(super) fn new(plugin: Plugin, tell: &Arc<dyn Tell>) -> Arc<Session> {
        let opened = Opened {
            plugin,
            provided: Vec::new(),
            subscriptions: HashMap::new(),
        };
        Arc::new(Session {
            open: Mutex::new(Some(opened)),
            tell: tell.clone(),
        })
    }

    /// Does something with the session, on the worker; `None` where it was closed.
    pub(super) fn with<T>(&self, job: impl FnOnce(&mut Opened) -> T) -> Option<T> {
        self.open.lock().as_mut().map(job)
    }

    /// Has the worker do something with the session, unless it is closed by then.
    pub(super) fn later(self: &Arc<Session>, job: impl FnOnce(&mut Opened) + Send + 'static) {
        let session = self.clone();
        self.tell.work(Box::new(move || {
            session.with(job);
        }));
    }

    /// Has the worker drop something that tells the broker of its end.
    pub(super) fn drop_later(&self, dropped: impl Send + 'static) {
        self.tell.work(Box::new(move || drop(dropped)));
    }

    /// Takes the session out, to be closed.
    pub(super) fn take(&self) -> Option<Opened> {
        self.open.lock().take()
    }
}
