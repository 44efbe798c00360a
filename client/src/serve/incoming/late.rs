//! Answers that found no room, and the end of a link's service.

use std::collections::VecDeque;
use std::sync::Arc;

use callgate_layout::pending::Ticket;
use callgate_layout::{Code, clock};

use super::Incoming;
use crate::base::error::Error;
use crate::handler::ReplyBuffer;
use crate::link::Link;
use crate::serve::exchange::IncomingCall;

/// An answer that waits for room in this side's payload blocks.
pub(super) struct Late {
    pub(super) ticket: Ticket,
    pub(super) ok: bool,
    pub(super) reply: ReplyBuffer,
    pub(super) deadline: u64,
}

impl Late {
    /// Bytes of its payload.
    pub(super) fn len(&self) -> usize {
        self.reply.bytes().len()
    }
}

impl Incoming {
    /// When the next late answer's time is up: at once where there is something to say about one.
    pub(crate) fn late_deadline(&self) -> Option<u64> {
        if !self.notes.is_empty() {
            return Some(0);
        }
        self.late.iter().map(|late| late.deadline).min()
    }

    /// Why results found no room since this was asked last; `None` where none did.
    pub(crate) fn take_notes(&mut self) -> Option<(Arc<Link>, Vec<Error>)> {
        (!self.notes.is_empty()).then(|| (self.link.clone(), std::mem::take(&mut self.notes)))
    }

    /// Publishes the late answers for which there is room now, in order, and an error for each
    /// whose time is up. Also takes back what the peer has released.
    pub(crate) fn settle(&mut self) {
        if self.in_blocks == 0 && self.late.is_empty() {
            return;
        }
        self.link.sweep();
        if self.late.is_empty() {
            return;
        }
        let now = clock::now();
        // Still counted as waiting meanwhile, so that nothing that comes free is missed.
        for mut late in std::mem::take(&mut self.late) {
            // None overtakes one that still waits.
            let is_first = self.late.is_empty();
            if is_first && self.publish(late.ticket, late.ok, &mut late.reply) {
                late.reply.clear(Some(&self.link));
                continue;
            }
            if now >= late.deadline {
                let error = Error::new(Code::Overloaded, "no room came free before the deadline");
                self.publish_no_space(late.ticket, &error);
                continue;
            }
            self.late.push_back(late);
        }
        if self.late.is_empty() {
            self.link.end_waiting();
        }
    }

    /// Takes the late answers out, which then no longer wait.
    fn take_late(&mut self) -> VecDeque<Late> {
        if !self.late.is_empty() {
            self.link.end_waiting();
        }
        std::mem::take(&mut self.late)
    }

    /// Answers everything that is left without running it: the plugin closes. What is published
    /// after that finds the plugin closed.
    pub(crate) fn refuse_all(&mut self, call: &mut IncomingCall) {
        for _ in 0..self.link.geometry().entries() {
            let Some(Ok(())) = self.take(call, 0) else {
                break;
            };
            self.refuse(call);
        }
        for late in self.take_late() {
            let error = Error::new(Code::ProviderGone, "the plugin has closed");
            self.publish_no_space(late.ticket, &error);
        }
    }

    /// Answers a call that was taken and will not be run, because the plugin closes.
    pub(crate) fn refuse(&mut self, call: &IncomingCall) {
        let error = Error::new(
            Code::ProviderGone,
            "the plugin has closed; the call was not run",
        );
        self.publish_error(call.ticket, &error);
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.take_late();
    }
}
