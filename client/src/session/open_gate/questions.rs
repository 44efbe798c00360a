//! Questions to the broker: how does the gate stand now? Whoever found no way to a gate, or was refused, may
//! know less than it should: what others have told it is newer than what the broker has.
//!
//! One question is on its way at most, and one waits to be sent when the answer comes. A call waits for one
//! that is sent after it began, which it may share with all others that began by then. Where one could not be
//! sent in its asker's time, whoever waits for the next one sends that.

use std::sync::atomic::Ordering;

use callgate_layout::sys::futex::{self, Awaited};

use super::OpenGate;
use crate::base::cancel::CancelToken;
use crate::base::error::Result;
use crate::base::futex_refused;

/// The questions about one gate, counted.
#[derive(Debug, Default)]
pub(super) struct Questions {
    sent: u64,
    answered: u64,
    /// The last one that anybody waits for.
    wanted: u64,
    /// Nobody is left who could answer.
    pub(super) is_over: bool,
}

impl Questions {
    /// Whether one was sent that is not answered.
    fn is_under_way(&self) -> bool {
        self.sent > self.answered
    }
}

/// One of them, which somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question(u64);

impl Question {
    /// Its number, for those who cannot name its type.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The question with a number.
    pub(crate) fn of(number: u64) -> Question {
        Question(number)
    }
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// There is no answer yet.
    Waiting,
    /// It was not sent, and nobody is about to.
    Unsent,
    /// The gate stands as the broker knew it at a moment after the question was asked.
    Told,
    /// There will be no answer, or none in time.
    Untold,
    /// The caller has given up meanwhile.
    Cancelled,
    /// There was no broker in time.
    NoBroker,
}

impl OpenGate {
    /// Asks the broker; `send` is called where nothing is locked, and not at all where another question is
    /// on its way.
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

    /// Sends a question, unless that was done, or another one is on its way: who hears the answer to that
    /// sends it then.
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
            // Others, who have more time, see that it was not sent.
            let questions = &mut self.progress.lock().questions;
            questions.sent = questions.answered;
            self.answers.fetch_add(1, Ordering::Relaxed);
            futex::wake_private(&self.answers);
        }
        sent
    }

    /// The broker has answered; whether the next question is to be sent.
    pub(crate) fn answered(&self) -> bool {
        let mut progress = self.progress.lock();
        let questions = &mut progress.questions;
        if !questions.is_under_way() {
            // Nobody asked.
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

    /// What became of a question.
    pub(crate) fn look_at(&self, question: Question) -> Asked {
        self.look(question).0
    }

    /// The same, and the value of the word that changes next, which is read together with it.
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

    /// Waits for the answer, until a time of the monotonic clock; sends the question, if it has come to that.
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
            let word = Awaited::private(&self.answers, seen);
            match cancel {
                Some(cancel) => futex::wait_any(&[word, cancel.word()], until),
                None => futex::wait_any(&[word], until),
            }
            futex_refused::log();
        }
    }

    /// What was asked will not be answered; whoever waits asks the next broker.
    pub(super) fn forget_questions(&self) {
        let mut progress = self.progress.lock();
        progress.is_why_asked = false;
        let questions = &mut progress.questions;
        questions.sent = questions.answered;
        self.answers.fetch_add(1, Ordering::Relaxed);
        futex::wake_private(&self.answers);
    }

    /// Nobody is left who could answer: whoever waits goes on at once.
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

    /// Calls that began while an answer was on its way would go by knowledge from before they began.
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

    /// A broker that answers what nobody asked would answer what will be asked.
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

    /// A question that could not be sent was taken for one on its way, and nobody asked any more.
    #[test]
    fn what_could_not_be_sent_is_asked_again() {
        let gate = gate();
        let failed = gate.ask(|| Err(Error::new(Code::Timeout, "the socket is full")));
        assert!(failed.is_err());
        let question = gate.ask(|| Ok(())).unwrap();
        assert!(!gate.answered());
        assert_eq!(gate.look_at(question), Asked::Told);
    }

    /// Whoever waited behind a question that could not be sent in its asker's short time waited in vain.
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
