//! A plugin beyond its brokers: joins the first one, comes back to the next, and lets go of what it had at
//! older ones (docs/decisions/0021).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use callgate_layout::Code;
use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::Mutex;

use super::course::{Course, DRAINING, Used};
use super::joining::{self, Introduction};
use super::serving;
use crate::api::group::GroupCore;
use crate::api::returning::Returning;
use crate::base::error::{Error, Result};
use crate::base::thread::discard;
use crate::call::in_process;
use crate::serve::member::Member;
use crate::session::control_thread::PluginKey;
use crate::session::handshake::{Reached, Welcome};
use crate::session::membership::Membership;
use crate::session::notices::BrokerEvent;
use crate::session::place::Place;
use crate::session::plugin_state::{PluginState, is_final};
use crate::session::retry::{Retry, random};

/// How long an attempt to come back may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// What a plugin and the thread that has it come back share.
pub(crate) struct PluginCore {
    pub(super) state: Arc<PluginState>,
    pub(super) group: Arc<GroupCore>,
    introduction: Introduction,
    /// Whether plugins of this process call it directly.
    direct: bool,
    /// Where the next broker is found, unless the host says so.
    place: Option<Place>,
    /// Held by who looks after the plugin.
    returning: Mutex<Return>,
    /// The connection of an attempt that is under way, which is hung up when the plugin closes.
    attempt: Mutex<Option<OwnedFd>>,
    is_closing: AtomicBool,
}

/// How far the plugin is with going on.
struct Return {
    memberships: Course<Joined>,
    /// When providers have had time to come to the current bus.
    settle: Option<Instant>,
    /// Since when there is no broker, and when the next attempt is due.
    away: Option<(Retry, Instant)>,
}

/// A membership as this process's threads have it.
#[derive(Clone)]
pub(super) struct Joined {
    membership: Arc<Membership>,
    /// What its dispatcher has of it.
    member: Arc<Member>,
    key: PluginKey,
}

impl Used for Joined {
    fn has_links(&self) -> bool {
        !self.membership.links().is_empty()
    }

    fn is_let_go(&self) -> bool {
        self.member.is_let_go()
    }

    fn is_idle(&self) -> bool {
        let links = self.membership.links();
        links.iter().all(|link| link.pending().is_idle())
    }
}

/// What [`PluginCore::start`] takes.
pub(super) struct CoreParts {
    pub(super) state: Arc<PluginState>,
    pub(super) group: Arc<GroupCore>,
    pub(super) introduction: Introduction,
    pub(super) direct: bool,
    pub(super) place: Option<Place>,
    /// Whether the end of a broker is not the end of the plugin's session.
    pub(super) outlives: bool,
    /// The process that has started this one.
    pub(super) host: Option<OwnedFd>,
}

impl PluginCore {
    /// Serves and hears the first membership of a plugin.
    pub(super) fn start(parts: CoreParts) -> Result<Arc<PluginCore>> {
        let CoreParts {
            state,
            group,
            introduction,
            direct,
            place,
            outlives,
            host,
        } = parts;
        let comes_back = Arc::new(OnceLock::<Weak<PluginCore>>::new());
        if outlives {
            let core = comes_back.clone();
            let come_back = move || core.get().into_iter().for_each(look_after);
            state.set_comes_back(Box::new(come_back));
        }
        let membership = state.membership();
        let key = group.control_thread.add((&state, &membership), host)?;
        let core = Arc::new_cyclic(|core| {
            let member = serve(core, (&group, direct), &membership);
            let current = Joined {
                membership,
                member,
                key,
            };
            PluginCore {
                state,
                group,
                introduction,
                direct,
                place,
                returning: Mutex::new(Return {
                    memberships: Course::new(current),
                    settle: None,
                    away: None,
                }),
                attempt: Mutex::default(),
                is_closing: AtomicBool::new(false),
            }
        });
        // Nobody else does so.
        let _ = comes_back.set(Arc::downgrade(&core));
        if core.state.presence.is_away() {
            // The broker has ended before this.
            look_after(&Arc::downgrade(&core));
        }
        Ok(core)
    }

