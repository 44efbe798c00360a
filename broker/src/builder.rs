//! Starting a broker.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use callgate_layout::socket::default_socket;
use callgate_layout::sys::{futex, limits, memfd, standard};
use mio::{Poll, Waker};

use crate::broker::Broker;
use crate::error::StartError;
use crate::persistent::{self, BusName, Store};
use crate::policy::{Policies, Policy};
use crate::reactor::{Reactor, WAKER, WayBack};
use crate::settings::{BusLimits, Settings, SignsOfLife};
use crate::socket::Listener;

/// A deadline that nobody reaches, even with a program in a debugger.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Clone, Debug)]
enum Place {
    Default,
    At(PathBuf),
    Given(Arc<OwnedFd>),
    Nowhere,
}

/// Settings of a broker that is about to start; made by [`Broker::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    place: Place,
    settings: Settings,
    persistent_name: Option<String>,
    dumpable: bool,
    raises_limit: bool,
}

impl Broker {
    /// Settings of a broker that is about to start.
    // Here, so that the handle does not depend on the builder.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    fn new() -> Builder {
        Builder {
            place: Place::Default,
            settings: Settings {
                limits: BusLimits::default(),
                step_deadline: Duration::from_secs(2),
                stop_grace: Duration::from_secs(2),
                policies: Policies::default(),
                children_soft: None,
                signs_of_life: None,
            },
            persistent_name: None,
            dumpable: true,
            raises_limit: true,
        }
    }

    /// The path of the socket that plugins connect to; by default [`default_socket`]. If its directory is missing, at most the last part is
    /// made. The directory has to belong to this user, and nobody else may be able to write in it.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Builder {
        self.place = Place::At(path.into());
        self
    }

    /// A socket that listens already, for the broker to use instead of making one: a `SOCK_SEQPACKET` Unix socket at an absolute path, as
    /// systemd [passes](crate::systemd) it or as this program has made it. Its directory has to belong to this user, and nobody else may be
    /// able to write in it.
    ///
    /// The socket stays with whoever has made it: the broker does not put it back if it is removed, and leaves it there when it ends, so
    /// that plugins that connect wait in its queue for the next broker. The broker listens once more, so that the kernel names this process
    /// to plugins that connect from then on, and makes the socket non-blocking. It takes the lock beside the socket as always.
    ///
    /// Clones of this builder use the same socket.
    pub fn listener(mut self, socket: OwnedFd) -> Builder {
        self.place = Place::Given(Arc::new(socket));
        self
    }

    /// No socket: only plugins that this broker starts, or that live in its process, take part.
    pub fn without_socket(mut self) -> Builder {
        self.place = Place::Nowhere;
        self
    }

    /// The name under which this broker keeps persistent shares, and finds those that were kept under it before; any text. By default it is
    /// the path of the socket: only a broker [without one](Builder::without_socket) needs a name for its plugins to have persistent shares.
    ///
    /// Of brokers that run at the same time only one can use a name; the others have no persistent shares meanwhile.
    pub fn persistent_name(mut self, name: impl Into<String>) -> Builder {
        self.persistent_name = Some(name.into());
        self
    }

    /// How long a plugin may take for each step of its hello and of setting up a link; by
    /// default 2 s. `CALLGATE_DEBUG=1` in the environment lifts this.
    pub fn step_deadline(mut self, deadline: Duration) -> Builder {
        self.settings.step_deadline = deadline.min(NO_DEADLINE);
        self
    }

    /// How long the plugins that the broker started may take to end when it stops, before they
    /// are killed; by default 2 s.
    pub fn stop_grace(mut self, grace: Duration) -> Builder {
        self.settings.stop_grace = grace.min(NO_DEADLINE);
        self
    }

    /// How much of everything there may be.
    pub fn limits(mut self, limits: BusLimits) -> Builder {
        self.settings.limits = limits;
        self
    }

    /// What plugins of a name may do, or of all names that match a pattern: only what the policy says. Plugins without a policy may do
    /// everything, unless the bus is [strict](Builder::strict). The policy of a name comes before that of a pattern, and a longer pattern
    /// before a shorter one.
    pub fn plugin(mut self, name: &str, policy: Policy) -> Builder {
        self.settings.policies.set(name, Some(policy));
        self
    }

    /// Whether plugins without a policy are refused.
    pub fn strict(mut self, strict: bool) -> Builder {
        self.settings.policies.strict = strict;
        self
    }

    /// Whether to close this whole process to debuggers and core dumps, so that no other process of the same user can access memory before
    /// it is sealed. For programs that are nothing but a broker; by default no.
    pub fn non_dumpable(mut self, wanted: bool) -> Builder {
        self.dumpable = !wanted;
        self
    }

    /// Whether the start raises this process's soft limit of descriptors (`RLIMIT_NOFILE`) to its
    /// hard one; by default yes.
    ///
    /// A plugin takes the broker four descriptors, and a plugin inside this process three more, so that some 200 plugins reach the usual
    /// soft limit of 1,024. The soft limit is that low for programs that use `select`, which fails with descriptors beyond 1,023; a host
    /// that does so says no here. Plugins that the broker starts begin with the limit as it was before.
    ///
    /// Whatever the limit is, the broker keeps some descriptors for links between plugins that are connected, and for `callgate ls`. A
    /// plugin that connects when only these are left is refused with `SYSTEM`.
    pub fn raise_descriptor_limit(mut self, wanted: bool) -> Builder {
        self.raises_limit = wanted;
        self
    }

    /// Has the broker's own thread call a function again and again while it serves its plugins, with the number of plugins that are
    /// connected. `every` is the time between two calls, at least ten milliseconds. A watchdog that waits for these calls notices when the
    /// thread hangs or has ended, and can then end this program.
    ///
    /// The function must neither block nor panic: the whole bus waits for it, and ends if it panics.
    pub fn signs_of_life(
        mut self,
        every: Duration,
        say: impl Fn(usize) + Send + Sync + 'static,
    ) -> Builder {
        self.settings.signs_of_life = Some(SignsOfLife::new(every, say));
        self
    }

    /// Starts the broker on a thread of its own.
    pub fn start(mut self) -> Result<Broker, StartError> {
        // The poll set and the waker are made by a library, which takes the lowest free descriptors; those up to 2 must not be among them.
        standard::fill().map_err(|error| system("open /dev/null", error))?;
        if self.raises_limit {
            self.settings.children_soft = raise_limit();
        }
        probe()?;
        if !self.dumpable {
            let done = nix::sys::prctl::set_dumpable(false);
            done.map_err(|errno| system("close this process to debuggers", errno.into()))?;
        }
        if std::env::var_os("CALLGATE_DEBUG").is_some_and(|value| value == "1") {
            self.settings.step_deadline = NO_DEADLINE;
        }
        let listener = match self.place {
            Place::Default => Some(Listener::bind(&default_socket(), true)?),
            Place::At(path) => Some(Listener::bind(&path, false)?),
            Place::Given(socket) => {
                Some(Listener::adopt(socket.try_clone().map_err(|error| {
                    system("duplicate the given socket", error)
                })?)?)
            }
            Place::Nowhere => None,
        };
        let socket = listener
            .as_ref()
            .map(|listener| listener.address().to_owned());
        let name = match &self.persistent_name {
            Some(name) => Some(BusName::said(name)),
            None => socket.as_deref().map(BusName::of_socket),
        };
        let store = name.map(|name| open_store(name, &self.settings.limits));
        let poll = Poll::new().map_err(|error| system("make a poll set", error))?;
        let waker = Waker::new(poll.registry(), WAKER);
        let waker = Arc::new(waker.map_err(|error| system("make a waker", error))?);
        let (sender, commands) = crossbeam_channel::unbounded();
        let way_back = WayBack::new(sender.clone(), waker.clone());
        let reactor = Reactor::new(poll, self.settings, (listener, store), commands, way_back);
        let reactor = reactor.map_err(|error| system("watch the socket", error))?;
        let thread = thread::Builder::new().name("callgate-broker".into());
        let thread = thread.spawn(move || reactor.run());
        let thread = thread.map_err(|error| system("start the broker's thread", error))?;
        Ok(Broker::new(sender, waker, thread, socket))
    }
}

