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

    /// A handle for other threads and libraries. It can be cloned, and does not keep the broker running.
    pub fn handle(&self) -> BrokerHandle {
        self.handle.clone()
    }

    /// The path of the socket that plugins connect to; `None` if the broker has no socket.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// A connection for a plugin in this very process, such as the host itself: for `PluginBuilder::descriptor`. If this broker replaces
    /// another one, also for `Plugin::rejoin` of each plugin in this process; their calls go on meanwhile, even if the other broker is
    /// stopped only afterwards.
    pub fn connect(&self) -> io::Result<OwnedFd> {
        self.handle.connect()
    }

    /// Starts a plugin, and returns when the kernel has loaded its program. It inherits a connection
    /// to this broker, which it finds by `CALLGATE_FD`, and must say hello by this name.
    ///
    /// *Which process is the plugin.* The one that is started, or a descendant of it that says hello instead: wrappers such as `sh -c`,
    /// `strace` and `cargo run` need nothing special. The connection can be used once. A descendant that has gone into the background, so
    /// that one of the processes between has ended, is refused.
    ///
    /// *How it ends.* The process leads a process group of its own, and the whole group is the plugin: [`Child::kill`] and the end of the
    /// broker reach all of it, and when the started process ends, the rest of the group is killed. A process that is to live longer has to
    /// leave the group (`setsid`). Because the group is its own, it does not get the signals that a terminal sends to this program, such as
    /// that of Ctrl-C, and cannot read from the terminal.
    ///
    /// *When this program is killed.* The kernel kills the process that was started, whether it has connected or not (unless it is a
    /// program that changes its user or rights), and a plugin that has connected kills itself. Other members of the group are not reached
    /// then.
    ///
    /// If the kernel hangs while it loads a program, as from a file system that does not answer, this call waits, and the broker goes on.
    /// After five times the [step deadline](crate::Builder::step_deadline) (10 s) the call fails with `TimedOut`, and the program is killed
    /// if it is loaded after all. If 8 programs hang in this way, no other is started until one is done.
    pub fn spawn(&self, name: &str, program: Program) -> io::Result<Child> {
        self.handle.spawn(name, program)
    }

    /// Starts a plugin as [`Broker::spawn`] does, and starts it again when it ends, as `restart` says: by default after every end, whatever
    /// the reason, after 1 s, 2 s and so on, and no more after five crashes within ten minutes. A program that is not on the bus in time
    /// counts as crashed. `program` makes the command for each start. This call waits for the first start, and fails if that fails.
    ///
    /// Plugins that have gates of the program open can call them again when it is back. The listing says what state the program is in, also
    /// while it does not run.
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
    /// Those of the first start. Later starts that fail are tried again, and logged.
    pub fn supervise(
        &self,
        name: &str,
        program: impl FnMut() -> Program + Send + 'static,
        restart: Restart,
    ) -> io::Result<Supervised> {
        Supervised::new(self.handle(), name, Box::new(program), restart)
    }

    /// A listing of what is on the bus now.
    pub fn snapshot(&self) -> io::Result<Listing> {
        self.handle.snapshot()
    }

    /// Gives plugins of a name, or of a pattern of names, another policy, or none; see [`Builder::plugin`](crate::Builder::plugin). What
    /// they may no longer do ends at once: gates that they may not provide vanish, and calls that they may not make are refused, by the
    /// subscriber's library and by the provider's. If a [strict](crate::Builder::strict) bus has no policy for a plugin any more, its
    /// session ends. Limits count from the plugin's next connection.
    ///
    /// A gate that has vanished stays away when the right is given back: its plugin has to drop the `Provider` and provide it anew. The
    /// plugin is told of neither change; a plugin that may call the gate can `watch` it vanish. If it is the next broker that has another
    /// policy, the plugin is told (`BrokerEvent::Refused`, with the gate), and has to provide the gate anew, too.
    ///
    /// *What was taken back no longer runs when this returns*, whoever calls it and however: each provider concerned has acknowledged that
    /// it refuses it. A call that is under way is finished. *What was granted can be called* by calls that begin after this has returned.
    /// The result has the names of the plugins that have not acknowledged within the [step deadline](crate::Builder::step_deadline) (2 s),
    /// which is the longest that this waits; mostly there are none. Such plugins are stopped or too busy, and until they go on, a call of
    /// theirs may still be served. Their links concerned have ended, so no library uses these any more, and they are linked anew when they
    /// go on. This broker cannot end links that a broker before it has made: over those, such a plugin may serve calls until it has read
    /// what it is to refuse.
    ///
    /// This blocks the calling thread and not the broker's. Plugins acknowledge on their control threads, also plugins in this process. So
    /// it can be called from anywhere, also from a handler; but not from the `drop` of something that ends together with a link, because
    /// that runs on such a control thread, and this call would wait for itself.
    pub fn set_policy(&self, name: &str, policy: Option<Policy>) -> io::Result<Vec<String>> {
        self.handle.set_policy(name, policy)
    }

    /// Whether the broker's thread still serves. It ends by itself only if the operating system fails it.
    pub fn is_running(&self) -> bool {
        let thread = self
            .thread
            .as_ref()
            .filter(|_| self.handle.is_of_this_process());
        thread.is_some_and(|thread| !thread.is_finished())
    }

    /// Ends every session, every plugin that this broker started, and the broker. Linked plugins that live on go on calling each other, and
    /// wait for the next broker: those that came by the socket connect to it by themselves, and those that came by [`Broker::connect`] are
    /// told by `Plugin::rejoin`. Their `Plugin::wait_closed` does not return, unless they were built with
    /// `PluginBuilder::outlives_broker(false)`.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if !self.handle.is_of_this_process() {
            // A forked child does not have that thread, and the parent's broker goes on.
            std::mem::forget(self.thread.take());
            return;
        }
        // If the thread has ended already, sending fails, and joining returns at once.
        let _ = self.handle.tell(Command::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the broker's thread has panicked");
        }
    }
}
