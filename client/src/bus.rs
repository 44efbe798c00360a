//! What all handles of a plugin share: its session with the broker, its links and open gates.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, GateToBroker, Identity, LinkEnd, PluginLimits, ToBroker};
use callgate_layout::payload::TrustPeers;
use callgate_layout::sys::fork::ForkMark;
use crossbeam_channel::Sender;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::{Condvar, Mutex};
use rkyv::util::AlignedVec;

use crate::broker::BrokerName;
use crate::buffers::Pool;
use crate::debug;
use crate::dispatch::Dispatch;
use crate::error::{Error, Result};
use crate::gates::Served;
use crate::here::Here;
use crate::link::Link;
use crate::numbers::Numbers;
use crate::opened::Opened;
use crate::unsent::{self, Unsent};
use crate::wait::WaitPolicy;

/// How long a request to the broker may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The broker's answer to a request: nothing, or a listing's descriptor.
pub(crate) type Answer = Result<Option<OwnedFd>>;

/// A plugin's session and everything that hangs on it.
pub(crate) struct Bus {
    pub(crate) identity: Identity,
    /// The bus's own number, drawn at random by its broker.
    pub(crate) number: u64,
    pub(crate) plugin: u64,
    pub(crate) limits: PluginLimits,
    pub(crate) policy: WaitPolicy,
    pub(crate) trust: Option<TrustPeers>,
    /// How long an extent, or a buffer for large payloads, may lie idle.
    pub(crate) keep_idle: Duration,
    pub(crate) pool: Pool,
    pub(crate) served: Arc<Served>,
    socket: OwnedFd,
    broker: BrokerName,
    /// The thread that hears the broker.
    control: OnceLock<ThreadId>,
    unsent: Unsent,
    numbers: Numbers,
    requests: Mutex<HashMap<u32, Sender<Answer>>>,
    opened: Mutex<HashMap<u32, Weak<Opened>>>,
    pub(crate) links: Mutex<HashMap<LinkEnd, Arc<Link>>>,
    /// Why the session is over, once it is.
    ended: Mutex<Option<Error>>,
    ending: Condvar,
    fork: ForkMark,
    _here: Here,
}

/// What [`Bus::new`] takes from a finished handshake.
pub(crate) struct Session {
    pub(crate) identity: Identity,
    pub(crate) number: u64,
    pub(crate) plugin: u64,
    pub(crate) limits: PluginLimits,
    pub(crate) policy: WaitPolicy,
    pub(crate) dispatch: Dispatch,
    pub(crate) direct: bool,
    pub(crate) trust: Option<TrustPeers>,
    /// How long an extent may lie idle.
    pub(crate) keep_idle: Duration,
    pub(crate) served: Served,
    pub(crate) socket: OwnedFd,
    /// The host's process, where it has started this one.
    pub(crate) host: Option<OwnedFd>,
    pub(crate) broker: BrokerName,
}