/// Opens the store of persistent shares, and removes what an earlier broker has left unfinished.
fn open_store(name: BusName, limits: &BusLimits) -> Store {
    let most = u64::from(limits.persistent_mib) << 20;
    let store = Store::new(persistent::DIRECTORY, name, most);
    if let Err(failure) = store.sweep() {
        // Tried again when a plugin wants a persistent share.
        tracing::warn!("{}", failure.message);
    }
    store
}

fn system(what: &'static str, source: io::Error) -> StartError {
    let source = match limits::is_shortage(&source) {
        true => io::Error::new(source.kind(), limits::explain(&source)),
        false => source,
    };
    StartError::System { what, source }
}

fn raise_limit() -> Option<u64> {
    let raised = limits::raise();
    let kept = |error| tracing::warn!("the limit of descriptors stays as it is: {error}");
    raised.map_err(kept).ok().flatten()
}

/// Checks that the kernel has what plugins and broker need, and names what is missing.
fn probe() -> Result<(), StartError> {
    let mut missing = Vec::new();
    if let Err(unusable) = futex::check_waitv() {
        missing.push(unusable.to_string());
    }
    let sealed =
        memfd::create("callgate-probe", 4096).and_then(|file| memfd::seal_writer(file.as_fd()));
    if let Err(error) = sealed {
        if limits::is_shortage(&error) {
            return Err(system("make a memory file", error));
        }
        missing.push(format!(
            "memory files cannot be made and sealed ({error}): Linux 5.1 or newer can, unless a sandbox \
             forbids it"
        ));
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(StartError::Unsupported(missing.join(", "))),
    }
}
