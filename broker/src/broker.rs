//! The handle of a running broker.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use mio::Waker;

use crate::child::Child;
use crate::handle::BrokerHandle;
use crate::listing::Listing;
use crate::policy::Policy;
use crate::reactor::Command;
use crate::supervised::Supervised;
use crate::supervision::Restart;

/// A running broker: one thread that serves a bus until this handle is dropped or
/// [stopped](Broker::stop).
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::process::Command;
/// let broker = callgate::Broker::builder().without_socket().start()?;
/// let filter = broker.spawn("filter", Command::new("./my-filter"))?;
/// println!("the filter is process {}", filter.id());
/// broker.stop();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Broker {
    handle: BrokerHandle,
    thread: Option<JoinHandle<()>>,
    socket: Option<PathBuf>,
}

impl Broker {
    pub(crate) fn new(
        commands: Sender<Command>,
        waker: Arc<Waker>,
        thread: JoinHandle<()>,
        socket: Option<PathBuf>,
    ) -> Broker {
        Broker {
            handle: BrokerHandle::new(commands, waker),
            thread: Some(thread),
            socket,
        }
    }

    /// What other threads and libraries need of this broker: a handle that can be cloned, and that does not keep the
    /// broker running.
    pub fn handle(&self) -> BrokerHandle {
        self.handle.clone()
    }

    /// Where plugins connect, unless the broker has no socket.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// A connection for a plugin in this very process, such as the host itself: for `PluginBuilder::descriptor`, or, where
    /// this broker takes the place of another one, for `Plugin::rejoin` of each plugin that is to go on here. Their calls
    /// go on meanwhile, also where the other broker is stopped only afterwards.
    pub fn connect(&self) -> io::Result<OwnedFd> {
        self.handle.connect()
    }

    /// Starts a plugin, and returns when the kernel has loaded its program. It inherits a connection
    /// to this broker, which it finds by `CALLGATE_FD`, and must say hello by this name.
    ///
    /// *Which process is the plugin.* The one that is started, or a descendant of it that says hello
    /// in its place: wrappers such as `sh -c`, `strace` and `cargo run` need nothing special. The
    /// connection can be used once. A descendant whose line of parents is broken, because it has gone
    /// into the background, is refused.
    ///
    /// *How it ends.* The process leads a process group of its own, and the group is the plugin:
    /// [`Child::kill`] and the end of the broker reach all of it, and when the process ends that was
    /// started, what is left of the group is killed. What is to live longer has to leave the group
    /// (`setsid`). As a group of its own, it does not get the signals that a terminal sends to this
    /// program, such as that of Ctrl-C, and cannot read from the terminal.
    ///
    /// *When this program is killed.* The kernel kills the process that was started, whether it has
    /// connected or not (unless it is a program that changes its user or rights), and a plugin
    /// that has connected kills itself. Other members of the group are not reached then.
    ///
    /// While the kernel hangs in loading a program, as from a file system that does not answer, this
    /// waits, and everything else goes on. After five times the
    /// [step deadline](crate::Builder::step_deadline) (10 s) it fails with `TimedOut`, and the program is killed
    /// should it be loaded after all. Of 8 such, others are not started until one is done.
    pub fn spawn(&self, name: &str, program: Program) -> io::Result<Child> {
        self.handle.spawn(name, program)
    }

    /// Starts a plugin as [`Broker::spawn`] does, and again when it ends, as `restart` says: by default whatever it ends
    /// by, after 1 s, 2 s and so on, and not any more after five crashes within ten minutes. A program that is not on
    /// the bus in time counts as crashed. `program` makes the command for each start. Until the
    /// first start is done this waits, and fails where that does.
    ///
    /// Plugins that have the gates of the program open find them again when it is back. The listing says how the
    /// program stands, also while it does not run.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::process::Command;
    /// use callgate::supervision::Restart;
    /// let broker = callgate::Broker::builder().without_socket().start()?;
    /// let filter = broker.supervise("filter", || Command::new("./my-filter"), Restart::default())?;
    /// filter.child().wait_ready(std::time::Duration::from_secs(5))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Of the first start; later ones are tried again, and logged.
    pub fn supervise(
        &self,
        name: &str,
        program: impl FnMut() -> Program + Send + 'static,
        restart: Restart,
    ) -> io::Result<Supervised> {
        Supervised::new(self.handle(), name, Box::new(program), restart)
    }

    /// What is on the bus now.
    pub fn snapshot(&self) -> io::Result<Listing> {
        self.handle.snapshot()
    }

    /// Gives plugins of a name, or of a pattern of names, another policy, or none; see
    /// [`Builder::plugin`](crate::Builder::plugin). What they may no longer do ends at once: gates that they may not
    /// provide vanish, and calls that they may not make are refused, by the subscriber's library
    /// and by the provider's. A plugin that a [strict](crate::Builder::strict) bus has no policy for any
    /// more is sent away. Limits count from the plugin's next connection.
    ///
    /// A gate that vanished stays away when the right is given back: its plugin has to drop the `Provider` and to
    /// provide it anew. It is not told of either change; a plugin that may call the gate can `watch` it vanish. Where
    /// it is the next broker that has another policy, the plugin is told (`BrokerEvent::Refused`, with the gate), and has
    /// to provide the gate anew, too.
    ///
    /// *What was taken back does not run any more when this returns*, whoever calls it and however: each
    /// provider concerned has acknowledged that it refuses it. A call that is under way is finished.
    /// *What was granted can be called* by calls that begin after this has returned. What is returned are
    /// the names of the plugins that have not acknowledged within the
    /// [step deadline](crate::Builder::step_deadline) (2 s), which this waits at most: they are stopped or
    /// too busy, and until they go on a call of theirs may still be served. Their links that are concerned
    /// have ended, so no library uses them any more, and they are linked anew when they go on. Mostly
    /// there are none. Links that a broker before this one has made are not its to end: over those, such
    /// a plugin may go on until it has read what it is to refuse.
    ///
    /// This blocks the calling thread and not the broker's. Plugins acknowledge on their control threads, also
    /// those in this process: it can be called from anywhere, from a handler too, except from what is
    /// dropped together with a link, which runs on such a thread and has this wait for itself.
    pub fn set_policy(&self, name: &str, policy: Option<Policy>) -> io::Result<Vec<String>> {
        self.handle.set_policy(name, policy)
    }

    /// Whether the broker's thread still serves; it ends by itself only where the operating
    /// system lets it down.
    pub fn is_running(&self) -> bool {
        let thread = self
            .thread
            .as_ref()
            .filter(|_| self.handle.is_of_this_process());
        thread.is_some_and(|thread| !thread.is_finished())
    }

    /// Ends every session, every plugin that this broker started, and the broker. Linked
    /// plugins that live on go on calling each other, and wait for the next broker: those that came by the socket
    /// connect to it by themselves, and those that came by [`Broker::connect`] are told by `Plugin::rejoin`. Their
    /// `Plugin::wait_closed` does not return, unless they were built with `PluginBuilder::outlives_broker(false)`.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if !self.handle.is_of_this_process() {
            // A forked child has no such thread, and the parent's broker goes on.
            std::mem::forget(self.thread.take());
            return;
        }
        // Where the thread has ended already, there is nobody to be told or waited for.
        let _ = self.handle.tell(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the broker's thread has panicked");
        }
    }
}
