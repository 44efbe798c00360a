//! Service calls: a child sends a frame, and the bridge calls the gate that the frame's type names.
//!
//! For the first call of a gate the worker opens the gate, which may have to wait for the broker; calls that arrive meanwhile are queued in
//! order. Once the gate is open the loop sends calls itself. It polls their futures when they are woken, and writes results in the order in
//! which they arrive.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use callgate_client::dynamic::{Bytes, Gate, Sent, open_json};
use callgate_client::{Code, Error, Result};
use serde_json::value::RawValue;

use super::cache::{Cache, Found, Full};
use super::failures::Told;
use super::inbox::Done;
use super::outbox::Outbox;
use super::shared::{LONGEST, Shared};
use crate::frame::Service;

/// The most service calls of one child that are under way at once.
const MOST: usize = 64;
/// The most gates that are kept open: at least as many as there can be calls under way.
const GATES: usize = MOST;
/// The most bytes of arguments of calls that wait for gates to be opened.
const WAITING: usize = 8 << 20;

/// The service calls of one life of a child.
pub(super) struct Services {
    gates: Cache<Gate, Waiting>,
    /// The bytes of arguments of all waiting calls.
    waiting: usize,
    /// The ids of calls that are under way.
    ids: HashSet<Box<str>>,
    under_way: usize,
    sent: HashMap<u64, Call>,
    next: u64,
}

/// A call that waits until its gate is open.
struct Waiting {
    id: Option<Box<str>>,
    /// The text of a JSON array.
    arguments: String,
    /// The time at which the call fails if its gate is still not open.
    deadline: Instant,
}

/// A call that was sent.
struct Call {
    id: Option<Box<str>>,
    gate: Box<str>,
    future: Sent,
    waker: Waker,
}

impl Services {
    pub(super) fn new() -> Services {
        Services {
            gates: Cache::new(GATES),
            waiting: 0,
            ids: HashSet::new(),
            under_way: 0,
            sent: HashMap::new(),
            next: 0,
        }
    }

    /// Makes the call that a frame asks for; the caller has checked that the plugin may make it.
    pub(super) fn call(&mut self, frame: &Service<'_>, (shared, out): (&Shared, &mut Outbox)) {
        let (gate, id) = (&*frame.kind, frame.id.as_deref());
        if let Err(told) = self.check(id) {
            return out.refuse_call((gate, id), &told, shared);
        }
        self.under_way += 1;
        self.ids.extend(id.map(Box::from));
        let arguments = format!("[{}]", frame.arguments());
        let call = Waiting {
            id: id.map(Box::from),
            arguments,
            deadline: Instant::now() + shared.limits.request.min(LONGEST),
        };
        self.go(gate, call, (shared, out));
    }

