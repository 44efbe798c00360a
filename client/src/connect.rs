//! Connecting to a bus: finding its socket, saying hello, mapping the plugin's own pages.

mod inherited;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callgate_layout::control::{
    self, Clock, Identity, MAX_RECORD, MAX_TEXT, SessionToBroker, SessionToPlugin, ToPlugin,
};
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN, Status};
use callgate_layout::payload::TrustPeers;
use callgate_layout::sys::fdpass::{self, Received};
use callgate_layout::sys::limits::{self, Shortage};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::{futex, standard};
use callgate_layout::view::WriteView;
use callgate_layout::{Code, clock, socket};
use nix::poll::PollFlags;

use crate::broker::{BrokerName, connect_to};
use crate::bus::{self, Session};
use crate::debug;
use crate::dispatch::Dispatch;
use crate::error::{Error, Result};
use crate::gates::Served;
use crate::plugin::Plugin;
use crate::wait::WaitPolicy;
use inherited::Found;

/// Says who a plugin is and how it connects.
///
/// ```no_run
/// use callgate_client::{Plugin, WaitPolicy};
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::builder("Mixer")
///     .display_name("The mixer")
///     .version("1.2.0")
///     .wait_policy(WaitPolicy::Park)
///     .connect()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `connect`"]
pub struct PluginBuilder {
    identity: Identity,
    socket: Option<PathBuf>,
    descriptor: Option<OwnedFd>,
    policy: WaitPolicy,
    dispatch: Dispatch,
    direct: bool,
    trust: Option<TrustPeers>,
    timeout: Duration,
    probe: bool,
    inherits: bool,
    keep_idle: Duration,
    inspects: bool,
}

/// The least that [`PluginBuilder::keep_idle`] can be: looking for idle memory takes time.
const LEAST_IDLE: Duration = Duration::from_millis(10);
/// What [`PluginBuilder::keep_idle`] is unless given.
const KEEP_IDLE: Duration = Duration::from_secs(10);

impl PluginBuilder {
    pub(crate) fn new(name: &str) -> PluginBuilder {
        PluginBuilder {
            identity: Identity {
                name: name.to_owned(),
                display_name: name.to_owned(),
                version: "0.0.0".to_owned(),
                clock: Clock::default(),
            },
            socket: None,
            descriptor: None,
            policy: WaitPolicy::default(),
            dispatch: Dispatch::default(),
            direct: true,
            trust: None,
            timeout: bus::REQUEST_TIMEOUT,
            probe: true,
            inherits: true,
            keep_idle: KEEP_IDLE,
            inspects: false,
        }
    }

    /// Connects only to look: the plugin can [list](Plugin::list) what is on the bus, but provide
    /// and open nothing (`PERMISSION_DENIED`). The broker keeps some descriptors for such
    /// connections, so that they get in where no other plugin does for want of descriptors.
    pub fn inspector(mut self) -> PluginBuilder {
        self.inspects = true;
        self
    }

    /// The name for people; the name itself unless given.
    pub fn display_name(mut self, name: impl Into<String>) -> PluginBuilder {
        self.identity.display_name = name.into();
        self
    }

    /// The plugin's version; `0.0.0` unless given.
    pub fn version(mut self, version: impl Into<String>) -> PluginBuilder {
        self.identity.version = version.into();
        self
    }

