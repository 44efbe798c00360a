//! Starting a broker.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use callgate_layout::Geometry;
use callgate_layout::control;
use callgate_layout::socket::{MAX_SOCKET_PATH, default_socket};
use callgate_layout::sys::{futex, limits, memfd, standard};
use mio::{Poll, Waker};

use crate::broker::Broker;
use crate::policy::{Policies, Policy};
use crate::reactor::{Reactor, WAKER, WayBack};
use crate::socket::Listener;

/// Longer than anybody looks at a program in a debugger.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The path does not fit an address.
    #[error(
        "the socket path {} has {len} bytes, more than the {MAX_SOCKET_PATH} that fit an address; \
         choose a shorter one",
        socket.display()
    )]
    PathTooLong {
        /// The path.
        socket: PathBuf,
        /// Its length.
        len: usize,
    },
    /// Somebody else could put something into the socket's directory.
    #[error(
        "the socket {} cannot be trusted there: {why}; \
         choose a directory that belongs to you and that nobody else can write into",
        socket.display()
    )]
    Directory {
        /// The path.
        socket: PathBuf,
        /// What is wrong with its directory.
        why: String,
    },
    /// The socket has a living broker.
    #[error("a broker answers on {} already: {who}", socket.display())]
    AlreadyRunning {
        /// The path.
        socket: PathBuf,
        /// Whose it is.
        who: String,
    },
    /// Something that is no socket has its name.
    #[error("{} exists and is not a socket; remove it or choose another path", .0.display())]
    InTheWay(PathBuf),
    /// The operating system refused something about the socket.
    #[error("cannot {what} {}: {source}", socket.display())]
    Socket {
        /// What was tried.
        what: &'static str,
        /// The path.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel lacks something, or does not give it to this process.
    #[error("this process lacks what a bus needs: {0}")]
    Unsupported(String),
    /// The operating system refused something else.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl StartError {
    pub(crate) fn io(what: &'static str, socket: &Path, source: io::Error) -> StartError {
        let socket = socket.to_owned();
        StartError::Socket {
            what,
            socket,
            source,
        }
    }
}

/// How much of everything a bus has, and each plugin on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusLimits {
    /// Gates that a plugin provides.
    pub gates: u32,
    /// Gates that a plugin has open.
    pub opens: u32,
    /// Links that a plugin has an end of.
    pub links: u32,
    /// MiB of extents, for payloads that do not fit an outbox, that a plugin writes. What it
    /// returned counts until nobody, neither it nor its peer, has it mapped or open any more.
    pub extent_mib: u32,
    /// MiB of extents of all plugins together. Also what was left behind by plugins that have gone
    /// counts, as long as somebody holds it.
    pub bus_extent_mib: u32,
    /// Connections at once.
    pub connections: u32,
    /// Connections over the socket at once from one process.
    pub connections_per_process: u32,
    /// Control requests a second that a plugin may make in the long run.
    pub requests_per_second: u32,
    /// Control requests that a plugin may make at once after a quiet time.
    pub request_burst: u32,
    /// Records that may wait for a plugin to read them. Fewer than a plugin may have gates open
    /// would send it away for the death of others, which is news for each of them at once.
    pub queued_records: usize,
    /// How outboxes are laid out.
    pub geometry: Geometry,
}

impl Default for BusLimits {
    fn default() -> BusLimits {
        BusLimits {
            gates: 1024,
            opens: 4096,
            links: 1024,
            extent_mib: 256,
            bus_extent_mib: 4096,
            connections: 4096,
            connections_per_process: 256,
            requests_per_second: 4096,
            request_burst: 8192,
            queued_records: 8192,
            geometry: Geometry::DEFAULT,
        }
    }
}

impl BusLimits {
    /// What a plugin is told of them.
    pub(crate) fn for_plugins(&self) -> control::PluginLimits {
        control::PluginLimits {
            gates: self.gates,
            opens: self.opens,
            links: self.links,
            extent_mib: self.extent_mib,
        }
    }
}

