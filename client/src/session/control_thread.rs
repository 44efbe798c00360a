//! The control thread: reads the broker's records, sets links up, and watches the peers' processes, so that a
//! peer's death is noticed even without the broker. Plugins of a group share one.

mod cells;
mod feeds;
mod gates;
mod memory;
mod pace;
mod plugin;
mod poller;
mod records;
mod shares;
mod sources;
mod work;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use callgate_layout::Code;
use crossbeam_channel::{Sender, bounded, unbounded};
use mio::Waker;

use super::mapping::system;
use super::membership::Membership;
use super::plugin_state::PluginState;
use crate::base::error::{Error, Result};
use crate::base::thread;
use poller::Poller;
use work::{Command, Work};

/// The plugins' handle of the control thread.
pub(crate) struct ControlThread {
    waker: Arc<Waker>,
    commands: Sender<Command>,
    /// The number of the next plugin that is added.
    next: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

/// Names one membership of a plugin to the control thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PluginKey(u64);

impl ControlThread {
    /// Starts the thread, which reads no connection yet.
    pub(crate) fn start() -> Result<ControlThread> {
        let failed = |error| system("the control thread", &error);
        let (poller, waker) = Poller::new().map_err(failed)?;
        let (commands, received) = unbounded();
        let work = Work::new(poller, received);
        let thread = thread::spawn("callgate-control", move || work.run())?;
        Ok(ControlThread {
            waker,
            commands,
            next: AtomicU64::new(0),
            thread: Some(thread),
        })
    }

    /// Has the thread read the records of a membership's broker. `host` is the process that has started this one,
    /// if any: the plugin's session ends with that process.
    pub(crate) fn add(
        &self,
        (state, membership): (&Arc<PluginState>, &Arc<Membership>),
        host: Option<OwnedFd>,
    ) -> Result<PluginKey> {
        if self.is_here() {
            let text =
                "what is dropped together with a link cannot connect a plugin of its own group";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (done, outcome) = bounded(1);
        self.tell(Command::Add {
            number,
            state: state.clone(),
            membership: membership.clone(),
            host,
            done,
        });
        let ended = || Error::new(Code::System, "the control thread of the group has ended");
        outcome.recv().map_err(|_| ended())??;
        Ok(PluginKey(number))
    }

    /// Has the thread stop reading a membership's connection, and waits until it has, unless this is the thread
    /// itself.
    pub(crate) fn remove(&self, PluginKey(number): PluginKey) {
        let (done, is_done) = bounded(1);
        // If the wake-up fails, the thread stays asleep, so there is nothing to wait for.
        if self.tell(Command::Remove { number, done }) && !self.is_here() {
            // Also returns if the thread has ended, because that drops the other end of the channel.
            let _ = is_done.recv();
        }
    }

    /// Sends a command and wakes the thread. Returns whether it will see the command.
    fn tell(&self, order: Command) -> bool {
        self.commands.send(order).is_ok() && self.waker.wake().is_ok()
    }

    /// Whether the caller runs on this thread.
    pub(crate) fn is_here(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| thread.thread().id() == std::thread::current().id())
    }

    /// Forgets the thread without joining it: in a forked child it does not exist.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(self.thread.take());
        std::mem::forget(self.commands.clone());
    }

    pub(crate) fn stop(&mut self) {
        if self.tell(Command::Stop)
            && let Some(thread) = self.thread.take()
        {
            thread::join(thread);
        }
    }
}
