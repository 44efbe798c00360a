//! How a plugin joins a bus that is not its first: by itself, or because the host says so.

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

/// How long one attempt to come back may take.
const ATTEMPT: Duration = Duration::from_secs(5);

impl PluginCore {
    /// Joins the broker at the other end of a socket.
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
        // `rejoin` held the lock, so looks that were due meanwhile returned without doing anything.
        look_after(&Arc::downgrade(self));
        joined
    }

    /// Joins a bus, whose membership becomes the current one.
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

    /// Keeps a copy of the socket, so that closing the plugin can shut the connection down.
    fn begin_attempt(&self, reached: &Reached) -> Result<()> {
        let socket = reached.socket.as_fd().try_clone_to_owned().ok();
        let mut opened = self.opened.lock();
        if opened.is_closing {
            return Err(closed());
        }
        opened.attempt = socket;
        Ok(())
    }

    /// Sends `Hello` and waits for the broker's welcome. In a group, also remembers the doorbell that the plugin
    /// was given.
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

    /// Makes a membership of a broker's welcome, and tells the broker what the plugin provides, wants and uses.
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
                // The broker was told only a part, and has the plugin's name. Ending the connection frees the name;
                // the next attempt tells everything.
                joined.membership.connection.shut_down();
            }
            // The membership becomes the current one even if the broker has ended since: peers may already use what
            // it was told first. The older connection stays open: its broker may still run, and would end the links
            // of a plugin that disconnects from it.
            let closed = returning.memberships.join(joined, Instant::now());
            closed.iter().for_each(|closed| self.close(closed));
        }
        told
    }

    /// Has the dispatcher serve a membership whose records are read already, unless the plugin closes.
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

    /// Tries to come back to a broker if that is due. Returns when the next attempt is due.
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
            // A random wait, because all plugins of the bus lose their broker at the same moment.
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
            // The socket belongs to another user's broker, or another plugin has the name: that rarely changes
            // soon.
            Code::PermissionDenied | Code::NameTaken => Retry::slow(random()),
            _ => retry.wait(now, random()),
        };
        returning.away = Some((retry, now + wait));
        Some(now + wait)
    }

    /// Handles a failed attempt: ends the plugin's session if the broker's refusal is final, otherwise tells the
    /// program once. `is_reached` says whether a broker took the connection.
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
