//! The requests that a child has not answered yet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use callgate_client::dynamic::{CheckedResult, Responder};
use callgate_client::{Code, Error, HandlerError};
use serde_json::value::RawValue;

/// The most requests that are open at once.
const MOST: usize = 4096;
/// How often the loop checks for callers that have given up, while requests are open.
const LOOK: Duration = Duration::from_secs(1);

/// The host's callback for a result or an error. It runs on the loop and must not wait.
pub(crate) type Answer = Box<dyn FnOnce(Result<&RawValue, Error>) + Send>;

/// The side that waits for a child's answer.
pub(crate) enum Asker {
    /// A plugin.
    Caller(Responder),
    Host(Answer),
}

impl Asker {
    /// Passes on the child's result.
    pub(crate) fn result(self, result: &RawValue) {
        match self {
            // Fails only if the caller has given up. If the result is not JSON by the library's rules, `reply` tells the caller.
            Asker::Caller(responder) => drop(responder.reply(result.get().as_bytes())),
            Asker::Host(answer) => answer(Ok(result)),
        }
    }

    /// Passes on a result that was checked by the library's rules.
    pub(crate) fn checked(self, text: &[u8], result: CheckedResult<'_>) {
        match self {
            // Fails only if the caller has given up.
            Asker::Caller(responder) => drop(responder.reply_checked(result)),
            Asker::Host(answer) => match serde_json::from_slice(text) {
                Ok(result) => answer(Ok(result)),
                Err(error) => {
                    let text = format!("the result is no JSON: {error}");
                    answer(Err(Error::new(Code::Protocol, text).maybe_run()));
                }
            },
        }
    }

    /// Passes on the child's error.
    pub(crate) fn fail(self, error: HandlerError) {
        match self {
            Asker::Caller(responder) => drop(responder.fail(error)),
            Asker::Host(answer) => answer(Err(error.into())),
        }
    }

    /// Passes on an error of the library.
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Asker::Caller(responder) => drop(responder.refuse(error)),
            Asker::Host(answer) => answer(Err(error)),
        }
    }

    fn has_given_up(&self) -> bool {
        match self {
            Asker::Caller(responder) => responder.is_cancelled(),
            Asker::Host(_) => false,
        }
    }
}

/// A request that is open.
struct Open {
    asker: Asker,
    deadline: Instant,
}

impl Open {
    /// Whether the deadline has passed, or the caller has given up.
    fn is_over(&self, now: Instant) -> bool {
        self.deadline <= now || self.asker.has_given_up()
    }
}

/// Hashes a count by multiplying it. Counts are given out here one after the other, so nobody can choose some that collide.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, count: u64) {
        // The golden ratio in 64 bits: consecutive counts differ in the upper bits, too.
        self.0 = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// The open requests by the counts in their ids.
#[derive(Default)]
pub(super) struct Table {
    open: HashMap<u64, Open, BuildHasherDefault<Plain>>,
    /// The next time at which the loop will look, as far as it was told.
    look: Option<Instant>,
}

/// Too many requests are open; hands back the asker.
pub(super) struct Full(pub(super) Asker);

impl Table {
    /// Adds a request that is about to be written. Returns whether the loop has to look earlier than it planned.
    pub(super) fn insert(
        &mut self,
        count: u64,
        asker: Asker,
        (now, deadline): (Instant, Instant),
    ) -> Result<bool, Full> {
        if self.open.len() >= MOST {
            return Err(Full(asker));
        }
        self.open.insert(count, Open { asker, deadline });
        let due = deadline.min(now + LOOK);
        let is_earlier = self.look.is_none_or(|look| due < look);
        if is_earlier {
            self.look = Some(due);
        }
        Ok(is_earlier)
    }

    /// Removes a request.
    pub(super) fn take(&mut self, count: u64) -> Option<Asker> {
        self.open.remove(&count).map(|open| open.asker)
    }

    /// Removes a request that is answered now. A request that is over stays in the table: the loop removes it in [`Table::overdue`].
    pub(super) fn take_in_time(&mut self, count: u64, now: Instant) -> Option<Asker> {
        match self.open.entry(count) {
            Entry::Occupied(open) if !open.get().is_over(now) => Some(open.remove().asker),
            _ => None,
        }
    }

    /// Removes the requests whose deadline has passed or whose caller has given up. Returns them, and when to look next.
    pub(super) fn overdue(&mut self, now: Instant) -> (Vec<Asker>, Option<Instant>) {
        if self.look.is_some_and(|look| now < look) {
            return (Vec::new(), self.look);
        }
        let over = self.open.extract_if(|_, open| open.is_over(now));
        let over = over.map(|(_, open)| open.asker);
        let over = over.collect();
        let next = self.open.values().map(|open| open.deadline).min();
        self.look = next.map(|next| next.min(now + LOOK));
        (over, self.look)
    }

    /// Removes all requests.
    pub(super) fn take_all(&mut self) -> Vec<Asker> {
        self.look = None;
        self.open.drain().map(|(_, open)| open.asker).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}
