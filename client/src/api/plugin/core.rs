//! A plugin across several brokers: it joins the first one, comes back to the next, and ends its memberships of
//! older ones (docs/decisions/0021).

mod attempts;

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use callgate_layout::Code;
use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::Mutex;

use super::course::{Course, Used};
use super::joining::Introduction;
use super::serving;
use crate::api::group::GroupCore;
use crate::api::returning::Returning;
use crate::base::error::{Error, Result};
use crate::base::thread::discard;
use crate::call::in_process;
use crate::link::together;
use crate::serve::member::Member;
use crate::session::control_thread::PluginKey;
use crate::session::membership::Membership;
use crate::session::place::Place;
use crate::session::plugin_state::PluginState;
use crate::session::retry::Retry;

/// How long a plugin that closes waits for the end of an attempt to connect whose socket it has shut down.
const CLOSING: Duration = Duration::from_millis(500);

/// What a plugin shares with the thread that brings it back to its next broker.
pub(crate) struct PluginCore {
    pub(super) state: Arc<PluginState>,
    pub(super) group: Arc<GroupCore>,
    introduction: Introduction,
    /// Whether plugins of this process may call it directly.
    direct: bool,
    /// The socket where the next broker is found; `None` if only the host can say so
    /// ([`Plugin::rejoin`](super::Plugin::rejoin)).
    place: Option<Place>,
    /// Locked by the thread that looks after the plugin. That thread may meanwhile wait for a broker or the control
    /// thread, write to the log, and drop objects of the program. Each of these may close the plugin, so closing it
    /// does not wait for this lock.
    returning: Mutex<Return>,
    opened: Mutex<Opened>,
}

/// What has to be undone when the plugin closes.
#[derive(Default)]
struct Opened {
    /// The memberships that the dispatcher serves and whose records the control thread reads.
    joined: Vec<Joined>,
    /// The socket of an attempt to connect that is under way; closing the plugin shuts it down.
    attempt: Option<OwnedFd>,
    is_closing: bool,
}

/// The plugin's memberships, and what is to be done about them when.
struct Return {
    memberships: Course<Joined>,
    /// When the providers have had enough time to come to the current bus; `None` once that was dealt with.
    settle: Option<Instant>,
    /// While there is no broker: since when, and when the next attempt to connect is due.
    away: Option<(Retry, Instant)>,
}

/// A membership, with its handles at the dispatcher and the control thread.
#[derive(Clone)]
pub(super) struct Joined {
    membership: Arc<Membership>,
    /// The dispatcher's view of it.
    member: Arc<Member>,
    key: PluginKey,
}

impl Used for Joined {
    fn has_links(&self) -> bool {
        let membership = &self.membership;
        !membership.links().is_empty() || membership.followed.is_heard()
    }

    fn is_heard(&self) -> bool {
        let membership = &self.membership;
        membership.sources.are_heard(membership.id) || membership.cells.are_written()
    }

    fn is_let_go(&self) -> bool {
        self.member.is_let_go()
    }

    fn is_idle(&self) -> bool {
        let links = self.membership.links();
        // An answer to a call that was given up may never come, so such calls do not count.
        links.iter().all(|link| link.pending().is_left())
    }
}

/// Arguments of [`PluginCore::start`].
pub(super) struct CoreParts {
    pub(super) state: Arc<PluginState>,
    pub(super) group: Arc<GroupCore>,
    pub(super) introduction: Introduction,
    pub(super) direct: bool,
    pub(super) place: Option<Place>,
    /// Whether the plugin waits for the next broker when this one ends.
    pub(super) outlives: bool,
    /// A descriptor of the process that has started this one.
    pub(super) host: Option<OwnedFd>,
}

