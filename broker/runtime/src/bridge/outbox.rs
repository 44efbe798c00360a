//! Answers to a child, which must not be lost: an answer that does not fit into the child's queue waits here. If too many bytes wait, a
//! result is replaced by an error, which is short.

use std::collections::VecDeque;

use callgate_client::Code;
use serde_json::json;
use serde_json::value::RawValue;

use super::failures::Told;
use super::shared::Shared;
use crate::frame::{FRAME_CAP, Failure, Incoming, Outgoing, Publish, Subscribe, TooLarge};
use crate::manifest::Denied;
use crate::process::{Refused, Stdin};

/// The most bytes of waiting answers with which another result may still be added.
const MOST_BYTES: usize = 8 << 20;

/// The answers that wait, and the way to the child. Their number is bounded by the number of requests of the child that may be unanswered.
pub(super) struct Outbox {
    stdin: Stdin,
    waiting: VecDeque<Vec<u8>>,
    /// The bytes of the waiting answers.
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
        // Cannot fail: the error is short, and the id was read from a frame.
        let Ok(line) = line else {
            return;
        };
        let is_fine = outcome.is_err() || self.has_room(line.len());
        let line = if is_fine { Ok(line) } else { unread(id) };
        if let Ok(line) = line {
            self.put(line);
        }
    }

    /// Whether a result of this length may be queued. If nothing waits it always may, because it may go out at once.
    fn has_room(&self, length: usize) -> bool {
        self.waiting.is_empty() || self.bytes + length <= MOST_BYTES
    }

    /// Refuses a service call; if it has no id the refusal is logged instead of sent.
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

    /// Refuses a frame about events; if it has no id the refusal is logged instead of sent.
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

    /// Refuses a frame because the plugin lacks a capability for it.
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
            // All other frames are always allowed.
            _ => {}
        }
    }

    /// Answers a frame about events, with the event's id if an event was sent.
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

    /// Writes the waiting answers, as many as the child's queue takes.
    pub(super) fn flush(&mut self) {
        while let Some(line) = self.waiting.front() {
            match self.stdin.write(line) {
                Ok(()) => {
                    self.bytes -= line.len();
                    self.waiting.pop_front();
                }
                Err(Refused::Full) => return,
                // The child has closed its stdin or ended: nobody can read the answers.
                Err(Refused::Gone) => {
                    self.bytes = 0;
                    self.waiting.clear();
                }
            }
        }
    }

    /// Whether answers wait because the child's queue is full.
    pub(super) fn is_stuck(&self) -> bool {
        !self.waiting.is_empty()
    }
}

fn response(id: &str, outcome: Result<&RawValue, &Failure<'_>>) -> Result<Vec<u8>, TooLarge> {
    Outgoing::Response { id, outcome }.to_line(FRAME_CAP)
}

/// The answer that replaces a result which may not wait.
fn unread(id: &str) -> Result<Vec<u8>, TooLarge> {
    let text = "too many results wait for the plugin to read its stdin";
    let told = Told::new(Code::Overloaded.as_str(), text);
    response(id, Err(&told.as_failure()))
}

fn ack(id: &str, outcome: Result<Option<&str>, &Failure<'_>>) -> Result<Vec<u8>, TooLarge> {
    Outgoing::Ack { id, outcome }.to_line(FRAME_CAP)
}
