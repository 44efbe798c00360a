//! Groups: plugins of one process that share their threads and their doorbell.

mod doorbells;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::sys::fork::ForkMark;
use parking_lot::{Mutex, MutexGuard};

use super::returning::Returner;
use crate::base::backoff::{Backoff, WaitPolicy};
use crate::base::error::{Error, Result, forked};
use crate::base::thread::{join, spawn};
use crate::serve::dispatch::Dispatch;
use crate::serve::dispatcher::{Dispatcher, serving_thread};
use crate::serve::member::Member;
use crate::session::control_thread::ControlThread;
pub(super) use doorbells::Doorbells;

/// Several plugins of one process that share two threads (three once they [send](crate::dynamic::Gate::send)
/// calls) and a doorbell, for programs with many plugins.
///
/// A plugin alone has two threads: one reads the broker's records, one runs its handlers. The plugins of a group
/// share one of each. So their handlers run one at a time, in turns that are fair between links: a slow handler
/// delays the calls of all of them, and the deadlines of those calls pass meanwhile. Calls between plugins of the
/// group run directly, as those between other plugins of one process do.
///
/// Each plugin can be dropped by itself, at any time, also inside a handler of another plugin of the group. Outside
/// of the group's handlers, dropping a plugin waits for the handler of the group that is running, whichever plugin
/// it belongs to: so a handler must not wait for a thread that drops a plugin of its group. The threads end when
/// the group and all its plugins have been dropped.
///
/// ```no_run
/// use callgate_client::{Group, Plugin};
///
/// # fn main() -> callgate_client::Result<()> {
/// let group = Group::new()?;
/// let mut plugins = Vec::new();
/// for n in 0..200 {
///     let name = format!("Voice{n}");
///     let plugin = Plugin::builder(&name).group(&group).connect()?;
///     plugin.provide(&format!("{name}.Play"), |note: u8| note)?.keep();
///     plugins.push(plugin);
/// }
/// # Ok(())
/// # }
/// ```
///
/// A host that embeds the broker gives each plugin a connection of its own, with
/// [`PluginBuilder::descriptor`](crate::PluginBuilder::descriptor).
#[derive(Clone, Debug)]
pub struct Group(Arc<GroupCore>);

impl Group {
    /// Makes a group without plugins. [`PluginBuilder::group`](crate::PluginBuilder::group) adds one.
    ///
    /// # Errors
    ///
    /// [`SYSTEM`](Code::System) if the kernel has no threads or descriptors left.
    pub fn new() -> Result<Group> {
        Group::with_wait_policy(WaitPolicy::default())
    }

    /// Makes a group whose serving thread waits for calls by this policy. How the plugins' own calls wait is set
    /// for each plugin, by [`PluginBuilder::wait_policy`](crate::PluginBuilder::wait_policy).
    ///
    /// # Errors
    ///
    /// As [`Group::new`].
    pub fn with_wait_policy(policy: WaitPolicy) -> Result<Group> {
        let core = GroupCore::start((Dispatch::Thread, policy), false)?;
        Ok(Group(Arc::new(core)))
    }

    pub(super) fn core(&self) -> &Arc<GroupCore> {
        &self.0
    }
}

/// What the plugins of a group share. A plugin without a group has a private one.
pub(crate) struct GroupCore {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) control_thread: ControlThread,
    /// The threads that run handlers; started when the first gate is provided.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The thread on which plugins connect to their next broker.
    pub(super) returner: Returner,
    /// Locked while a plugin of the group connects.
    doorbells: Mutex<Doorbells>,
    /// Whether this belongs to a single plugin and ends with it.
    is_private: bool,
    fork: ForkMark,
}

impl GroupCore {
    pub(super) fn start(
        (dispatch, policy): (Dispatch, WaitPolicy),
        is_private: bool,
    ) -> Result<GroupCore> {
        Ok(GroupCore {
            dispatcher: Arc::new(Dispatcher::new(dispatch, Backoff::new(policy))),
            control_thread: ControlThread::start()?,
            threads: Mutex::default(),
            returner: Returner::default(),
            doorbells: Mutex::default(),
            is_private,
            fork: ForkMark::here(),
        })
    }

