//! One connection to a broker: what is sent, what is asked and answered, and how it ended.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, GateToBroker, ToBroker};
use crossbeam_channel::Sender;
use mio::Waker;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::{Condvar, Mutex};
use rkyv::util::AlignedVec;

use super::allowance::Allowance;
use super::broker::BrokerName;
use super::events::sources::Offered;
use super::numbers::Numbers;
use super::open_gate::OpenGate;
use super::outgoing::{self, Outgoing};
use crate::base::deadline::answer_due;
use crate::base::error::{Error, Result};
use crate::serve::provided::Offer;

/// How long a request to the broker may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the control thread may take to hear what another thread has found when it sent something.
const HEARING: Duration = Duration::from_secs(1);

/// The broker's answer to a request that it has not refused.
#[derive(Debug)]
pub(crate) enum Answered {
    Done,
    /// The document.
    Listing(Option<OwnedFd>),
    /// In this life of the gate.
    Provided(u64),
    /// Whoever has subscribed to the topic is set up.
    Offered,
}

/// The broker's answer to a request.
pub(crate) type Answer = Result<Answered>;

/// What is asked, or said again by a plugin that has come back, without a thread that waits for the answer.
#[derive(Clone, Debug)]
pub(crate) enum Returned {
    Gate(Offer),
    Topic(Arc<Offered>),
    /// A cell, of which the number is that until it is closed.
    Cell,
    /// Why nobody provides a gate.
    Why(Weak<OpenGate>),
}

/// Who waits for an answer.
#[derive(Debug)]
enum Asker {
    Thread(Sender<Answer>),
    /// Nobody.
    Return(Returned),
}

