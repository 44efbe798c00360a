//! Answers that are not published at once: those that found no space, and those that a handler leaves
//! for later.

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

/// Bytes of late answers that are kept for one link; a single one may be larger.
const MAX_LATE: usize = 8 << 20;

/// Results without space that are noted for one link before somebody says so: as many as there can be
/// answers of one moment.
const MAX_NOTES: usize = 64;

/// An answer that waits for space in this side's memory.
pub(super) struct Late {
    pub(super) ticket: Ticket,
    pub(super) by: By,
    pub(super) ok: bool,
    pub(super) reply: ReplyBuffer,
    pub(super) deadline: u64,
}

/// What is kept of answers that are not published yet.
#[derive(Default)]
pub(super) struct Kept {
    late: VecDeque<Late>,
    /// Whether late answers count as waiting for space.
    waits: bool,
    /// The calls whose answers are left for later.
    deferred: Vec<Open>,
    /// How many of both count as outstanding.
    counted: usize,
    /// Whether the link's service is over: nothing is published any more.
    is_over: bool,
    /// Why results found no space, to be logged where nothing is borrowed: who listens may call
    /// this very plugin.
    notes: Vec<Error>,
}

/// A call whose answer is left for later.
struct Open {
    ticket: Ticket,
    /// What it counts as under way by, where its gate has a limit.
    permit: Option<Arc<Permit>>,
    /// Whether its answer is being published, and nobody else may do that.
    is_answered: bool,
}

impl Answers {
    /// Leaves the answer to a call that was taken for later: somebody else is to publish it, on any
    /// thread.
    pub(in crate::serve) fn defer(&self, ticket: Ticket, permit: Option<Arc<Permit>>) {
        let bit = 1 << ticket.slot;
        let mut kept = self.kept.lock();
        kept.deferred.push(Open {
            ticket,
            permit,
            is_answered: false,
        });
        self.recount(&mut kept);
        self.later.fetch_or(bit, Ordering::Relaxed);
        self.change(&self.busy, bit, false);
    }

    /// How many calls were left for later and are not answered.
    pub(in crate::serve) fn left_for_later(&self) -> usize {
        self.kept.lock().deferred.len()
    }

    /// No more calls are taken from this peer: the dispatcher is to be told of answers.
    pub(in crate::serve) fn is_waited_for(&self) {
        self.is_waited_for.store(true, Ordering::Relaxed);
    }

    /// A call was answered, perhaps the last one. Whoever looks after late answers looks.
    pub(in crate::serve) fn may_be_last(&self) {
        self.outstanding.may_be_late.store(true, Ordering::Relaxed);
    }

    /// Counts what is kept anew.
    fn recount(&self, kept: &mut Kept) {
        let now = kept.deferred.len() + kept.late.len();
        let before = std::mem::replace(&mut kept.counted, now);
        self.outstanding.recount(before, now);
    }

    /// What a call is to be told in whose slot the last answer was left for later.
    #[cold]
    pub(super) fn look_at_later(&self, busy: u64, slot: u8) -> Result<(), Violation> {
        let again = Violation("a call in a slot whose last call is not answered yet");
        if busy & 1 << slot != 0 {
            return Err(again);
        }
        if self.kept.lock().is_deferred(slot) {
            return Err(again);
        }
        self.later.fetch_and(!(1 << slot), Ordering::Relaxed);
        self.link.forget_reply(slot);
        Ok(())
    }

    /// The answer to a call that was left for later is about to be published.
    #[cold]
    pub(super) fn end_later(&self, slot: u8, place: Place) {
        {
            let mut kept = self.kept.lock();
            kept.deferred
                .retain(|deferred| deferred.ticket.slot != slot);
            self.recount(&mut kept);
        }
        // Where it holds space, the slot's next call frees that.
        if place == Place::Inline {
            self.later.fetch_and(!(1 << slot), Ordering::Relaxed);
        }
    }

    /// From here on nobody else answers the call.
    fn take_deferred(&self, ticket: Ticket) -> Result<()> {
        if let Some(reason) = self.link.reason() {
            return Err(reason.clone());
        }
        let mut kept = self.kept.lock();
        let is_it = |deferred: &&mut Open| deferred.ticket == ticket && !deferred.is_answered;
        match kept.deferred.iter_mut().find(is_it) {
            Some(deferred) => {
                deferred.is_answered = true;
                let permit = deferred.permit.take();
                drop(kept);
                // Others may wait for it.
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

    /// When the next late answer's time is up: at once where there is something to say about one.
    pub(in crate::serve) fn late_deadline(&self) -> Option<u64> {
        let kept = self.kept.lock();
        if !kept.notes.is_empty() {
            return Some(0);
        }
        kept.late.iter().map(|late| late.deadline).min()
    }

    /// Why results found no space since this was asked last; `None` where none did.
    pub(in crate::serve) fn take_notes(&self) -> Option<(Arc<Link>, Vec<Error>)> {
        let notes = std::mem::take(&mut self.kept.lock().notes);
        (!notes.is_empty()).then(|| (self.link.clone(), notes))
    }

    /// Publishes the late answers for which there is space now, in order, and an error for each
    /// whose time is up. Also takes back what the peer has released.
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
        // Still counted as waiting meanwhile, so that nothing that comes free is missed.
        for mut late in late {
            let to = (late.ticket, late.by);
            // None overtakes one that still waits.
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

    /// Keeps answers that still wait, before those that came meanwhile.
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

    /// Answers everything that is left, because the plugin closes. What is published after that finds
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

    /// The link has ended: nobody reads answers any more.
    pub(in crate::serve) fn end_unanswered(&self) {
        drop(self.end());
    }

    /// The link's service is over. Gives back what has not been answered.
    fn end(&self) -> (VecDeque<Late>, Vec<Ticket>) {
        let mut kept = self.kept.lock();
        kept.is_over = true;
        if std::mem::take(&mut kept.waits) {
            self.link.end_waiting();
        }
        let late = std::mem::take(&mut kept.late);
        let open = kept.deferred.extract_if(.., |one| !one.is_answered);
        let open = open.map(|deferred| deferred.ticket).collect();
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
            // The dispatcher publishes it as soon as there is space.
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

impl Kept {
    fn is_deferred(&self, slot: u8) -> bool {
        self.deferred
            .iter()
            .any(|deferred| deferred.ticket.slot == slot)
    }
}