    /// Whether this belongs to a single plugin.
    pub(super) fn is_private(&self) -> bool {
        self.is_private
    }

    /// Takes no more calls from the links of one membership. The dispatcher lets the member go once the calls that
    /// it had taken are answered.
    pub(super) fn drain(&self, member: &Arc<Member>) {
        self.dispatcher.drain(member);
    }

    /// Locks the doorbells of the group for a plugin that connects. Only one plugin connects at a time, so that the
    /// second can share the doorbell that the first was given.
    pub(super) fn connecting(&self, until: Instant) -> Result<MutexGuard<'_, Doorbells>> {
        if !self.fork.is_here() {
            return Err(forked());
        }
        self.doorbells.try_lock_until(until).ok_or_else(|| {
            let text = "other plugins of the group were still connecting when the time was up";
            Error::new(Code::Timeout, text)
        })
    }

    /// Starts the threads that run handlers, unless they run already or the dispatch has none (a pump).
    pub(crate) fn start_serving(&self) -> Result<()> {
        let mut threads = self.threads.lock();
        if !threads.is_empty() {
            return Ok(());
        }
        for _ in 0..self.dispatcher.threads() {
            let dispatcher = self.dispatcher.clone();
            dispatcher.enlist();
            match spawn("callgate-calls", move || dispatcher.run()) {
                Ok(thread) => threads.push(thread),
                // A pool with fewer threads than asked for still serves.
                Err(error) => {
                    self.dispatcher.dismiss();
                    return if threads.is_empty() {
                        Err(error)
                    } else {
                        Ok(())
                    };
                }
            }
        }
        Ok(())
    }

    /// Stops serving a plugin: answers the calls that are left for it, and waits for its running handlers unless
    /// the caller is inside one of them.
    pub(super) fn serve_no_more(&self, member: &Arc<Member>) {
        if self.is_private {
            return self.end();
        }
        let dispatcher = &self.dispatcher;
        dispatcher.announce_end(member);
        let threads = self.threads.lock();
        let is_it = |thread: &JoinHandle<()>| thread.thread().id() == thread::current().id();
        let is_here = threads.iter().any(is_it);
        if threads.is_empty() || is_here {
            // The lock is still held: a thread started in between would take the calls.
            let old = dispatcher.part_here();
            drop(threads);
            return dispatcher.discard_copies(old);
        }
        drop(threads);
        // Inside a handler of the group the only running handler is the caller's own, so there is nothing to wait
        // for.
        if !dispatcher.is_inside() {
            dispatcher.await_parting(member);
        }
    }

    /// Stops serving all plugins and ends the threads.
    fn end(&self) {
        if !self.dispatcher.close() {
            return;
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            // No thread is there to do it: tells the peers that linked to this plugin that it has closed.
            self.dispatcher.finish();
            serving_thread::leave_here(&self.dispatcher);
        }
        // Inside one of its own handlers there is nothing to wait for but this very call.
        if !self.dispatcher.is_inside() {
            threads.into_iter().for_each(join);
        }
    }
}

impl Drop for GroupCore {
    fn drop(&mut self) {
        if self.fork.is_here() {
            self.returner.stop();
            self.end();
            return self.control_thread.stop();
        }
        // This is a forked child: it has copies of the handles but none of the threads. Joining or detaching them
        // would touch memory that the C library has reused. Locks that a thread of the parent may have held at the
        // fork are not touched either.
        std::mem::take(self.threads.get_mut())
            .into_iter()
            .for_each(std::mem::forget);
        self.control_thread.forget();
        self.returner.forget();
        std::mem::forget(self.dispatcher.clone());
    }
}

impl std::fmt::Debug for GroupCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCore").finish_non_exhaustive()
    }
}
