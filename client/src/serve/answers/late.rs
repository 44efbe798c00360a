//! Answers that are not published at once: those for which there was no space, and those that a handler leaves for
//! later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use callgate_layout::envelope::{Place, Violation};
use callgate_layout::pending::Ticket;
use callgate_layout::{Code, clock, flags};

use super::{Answers, By, put_error};
use crate::base::error::{Error, Result, forked};
use crate::handler::ReplyBuffer;
use crate::handler::responder::{AnswerLater, Deferred};
use crate::link::Link;
use crate::serve::limits::Permit;

/// How many bytes of late answers are kept for one link. A single answer may be longer.
const MAX_LATE: usize = 8 << 20;

/// How many errors of results without space are kept for one link until they are logged: as many as answers can be
/// due at one moment.
const MAX_NOTES: usize = 64;

/// An answer that waits for space in this side's memory.
pub(super) struct Late {
    pub(super) ticket: Ticket,
    pub(super) by: By,
    pub(super) ok: bool,
    pub(super) reply: ReplyBuffer,
    pub(super) deadline: u64,
}

/// The answers of a link that are not published yet.
#[derive(Default)]
pub(super) struct Kept {
    late: VecDeque<Late>,
    /// Whether this end of the link counts as waiting for space because of late answers.
    waits: bool,
    /// The calls whose answers are left for later.
    deferred: BySlot,
    /// How many of both count in [`Outstanding`](super::super::outstanding::Outstanding).
    counted: usize,
    /// Whether the link is served no more, so that nothing may be published.
    is_over: bool,
    /// Why there was no space for results; logged when nothing is borrowed, because a subscriber of the log may
    /// call this very plugin.
    notes: Vec<Error>,
}

/// The calls of a link whose answers are left for later, by their slots: a slot has one call at a time.
#[derive(Default)]
struct BySlot {
    /// As long as the highest slot so far needs.
    open: Vec<Option<Open>>,
    count: usize,
}

/// A call whose answer is left for later.
struct Open {
    ticket: Ticket,
    /// The call's permit, if its gate has a limit.
    permit: Option<Arc<Permit>>,
    /// Whether a thread is publishing the answer, so that no other may.
    is_answered: bool,
}

impl Answers {
    /// Leaves the answer to a call for later: its responder publishes it, on any thread.
    pub(in crate::serve) fn defer(&self, ticket: Ticket, permit: Option<Arc<Permit>>) {
        let bit = 1 << ticket.slot;
        let mut kept = self.kept.lock();
        kept.deferred.add(Open {
            ticket,
            permit,
            is_answered: false,
        });
        self.recount(&mut kept);
        self.later.fetch_or(bit, Ordering::Relaxed);
        self.change(&self.busy, bit, false);
    }

    /// How many calls are left for later and not answered.
    pub(in crate::serve) fn left_for_later(&self) -> usize {
        self.kept.lock().deferred.count
    }

    /// From here on the dispatcher is told of each answer, because it takes no more calls from this peer.
    pub(in crate::serve) fn is_waited_for(&self) {
        self.is_waited_for.store(true, Ordering::Relaxed);
    }

    /// Notes that a call was answered, perhaps the last one: the thread that looks after late answers looks.
    pub(in crate::serve) fn may_be_last(&self) {
        self.outstanding.may_be_late.store(true, Ordering::Relaxed);
    }

    /// Updates the count of outstanding answers.
    fn recount(&self, kept: &mut Kept) {
        let now = kept.deferred.count + kept.late.len();
        let before = std::mem::replace(&mut kept.counted, now);
        self.outstanding.recount(before, now);
    }

    /// Checks a call in a slot whose last answer was left for later: it is a violation if that answer has not come.
    #[cold]
    pub(super) fn look_at_later(&self, busy: u64, slot: u8) -> Result<(), Violation> {
        let again = Violation("a call in a slot whose last call is not answered yet");
        if busy & 1 << slot != 0 {
            return Err(again);
        }
        if self.kept.lock().deferred.of(slot).is_some() {
            return Err(again);
        }
        self.later.fetch_and(!(1 << slot), Ordering::Relaxed);
        self.link.forget_reply(slot);
        Ok(())
    }

