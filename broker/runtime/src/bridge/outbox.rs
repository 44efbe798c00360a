//! Answers to a child, which must not be lost: what its queue does not take waits here. Where much waits already, a result gives way to an
//! error, which is short.

use std::collections::VecDeque;

use callgate_client::Code;
use serde_json::json;
use serde_json::value::RawValue;

use super::failures::Told;
use super::shared::Shared;
use crate::frame::{FRAME_CAP, Failure, Incoming, Outgoing, Publish, Subscribe, TooLarge};
use crate::manifest::Denied;
use crate::process::{Refused, Stdin};

/// Results wait while they have no more bytes than this together.
const MOST_BYTES: usize = 8 << 20;

/// The answers that wait, and the way to the child. There are no more of them than the child has asked for things that are not
/// answered.
pub(super) struct Outbox {
    stdin: Stdin,
    waiting: VecDeque<Vec<u8>>,
    /// Bytes in there.
    bytes: usize,
}

impl Outbox {
    pub(super) fn new(stdin: &Stdin) -> Outbox {
        Outbox {
            stdin: stdin.clone(),
            waiting: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Answers a service call.
    pub(super) fn respond(&mut self, id: &str, outcome: Result<&RawValue, &Told>) {
        let line = match outcome {
            Ok(result) => response(id, Ok(result)),
            Err(told) => response(id, Err(&told.as_failure())),
        };
        let line = line.or_else(|TooLarge { cap }| {
            let text = format!("the answer has more than the {cap} bytes that a frame may have");
            let told = Told::new("RESPONSE_TOO_LARGE", text);
            response(id, Err(&told.as_failure()))
        });
        // Its id was read from a frame, so that one is short.
        let Ok(line) = line else {
            return;
        };
        let is_fine = outcome.is_err() || self.has_room(line.len());
        let line = if is_fine { Ok(line) } else { unread(id) };
        if let Ok(line) = line {
            self.put(line);
        }
    }

    /// Whether a result can wait; one for which the child's queue has room does not.
    fn has_room(&self, length: usize) -> bool {
        self.waiting.is_empty() || self.bytes + length <= MOST_BYTES
    }

    /// Tells why a service call fails, if the child waits for that.
    pub(super) fn refuse_call(
        &mut self,
        (gate, id): (&str, Option<&str>),
        why: &Told,
        shared: &Shared,
    ) {
        match id {
            Some(id) => self.respond(id, Err(why)),
            None => shared.unheard(gate, why),
        }
    }

    /// Tells why a frame about events fails, if the child waits for that.
    pub(super) fn refuse_event(
        &mut self,
        (topic, id): (&str, Option<&str>),
        why: &Told,
        shared: &Shared,
    ) {
        match id {
            Some(id) => self.ack(id, Err(why)),
            None => shared.unheard(topic, why),
        }
    }

    /// Tells that a frame is not allowed.
    pub(super) fn deny(&mut self, frame: &Incoming<'_>, why: &Denied, shared: &Shared) {
        let context = json!({ "capability": why.capability });
        let told = Told::new(Code::PermissionDenied.as_str(), why.to_string()).with(&context);
        match frame {
            Incoming::Publish(Publish { topic, id, .. })
            | Incoming::Subscribe(Subscribe { topic, id, .. }) => {
                self.refuse_event((topic, id.as_deref()), &told, shared);
            }
            Incoming::Service(service) => {
                let call = (&*service.kind, service.id.as_deref());
                self.refuse_call(call, &told, shared);
            }
            // These are always allowed.
            _ => {}
        }
    }

    /// Answers a frame about events, with the id of the event where there is one.
    pub(super) fn ack(&mut self, id: &str, outcome: Result<Option<&str>, &Told>) {
        let line = match outcome {
            Ok(event) => ack(id, Ok(event)),
            Err(told) => ack(id, Err(&told.as_failure())),
        };
        if let Ok(line) = line {
            self.put(line);
        }
    }

    fn put(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.waiting.push_back(line);
        self.flush();
    }

    /// Writes what waits, as far as the child's queue takes it.
    pub(super) fn flush(&mut self) {
        while let Some(line) = self.waiting.front() {
            match self.stdin.write(line) {
                Ok(()) => {
                    self.bytes -= line.len();
                    self.waiting.pop_front();
                }
                Err(Refused::Full) => return,
                // Nobody reads them any more.
                Err(Refused::Gone) => {
                    self.bytes = 0;
                    self.waiting.clear();
                }
            }
        }
    }

    /// Whether answers wait that the child's queue did not take.
    pub(super) fn is_stuck(&self) -> bool {
        !self.waiting.is_empty()
    }
}

fn response(id: &str, outcome: Result<&RawValue, &Failure<'_>>) -> Result<Vec<u8>, TooLarge> {
    Outgoing::Response { id, outcome }.to_line(FRAME_CAP)
}

/// The answer in the place of a result that cannot wait.
fn unread(id: &str) -> Result<Vec<u8>, TooLarge> {
    let text = "too many results wait for the plugin to read its stdin";
    let told = Told::new(Code::Overloaded.as_str(), text);
    response(id, Err(&told.as_failure()))
}

fn ack(id: &str, outcome: Result<Option<&str>, &Failure<'_>>) -> Result<Vec<u8>, TooLarge> {
    Outgoing::Ack { id, outcome }.to_line(FRAME_CAP)
}
