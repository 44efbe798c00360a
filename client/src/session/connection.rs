//! One connection to a broker: sending records, requests and their answers, and its end.

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
use crate::link::together;
use crate::serve::provided::Offer;

/// How long a request to the broker may take, unless its caller sets another deadline.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a thread that could not send waits until the control thread has seen the end of the connection too.
const HEARING: Duration = Duration::from_secs(1);

/// The broker's answer to a request that it has not refused.
#[derive(Debug)]
pub(crate) enum Answered {
    Done,
    /// The listing's document.
    Listing(Option<OwnedFd>),
    /// The gate is registered, in this life.
    Provided(u64),
    /// The topic is registered, and the plugins that have subscribed to it are set up.
    Offered,
}

/// The broker's answer to a request.
pub(crate) type Answer = Result<Answered>;

/// The subject of a request whose answer no thread waits for. The control thread handles the answer.
#[derive(Clone, Debug)]
pub(crate) enum Returned {
    Gate(Offer),
    Topic(Arc<Offered>),
    /// A cell. The request's number stays in use until the cell is closed.
    Cell,
    /// A question why nobody provides a gate.
    Why(Weak<OpenGate>),
}

/// Who gets the answer to a request.
#[derive(Debug)]
enum Asker {
    Thread(Sender<Answer>),
    /// No thread; the control thread handles it.
    Return(Returned),
}

/// A connection to a broker.
pub(crate) struct Connection {
    socket: OwnedFd,
    broker: BrokerName,
    /// The control thread.
    control: OnceLock<ThreadId>,
    /// Wakes the control thread.
    waker: OnceLock<Arc<Waker>>,
    outgoing: Outgoing,
    numbers: Numbers,
    requests: Mutex<HashMap<u32, Asker>>,
    /// Limits how often failing calls may ask why nobody provides a gate.
    whys: Allowance,
    /// Whether the broker let the deadline of a request pass, and has answered none since.
    is_silent: AtomicBool,
    /// Why the connection has ended; `None` while it lasts.
    ended: Mutex<Option<Error>>,
    /// Notified when it ends.
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

    /// The broker's name, for errors.
    pub(crate) fn broker(&self) -> &BrokerName {
        &self.broker
    }

    /// Sends a record; if the socket is full, waits until the broker reads. On the control thread the record is queued
    /// instead, because that thread has to notice peers' deaths meanwhile.
    pub(crate) fn send(&self, record: &ToBroker) -> Result<()> {
        self.send_until(record, answer_due(REQUEST_TIMEOUT))
    }

    /// As [`Connection::send`], with a deadline for the wait.
    pub(crate) fn send_until(&self, record: &ToBroker, until: Instant) -> Result<()> {
        let record = encode(record)?;
        match self.is_control_thread() {
            true => self.outgoing.send(&self.socket, &self.broker, &record),
            false => send_when((&self.socket, &self.broker), until, || {
                self.outgoing.send_now(&self.socket, &self.broker, &record)
            }),
        }
    }