impl PluginCore {
    /// Makes the core of a plugin, and has its first membership served and its records read.
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
            let member = serve(core, (&group, direct), (&state, &membership));
            let current = Joined {
                membership,
                member,
                key,
            };
            let opened = Opened {
                joined: vec![current.clone()],
                ..Opened::default()
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
                opened: Mutex::new(opened),
            }
        });
        // Set once, here; so this cannot fail.
        let _ = comes_back.set(Arc::downgrade(&core));
        if core.state.presence.is_away() {
            // The broker ended before the callback above was set, so nobody has asked for a look yet.
            look_after(&Arc::downgrade(&core));
        }
        Ok(core)
    }

    /// The dispatcher's view of the current membership.
    #[cfg(test)]
    pub(super) fn member(&self) -> Arc<Member> {
        self.returning.lock().memberships.current().member.clone()
    }

    /// Takes no more calls from the links of an older membership, and makes no more over them.
    fn close(&self, older: &Joined) {
        self.state.part(&older.membership);
        older.membership.provided.close();
        in_process::leave(&older.member);
        self.group.drain(&older.member);
    }

    /// Closes older memberships that are not used any more, and drops those that have drained. Returns when the
    /// next look is due.
    fn let_go(&self, returning: &mut Return) -> Option<Instant> {
        let is_away = self.state.presence.is_away();
        let due = returning.memberships.look(Instant::now(), is_away);
        due.close.iter().for_each(|closed| self.close(closed));
        for joined in due.over {
            self.state.leave(&joined.membership);
            self.group.control_thread.remove(joined.key);
            let is_it = |other: &Joined| Arc::ptr_eq(&other.membership, &joined.membership);
            self.opened.lock().joined.retain(|other| !is_it(other));
            drop(joined);
            self.state.sent.let_go_of_pages();
        }
        let settling = self.settle(returning, is_away);
        due.next.into_iter().chain(settling).min()
    }

    /// Once the time for it has come, declares those providers gone that have not come to the current bus. Returns
    /// when that is due, if it still is.
    fn settle(&self, returning: &mut Return, is_away: bool) -> Option<Instant> {
        let at = returning.settle.filter(|_| !is_away)?;
        if at > Instant::now() {
            return Some(at);
        }
        returning.settle = None;
        self.state.settle();
        None
    }

    fn is_closing(&self) -> bool {
        self.opened.lock().is_closing
    }

    /// From here on the plugin joins no bus, and an attempt to connect that is under way fails.
    pub(super) fn begin_closing(&self) {
        let mut opened = self.opened.lock();
        opened.is_closing = true;
        if let Some(socket) = &opened.attempt {
            let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
        }
    }

    /// Ends all memberships and drops all handlers. To be called after [`PluginCore::begin_closing`].
    pub(super) fn close_all(&self) {
        // Handlers that run are waited for.
        together::ring_before_wait();
        let all = std::mem::take(&mut self.opened.lock().joined);
        for joined in &all {
            joined.membership.provided.close();
            in_process::leave(&joined.member);
        }
        for joined in &all {
            self.group.serve_no_more(&joined.member);
        }
        let gates = self.state.provided.take_gates();
        // Handlers may have captured handles of this very plugin, whose drops run here.
        discard(gates);
        self.state
            .close(all.iter().map(|joined| &*joined.membership));
        let group = &self.group;
        all.iter()
            .for_each(|joined| group.control_thread.remove(joined.key));
        if !group.control_thread.is_here() && !group.returner.is_here() {
            // The attempt that was shut down ends soon; this waits until its threads and descriptors are gone.
            drop(self.returning.try_lock_for(CLOSING));
        }
    }
}

impl Returning for PluginCore {
    fn look(self: Arc<PluginCore>) -> Option<Instant> {
        // If another thread holds the lock, that thread asks for another look when it is done.
        let mut returning = self.returning.try_lock()?;
        if self.is_closing() {
            return None;
        }
        let attempt = self.try_to_come_back(&mut returning);
        let draining = self.let_go(&mut returning);
        attempt.into_iter().chain(draining).min()
    }
}

fn closed() -> Error {
    Error::new(Code::Closed, "this plugin has closed")
}

/// Asks the group's thread to look after a plugin.
fn look_after(core: &Weak<PluginCore>) {
    let Some(found) = core.upgrade() else {
        return;
    };
    let returning: Weak<dyn Returning> = core.clone();
    if !found.is_closing()
        && let Err(error) = found.group.returner.look_after(returning)
    {
        tracing::warn!(%error, "no thread to have a plugin come back to its broker");
    }
    // This may be the last reference to the plugin.
    discard(found);
}

/// Has the dispatcher serve a membership, and lets plugins of this process call it directly if they may.
fn serve(
    core: &Weak<PluginCore>,
    (group, direct): (&Arc<GroupCore>, bool),
    (state, membership): (&PluginState, &Arc<Membership>),
) -> Arc<Member> {
    let core = core.clone();
    let let_go = move || look_after(&core);
    let member = serving::member((state, membership), Box::new(let_go));
    let dispatcher = &group.dispatcher;
    dispatcher.join(member.clone());
    if direct {
        let identity = (membership.bus, membership.me.plugin());
        in_process::join(identity, &member, dispatcher);
    }
    member
}