    /// Goes on with the broker at the other end of a socket.
    pub(super) fn rejoin(
        self: &Arc<PluginCore>,
        reached: Reached,
        timeout: Duration,
    ) -> Result<()> {
        let mut returning = self.returning.lock();
        if let Some(over) = self.state.presence.over() {
            return Err(over);
        }
        let until = Instant::now() + timeout;
        let joined = self.join(&mut returning, reached, until);
        drop(returning);
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
        *self.attempt.lock() = reached.socket.as_fd().try_clone_to_owned().ok();
        let welcome = self.greet(&reached, until);
        let told = welcome.and_then(|welcome| self.join_as(returning, welcome, reached));
        *self.attempt.lock() = None;
        told?;
        returning.away = None;
        returning.settle = Some(Instant::now() + DRAINING);
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
        match self.is_closing.load(Ordering::Relaxed) {
            true => Err(Error::new(Code::Closed, "this plugin has closed")),
            false => Ok(welcome),
        }
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
        let core = Arc::downgrade(self);
        let heard = |membership: &Arc<Membership>| {
            let threads = &self.group.control_thread;
            let key = threads.add((&self.state, membership), None)?;
            joined = Some(Joined {
                membership: membership.clone(),
                member: serve(&core, (&self.group, self.direct), membership),
                key,
            });
            Ok(())
        };
        let told = self.state.come_back((parts, broker), heard);
        if let Some(joined) = joined {
            // Also where the broker has ended since: what it was told first may have been of use.
            // The connection before stays: its broker may be there still, and would end the links of a plugin that
            // has left it.
            let closed = returning.memberships.join(joined, Instant::now());
            closed.iter().for_each(|closed| self.close(closed));
        }
        told
    }

    /// Takes no more calls from the links of an older membership, and makes none.
    fn close(&self, older: &Joined) {
        self.state.part(&older.membership);
        in_process::leave(&older.member);
        self.group.drain(&older.member);
    }

    /// Lets older memberships go that are not used any more. When the next look is due.
    fn let_go(&self, returning: &mut Return) -> Option<Instant> {
        let is_away = self.state.presence.is_away();
        let due = returning.memberships.look(Instant::now(), is_away);
        due.close.iter().for_each(|closed| self.close(closed));
        for joined in due.over {
            self.state.leave(&joined.membership);
            self.group.control_thread.remove(joined.key);
            drop(joined);
            self.state.sent.let_go_of_pages();
        }
        let settling = self.settle(returning, is_away);
        due.next.into_iter().chain(settling).min()
    }

    /// Lets those providers be gone that have not come to the current bus in time. When that is due.
    fn settle(&self, returning: &mut Return, is_away: bool) -> Option<Instant> {
        let at = returning.settle.filter(|_| !is_away)?;
        if at > Instant::now() {
            return Some(at);
        }
        returning.settle = None;
        self.state.settle();
        None
    }

    /// Tries to come back, if it is time. When the next attempt is due.
    fn try_to_come_back(self: &Arc<PluginCore>, returning: &mut Return) -> Option<Instant> {
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
        if self.is_closing.load(Ordering::Relaxed) {
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

    /// Ends everything, because the plugin closes. What it provides is given back, to be dropped where nothing is
    /// locked.
    pub(super) fn close_all(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        if let Some(socket) = &*self.attempt.lock() {
            let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
        }
        let returning = self.returning.lock();
        let all = returning.memberships.all();
        drop(returning);
        for joined in &all {
            joined.membership.provided.close();
            in_process::leave(&joined.member);
        }
        for joined in &all {
            self.group.serve_no_more(&joined.member);
        }
        let gates = self.state.provided.take_gates();
        // Handlers may own handles of this very plugin.
        discard(gates);
        self.state.close();
        for joined in &all {
            self.group.control_thread.remove(joined.key);
        }
    }
}

impl Returning for PluginCore {
    fn look(self: Arc<PluginCore>) -> Option<Instant> {
        let mut returning = self.returning.lock();
        if self.is_closing.load(Ordering::Relaxed) {
            return None;
        }
        let attempt = self.try_to_come_back(&mut returning);
        let draining = self.let_go(&mut returning);
        attempt.into_iter().chain(draining).min()
    }
}

/// Has a plugin looked after by the thread of its group.
fn look_after(core: &Weak<PluginCore>) {
    let Some(found) = core.upgrade() else {
        return;
    };
    let returning: Weak<dyn Returning> = core.clone();
    if let Err(error) = found.group.returner.look_after(returning) {
        tracing::warn!(%error, "no thread to have a plugin come back to its broker");
    }
    // It may be the last one to have the plugin.
    discard(found);
}

/// Has the dispatcher serve a membership, and plugins of this process call it.
fn serve(
    core: &Weak<PluginCore>,
    (group, direct): (&Arc<GroupCore>, bool),
    membership: &Arc<Membership>,
) -> Arc<Member> {
    let core = core.clone();
    let let_go = move || look_after(&core);
    let member = serving::member(membership, Box::new(let_go));
    let dispatcher = &group.dispatcher;
    dispatcher.join(member.clone());
    if direct {
        let identity = (membership.bus, membership.me.plugin());
        in_process::join(identity, &member, dispatcher);
    }
    member
}