    /// Sends a record after all that wait, without waiting for the broker to read: if the socket is full, the control
    /// thread sends it later.
    pub(crate) fn send_in_order(&self, record: &ToBroker) -> Result<()> {
        self.check_alive()?;
        let record = encode(record)?;
        self.outgoing.send(&self.socket, &self.broker, &record)?;
        if !self.outgoing.is_empty()
            && !self.is_control_thread()
            && let Some(waker) = self.waker.get()
        {
            // If the wake-up fails, it is sent with the next record.
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

    /// Makes this thread the control thread of the connection; `waker` wakes it.
    pub(crate) fn be_control_thread(&self, waker: &Arc<Waker>) {
        // There is one control thread, which calls this once.
        let _ = self.control.set(thread::current().id());
        let _ = self.waker.set(waker.clone());
    }

    /// Whether this is the control thread, which reads the broker's records and so cannot wait for the broker.
    pub(crate) fn is_control_thread(&self) -> bool {
        self.control.get() == Some(&thread::current().id())
    }

    /// The records that wait to be sent.
    pub(crate) fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// Sends a record if the broker's socket has room for it now; otherwise `OVERLOADED`.
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

    /// Sends a record if the socket has room. Returns whether it had. On the control thread it is queued otherwise.
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

    /// Sends a request and waits for its answer until the deadline.
    pub(crate) fn request_until(
        &self,
        until: Instant,
        make: impl FnOnce(u32) -> ToBroker,
    ) -> Answer {
        if self.is_control_thread() {
            // A value of the user's that is dropped on this thread would wait for a record that this thread has to read.
            let text = "what is dropped together with a link cannot wait for the broker";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let number = self
            .numbers
            .insert(&mut self.requests.lock(), Asker::Thread(sender));
        together::ring_before_wait();
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

    /// Asks why nobody provides a gate, unless the broker was asked too often or its socket is full. The broker answers
    /// in order, so this answer comes before those to later requests.
    pub(crate) fn ask_why(&self, gate: &Arc<OpenGate>) {
        if !self.whys.take(Instant::now()) || !gate.asks_why() {
            return;
        }
        let request = self.number_of_return(Returned::Why(Arc::downgrade(gate)));
        let why = GateToBroker::WhyAbsent {
            request,
            gate: gate.name().to_string(),
        };
        if !matches!(self.send_if_room(&why.into()), Ok(true)) {
            self.forget_return(request);
            gate.has_not_asked_why();
        }
    }

    /// Sends a request whose answer only confirms that the broker has read it, and waits for that. It does not wait if
    /// the broker is silent, because many such requests would each wait in vain; nor on the control thread.
    pub(crate) fn tell(&self, until: Instant, make: impl FnOnce(u32) -> ToBroker) {
        if self.is_control_thread() || self.is_silent.load(Ordering::Relaxed) {
            let _ = self.send(&make(self.next_number()));
        } else if let Err(error) = self.request_until(until, make)
            && error.code() == Code::Timeout
        {
            self.is_silent.store(true, Ordering::Relaxed);
        }
    }

    /// Passes the broker's answer to the thread that asked. If there is none, returns the answer with its subject.
    pub(crate) fn answer(&self, request: u32, answer: Answer) -> Option<(Returned, Answer)> {
        self.is_silent.store(false, Ordering::Relaxed);
        match self.requests.lock().remove(&request)? {
            Asker::Return(returned) => Some((returned, answer)),
            Asker::Thread(sender) => {
                // The thread that asked may have given up meanwhile; then nobody misses the answer.
                let _ = sender.try_send(answer);
                None
            }
        }
    }

    /// A number for a request whose answer the control thread handles.
    pub(super) fn number_of_return(&self, returned: Returned) -> u32 {
        let mut requests = self.requests.lock();
        self.numbers.insert(&mut requests, Asker::Return(returned))
    }

    /// The subject of a request that the control thread handles, while it is not answered for good.
    pub(crate) fn returning(&self, request: u32) -> Option<Returned> {
        match self.requests.lock().get(&request)? {
            Asker::Return(returned) => Some(returned.clone()),
            Asker::Thread(_) => None,
        }
    }

    /// Forgets a request that could not be sent.
    pub(super) fn forget_return(&self, request: u32) {
        self.requests.lock().remove(&request);
    }

    /// Forgets requests whose subject has ended.
    pub(super) fn forget_returns(&self, is_over: impl Fn(&Returned) -> bool) {
        let is_kept =
            |asker: &Asker| !matches!(asker, Asker::Return(returned) if is_over(returned));
        self.requests.lock().retain(|_, asker| is_kept(asker));
    }

    /// A number for a request whose answer nobody waits for.
    pub(crate) fn next_number(&self) -> u32 {
        self.numbers.unused(&self.requests.lock())
    }

    /// Fails if the connection has ended.
    pub(crate) fn check_alive(&self) -> Result<()> {
        self.ended.lock().clone().map_or(Ok(()), Err)
    }

    /// Waits for a moment until the connection counts as ended: a thread that could not send notices the end earlier than
    /// the control thread.
    pub(super) fn await_end(&self, until: Instant) {
        if self.is_control_thread() {
            return;
        }
        let until = until.min(Instant::now() + HEARING);
        let mut ended = self.ended.lock();
        while ended.is_none() && !self.over.wait_until(&mut ended, until).timed_out() {}
    }

    /// Notes that the connection has ended. Returns the reason; the first one is kept, because the broker also closes the
    /// connection after this side has.
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

    /// Shuts the connection down. The broker sees the end at once, even if other handles keep the descriptor open.
    pub(crate) fn shut_down(&self) {
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}

/// Sends a record on a control socket; waits [`REQUEST_TIMEOUT`] at most for room in it.
pub(crate) fn send(socket: &OwnedFd, broker: &BrokerName, record: &ToBroker) -> Result<()> {
    let record = encode(record)?;
    send_when((socket, broker), answer_due(REQUEST_TIMEOUT), || {
        outgoing::try_send(socket, broker, &record)
    })
}

/// Repeats `attempt` until it has sent the record, waiting for room in the socket in between.
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

/// Waits until a socket can be read or written. Returns `false` when the time is up.
pub(crate) fn wait_for(socket: &OwnedFd, flags: PollFlags, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let mut polled = [PollFd::new(socket.as_fd(), flags)];
    // An interrupted wait counts as ready; the caller tries again until the time is up.
    poll(&mut polled, timeout).is_ok_and(|ready| ready > 0) || Instant::now() < until
}

/// Makes an error of a failure that came in a record.
pub(crate) fn failure(failure: Failure) -> Error {
    let code = Code::from_u16(failure.code).unwrap_or(Code::Protocol);
    let error = Error::new(code, failure.message);
    let context = failure.context.as_deref();
    match context.and_then(|context| serde_json::from_str(context).ok()) {
        Some(context) => error.with_context(context),
        None => error,
    }
}
