//! Joining a bus that is not the first one: by itself, or because the host says so.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::Code;

use super::{Joined, PluginCore, Return, closed, look_after, serve};
use crate::api::plugin::course::DRAINING;
use crate::api::plugin::joining;
use crate::base::error::{Error, Result};
use crate::session::control_thread::PluginKey;
use crate::session::handshake::{Reached, Welcome};
use crate::session::membership::Membership;
use crate::session::notices::BrokerEvent;
use crate::session::plugin_state::is_final;
use crate::session::retry::{Retry, random};

/// How long an attempt to come back may take.
const ATTEMPT: Duration = Duration::from_secs(5);

impl PluginCore {
    /// Goes on with the broker at the other end of a socket.
    pub(in crate::api::plugin) fn rejoin(
        self: &Arc<PluginCore>,
        reached: Reached,
        timeout: Duration,
    ) -> Result<()> {
        if self.group.control_thread.is_here() {
            let text = "what is dropped together with a link cannot join another broker";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let until = Instant::now() + timeout;
        let Some(mut returning) = self.returning.try_lock_until(until) else {
            let text = "this plugin was still coming back to its broker when the time was up";
            return Err(Error::new(Code::Timeout, text));
        };
        let joined = match self.state.presence.over() {
            Some(over) => Err(over),
            None => self.join(&mut returning, reached, until),
        };
        drop(returning);
        // Also of what this has kept it from meanwhile.
        look_after(&Arc::downgrade(self));
        joined
    }

    /// Takes part in a bus, in the place of the one before.
    fn join(
        self: &Arc<PluginCore>,
        returning: &mut Return,
        reached: Reached,
        until: Instant,
    ) -> Result<()> {
        self.begin_attempt(&reached)?;
        let welcome = self.greet(&reached, until);
        let told = welcome.and_then(|welcome| self.join_as(returning, welcome, reached));
        drop(self.opened.lock().attempt.take());
        told?;
        returning.away = None;
        returning.settle = Some(Instant::now() + DRAINING);
        Ok(())
    }

    /// Has the connection hung up if the plugin closes.
    fn begin_attempt(&self, reached: &Reached) -> Result<()> {
        let socket = reached.socket.as_fd().try_clone_to_owned().ok();
        let mut opened = self.opened.lock();
        if opened.is_closing {
            return Err(closed());
        }
        opened.attempt = socket;
        Ok(())
    }

    /// Says hello, and takes note of the doorbell that the plugin is given.
    fn greet(&self, reached: &Reached, until: Instant) -> Result<Welcome> {
        let mut doorbells = match self.group.is_private() {
            true => None,
            false => Some(self.group.connecting(until)?),
        };
        let welcome = self
            .introduction
            .greet(reached, doorbells.as_deref(), until)?;
        if let Some(doorbells) = &mut doorbells {
            let name = joining::doorbell(&welcome);
            doorbells.renew(name, &welcome.memory, &self.state.sent)?;
        }
        Ok(welcome)
    }

    /// Goes on as a broker's welcome says, and tells the broker everything.
    fn join_as(
        self: &Arc<PluginCore>,
        returning: &mut Return,
        welcome: Welcome,
        reached: Reached,
    ) -> Result<()> {
        let broker = joining::facts(&welcome);
        let parts = self.introduction.membership(welcome, reached, &self.group);
        let mut joined = None;
        let heard = |membership: &Arc<Membership>| {
            let threads = &self.group.control_thread;
            let key = threads.add((&self.state, membership), None)?;
            let served = self.serve(membership, key);
            joined = Some(served.inspect_err(|_| threads.remove(key))?);
            Ok(())
        };
        let told = self.state.come_back((parts, broker), heard);
        if let Some(joined) = joined {
            if told.is_err() {
                // It does not know all, and has the name; the next attempt tells everything.
                joined.membership.connection.shut_down();
            }
            // Also where the broker has ended since: what it was told first may have been of use.
            // The connection before stays: its broker may be there still, and would end the links of a plugin that
            // has left it.
            let closed = returning.memberships.join(joined, Instant::now());
            closed.iter().for_each(|closed| self.close(closed));
        }
        told
    }

    /// Serves a membership that is heard, unless the plugin closes.
    fn serve(
        self: &Arc<PluginCore>,
        membership: &Arc<Membership>,
        key: PluginKey,
    ) -> Result<Joined> {
        let core = Arc::downgrade(self);
        let mut opened = self.opened.lock();
        if opened.is_closing {
            return Err(closed());
        }
        let joined = Joined {
            membership: membership.clone(),
            member: serve(&core, (&self.group, self.direct), (&self.state, membership)),
            key,
        };
        opened.joined.push(joined.clone());
        Ok(joined)
    }

    /// Tries to come back, if it is time. When the next attempt is due.
    pub(super) fn try_to_come_back(
        self: &Arc<PluginCore>,
        returning: &mut Return,
    ) -> Option<Instant> {
        if !self.state.presence.is_away() {
            returning.away = None;
            return None;
        }
        let place = self.place.as_ref()?;
        let now = Instant::now();
        let Some((retry, due)) = returning.away else {
            let retry = Retry::since(now);
            // All plugins of the bus lose it in one moment.
            let due = now + retry.wait(now, random());
            returning.away = Some((retry, due));
            return Some(due);
        };
        if due > now {
            return Some(due);
        }
        let until = now + ATTEMPT;
        let reached = Reached::at(place, until);
        let is_reached = reached.is_ok();
        let joined = reached.and_then(|reached| self.join(returning, reached, until));
        let Err(error) = joined else {
            return None;
        };
        self.attempt_failed(&error, is_reached);
        let now = Instant::now();
        let wait = match error.code() {
            // Whoever listens there is another one, or somebody has the name.
            Code::PermissionDenied | Code::NameTaken => Retry::slow(random()),
            _ => retry.wait(now, random()),
        };
        returning.away = Some((retry, now + wait));
        Some(now + wait)
    }

    /// Takes note of why an attempt failed, of a broker that was reached or was not.
    fn attempt_failed(&self, error: &Error, is_reached: bool) {
        if self.is_closing() {
            return;
        }
        if is_reached && is_final(error.code()) {
            tracing::warn!(%error, "the broker does not take this plugin in again");
            return self.state.over(error);
        }
        let is_news = self.state.presence.refused(error);
        if is_news && error.code() != Code::BrokerGone {
            tracing::warn!(%error, "this plugin is not taken in again yet");
            self.state.notices.tell(BrokerEvent::Refused(error.clone()));
        }
    }
}
