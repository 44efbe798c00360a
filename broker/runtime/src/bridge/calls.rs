//! Calls to a child: writes requests into its pipe, and passes its answers to the callers.
//!
//! The handler runs on the dispatcher of the bridges' group. It notes the caller, adds the frame to those of its round and returns; the
//! frames are written when the round is over. The loop finds the caller of an answer by its id, and passes on the result as the child wrote
//! it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use callgate_client::dynamic::{CheckedResult, Responder, at_end_of_round};
use callgate_client::{Code, Context, Error};
use parking_lot::Mutex;
use serde_json::Value;

use super::arguments::params;
use super::bus::Tell;
use super::counts::Counts;
use super::failures::of_child;
use super::ids::Ids;
use super::shared::LONGEST;
use super::table::{Asker, Full, Table};
use crate::frame::{self, FRAME_CAP, Outgoing, Response, User};
use crate::process::{Refused, Stdin};

/// Calls to one life of a child.
pub(crate) struct Calls {
    /// The plugin's name.
    name: String,
    ids: Ids,
    table: Mutex<Stands>,
    stdin: Stdin,
    /// Writes the requests that one round of the dispatcher has gathered.
    write_gathered: Arc<dyn Fn() + Send + Sync>,
    tell: Arc<dyn Tell>,
    counts: Arc<Counts>,
    /// The longest time limit of a request.
    timeout: Duration,
}

/// The child's stage, and the requests that are open.
struct Stands {
    stage: Stage,
    table: Table,
    /// The counts of the requests gathered in the present round of the dispatcher.
    gathered: Vec<u64>,
}

/// What the caller must do about a request that was noted.
struct Noted {
    /// Wake the loop, because the request's deadline is earlier than the loop's next look.
    is_due_earlier: bool,
    /// Have the gathered requests written at the end of the round, because this is the first of them.
    is_first_gathered: bool,
}

enum Stage {
    NotReady,
    Serves,
    /// The runtime is about to end the child.
    Stops,
    /// The child has ended.
    Gone(LastWords),
}

/// How a child has ended.
#[derive(Clone, Debug)]
pub(crate) struct LastWords {
    /// The text for people.
    pub(crate) message: String,
    /// The context for programs.
    pub(crate) context: Value,
}

impl LastWords {
    fn error(&self) -> Error {
        Error::new(Code::ProviderGone, &self.message).with_context(self.context.clone())
    }
}

/// A request.
pub(crate) struct Request<'a> {
    pub(crate) action: &'a str,
    /// A text that was checked to be one JSON value.
    pub(crate) params: &'a str,
    pub(crate) user: User<'a>,
    pub(crate) session_id: Option<&'a str>,
    /// How long the answer may take; at most the bridge's own limit.
    pub(crate) timeout: Duration,
}

impl Calls {
    pub(super) fn new(
        name: &str,
        (stdin, tell): (&Stdin, &Arc<dyn Tell>),
        (counts, timeout): (&Arc<Counts>, Duration),
    ) -> Arc<Calls> {
        Arc::new_cyclic(|this: &Weak<Calls>| Calls {
            name: name.to_owned(),
            ids: Ids::new(),
            table: Mutex::new(Stands {
                stage: Stage::NotReady,
                table: Table::default(),
                gathered: Vec::new(),
            }),
            stdin: stdin.clone(),
            write_gathered: written_by(this.clone()),
            tell: tell.clone(),
            counts: counts.clone(),
            timeout,
        })
    }

    /// Handles a call from a plugin: the handler of all gates under the child's name.
    pub(super) fn serve(&self, context: Context<'_>, arguments: &str, responder: Responder) {
        let caller = context.caller();
        let action = context.gate().get(self.name.len() + 1..).unwrap_or("");
        let asker = Asker::Caller(responder);
        let params = params(arguments);
        let request = Request {
            action,
            params: &params,
            user: User {
                id: caller.name(),
                display_name: caller.display_name(),
                avatar_url: None,
                role: "plugin",
            },
            session_id: None,
            timeout: context.remaining(),
        };
        self.request(&request, asker);
    }

