//! Settings of a plugin that is about to connect.

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

/// Settings of a plugin that is about to connect: its name, how it finds the broker, and where its handlers run.
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

/// The least time that [`PluginBuilder::keep_idle`] accepts: each look for idle memory costs time.
const LEAST_IDLE: Duration = Duration::from_millis(10);
/// The value of [`PluginBuilder::keep_idle`] unless it is set.
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

    /// Connects as an inspector: the plugin can [list](Plugin::list) what is on the bus, but may provide and open
    /// nothing (`PERMISSION_DENIED`). The broker reserves some descriptors for inspectors, so that they can connect
    /// when there are too few descriptors left for other plugins.
    pub fn inspector(mut self) -> PluginBuilder {
        self.inspects = true;
        self
    }

    /// The name that is shown to people; the plugin's name unless given.
    pub fn display_name(mut self, name: impl Into<String>) -> PluginBuilder {
        self.identity.display_name = name.into();
        self
    }

    /// The plugin's version; `0.0.0` unless given.
    pub fn version(mut self, version: impl Into<String>) -> PluginBuilder {
        self.identity.version = version.into();
        self
    }

    /// The path of the socket of the bus to connect to.
    ///
    /// Unless given, the plugin uses the connection that a broker left to this process (`CALLGATE_FD`); without
    /// one, the path in `CALLGATE_SOCKET`; without that, the default path.
    ///
    /// A program that a broker has started never connects to another bus by itself: it uses its one inherited
    /// connection, and connecting a second time is an error unless a socket or descriptor is given.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> PluginBuilder {
        self.reach.path = Some(path.into());
        self
    }

    /// A socket that is already connected to a broker, such as an embedded broker gives to its host. When that
    /// broker ends, the plugin waits until the host calls [`Plugin::rejoin`]. A host that will have no other broker
    /// sets [`outlives_broker(false)`](PluginBuilder::outlives_broker).
    pub fn descriptor(mut self, socket: OwnedFd) -> PluginBuilder {
        self.reach.descriptor = Some(socket);
        self
    }

    /// Whether the plugin may use a connection that a broker left to this process (`CALLGATE_FD`); `true` unless
    /// set. Set it to `false` in tools that a wrapper script may run before the plugin itself: they must not take
    /// the plugin's connection.
    pub fn inherits_connection(mut self, wanted: bool) -> PluginBuilder {
        self.reach.inherits = wanted;
        self
    }

    /// Whether the plugin waits for the next broker when its broker ends; `true` unless set. It then connects again
    /// by itself, to the socket at the path by which it was connected. If it was connected by a
    /// [descriptor](PluginBuilder::descriptor), it waits until the host calls [`Plugin::rejoin`]. With `false`, and
    /// for a plugin that a broker has started, the end of the broker ends the plugin's session:
    /// [`Plugin::wait_closed`] returns with that reason, and operations that need a broker fail at once.
    ///
    /// This program ends with its broker:
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

    /// How the threads of this plugin wait: those that make calls, and its dispatcher.
    pub fn wait_policy(mut self, policy: WaitPolicy) -> PluginBuilder {
        self.policy = policy;
        self
    }

    /// Where this plugin's handlers run; on a thread of its own unless given.
    ///
    /// With [`Dispatch::Pump`], the thread that connects counts as the pumping thread until another thread calls
    /// [`Plugin::pump`].
    pub fn dispatch(mut self, dispatch: Dispatch) -> PluginBuilder {
        self.dispatch = dispatch;
        self
    }

    /// Puts the plugin into a group: its handlers run on the group's one thread, one at a time with those of the
    /// other plugins. The dispatch must be [`Dispatch::Thread`], and the plugin no
    /// [inspector](PluginBuilder::inspector), which serves nothing; otherwise connecting fails with
    /// `INVALID_ARGUMENT`.
    pub fn group(mut self, group: &Group) -> PluginBuilder {
        self.group = Some(group.clone());
        self
    }

    /// Whether plugins of the same process call this one directly; `true` unless set. A direct call runs the
    /// handler on the caller's thread, while no other handler of this plugin runs (in a pool others may run at the
    /// same time), and passes values without an archive if the types are the same. With `false`, handlers run only
    /// where [`Dispatch`] says, and calls from this process pass through shared memory like all others.
    pub fn direct_calls(mut self, direct: bool) -> PluginBuilder {
        self.direct = direct;
        self
    }

    /// Also gives handlers of raw bytes their payloads as slices of shared memory, without a copy
    /// ([`Payload::as_slice`](crate::Payload::as_slice)). Making the promise that this needs is `unsafe`.
    pub fn read_in_place(mut self, promise: TrustPeers) -> PluginBuilder {
        self.trust = Some(promise);
        self
    }

    /// How long connecting may take if a broker, or systemd for it, listens on the socket; 5 s unless given. If
    /// nobody listens, connecting fails with [`BROKER_GONE`](Code::BrokerGone) at once. With a zero timeout nothing
    /// is tried, and the error is [`TIMEOUT`](Code::Timeout).
    pub fn timeout(mut self, timeout: Duration) -> PluginBuilder {
        self.timeout = timeout;
        self
    }

    /// Connects even if the kernel has no working `futex_waitv`.
    ///
    /// Only for counting instructions under valgrind, which does not know that system call and refuses it itself.
    /// Everything works there, but a thread that has to wait for the first of several events sleeps a millisecond
    /// at a time instead.
    #[doc(hidden)]
    pub fn without_probe(mut self) -> PluginBuilder {
        self.probe = false;
        self
    }

    /// How long unused memory for large payloads is kept before it is given back to the system: between one and two
    /// times this value. Ten seconds unless given; at least ten milliseconds.
    pub fn keep_idle(mut self, time: Duration) -> PluginBuilder {
        self.keep_idle = time.max(LEAST_IDLE);
        self
    }

    /// Turns conversion off, for the calls that this plugin makes and for those that it serves. Where the types of
    /// the two sides differ, even if they could be converted, its typed gates and subscribers fail with
    /// [`TYPE_MISMATCH`](Code::TypeMismatch), and the error says what differs. Without this setting such calls
    /// travel as JSON.
    pub fn exact_only(mut self) -> PluginBuilder {
        self.encodings = Encodings::ARCHIVE;
        self
    }

    /// Connects to the broker, and starts the thread that reads its records.
    ///
    /// # Errors
    ///
    /// `BROKER_GONE` if nobody listens or the broker ends; `TIMEOUT` if the broker does not answer in time;
    /// `NAME_TAKEN` if another plugin has the name; `VERSION_MISMATCH`; `PERMISSION_DENIED`; `INVALID_ARGUMENT` for
    /// a name or path that is not allowed; [`SYSTEM`](Code::System) if the kernel lacks something that plugins
    /// need.
    pub fn connect(self) -> Result<Plugin> {
        self.check()?;
        let until = answer_due(self.timeout);
        let group = self.group.as_ref().map(Group::core);
        // Held until the plugin has joined the group.
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
        // A program that a host has started ends with the host's broker.
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