    /// The bus to connect to, by the path of its socket.
    ///
    /// Unless given, the connection that a broker left to this process (`CALLGATE_FD`), else the
    /// path in `CALLGATE_SOCKET`, else the default path.
    ///
    /// A program that a broker has started never goes on to another bus: it has one connection, and
    /// connecting a second time is an error unless a socket or descriptor is named.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> PluginBuilder {
        self.socket = Some(path.into());
        self
    }

    /// A socket that is connected to a broker already, as an embedded broker gives it to its
    /// host.
    pub fn descriptor(mut self, socket: OwnedFd) -> PluginBuilder {
        self.descriptor = Some(socket);
        self
    }

    /// Whether a connection that a broker left to this process (`CALLGATE_FD`) is used; so it is
    /// unless said otherwise. For tools that a plugin's wrapper may run before the plugin, and that
    /// are not the plugin themselves.
    pub fn inherits_connection(mut self, wanted: bool) -> PluginBuilder {
        self.inherits = wanted;
        self
    }

    /// How this plugin's calls and its dispatcher wait.
    pub fn wait_policy(mut self, policy: WaitPolicy) -> PluginBuilder {
        self.policy = policy;
        self
    }

    /// Where this plugin's handlers run: on a thread of its own unless given.
    ///
    /// With [`Dispatch::Pump`], the thread that connects counts as the one that pumps until
    /// another does.
    pub fn dispatch(mut self, dispatch: Dispatch) -> PluginBuilder {
        self.dispatch = dispatch;
        self
    }

    /// Whether plugins of this very process call this one directly: on their own threads, while no
    /// other handler runs (a pool's run at the same time), and without an archive where the types
    /// are the same. So it is unless said otherwise; without it, handlers run where
    /// [`Dispatch`] says and nowhere else, and calls from this process pass through shared memory
    /// like all others.
    pub fn direct_calls(mut self, direct: bool) -> PluginBuilder {
        self.direct = direct;
        self
    }

    /// Also gives handlers of raw bytes their payloads as slices, read where they lie
    /// ([`Payload::as_slice`](crate::Payload::as_slice)). Making the promise that this needs is
    /// `unsafe`.
    pub fn read_in_place(mut self, promise: TrustPeers) -> PluginBuilder {
        self.trust = Some(promise);
        self
    }

    /// How long connecting may take; 5 s unless given. With zero nothing is tried:
    /// [`TIMEOUT`](Code::Timeout).
    pub fn timeout(mut self, timeout: Duration) -> PluginBuilder {
        self.timeout = timeout;
        self
    }

    /// Connects also where `futex_waitv` does not work.
    ///
    /// Only for counting instructions under valgrind, which knows no such call and refuses it in
    /// the kernel's place. Everything works there, but whoever would sleep until one of several
    /// things happens sleeps a millisecond at a time instead.
    #[doc(hidden)]
    pub fn without_probe(mut self) -> PluginBuilder {
        self.probe = false;
        self
    }

    /// How long memory for large payloads is kept while nothing uses it, before it is given back to
    /// the system: for one to two times this; ten seconds unless given, and at least ten milliseconds.
    pub fn keep_idle(mut self, time: Duration) -> PluginBuilder {
        self.keep_idle = time.max(LEAST_IDLE);
        self
    }

    /// Connects, and starts the thread that listens to the broker.
    ///
    /// # Errors
    ///
    /// `BROKER_GONE` where nobody answers, `TIMEOUT` where somebody does not in time, `NAME_TAKEN`, `VERSION_MISMATCH`,
    /// `PERMISSION_DENIED`, `INVALID_ARGUMENT` for a name or path that cannot be,
    /// [`SYSTEM`](Code::System) where the kernel lacks something.
    pub fn connect(self) -> Result<Plugin> {
        self.check()?;
        // The control thread's own descriptors are made by a library, which takes what is free.
        standard::fill().map_err(|error| system("opening /dev/null", &error))?;
        let until = bus::answer_due(self.timeout);
        let Found {
            socket,
            broker,
            host,
        } = self.find_socket(until)?;
        let socket =
            standard::above(socket).map_err(|error| system("moving the socket", &error))?;
        let mut identity = self.identity;
        identity.clock = clock::facts();
        let hello = match self.inspects {
            true => SessionToBroker::Inspect(identity.clone()),
            false => SessionToBroker::Hello(identity.clone()),
        };
        bus::send(&socket, &broker, &hello.into())?;
        let (mut record, mut received) = receive_one(&socket, &broker, until)?;
        if matches!(
            record,
            ToPlugin::Session(SessionToPlugin::Invitation { .. })
        ) {
            // It lies in a connection that the program found in the environment by itself.
            (record, received) = receive_one(&socket, &broker, until)?;
        }
        if received.cut {
            let what = "this process could not receive its doorbell and status page";
            return Err(Error::new(Code::System, format!("{what}: {Shortage}")));
        }
        let (number, plugin, limits) = match record {
            ToPlugin::Session(SessionToPlugin::Welcome {
                bus,
                plugin,
                limits,
            }) => (bus, plugin, limits),
            ToPlugin::Session(SessionToPlugin::Ended(failure)) => {
                return Err(bus::failure(failure));
            }
            other => return Err(unexpected(&other)),
        };
        bus::send(&socket, &broker, &SessionToBroker::Took.into())?;
        let served = map_pages(received)?;
        bus::send(&socket, &broker, &SessionToBroker::StatusMapped.into())?;
        Plugin::start(Session {
            identity,
            number,
            plugin,
            limits,
            policy: self.policy,
            dispatch: self.dispatch,
            direct: self.direct,
            trust: self.trust,
            keep_idle: self.keep_idle,
            served,
            socket,
            host,
            broker,
        })
    }

    fn check(&self) -> Result<()> {
        if self.timeout.is_zero() && !debug::is_on() {
            let text = "the timeout for connecting is zero, so that no time is left for it";
            return Err(Error::new(Code::Timeout, text));
        }
        let invalid = |text: String| Error::new(Code::InvalidArgument, text);
        control::check_plugin_name(&self.identity.name).map_err(invalid)?;
        for (what, text) in [
            ("display name", &self.identity.display_name),
            ("version", &self.identity.version),
        ] {
            if text.len() > MAX_TEXT {
                return Err(invalid(format!(
                    "the {what} has more than {MAX_TEXT} bytes"
                )));
            }
        }
        if self.probe
            && let Err(unusable) = futex::check_waitv()
        {
            let text = format!("plugins cannot wait for each other here: {unusable}");
            return Err(Error::new(Code::System, text));
        }
        Ok(())
    }

    /// A socket that is connected to the broker, and who that is.
    fn find_socket(&self, until: Instant) -> Result<Found> {
        if let Some(descriptor) = &self.descriptor {
            let socket = descriptor
                .try_clone()
                .map_err(|error| system("duplicating the socket", &error))?;
            return Ok(socket.into());
        }
        if let Some(path) = &self.socket {
            return Ok(connect_to(path, until)?.into());
        }
        if self.inherits
            && let Some(found) = inherited::take()
        {
            return found;
        }
        let connected = match std::env::var_os("CALLGATE_SOCKET") {
            Some(path) => connect_to(Path::new(&path), until),
            None => connect_to(&socket::default_socket(), until),
        };
        Ok(connected?.into())
    }
}