    /// Writes a request for the child. The asker is answered exactly once, whatever happens. May be called on any thread.
    pub(crate) fn request(&self, request: &Request<'_>, asker: Asker) {
        // Only the dispatcher gathers requests: other threads have no round at whose end they would be written.
        let gathers = matches!(asker, Asker::Caller(_));
        let count = self.ids.next();
        let id = self.ids.text(count);
        let frame = Outgoing::Request(frame::Request {
            id: id.as_str(),
            action: request.action,
            params: request.params,
            user: request.user,
            session_id: request.session_id,
        });
        let line = match frame.to_line(FRAME_CAP) {
            Ok(line) => line,
            Err(_) => return asker.refuse(self.too_large()),
        };
        let timeout = request.timeout.min(self.timeout).min(LONGEST);
        // Noted before it is written, because the answer may come at once.
        let noted = match self.note((count, gathers), asker, timeout) {
            Ok(noted) => noted,
            Err((asker, why)) => return asker.refuse(why),
        };
        if noted.is_due_earlier {
            self.tell.wake();
        }
        let written = match gathers {
            true => self.stdin.gather(&line),
            false => self.stdin.write(&line),
        };
        match written {
            Ok(()) => self.counts.requests.add(1),
            Err(refused) => self.take_back(count, refused),
        }
        if noted.is_first_gathered {
            at_end_of_round(&self.write_gathered);
        }
    }

    /// Notes a request that is about to be written; hands back the asker if the request is refused.
    fn note(
        &self,
        (count, gathers): (u64, bool),
        asker: Asker,
        timeout: Duration,
    ) -> Result<Noted, (Asker, Error)> {
        let now = Instant::now();
        let mut stands = self.table.lock();
        if let Some(why) = stands.refusal(&self.name) {
            return Err((asker, why));
        }
        let inserted = stands.table.insert(count, asker, (now, now + timeout));
        let is_due_earlier = inserted.map_err(|Full(asker)| (asker, self.overloaded()))?;
        let is_first_gathered = gathers && stands.gathered.is_empty();
        if gathers {
            stands.gathered.push(count);
        }
        Ok(Noted {
            is_due_earlier,
            is_first_gathered,
        })
    }

    /// Writes the requests of a round that is over.
    fn write_gathered(&self) {
        let written = self.stdin.write_gathered();
        let lost = {
            let Stands {
                table, gathered, ..
            } = &mut *self.table.lock();
            let counts = gathered.drain(..);
            match written {
                Ok(()) => Vec::new(),
                Err(_) => counts.filter_map(|count| table.take(count)).collect(),
            }
        };
        for asker in lost {
            // The child may have read some of them before it closed the pipe.
            asker.refuse(self.unread().maybe_run());
        }
    }

    /// Fails a request that could not be written.
    fn take_back(&self, count: u64, refused: Refused) {
        let error = match refused {
            Refused::Full => self.overloaded(),
            Refused::Gone => self.unread(),
        };
        let asker = self.table.lock().table.take(count);
        if let Some(asker) = asker {
            asker.refuse(error);
        }
    }

    /// Passes a result to the asker whose frame was not parsed. Returns false if the frame has to be parsed: the result is not what callers
    /// accept, or no such request is open.
    pub(super) fn answer_plain(&self, id: &str, text: &[u8]) -> bool {
        let Ok(result) = CheckedResult::new(text) else {
            return false;
        };
        let asker = self.take_answered(id);
        asker.map(|asker| asker.checked(text, result)).is_some()
    }

    /// Passes a child's answer to the asker. Returns false if no such request is open.
    pub(super) fn answer(&self, response: &Response<'_>) -> bool {
        let Some(asker) = self.take_answered(&response.id) else {
            self.counts.stray_responses.add(1);
            tracing::debug!(
                plugin = self.name,
                id = &*response.id,
                "an answer to no open request"
            );
            self.tell.complain(&|| stray(&response.id));
            return false;
        };
        match &response.outcome {
            Ok(result) => asker.result(result),
            Err(failure) => asker.fail(of_child(failure)),
        }
        true
    }

