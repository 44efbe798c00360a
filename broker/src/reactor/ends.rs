//! The end of a session: of a plugin that went, was sent away, or whose process has ended.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, SessionToPlugin};

use super::session::Session;
use super::{Reactor, Timer};
use crate::bus::Member;
use crate::id::PluginId;
use crate::shown::shown;

impl Reactor {
    pub(super) fn process_ended(&mut self, id: PluginId, now: Instant) {
        let failure = Failure::new(Code::ProviderGone, "its process has ended");
        self.end(id, &failure, now);
    }

    /// Ends a session: says why, forgets all that was the plugin's, and tells its peers.
    pub(super) fn end(&mut self, id: PluginId, failure: &Failure, now: Instant) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.log_end(&session, failure, now);
        let last = SessionToPlugin::Ended(failure.clone());
        session.close(self.poll.registry(), last);
        self.timers.set(Timer::Hello(id), None);
        self.timers.set(Timer::Resend(id), None);
        self.bus.remove(id, failure, now);
        self.session_ended(id, failure, now);
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
