//! Questions to the broker: what is the gate's state now? A caller that found no way to a gate, or was refused, may
//! have older information than the broker: another plugin may have told it something newer.
//!
//! At most one question is under way, and one waits to be sent when the answer comes. A call waits for a question
//! that is sent after the call began, and may share it with all other calls that began before it is sent. If a
//! question could not be sent within its caller's time, a caller that waits for the next one sends that.

use std::sync::atomic::Ordering;

use callgate_layout::sys::futex::{self, Awaited};

use super::OpenGate;
use crate::base::cancel::CancelToken;
use crate::base::error::Result;
use crate::base::futex_refused;
use crate::link::together;

/// The questions about one gate, counted.
#[derive(Debug, Default)]
pub(super) struct Questions {
    sent: u64,
    answered: u64,
    /// The last question that a caller waits for.
    wanted: u64,
    /// No broker is left that could answer.
    pub(super) is_over: bool,
}

impl Questions {
    /// Whether a question was sent and not answered yet.
    fn is_under_way(&self) -> bool {
        self.sent > self.answered
    }
}

/// A question that a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question(u64);

impl Question {
    /// Its number, for code that cannot name its type.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The question with a number.
    pub(crate) fn of(number: u64) -> Question {
        Question(number)
    }
}

/// What happened to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// There is no answer yet.
    Waiting,
    /// It was not sent, and no thread is about to send it.
    Unsent,
    /// The state was set to what the broker knew after the question was asked.
    Told,
    /// There will be no answer, or none in time.
    Untold,
    /// The caller has given up meanwhile.
    Cancelled,
    /// There was no broker in time.
    NoBroker,
}

impl OpenGate {
    /// Asks the broker. Calls `send` with no lock held, and not if another question is under way.
    pub(crate) fn ask(&self, send: impl FnOnce() -> Result<()>) -> Result<Question> {
        let question = {
            let mut progress = self.progress.lock();
            let questions = &mut progress.questions;
            let number = questions.sent + 1;
            questions.wanted = questions.wanted.max(number);
            Question(number)
        };
        self.send(question, send)?;
        Ok(question)
    }

    /// Sends a question, unless it was sent before or another one is under way. In that case the thread that reads
    /// the answer sends it.
    pub(crate) fn send(
        &self,
        Question(number): Question,
        send: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        {
            let questions = &mut self.progress.lock().questions;
            if questions.is_under_way() || questions.sent >= number {
                return Ok(());
            }
            questions.sent = number;
        }
        let sent = send();
        if sent.is_err() {
            // Other callers, which have more time, see that it was not sent.
            let questions = &mut self.progress.lock().questions;
            questions.sent = questions.answered;
            self.answers.fetch_add(1, Ordering::Relaxed);
            futex::wake_private(&self.answers);
        }
        sent
    }

    /// The broker has answered. Returns whether the next question is to be sent.
    pub(crate) fn answered(&self) -> bool {
        let mut progress = self.progress.lock();
        let questions = &mut progress.questions;
        if !questions.is_under_way() {
            // No question was asked.
            return false;
        }
        questions.answered = questions.sent;
        let is_more = questions.wanted > questions.sent;
        questions.sent = questions.wanted;
        self.answers.fetch_add(1, Ordering::Relaxed);
        drop(progress);
        futex::wake_private(&self.answers);
        is_more
    }

    /// What happened to a question.
    pub(crate) fn look_at(&self, question: Question) -> Asked {
        self.look(question).0
    }

    /// The same, and the value of the word that changes next, read together with it.
    fn look(&self, Question(number): Question) -> (Asked, u32) {
        let progress = self.progress.lock();
        let questions = &progress.questions;
        let asked = match questions {
            _ if questions.answered >= number => Asked::Told,
            _ if questions.is_over => Asked::Untold,
            _ if questions.is_under_way() => Asked::Waiting,
            _ => Asked::Unsent,
        };
        (asked, self.answers.load(Ordering::Relaxed))
    }

    /// Waits for the answer, until a time of the monotonic clock. Sends the question if no other thread does.
    pub(crate) fn await_answer(
        &self,
        question: Question,
        (until, cancel): (u64, Option<&CancelToken>),
        send: impl Fn() -> Result<()>,
    ) -> Asked {
        loop {
            let (asked, seen) = self.look(question);
            match asked {
                Asked::Waiting => {}
                Asked::Unsent if self.send(question, &send).is_ok() => continue,
                Asked::Unsent => return Asked::Untold,
                _ => return asked,
            }
            if cancel.is_some_and(CancelToken::is_cancelled) {
                return Asked::Cancelled;
            }
            if callgate_layout::clock::now() >= until {
                return Asked::Untold;
            }
            together::ring_before_wait();
            let word = Awaited::private(&self.answers, seen);
            match cancel {
                Some(cancel) => futex::wait_any(&[word, cancel.word()], until),
                None => futex::wait_any(&[word], until),
            }
            futex_refused::log();
        }
    }

