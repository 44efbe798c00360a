//! The control thread: hears the broker, sets links up, and watches the peers' processes, so
//! that a death is noticed without the broker too. Plugins of a group have one together.

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

/// The control thread, as its plugins hold it.
pub(crate) struct ControlThread {
    waker: Arc<Waker>,
    commands: Sender<Command>,
    /// The number of the next plugin.
    next: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

/// Which of its plugins a control thread is told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PluginKey(u64);

impl ControlThread {
    /// Starts the thread, which hears nobody yet.
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

    /// Hears the broker of a plugin's membership from here on. Where `host` is a process that has started this
    /// one, this one ends with it.
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

    /// Hears a plugin's broker no longer, and waits until that is so, unless this is the thread itself.
    pub(crate) fn remove(&self, PluginKey(number): PluginKey) {
        let (done, is_done) = bounded(1);
        // Without a wake-up the thread would be left asleep; it holds nothing but its own.
        if self.tell(Command::Remove { number, done }) && !self.is_here() {
            // Also where the thread has ended, and with it everything that it plugin.
            let _ = is_done.recv();
        }
    }

    /// Whether the thread will hear of it.
    fn tell(&self, order: Command) -> bool {
        self.commands.send(order).is_ok() && self.waker.wake().is_ok()
    }

    /// Whether this is the thread.
    pub(crate) fn is_here(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| thread.thread().id() == std::thread::current().id())
    }

    /// Leaves the thread alone: in a forked child there is none.
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