    /// Notes that the answer to a call that was left for later is about to be published.
    #[cold]
    pub(super) fn end_later(&self, slot: u8, place: Place) {
        {
            let mut kept = self.kept.lock();
            kept.deferred.remove(slot);
            self.recount(&mut kept);
        }
        // If the answer takes space, the slot's next call frees that space.
        if place == Place::Inline {
            self.later.fetch_and(!(1 << slot), Ordering::Relaxed);
        }
    }

    /// Takes the right to answer a call that was left for later: from here on no other thread answers it.
    fn take_deferred(&self, ticket: Ticket) -> Result<()> {
        if let Some(reason) = self.link.reason() {
            return Err(reason.clone());
        }
        let mut kept = self.kept.lock();
        let is_it = |deferred: &&mut Open| deferred.ticket == ticket && !deferred.is_answered;
        match kept.deferred.of(ticket.slot).filter(is_it) {
            Some(deferred) => {
                deferred.is_answered = true;
                let permit = deferred.permit.take();
                drop(kept);
                // Dropped without the lock, because that wakes calls that wait for it.
                drop(permit);
                Ok(())
            }
            None => {
                let text = "the call was answered already, because this plugin has closed";
                Err(Error::new(Code::Closed, text))
            }
        }
    }

    /// Queues an answer for which there is no space yet.
    pub(super) fn push_late(&self, late: Late) {
        let mut kept = self.kept.lock();
        if kept.is_over {
            drop(kept);
            let error = Error::new(Code::ProviderGone, "the plugin has closed");
            self.publish_no_space((late.ticket, late.by), &error);
            return;
        }
        let waiting: usize = kept.late.iter().map(|late| late.reply.bytes().len()).sum();
        if !kept.late.is_empty() && waiting + late.reply.bytes().len() > MAX_LATE {
            drop(kept);
            let error = Error::new(Code::Overloaded, "too many results wait for room");
            self.publish_no_space((late.ticket, late.by), &error);
            return;
        }
        if !std::mem::replace(&mut kept.waits, true) {
            self.link.begin_waiting();
        }
        kept.late.push_back(late);
        self.recount(&mut kept);
        self.has_late.store(true, Ordering::Relaxed);
        self.outstanding.may_be_late.store(true, Ordering::Relaxed);
    }

    pub(super) fn note(&self, why: &Error) {
        let mut kept = self.kept.lock();
        if kept.notes.len() < MAX_NOTES {
            kept.notes.push(why.clone());
        }
        self.outstanding.may_be_late.store(true, Ordering::Relaxed);
    }

    /// When the next late answer's time is up; 0 if there are errors to be logged.
    pub(in crate::serve) fn late_deadline(&self) -> Option<u64> {
        let kept = self.kept.lock();
        if !kept.notes.is_empty() {
            return Some(0);
        }
        kept.late.iter().map(|late| late.deadline).min()
    }

    /// Takes the errors of results without space since the last call; `None` if there are none.
    pub(in crate::serve) fn take_notes(&self) -> Option<(Arc<Link>, Vec<Error>)> {
        let notes = std::mem::take(&mut self.kept.lock().notes);
        (!notes.is_empty()).then(|| (self.link.clone(), notes))
    }

    /// Publishes late answers for which there is space now, in order, and an error for each one whose time is up.
    /// Also frees what the peer has released.
    pub(in crate::serve) fn settle(&self) {
        let held = self.in_blocks.load(Ordering::Relaxed) | self.later.load(Ordering::Relaxed);
        let has_late = self.has_late.load(Ordering::Relaxed);
        if held == 0 && !has_late {
            return;
        }
        self.link.sweep();
        if !has_late {
            return;
        }
        let late = std::mem::take(&mut self.kept.lock().late);
        let (now, mut left) = (clock::now(), VecDeque::new());
        // This end still counts as waiting meanwhile, so that no release is missed.
        for mut late in late {
            let to = (late.ticket, late.by);
            // No answer overtakes one that still waits.
            if left.is_empty() && self.publish(to, late.ok, &mut late.reply) {
                late.reply.clear(Some(&self.link));
            } else if now >= late.deadline {
                let error = Error::new(Code::Overloaded, "no room came free before the deadline");
                self.publish_no_space(to, &error);
            } else {
                left.push_back(late);
            }
        }
        self.put_back(left);
    }