/// Waits for one record, before there is a thread that does so.
fn receive_one(
    socket: &OwnedFd,
    broker: &BrokerName,
    until: Instant,
) -> Result<(ToPlugin, Received)> {
    let mut buffer = vec![0; MAX_RECORD];
    loop {
        match fdpass::receive(socket.as_fd(), &mut buffer) {
            Ok(received) if received.len == 0 => {
                return Err(broker.gone("it closed the connection without a word"));
            }
            Ok(received) => {
                let record = ToPlugin::decode(&buffer[..received.len])
                    .map_err(|error| broker.undecodable(&error))?;
                return Ok((record, received));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !bus::wait_for(socket, PollFlags::POLLIN, until) {
                    return Err(broker.is_late("did not answer the hello"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broker.gone(&error.to_string())),
        }
    }
}

/// Maps doorbell and status page, the two descriptors of a welcome.
fn map_pages(received: Received) -> Result<Served> {
    let [bell, status]: [OwnedFd; 2] = received.descriptors.try_into().map_err(|_| {
        Error::new(
            Code::Protocol,
            "the broker's welcome lacks its two descriptors",
        )
    })?;
    let bell = map_writable(bell, DOORBELL_LEN)?;
    let status = map_writable(status, STATUS_LEN)?;
    Ok(Served::new(Doorbell::new(bell), Status::new(status)))
}

/// Maps memory of this plugin's for writing.
pub(crate) fn map_writable(fd: OwnedFd, len: usize) -> Result<WriteView> {
    let map = Mapping::writable(fd, len).map_err(|error| unmapped(len, &error))?;
    WriteView::new(map).ok_or_else(|| {
        let text = format!("{len} bytes of shared memory are not mapped for writing");
        Error::new(Code::System, text)
    })
}

/// The error for memory that this process could not map.
pub(crate) fn unmapped(len: usize, error: &io::Error) -> Error {
    let pid = std::process::id();
    let text = format!(
        "the process {pid} could not map {len} bytes of shared memory: {error}; look at its limit \
         of address space (ulimit -v) and at vm.max_map_count"
    );
    Error::new(Code::System, text)
}

fn unexpected(record: &ToPlugin) -> Error {
    Error::new(
        Code::Protocol,
        format!("the broker answered a hello with {record:?}"),
    )
}

/// The error for what the operating system refused; names the limit that was met, where it is
/// that of descriptors.
pub(crate) fn system(what: &str, error: &io::Error) -> Error {
    Error::new(Code::System, format!("{what}: {}", limits::explain(error)))
}