    /// The questions will not be answered; their callers ask the next broker.
    pub(super) fn forget_questions(&self) {
        let mut progress = self.progress.lock();
        progress.is_why_asked = false;
        let questions = &mut progress.questions;
        questions.sent = questions.answered;
        self.answers.fetch_add(1, Ordering::Relaxed);
        futex::wake_private(&self.answers);
    }

    /// No broker is left that could answer: all waiting callers go on at once.
    pub(super) fn end_questions(&self) {
        self.progress.lock().questions.is_over = true;
        self.answers.fetch_add(1, Ordering::Relaxed);
        futex::wake_private(&self.answers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callgate_layout::Code;
    use std::cell::Cell;
    use std::sync::atomic::AtomicU32;

    use crate::base::error::Error;

    fn gate() -> OpenGate {
        OpenGate::in_tests("A.B")
    }

    /// A question that was sent before a call began does not count for that call: its answer may be older than the
    /// call.
    #[test]
    fn a_question_that_was_sent_before_is_no_answer_to_a_later_one() {
        let (gate, sent) = (gate(), Cell::new(0));
        let ask = || {
            let send = || {
                sent.set(sent.get() + 1);
                Ok(())
            };
            gate.ask(send).unwrap()
        };
        let first = ask();
        let (second, third) = (ask(), ask());
        assert_eq!((sent.get(), second), (1, third), "they share the next one");
        assert!(gate.answered(), "the next one is sent");
        let became = [first, second].map(|question| gate.look_at(question));
        assert_eq!(became, [Asked::Told, Asked::Waiting]);
        let fourth = ask();
        assert!(gate.answered());
        let became = [second, fourth].map(|question| gate.look_at(question));
        assert_eq!(became, [Asked::Told, Asked::Waiting]);
        assert!(!gate.answered(), "nobody asks any more");
        assert_eq!(gate.look_at(fourth), Asked::Told);
        ask();
        assert_eq!(
            sent.get(),
            2,
            "the others are sent by who hears the answers"
        );
    }

    /// An answer to no question does not count for the next question.
    #[test]
    fn an_answer_that_nobody_asked_for_is_none() {
        let gate = gate();
        assert!(!gate.answered());
        let question = gate.ask(|| Ok(())).unwrap();
        assert_eq!(gate.look_at(question), Asked::Waiting);
        let came = gate.await_answer(question, (0, None), || Ok(()));
        assert_eq!(came, Asked::Untold);
        let token = CancelToken::new();
        token.cancel();
        let patience = (u64::MAX, Some(&token));
        let cancelled = gate.await_answer(question, patience, || Ok(()));
        assert_eq!(cancelled, Asked::Cancelled);
    }

    /// A question that could not be sent does not count as under way: the next caller asks again.
    #[test]
    fn what_could_not_be_sent_is_asked_again() {
        let gate = gate();
        let failed = gate.ask(|| Err(Error::new(Code::Timeout, "the socket is full")));
        assert!(failed.is_err());
        let question = gate.ask(|| Ok(())).unwrap();
        assert!(!gate.answered());
        assert_eq!(gate.look_at(question), Asked::Told);
    }

    /// A caller that waits behind a question that could not be sent in its own caller's short time sends its own.
    #[test]
    fn who_waits_behind_what_could_not_be_sent_sends_its_own() {
        let (gate, sent) = (gate(), AtomicU32::new(0));
        let late = || Error::new(Code::Timeout, "the socket is full");
        let send = || match sent.fetch_add(1, Ordering::Relaxed) {
            0 => Err(late()),
            _ => Ok(()),
        };
        let mut behind = Vec::new();
        let first = gate.ask(|| {
            behind = Vec::from_iter((0..2).map(|_| gate.ask(|| unreachable!()).unwrap()));
            Err(late())
        });
        assert!(first.is_err());
        let became = |question| gate.look_at(question);
        assert_eq!(became(behind[0]), Asked::Unsent);
        std::thread::scope(|scope| {
            let await_it = |question| gate.await_answer(question, (u64::MAX, None), send);
            assert_eq!(await_it(behind[0]), Asked::Untold, "its time is up, too");
            let last = behind[1];
            let waits = scope.spawn(move || await_it(last));
            while became(last) != Asked::Waiting {
                std::thread::yield_now();
            }
            assert!(!gate.answered());
            assert_eq!(waits.join().unwrap(), Asked::Told);
        });
        assert_eq!(sent.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_end_of_the_session_ends_all_questions() {
        let gate = gate();
        let question = gate.ask(|| Ok(())).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| gate.await_answer(question, (u64::MAX, None), || Ok(())));
            gate.session_ended(&Error::new(Code::BrokerGone, "it has ended"));
            assert_eq!(waits.join().unwrap(), Asked::Untold);
        });
    }
}