impl Bus {
    pub(crate) fn new(session: Session) -> Bus {
        Bus {
            identity: session.identity,
            number: session.number,
            plugin: session.plugin,
            limits: session.limits,
            policy: session.policy,
            trust: session.trust,
            keep_idle: session.keep_idle,
            pool: Pool::default(),
            served: Arc::new(session.served),
            socket: session.socket,
            broker: session.broker,
            control: OnceLock::new(),
            unsent: Unsent::default(),
            numbers: Numbers::new(),
            requests: Mutex::default(),
            opened: Mutex::default(),
            links: Mutex::default(),
            ended: Mutex::new(None),
            ending: Condvar::new(),
            fork: ForkMark::here(),
            _here: Here::new(session.number, session.plugin),
        }
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Who the broker is, for errors.
    pub(crate) fn broker(&self) -> &BrokerName {
        &self.broker
    }

    /// Sends a record, waiting for the broker to read if it must. The control thread does not wait:
    /// what it sends is queued, because it has to hear of peers' deaths meanwhile.
    pub(crate) fn send(&self, record: &ToBroker) -> Result<()> {
        self.check_here()?;
        match self.is_control_thread() {
            true => self
                .unsent
                .send(&self.socket, &self.broker, &encode(record)?),
            false => {
                let record = encode(record)?;
                send_when(&self.socket, &self.broker, || {
                    self.unsent.send_now(&self.socket, &self.broker, &record)
                })
            }
        }
    }

    /// From now on this thread is the one that hears the broker.
    pub(crate) fn be_control_thread(&self) {
        // There is one, which says so once.
        let _ = self.control.set(thread::current().id());
    }

    fn is_control_thread(&self) -> bool {
        self.control.get() == Some(&thread::current().id())
    }

    /// What the control thread has not sent yet.
    pub(crate) fn unsent(&self) -> &Unsent {
        &self.unsent
    }

    /// Sends a record if the broker's socket has room for it now.
    pub(crate) fn try_send(&self, record: &ToBroker) -> Result<()> {
        self.check_here()?;
        let record = encode(record)?;
        let sent = self.unsent.send_now(&self.socket, &self.broker, &record)?;
        if sent {
            return Ok(());
        }
        Err(Error::new(
            Code::Overloaded,
            "the broker does not read its socket",
        ))
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn request(&self, make: impl FnOnce(u32) -> ToBroker) -> Answer {
        self.request_until(answer_due(REQUEST_TIMEOUT), make)
    }

    /// As [`Bus::request`], for an answer that is worth only so much time.
    pub(crate) fn request_until(
        &self,
        until: Instant,
        make: impl FnOnce(u32) -> ToBroker,
    ) -> Answer {
        if self.is_control_thread() {
            // Something of a user's is dropped there, and would wait for what this very thread hears.
            let text = "what is dropped together with a link cannot wait for the broker";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let number = self.numbers.insert(&mut self.requests.lock(), sender);
        let outcome = self
            .check_alive()
            .and_then(|()| self.send(&make(number)))
            .and_then(|()| {
                receiver
                    .recv_deadline(until)
                    .unwrap_or_else(|_| Err(self.broker.is_late("did not answer within 5 s")))
            });
        self.requests.lock().remove(&number);
        outcome
    }

    /// Hands the broker's answer to whoever asked.
    pub(crate) fn answer(&self, request: u32, answer: Answer) {
        if let Some(sender) = self.requests.lock().remove(&request) {
            // Who asked may have given up meanwhile; then nobody misses the answer.
            let _ = sender.try_send(answer);
        }
    }

    /// A number for a request whose answer nobody waits for.
    pub(crate) fn next_number(&self) -> u32 {
        self.numbers.unused(&self.requests.lock())
    }

    /// An error if the session is over.
    pub(crate) fn check_alive(&self) -> Result<()> {
        self.ended.lock().clone().map_or(Ok(()), Err)
    }

    /// Takes in a gate that is about to be opened; gives back its number.
    pub(crate) fn add_opened(&self, opened: &Arc<Opened>) -> u32 {
        let opened = Arc::downgrade(opened);
        self.numbers.insert(&mut self.opened.lock(), opened)
    }

    pub(crate) fn opened(&self, number: u32) -> Option<Arc<Opened>> {
        self.opened.lock().get(&number)?.upgrade()
    }

    fn all_opened(&self) -> Vec<Arc<Opened>> {
        let opened = self.opened.lock();
        opened.values().filter_map(Weak::upgrade).collect()
    }

    /// Forgets an open gate, here and at the broker.
    pub(crate) fn close_opened(&self, number: u32) {
        if self.opened.lock().remove(&number).is_some() && self.check_alive().is_ok() {
            // A broker that is gone has forgotten it anyway.
            let _ = self.send(&GateToBroker::Close { open: number }.into());
        }
    }

    pub(crate) fn add_link(&self, link: &Arc<Link>) {
        self.links.lock().insert(link.end(), link.clone());
        self.served.add_link(link.clone());
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().values().cloned().collect()
    }

    pub(crate) fn link(&self, end: LinkEnd) -> Option<Arc<Link>> {
        self.links.lock().get(&end).cloned()
    }

    /// Ends a link: its calls fail, its gates are no longer there, its memory is let go.
    pub(crate) fn end_link(&self, end: LinkEnd, reason: &Error) {
        let Some(link) = self.links.lock().remove(&end) else {
            return;
        };
        // First the gates, so that who hears of the end and waits for the gate does not find it
        // as it was.
        for gate in self.all_opened() {
            gate.lose(&link);
        }
        link.end_with(reason.clone());
        self.served.remove_link(&link);
    }

    /// Ends the session with the broker; links go on.
    pub(crate) fn end(&self, reason: &Error) {
        // The first reason stands: after a close, the broker hangs up, too.
        let reason = &self
            .ended
            .lock()
            .get_or_insert_with(|| reason.clone())
            .clone();
        self.ending.notify_all();
        for (_, sender) in self.requests.lock().drain() {
            let _ = sender.try_send(Err(reason.clone()));
        }
        for gate in self.all_opened() {
            gate.session_ended(reason);
        }
        // Who waits for an extent that is not made any more.
        for link in self.links() {
            link.extents().forget_wanted();
            link.wake_waiting();
        }
    }

    /// Whether this is still the process that connected, and not a forked child of it.
    pub(crate) fn is_here(&self) -> bool {
        self.fork.is_here()
    }

    /// An error in a forked child, whose parent the session belongs to.
    pub(crate) fn check_here(&self) -> Result<()> {
        if self.is_here() {
            Ok(())
        } else {
            Err(forked())
        }
    }

    /// Ends the session and all links, because the plugin closes.
    pub(crate) fn close(&self) {
        let reason = Error::new(Code::Closed, "this plugin has closed");
        self.end(&reason);
        for gate in self.all_opened() {
            gate.close(&reason);
        }
        let ends: Vec<_> = self.links.lock().keys().copied().collect();
        for end in ends {
            self.end_link(end, &reason);
        }
        // Other handles may keep the descriptor; the broker is to see the end now.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }

    /// Waits until the session is over; the reason, or `None` when the time was up before.
    pub(crate) fn wait_ended(&self, timeout: Option<Duration>) -> Option<Error> {
        let mut ended = self.ended.lock();
        let until = timeout.map(deadline);
        while ended.is_none() {
            match until {
                Some(until) if self.ending.wait_until(&mut ended, until).timed_out() => break,
                Some(_) => {}
                None => self.ending.wait(&mut ended),
            }
        }
        ended.clone()
    }
}

/// Sends a record on a control socket, waiting at most [`REQUEST_TIMEOUT`] for room in it.
pub(crate) fn send(socket: &OwnedFd, broker: &BrokerName, record: &ToBroker) -> Result<()> {
    let record = encode(record)?;
    send_when(socket, broker, || unsent::try_send(socket, broker, &record))
}

/// Tries to send something until it goes, waiting for room in the socket in between.
fn send_when(
    socket: &OwnedFd,
    broker: &BrokerName,
    attempt: impl Fn() -> Result<bool>,
) -> Result<()> {
    let until = answer_due(REQUEST_TIMEOUT);
    while !attempt()? {
        if !wait_for(socket, PollFlags::POLLOUT, until) {
            return Err(broker.is_late("does not read its socket"));
        }
    }
    Ok(())
}

fn encode(record: &ToBroker) -> Result<AlignedVec> {
    record
        .encode()
        .map_err(|reason| Error::new(Code::InvalidArgument, format!("cannot be sent: {reason}")))
}

/// When the broker has to have answered what is asked now. In a debugging session nobody hurries
/// it: it may be what is looked at.
pub(crate) fn answer_due(timeout: Duration) -> Instant {
    deadline(match debug::is_on() {
        true => Duration::MAX,
        false => timeout,
    })
}

/// The end of a time that begins now. One beyond what the clock can tell is as good as a year.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + YEAR)
}

/// Waits until a socket can be read or written; false when the time is up.
pub(crate) fn wait_for(socket: &OwnedFd, flags: PollFlags, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let mut polled = [PollFd::new(socket.as_fd(), flags)];
    // An interrupted wait counts as over, and the caller tries again until the time is up.
    poll(&mut polled, timeout).is_ok_and(|ready| ready > 0) || Instant::now() < until
}

/// The error for a handle that is used in a forked child.
#[cold]
pub(crate) fn forked() -> Error {
    Error::new(
        Code::Closed,
        "this handle was made before a fork, in the parent process: connect anew in the child",
    )
}

/// A failure that came over the wire, as an error.
pub(crate) fn failure(failure: Failure) -> Error {
    Error::new(
        Code::from_u16(failure.code).unwrap_or(Code::Protocol),
        failure.message,
    )
}
