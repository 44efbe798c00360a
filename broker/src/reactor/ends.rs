//! The end of a session: of a plugin that went, was sent away, or whose process has ended.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, SessionToPlugin};
use callgate_layout::sys::process::exit_status;

use super::session::Session;
use super::{Reactor, Timer};
use crate::bus::Member;
use crate::id::PluginId;
use crate::shown::shown;
use crate::supervision::Exit;

/// How long a process may take to end that has closed its connection, until others are told that the plugin is gone.
const ENDING: Duration = Duration::from_millis(5);

impl Reactor {
    pub(super) fn process_ended(&mut self, id: PluginId, now: Instant) {
        self.end(id, &process_gone(None), now);
    }

    /// Ends a session that cannot go on. The kernel closes the connection of a process that ends a moment before anybody can know how
    /// it has ended: of a program that this broker has started, that is awaited, so that those who are told can be told that, too.
    pub(super) fn lose(&mut self, id: PluginId, failure: &Failure, now: Instant) {
        if !self.is_to_end(id, failure) {
            return self.end(id, failure, now);
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.lost.is_none() {
            session.lost = Some(failure.clone());
            self.timers.set(Timer::Gone(id), Some(now + ENDING));
        }
    }

    /// Whether a session has ended because its process, which this broker has started, is ending: as far as can be known.
    fn is_to_end(&self, id: PluginId, failure: &Failure) -> bool {
        let (Some(session), Some(tracked)) = (self.sessions.get(&id), self.children.get(&id.0))
        else {
            return false;
        };
        let member = self.bus.member(id);
        // What has left last words has closed by itself.
        let is_plugin = member.is_some_and(|member| !member.has_last_words());
        let is_gone = failure.code == Code::ProviderGone as u16;
        is_gone && is_plugin && !self.stopping && tracked.id() == session.pid && !tracked.reap()
    }

    /// A plugin has closed its connection, and its process has not ended in the time that it had.
    pub(super) fn has_not_ended(&mut self, id: PluginId, now: Instant) {
        let session = self.sessions.get_mut(&id);
        if let Some(lost) = session.and_then(|session| session.lost.take()) {
            self.end(id, &lost, now);
        }
    }

    /// Ends a session: says why, forgets all that was the plugin's, and tells its peers.
    pub(super) fn end(&mut self, id: PluginId, failure: &Failure, now: Instant) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        let failure = &self.with_exit(&session, failure);
        self.log_end(&session, failure, now);
        let last = SessionToPlugin::Ended(failure.clone());
        let lent = session.expected.lent.clone();
        session.close(self.poll.registry(), last);
        self.timers.set(Timer::Hello(id), None);
        self.timers.set(Timer::Resend(id), None);
        self.timers.set(Timer::Gone(id), None);
        self.pulses.forget(id);
        self.bus.remove(id, failure, now);
        if let Some(name) = &lent {
            self.bus.take_back_policy(name);
        }
        self.session_ended(id, failure, now);
    }

    /// Adds how a plugin's process has ended, where it has and the broker knows by now.
    fn with_exit(&self, session: &Session, failure: &Failure) -> Failure {
        if failure.code != Code::ProviderGone as u16 || failure.context.is_some() {
            return failure.clone();
        }
        let tracked = self.children.get(&session.id.0);
        let exit = match tracked.filter(|tracked| tracked.id() == session.pid) {
            Some(tracked) => tracked.exit(),
            // Of another process the kernel tells it once its parent has taken it in.
            None => exit_status(session.process.as_fd()).map(Exit::from),
        };
        exit.map_or_else(|| failure.clone(), |exit| process_gone(Some(exit)))
    }

    fn log_end(&mut self, session: &Session, failure: &Failure, now: Instant) {
        let code = Code::from_u16(failure.code).unwrap_or(Code::System);
        let gone = matches!(code, Code::ProviderGone | Code::BrokerGone);
        if !gone && !self.warnings.take(now) {
            return;
        }
        // Names and reasons may be a plugin's own words.
        let message = shown(&failure.message);
        let label = self.bus.member(session.id).map(Member::label);
        match label.as_deref().map(shown) {
            Some(label) if gone => tracing::info!("{label} went: {message}"),
            Some(label) => tracing::warn!("{label} is sent away: {code}: {message}"),
            None if gone => tracing::debug!(pid = session.pid, "a connection went: {message}"),
            None => tracing::warn!(
                pid = session.pid,
                "a connection is refused: {code}: {message}"
            ),
        }
    }
}

/// Why a session ends whose process has, with how it did where that is known.
pub(super) fn process_gone(exit: Option<Exit>) -> Failure {
    let text = "its process has ended";
    match exit {
        Some(exit) => Failure::new(Code::ProviderGone, format!("{text} ({exit})"))
            .with_context(exit.to_context().to_string()),
        None => Failure::new(Code::ProviderGone, text),
    }
}