    /// The number of calls under way.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    fn check(&self, id: Option<&str>) -> Result<(), Told> {
        if id.is_some_and(|id| self.ids.contains(id)) {
            let text = "a service call with this id is still under way";
            return Err(Told::new("DUPLICATE_ID", text));
        }
        if self.under_way >= MOST {
            let text = format!("{MOST} service calls are under way, as many as may be");
            return Err(Told::new(Code::Overloaded.as_str(), text));
        }
        Ok(())
    }

    /// Sends a call, or queues it until its gate is open.
    fn go(&mut self, name: &str, call: Waiting, (shared, out): (&Shared, &mut Outbox)) {
        let length = call.arguments.len();
        let gate = match self.gates.find(name) {
            Found::Open(gate) => gate.clone(),
            Found::Opening(waiting) if self.waiting + length <= WAITING => {
                waiting.push(call);
                return self.waits(length, shared);
            }
            Found::Absent if self.waiting + length <= WAITING => {
                return self.open(name, call, (shared, out));
            }
            _ => {
                let text = "too much waits for gates that are being opened";
                let error = Error::new(Code::Overloaded, text);
                return self.finish((name, call.id), Err(error), (shared, out));
            }
        };
        self.send((name, &gate), call, (shared, out));
    }

    /// Counts a call with `length` bytes of arguments that starts to wait.
    fn waits(&mut self, length: usize, shared: &Shared) {
        if self.waiting == 0 {
            // Wakes the loop, because it does not know yet that calls wait, and with which deadline.
            shared.inbox.ring();
        }
        self.waiting += length;
    }

    /// Queues a call and has the worker open its gate.
    fn open(&mut self, name: &str, call: Waiting, (shared, out): (&Shared, &mut Outbox)) {
        let length = call.arguments.len();
        match self.gates.opening(name, call) {
            Ok(gone) => {
                self.waits(length, shared);
                if let Some(gone) = gone {
                    shared.session.drop_later(gone);
                }
            }
            Err(Full(call)) => {
                let error = Error::new(Code::Overloaded, "all gates that are kept are in use");
                return self.finish((name, call.id), Err(error), (shared, out));
            }
        }
        let (inbox, timeout) = (shared.inbox.clone(), shared.limits.request);
        let name: Box<str> = name.into();
        shared.session.later(move |opened| {
            let gate = open_json(&opened.plugin, &name);
            let outcome = gate.map(|gate| gate.with_timeout(timeout));
            inbox.done(Done::Gate { name, outcome });
        });
    }

    /// Takes a gate that the worker has opened and sends the calls that waited for it; or answers them with the worker's error.
    pub(super) fn opened(
        &mut self,
        name: &str,
        outcome: Result<Gate>,
        (shared, out): (&Shared, &mut Outbox),
    ) {
        match outcome {
            Ok(gate) => {
                let waiting = self.gates.opened(name, gate.clone());
                self.no_more_wait(&waiting);
                for call in waiting {
                    self.send((name, &gate), call, (shared, out));
                }
            }
            Err(error) => {
                let (_, waiting) = self.gates.remove(name);
                self.no_more_wait(&waiting);
                for call in waiting {
                    self.finish((name, call.id), Err(error.clone()), (shared, out));
                }
            }
        }
    }

    /// Fails calls that have waited for their gates for too long. Returns the time at which the next one is due.
    pub(super) fn sweep(
        &mut self,
        now: Instant,
        (shared, out): (&Shared, &mut Outbox),
    ) -> Option<Instant> {
        if self.waiting == 0 {
            return None;
        }
        let (mut over, mut next) = (Vec::new(), None::<Instant>);
        for (gate, waiting) in self.gates.waiting() {
            let late = waiting.extract_if(.., |call| call.deadline <= now);
            over.extend(late.map(|call| (Box::<str>::from(gate), call)));
            next = waiting.iter().map(|call| call.deadline).chain(next).min();
        }
        for (gate, call) in over {
            self.waiting -= call.arguments.len();
            let text = "the gate was not opened in time";
            let error = Error::new(Code::Timeout, text);
            self.finish((&gate, call.id), Err(error), (shared, out));
        }
        next
    }

    fn no_more_wait(&mut self, calls: &[Waiting]) {
        let bytes: usize = calls.iter().map(|call| call.arguments.len()).sum();
        self.waiting -= bytes;
    }

    fn send(
        &mut self,
        (name, gate): (&str, &Gate),
        call: Waiting,
        (shared, out): (&Shared, &mut Outbox),
    ) {
        let Waiting { id, arguments, .. } = call;
        let sent = match gate.has_action() && !gate.has_function() {
            true => gate.action().send(arguments.as_bytes()),
            false => gate.send(arguments.as_bytes()),
        };
        match sent {
            Err(error) => self.finish((name, id), Err(error), (shared, out)),
            Ok(future) => {
                let number = self.next;
                self.next += 1;
                self.gates.enter(name);
                let call = Call {
                    id,
                    gate: name.into(),
                    future,
                    waker: shared.inbox.waker(number),
                };
                self.sent.insert(number, call);
                self.poll(number, (shared, out));
            }
        }
    }

    /// Polls the future of a call that was woken.
    pub(super) fn poll(&mut self, number: u64, (shared, out): (&Shared, &mut Outbox)) {
        // A waker may be called again after its call was answered.
        let Some(call) = self.sent.get_mut(&number) else {
            return;
        };
        let mut context = Context::from_waker(&call.waker);
        let Poll::Ready(outcome) = Pin::new(&mut call.future).poll(&mut context) else {
            return;
        };
        if let Some(Call { id, gate, .. }) = self.sent.remove(&number) {
            self.gates.leave(&gate);
            self.finish((&gate, id), outcome, (shared, out));
        }
    }

    /// Ends a call: frees its id and answers the child.
    fn finish(
        &mut self,
        (gate, id): (&str, Option<Box<str>>),
        outcome: Result<Bytes>,
        (shared, out): (&Shared, &mut Outbox),
    ) {
        self.under_way -= 1;
        if let Some(id) = &id {
            self.ids.remove(id);
        }
        let result = outcome.as_deref().map_err(Clone::clone).and_then(read);
        match (id.as_deref(), result) {
            (Some(id), Ok(result)) => out.respond(id, Ok(result)),
            (None, Ok(_)) => {}
            (id, Err(error)) => out.refuse_call((gate, id), &Told::of(&error), shared),
        }
    }
}

/// The JSON value of a result; the result of an action has no bytes.
fn read(result: &[u8]) -> Result<&RawValue> {
    if result.is_empty() {
        return Ok(RawValue::NULL);
    }
    serde_json::from_slice(result).map_err(|error| {
        let text = format!("what the gate's provider gave is no JSON: {error}");
        Error::new(Code::Protocol, text).maybe_run()
    })
}