/// What the broker's thread goes by.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) limits: BusLimits,
    pub(crate) step_deadline: Duration,
    pub(crate) stop_grace: Duration,
    pub(crate) policies: Policies,
    /// The soft limit of descriptors that spawned plugins begin with, where this process's was
    /// raised.
    pub(crate) children_soft: Option<u64>,
}

#[derive(Clone, Debug)]
enum Place {
    Default,
    At(PathBuf),
    Nowhere,
}

/// How a broker is to be; made by [`Broker::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    place: Place,
    settings: Settings,
    dumpable: bool,
    raises_limit: bool,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            place: Place::Default,
            settings: Settings {
                limits: BusLimits::default(),
                step_deadline: Duration::from_secs(2),
                stop_grace: Duration::from_secs(2),
                policies: Policies::default(),
                children_soft: None,
            },
            dumpable: true,
            raises_limit: true,
        }
    }

    /// Where plugins connect; by default [`default_socket`]. Of a directory that is missing at
    /// most the last part is made.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Builder {
        self.place = Place::At(path.into());
        self
    }

    /// No socket: only plugins that this broker starts, or that live in its process, take part.
    pub fn without_socket(mut self) -> Builder {
        self.place = Place::Nowhere;
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

    /// What plugins of a name may do, or of all names that match a pattern: what the policy says
    /// and nothing else. Those without one may do everything, unless the bus is
    /// [strict](Builder::strict). A name's own policy comes before a pattern's, a longer pattern
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

    /// Whether this whole process is to be closed to debuggers and core dumps, so that no
    /// other process of the same user can reach for memory before it is sealed. For programs
    /// that are nothing but a broker; by default no.
    pub fn non_dumpable(mut self, wanted: bool) -> Builder {
        self.dumpable = !wanted;
        self
    }

    /// Whether the start raises this process's soft limit of descriptors (`RLIMIT_NOFILE`) to its
    /// hard one; by default yes.
    ///
    /// A plugin takes the broker four descriptors, and a plugin inside this process three more, so
    /// that the usual soft limit of 1,024 is met by some 200 plugins. The soft limit is that low for
    /// programs that use `select`, which fails with descriptors beyond 1,023: a host that does says
    /// no here. Plugins that the broker starts begin with the limit as it was before.
    ///
    /// Of whatever limit there is, the broker keeps some descriptors for links between the plugins
    /// that are there, and for `callgate ls`; a plugin that comes when only these are left is
    /// `OVERLOADED`.
    pub fn raise_descriptor_limit(mut self, wanted: bool) -> Builder {
        self.raises_limit = wanted;
        self
    }

    /// Starts the broker on a thread of its own.
    pub fn start(mut self) -> Result<Broker, StartError> {
        // The poll set and the waker are made by a library, which takes what is free.
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
            Place::Nowhere => None,
        };
        let socket = listener
            .as_ref()
            .map(|listener| listener.address().to_owned());
        let poll = Poll::new().map_err(|error| system("make a poll set", error))?;
        let waker = Waker::new(poll.registry(), WAKER);
        let waker = Arc::new(waker.map_err(|error| system("make a waker", error))?);
        let (sender, commands) = crossbeam_channel::unbounded();
        let way_back = WayBack::new(sender.clone(), waker.clone());
        let reactor = Reactor::new(poll, self.settings, listener, commands, way_back);
        let reactor = reactor.map_err(|error| system("watch the socket", error))?;
        let thread = thread::Builder::new().name("callgate-broker".into());
        let thread = thread.spawn(move || reactor.run());
        let thread = thread.map_err(|error| system("start the broker's thread", error))?;
        Ok(Broker::new(sender, waker, thread, socket))
    }
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

/// Looks whether the kernel has what plugins and broker need, and names what it lacks.
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