    /// Tells the asker that the child's answer was malformed, if the request is open.
    pub(super) fn answer_malformed(&self, id: &str, reason: &str) {
        match self.take_answered(id) {
            None => {
                self.counts.stray_responses.add(1);
                self.tell.complain(&|| stray(id));
            }
            Some(asker) => {
                let text = format!(
                    "plugin {} answered with a malformed frame: {reason}",
                    self.name
                );
                asker.refuse(Error::new(Code::Protocol, text).maybe_run());
            }
        }
    }

    /// Removes the open request with this id and returns its asker.
    fn take_answered(&self, id: &str) -> Option<Asker> {
        let count = self.ids.count(id)?;
        self.table.lock().table.take_in_time(count, Instant::now())
    }

    /// From now on the child takes requests.
    pub(super) fn serves(&self) {
        self.table.lock().change(Stage::Serves);
    }

    /// From now on the child takes no requests; those that are open may still be answered.
    pub(super) fn stops(&self) {
        self.table.lock().change(Stage::Stops);
    }

    /// Fails the open requests and all later ones, because the child has ended.
    pub(super) fn end(&self, words: &LastWords) {
        let open = {
            let mut stands = self.table.lock();
            stands.change(Stage::Gone(words.clone()));
            stands.table.take_all()
        };
        for asker in open {
            // The child may have done what was asked before it ended.
            asker.refuse(words.error().maybe_run());
        }
    }

    /// Fails the requests whose deadlines have passed. Returns when to look next.
    pub(super) fn sweep(&self, now: Instant) -> Option<Instant> {
        let (over, next) = self.table.lock().table.overdue(now);
        for asker in over {
            let text = format!("plugin {} did not answer in time", self.name);
            asker.refuse(Error::new(Code::Timeout, text).maybe_run());
        }
        next
    }

    /// How many requests are open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.table.lock().table.len()
    }

    #[cold]
    fn overloaded(&self) -> Error {
        let text = format!(
            "plugin {} does not read what it is told, or answers too slowly",
            self.name
        );
        Error::new(Code::Overloaded, text)
    }

    #[cold]
    fn unread(&self) -> Error {
        let text = format!("plugin {} reads its stdin no more", self.name);
        Error::new(Code::ProviderGone, text)
    }

    #[cold]
    fn too_large(&self) -> Error {
        let text = format!("the request has more than the {FRAME_CAP} bytes that a frame may have");
        Error::new(Code::RequestTooLarge, text)
    }
}

/// The callback that the dispatcher runs at the end of a round.
fn written_by(calls: Weak<Calls>) -> Arc<dyn Fn() + Send + Sync> {
    Arc::new(move || {
        if let Some(calls) = calls.upgrade() {
            calls.write_gathered();
        }
    })
}

impl Stands {
    /// Enters a stage, unless the present one is later: another thread may report late that the child serves.
    fn change(&mut self, stage: Stage) {
        let is_late = match self.stage {
            Stage::Gone(_) => true,
            Stage::Stops => matches!(stage, Stage::Serves),
            Stage::NotReady | Stage::Serves => false,
        };
        if !is_late {
            self.stage = stage;
        }
    }

    /// The reason why the child takes no requests; `None` if it takes them.
    fn refusal(&self, name: &str) -> Option<Error> {
        let why = match &self.stage {
            Stage::Serves => return None,
            Stage::Gone(words) => return Some(words.error()),
            Stage::NotReady => "it is not ready yet",
            Stage::Stops => "it is stopping",
        };
        let text = format!("plugin {name} cannot be called: {why}");
        Some(Error::new(Code::NotReady, text))
    }
}

/// The line for the log about an answer to no open request.
fn stray(id: &str) -> String {
    format!(
        "it answered under the id {id:?}, and no request of that id is open: there was none, or it was answered before, or it came too late"
    )
}
