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
/// A plugin alone has two threads: one hears the broker, one runs its handlers. The plugins of a group
/// have one of each together, so their handlers run one at a time, in turns that are fair between links: a
/// slow handler delays the calls of all of them, whose deadlines pass as always. Calls between plugins of
/// the group run directly, as those between other plugins of one process do.
///
/// Each plugin is dropped by itself, at any time, also inside a handler of another one of the group. Unless
/// that is so, dropping it waits for the handler of the group that is running, whichever plugin's it
/// is: a handler must not wait for a thread that drops a plugin of its group. The threads end when the
/// group and all its plugins were dropped.
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
/// A host that embeds the broker gives each of them a connection of its own, by
/// [`PluginBuilder::descriptor`](crate::PluginBuilder::descriptor).
#[derive(Clone, Debug)]
pub struct Group(Arc<GroupCore>);

impl Group {
    /// A group without plugins yet. [`PluginBuilder::group`](crate::PluginBuilder::group) adds one.
    ///
    /// # Errors
    ///
    /// [`SYSTEM`](Code::System) where the kernel lacks threads or descriptors.
    pub fn new() -> Result<Group> {
        Group::with_wait_policy(WaitPolicy::default())
    }

    /// A group whose thread waits for calls in this way. How its plugins' own calls wait is still said by
    /// [`PluginBuilder::wait_policy`](crate::PluginBuilder::wait_policy).
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

/// What the plugins of a group share. A plugin without a group has one for itself.
pub(crate) struct GroupCore {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) control_thread: ControlThread,
    /// Those that serve, started when the first gate is provided.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Has plugins come back to their brokers.
    pub(super) returner: Returner,
    /// Held while a plugin of the group connects.
    doorbells: Mutex<Doorbells>,
    /// Whether this is one plugin's alone, and ends with it.
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

    /// Whether this is one plugin's alone.
    pub(super) fn is_private(&self) -> bool {
        self.is_private
    }

    /// Takes no more calls through the links of one of a plugin's memberships, and lets it go when those that were
    /// taken are answered.
    pub(super) fn drain(&self, member: &Arc<Member>) {
        self.dispatcher.drain(member);
    }

    /// The doorbells of the group, for a plugin that connects: one at a time, so that the second finds
    /// what the first was given.
    pub(super) fn connecting(&self, until: Instant) -> Result<MutexGuard<'_, Doorbells>> {
        if !self.fork.is_here() {
            return Err(forked());
        }
        self.doorbells.try_lock_until(until).ok_or_else(|| {
            let text = "other plugins of the group were still connecting when the time was up";
            Error::new(Code::Timeout, text)
        })
    }

    /// Starts the threads that serve, if there are to be any and it was not done.
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

    /// Serves a plugin no more: answers what is left for it, and waits for its handlers unless this is
    /// inside one.
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
            // No thread can be started meanwhile, which would have the calls for life.
            let old = dispatcher.part_here();
            drop(threads);
            return dispatcher.discard_copies(old);
        }
        drop(threads);
        // Inside one of the group's handlers there is nothing to wait for but this very call.
        if !dispatcher.is_inside() {
            dispatcher.await_parting(member);
        }
    }

    /// Ends the service of all plugins.
    fn end(&self) {
        if !self.dispatcher.close() {
            return;
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            // Peers that were linked without ever calling here see the end, too.
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
        // In a forked child, which has copies of the handles and none of the threads: to join or detach
        // them would reach for memory that the C library has given to others. What the threads of the
        // parent may have locked at the fork is not touched either.
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
