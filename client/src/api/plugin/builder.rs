//! Saying who a plugin is and how it connects.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callgate_layout::control::{self, Clock, Identity, MAX_TEXT};
use callgate_layout::payload::TrustPeers;
use callgate_layout::sys::futex;
use callgate_layout::{Code, Encodings};

use super::Plugin;
use super::core::CoreParts;
use super::joining::{self, Introduction};
use crate::api::group::{Group, GroupCore};
use crate::base::backoff::WaitPolicy;
use crate::base::deadline::answer_due;
use crate::base::debug;
use crate::base::error::{Error, Result};
use crate::serve::dispatch::Dispatch;
use crate::session::connection::REQUEST_TIMEOUT;
use crate::session::handshake::Reach;
use crate::session::plugin_state::{PluginParts, PluginState};

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
    reach: Reach,
    policy: WaitPolicy,
    dispatch: Dispatch,
    group: Option<Group>,
    direct: bool,
    trust: Option<TrustPeers>,
    timeout: Duration,
    probe: bool,
    keep_idle: Duration,
    inspects: bool,
    outlives: bool,
    encodings: Encodings,
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
            reach: Reach {
                path: None,
                descriptor: None,
                inherits: true,
            },
            policy: WaitPolicy::default(),
            dispatch: Dispatch::default(),
            group: None,
            direct: true,
            trust: None,
            timeout: REQUEST_TIMEOUT,
            probe: true,
            keep_idle: KEEP_IDLE,
            inspects: false,
            outlives: true,
            encodings: Encodings::BOTH,
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
        self.reach.path = Some(path.into());
        self
    }

    /// A socket that is connected to a broker already, as an embedded broker gives it to its
    /// host. When that broker ends, the plugin waits for [`Plugin::rejoin`]; a program that has no other broker for it
    /// says [`outlives_broker(false)`](PluginBuilder::outlives_broker).
    pub fn descriptor(mut self, socket: OwnedFd) -> PluginBuilder {
        self.reach.descriptor = Some(socket);
        self
    }

    /// Whether a connection that a broker left to this process (`CALLGATE_FD`) is used; so it is
    /// unless said otherwise. For tools that a plugin's wrapper may run before the plugin, and that
    /// are not the plugin themselves.
    pub fn inherits_connection(mut self, wanted: bool) -> PluginBuilder {
        self.reach.inherits = wanted;
        self
    }

    /// Whether the plugin waits for the next broker when the one that it is connected to ends: so it is unless said
    /// otherwise. It connects again by itself to the socket at the path by which it was connected; with a
    /// [descriptor](PluginBuilder::descriptor), when it is told to ([`Plugin::rejoin`]). Without it, and for a plugin
    /// that a broker has started, the end of the broker is the reason with which [`Plugin::wait_closed`] returns, and what
    /// needs a broker fails at once.
    ///
    /// So a program ends with its broker:
    ///
    /// ```no_run
    /// use callgate_client::Plugin;
    ///
    /// # fn main() -> callgate_client::Result<()> {
    /// let plugin = Plugin::builder("Meter").outlives_broker(false).connect()?;
    /// let why = plugin.wait_closed(); // `BROKER_GONE`, when the broker has ended
    /// eprintln!("{why}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn outlives_broker(mut self, outlives: bool) -> PluginBuilder {
        self.outlives = outlives;
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

    /// Shares the threads of a group with its other plugins: their handlers run on one thread, one at a
    /// time. Only with [`Dispatch::Thread`]; with a pool or a pump connecting is `INVALID_ARGUMENT`, and so
    /// it is for an [inspector](PluginBuilder::inspector), which serves nothing.
    pub fn group(mut self, group: &Group) -> PluginBuilder {
        self.group = Some(group.clone());
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

    /// How long connecting may take where a broker, or systemd for it, listens; 5 s unless given. Where nobody
    /// listens, it is [`BROKER_GONE`](Code::BrokerGone) at once. With zero nothing is tried:
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

    /// Has nothing converted: neither the calls of this plugin nor those that it serves. Where the types of the two
    /// sides differ, also in what could be converted, its typed gates and subscribers are
    /// [`TYPE_MISMATCH`](Code::TypeMismatch), which says what differs; otherwise such calls go as JSON.
    pub fn exact_only(mut self) -> PluginBuilder {
        self.encodings = Encodings::ARCHIVE;
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
        let until = answer_due(self.timeout);
        let group = self.group.as_ref().map(Group::core);
        // Until the plugin is one of the group.
        let mut connecting = group.map(|group| group.connecting(until)).transpose()?;
        let reached = self.reach.connect(until)?;
        let introduction = Introduction {
            identity: self.identity,
            inspects: self.inspects,
        };
        let (mut reached, welcome) = introduction.join(reached, connecting.as_deref(), until)?;
        let sent = joining::sender(&welcome, connecting.as_deref_mut())?;
        drop(connecting);
        let group = match group {
            Some(group) => group.clone(),
            None => Arc::new(GroupCore::start((self.dispatch, self.policy), true)?),
        };
        let (place, host) = (reached.place.clone(), reached.host.take());
        // What a host has started ends with the host's broker.
        let outlives = self.outlives && host.is_none();
        if !outlives {
            reached.broker = reached.broker.last();
        }
        let parts = PluginParts {
            policy: self.policy,
            trust: self.trust,
            keep_idle: self.keep_idle,
            encodings: self.encodings,
            sent,
            dispatch: group.dispatcher.dispatch(),
            membership: introduction.membership(welcome, reached, &group),
        };
        Plugin::start(CoreParts {
            state: Arc::new(PluginState::new(parts)),
            group,
            introduction,
            direct: self.direct,
            place,
            outlives,
            host,
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
        if self.group.is_some() && (self.inspects || self.dispatch != Dispatch::Thread) {
            let text = "a plugin of a group has the dispatch `Thread` and is no inspector: leave out \
                        `group`, or `dispatch` and `inspector`";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        if self.probe
            && let Err(unusable) = futex::check_waitv()
        {
            let text = format!("plugins cannot wait for each other here: {unusable}");
            return Err(Error::new(Code::System, text));
        }
        Ok(())
    }
}