    /// Puts answers that still wait back in front of those that came meanwhile.
    fn put_back(&self, mut left: VecDeque<Late>) {
        let mut kept = self.kept.lock();
        left.append(&mut kept.late);
        kept.late = left;
        self.recount(&mut kept);
        self.has_late
            .store(!kept.late.is_empty(), Ordering::Relaxed);
        if kept.late.is_empty() && std::mem::take(&mut kept.waits) {
            self.link.end_waiting();
        }
    }

    /// Answers everything that is left with an error, because the plugin closes. Responders that answer later find
    /// the plugin closed.
    pub(in crate::serve) fn refuse_all(&self) {
        let (late, deferred) = self.end();
        let error = Error::new(Code::ProviderGone, "the plugin has closed");
        for late in late {
            self.publish_no_space((late.ticket, late.by), &error);
        }
        let text = "the plugin has closed before it answered the call";
        let error = Error::new(Code::ProviderGone, text).maybe_run();
        for ticket in deferred {
            self.publish_error((ticket, By::Responder), &error);
        }
    }

    /// Drops everything that is left, because the link has ended and nobody reads answers.
    pub(in crate::serve) fn end_unanswered(&self) {
        drop(self.end());
    }

    /// Ends the link's service. Returns what was not answered.
    fn end(&self) -> (VecDeque<Late>, Vec<Ticket>) {
        let mut kept = self.kept.lock();
        kept.is_over = true;
        if std::mem::take(&mut kept.waits) {
            self.link.end_waiting();
        }
        let late = std::mem::take(&mut kept.late);
        let open = kept.deferred.take_unanswered();
        self.recount(&mut kept);
        (late, open)
    }
}

impl AnswerLater for Answers {
    fn answer_later(
        &self,
        call: Deferred,
        outcome: Result<(), &Error>,
        mut reply: ReplyBuffer,
    ) -> Result<()> {
        let Deferred {
            ticket, deadline, ..
        } = call;
        if !self.link.is_here() {
            return Err(forked());
        }
        if let Err(error) = outcome {
            put_error(error, &mut reply);
        }
        self.take_deferred(ticket)?;
        let (ok, by) = (outcome.is_ok(), By::Responder);
        if !self.publish((ticket, by), ok, &mut reply) {
            self.push_late(Late {
                ticket,
                by,
                ok,
                reply,
                deadline,
            });
            // Wakes the dispatcher, which publishes the answer as soon as there is space.
            self.link.wake_waiting();
        } else if self.is_waited_for.load(Ordering::Relaxed) {
            self.may_be_last();
            self.link.wake_waiting();
        }
        Ok(())
    }

    fn is_cancelled(&self, ticket: Ticket) -> bool {
        let (inbox, geometry) = (self.link.inbox(), self.link.geometry());
        let is_over = !self.link.is_here() || self.link.is_gone();
        is_over || flags::is_released(inbox, geometry, ticket.slot, ticket.generation)
    }
}

impl BySlot {
    fn of(&mut self, slot: u8) -> Option<&mut Open> {
        self.open.get_mut(usize::from(slot))?.as_mut()
    }

    fn add(&mut self, call: Open) {
        let slot = usize::from(call.ticket.slot);
        if slot >= self.open.len() {
            self.open.resize_with(slot + 1, || None);
        }
        self.count += usize::from(self.open[slot].replace(call).is_none());
    }

    fn remove(&mut self, slot: u8) {
        let open = self.open.get_mut(usize::from(slot));
        self.count -= usize::from(open.and_then(Option::take).is_some());
    }

    /// Removes the calls that no thread is answering.
    fn take_unanswered(&mut self) -> Vec<Ticket> {
        let is_left = |open: &mut Open| !open.is_answered;
        let open = self.open.iter_mut();
        let open = open.filter_map(|open| open.take_if(is_left));
        let open: Vec<_> = open.map(|open| open.ticket).collect();
        self.count -= open.len();
        open
    }
}

#[cfg(test)]
mod tests;