/// A connection to a broker.
pub(crate) struct Connection {
    socket: OwnedFd,
    broker: BrokerName,
    /// The thread that hears the broker.
    control: OnceLock<ThreadId>,
    /// Wakes that.
    waker: OnceLock<Arc<Waker>>,
    outgoing: Outgoing,
    numbers: Numbers,
    requests: Mutex<HashMap<u32, Asker>>,
    /// How often it may be asked why nobody provides a gate, for calls that fail.
    whys: Allowance,
    /// The broker has let the time of a request pass, and has answered none since.
    is_silent: AtomicBool,
    /// Why it is over, once it is.
    ended: Mutex<Option<Error>>,
    /// Tells of that.
    over: Condvar,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, broker: BrokerName) -> Connection {
        Connection {
            socket,
            broker,
            control: OnceLock::new(),
            waker: OnceLock::new(),
            outgoing: Outgoing::default(),
            numbers: Numbers::new(),
            requests: Mutex::default(),
            whys: Allowance::new(),
            is_silent: AtomicBool::new(false),
            ended: Mutex::new(None),
            over: Condvar::new(),
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
        self.send_until(record, answer_due(REQUEST_TIMEOUT))
    }

    /// As [`Connection::send`], for a record that is worth waiting only so long.
    pub(crate) fn send_until(&self, record: &ToBroker, until: Instant) -> Result<()> {
        let record = encode(record)?;
        match self.is_control_thread() {
            true => self.outgoing.send(&self.socket, &self.broker, &record),
            false => send_when((&self.socket, &self.broker), until, || {
                self.outgoing.send_now(&self.socket, &self.broker, &record)
            }),
        }
    }

    /// Sends a record behind all that waits, without waiting for the broker to read: what does not go now is sent by the control
    /// thread.
    pub(crate) fn send_in_order(&self, record: &ToBroker) -> Result<()> {
        self.check_alive()?;
        let record = encode(record)?;
        self.outgoing.send(&self.socket, &self.broker, &record)?;
        if !self.outgoing.is_empty()
            && !self.is_control_thread()
            && let Some(waker) = self.waker.get()
        {
            // Where it cannot be woken it is sent with the next record.
            let _ = waker.wake();
        }
        Ok(())
    }

    /// As [`Connection::send_until`], with a descriptor.
    pub(crate) fn send_file(
        &self,
        record: &ToBroker,
        file: &OwnedFd,
        until: Instant,
    ) -> Result<()> {
        let record = encode(record)?;
        send_when((&self.socket, &self.broker), until, || {
            let out = (&self.socket, &self.broker);
            self.outgoing.send_file_now(out, &record, file)
        })
    }

    /// From now on this thread is the one that hears the broker; by this it is woken.
    pub(crate) fn be_control_thread(&self, waker: &Arc<Waker>) {
        // There is one, which says so once.
        let _ = self.control.set(thread::current().id());
        let _ = self.waker.set(waker.clone());
    }

    /// Whether this is the thread that hears the broker, and so cannot wait for it.
    pub(crate) fn is_control_thread(&self) -> bool {
        self.control.get() == Some(&thread::current().id())
    }

    /// What the control thread has not sent yet.
    pub(crate) fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// Sends a record if the broker's socket has room for it now.
    pub(crate) fn try_send(&self, record: &ToBroker) -> Result<()> {
        let record = encode(record)?;
        let sent = self
            .outgoing
            .send_now(&self.socket, &self.broker, &record)?;
        if sent {
            return Ok(());
        }
        Err(Error::new(
            Code::Overloaded,
            "the broker does not read its socket",
        ))
    }

    /// The same; whether it had. What the control thread sends is queued where it has not.
    pub(super) fn send_if_room(&self, record: &ToBroker) -> Result<bool> {
        let record = encode(record)?;
        match self.is_control_thread() {
            true => {
                let queued = self.outgoing.send(&self.socket, &self.broker, &record);
                queued.map(|()| true)
            }
            false => self.outgoing.send_now(&self.socket, &self.broker, &record),
        }
    }

    /// Waits for room in the broker's socket.
    pub(super) fn await_room(&self, until: Instant) -> Result<()> {
        match wait_for(&self.socket, PollFlags::POLLOUT, until) {
            true => Ok(()),
            false => Err(self.broker.is_late("does not read its socket")),
        }
    }

    /// Sends a request and waits for its answer, which is worth only so much time.
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
        let number = self
            .numbers
            .insert(&mut self.requests.lock(), Asker::Thread(sender));
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

    /// Asks why nobody provides a gate, unless the broker was asked often enough or its socket has no room. The answer comes before those to
    /// what is sent after this.
    pub(crate) fn ask_why(&self, gate: &Arc<OpenGate>) {
        if !self.whys.take(Instant::now()) || !gate.asks_why() {
            return;
        }
        let request = self.number_of_return(Returned::Why(Arc::downgrade(gate)));
        let gate_name = gate.name().to_string();
        let why = GateToBroker::WhyAbsent {
            request,
            gate: gate_name,
        };
        if !matches!(self.send_if_room(&why.into()), Ok(true)) {
            self.forget_return(request);
            gate.explain(None);
        }
    }

    /// Sends a request whose answer only says that the broker has heard it, and waits for that, unless the
    /// broker is silent: many such requests would each wait for it in vain. The control thread does not wait.
    pub(crate) fn tell(&self, until: Instant, make: impl FnOnce(u32) -> ToBroker) {
        if self.is_control_thread() || self.is_silent.load(Ordering::Relaxed) {
            let _ = self.send(&make(self.next_number()));
        } else if let Err(error) = self.request_until(until, make)
            && error.code() == Code::Timeout
        {
            self.is_silent.store(true, Ordering::Relaxed);
        }
    }

    /// Hands the broker's answer to whoever asked. Gives it back, with what it is about, where something was
    /// said again.
    pub(crate) fn answer(&self, request: u32, answer: Answer) -> Option<(Returned, Answer)> {
        self.is_silent.store(false, Ordering::Relaxed);
        match self.requests.lock().remove(&request)? {
            Asker::Return(returned) => Some((returned, answer)),
            Asker::Thread(sender) => {
                // Who asked may have given up meanwhile; then nobody misses the answer.
                let _ = sender.try_send(answer);
                None
            }
        }
    }

    /// A number for a request whose answer is about something that is said again.
    pub(super) fn number_of_return(&self, returned: Returned) -> u32 {
        let mut requests = self.requests.lock();
        self.numbers.insert(&mut requests, Asker::Return(returned))
    }

    /// What was said again by this request, which is not answered for good.
    pub(crate) fn returning(&self, request: u32) -> Option<Returned> {
        match self.requests.lock().get(&request)? {
            Asker::Return(returned) => Some(returned.clone()),
            Asker::Thread(_) => None,
        }
    }

    /// Forgets what could not be said again yet.
    pub(super) fn forget_return(&self, request: u32) {
        self.requests.lock().remove(&request);
    }

    /// Forgets that something is said again which is not to be any more.
    pub(super) fn forget_returns(&self, is_over: impl Fn(&Returned) -> bool) {
        let is_kept =
            |asker: &Asker| !matches!(asker, Asker::Return(returned) if is_over(returned));
        self.requests.lock().retain(|_, asker| is_kept(asker));
    }

    /// A number for a request whose answer nobody waits for.
    pub(crate) fn next_number(&self) -> u32 {
        self.numbers.unused(&self.requests.lock())
    }

    /// An error if the connection is over.
    pub(crate) fn check_alive(&self) -> Result<()> {
        self.ended.lock().clone().map_or(Ok(()), Err)
    }

    /// Waits, for a moment at most, until the connection is over: a thread that could not send knows it before the
    /// control thread does.
    pub(super) fn await_end(&self, until: Instant) {
        if self.is_control_thread() {
            return;
        }
        let until = until.min(Instant::now() + HEARING);
        let mut ended = self.ended.lock();
        while ended.is_none() && !self.over.wait_until(&mut ended, until).timed_out() {}
    }

    /// The connection is over. Gives back why: the first reason stands, because after a close the broker
    /// hangs up, too.
    pub(crate) fn end(&self, reason: &Error) -> Error {
        let mut ended = self.ended.lock();
        let reason = ended.get_or_insert_with(|| reason.clone()).clone();
        drop(ended);
        self.over.notify_all();
        for (_, asker) in self.requests.lock().drain() {
            if let Asker::Thread(sender) = asker {
                let _ = sender.try_send(Err(reason.clone()));
            }
        }
        reason
    }

    /// Hangs up. Other handles may keep the descriptor; the broker is to see the end now.
    pub(crate) fn shut_down(&self) {
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}

/// Sends a record on a control socket, waiting at most [`REQUEST_TIMEOUT`] for room in it.
pub(crate) fn send(socket: &OwnedFd, broker: &BrokerName, record: &ToBroker) -> Result<()> {
    let record = encode(record)?;
    send_when((socket, broker), answer_due(REQUEST_TIMEOUT), || {
        outgoing::try_send(socket, broker, &record)
    })
}

/// Tries to send something until it goes, waiting for room in the socket in between.
fn send_when(
    (socket, broker): (&OwnedFd, &BrokerName),
    until: Instant,
    attempt: impl Fn() -> Result<bool>,
) -> Result<()> {
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

/// Waits until a socket can be read or written; false when the time is up.
pub(crate) fn wait_for(socket: &OwnedFd, flags: PollFlags, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let mut polled = [PollFd::new(socket.as_fd(), flags)];
    // An interrupted wait counts as over, and the caller tries again until the time is up.
    poll(&mut polled, timeout).is_ok_and(|ready| ready > 0) || Instant::now() < until
}

/// A failure that came over the wire, as an error.
pub(crate) fn failure(failure: Failure) -> Error {
    let code = Code::from_u16(failure.code).unwrap_or(Code::Protocol);
    let error = Error::new(code, failure.message);
    let context = failure.context.as_deref();
    match context.and_then(|context| serde_json::from_str(context).ok()) {
        Some(context) => error.with_context(context),
        None => error,
    }
}
