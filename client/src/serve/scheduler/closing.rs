//! Links from which no more calls are taken. Calls that were taken are still run and answered, or, if the plugin
//! ends, answered without being run.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Scheduler;
use crate::serve::exchange::IncomingCall;
use crate::serve::frame::closed;
use crate::serve::incoming::Incoming;
use crate::serve::member::Member;

impl Scheduler {
    /// Takes no more calls from a plugin's links, and moves the calls that are in their rings into the queues. The
    /// caller then tells the peer of each of these links.
    fn close_rings(&mut self, member: &Arc<Member>) {
        if member.has_ended() {
            return;
        }
        // Before the last look at the rings.
        member.memory.status.close();
        // Links may have come since changes were last noticed.
        self.refresh_links(member);
        let is_its = |side: &mut Incoming| Arc::ptr_eq(side.member(), member);
        let first = self.closed.len();
        self.closed.extend(self.sides.extract_if(.., is_its));
        self.fairness.renumber(self.sides.len());
        let mut call = IncomingCall::none();
        for at in first..self.closed.len() {
            for _ in 0..self.closed[at].link().geometry().entries() {
                // The link of a peer that breaks the protocol is of no more use.
                let Some(Ok(())) = self.closed[at].take(&mut call, 0) else {
                    break;
                };
                self.put_off(&call, None);
            }
        }
    }

    /// Takes no more calls from a plugin's links, and tells the peers. Calls that were taken go on.
    pub(crate) fn close(&mut self, member: &Arc<Member>) {
        self.close_rings(member);
        let is_its = |side: &&mut Incoming| Arc::ptr_eq(side.member(), member);
        for side in self.closed.iter_mut().filter(is_its) {
            side.answers().is_waited_for();
            side.say_closed(false);
        }
    }

    /// Drops the links of draining plugins whose calls are all answered.
    pub(super) fn note_drained(&mut self) {
        if self.draining.is_empty() {
            return;
        }
        for member in self.draining.clone().iter() {
            let is_its = |side: &&Incoming| Arc::ptr_eq(side.member(), member);
            if self.closed.iter().filter(is_its).any(Incoming::owes) {
                continue;
            }
            self.closed.retain(|side| !is_its(&side));
            let draining = Arc::make_mut(&mut self.draining);
            draining.retain(|other| !Arc::ptr_eq(other, member));
            self.drained.push(member.clone());
            member.end();
            self.outstanding.may_be_late.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that a call may have been answered that came from a link from which no more are taken, or that a
    /// plugin has drained. Returns whether a thread has to look at that.
    pub(crate) fn may_have_drained(&self) -> bool {
        let drains = !self.draining.is_empty() || !self.drained.is_empty();
        if drains {
            self.outstanding.may_be_late.store(true, Ordering::Relaxed);
        }
        drains
    }

    /// Takes the plugins that have drained since the last call.
    pub(crate) fn take_drained(&mut self) -> Vec<Arc<Member>> {
        std::mem::take(&mut self.drained)
    }

    /// Answers everything that is left for a plugin without running it, and drops its links.
    pub(super) fn part_with(&mut self, member: &Arc<Member>) {
        self.close_rings(member);
        let is_its = |side: &Incoming| Arc::ptr_eq(side.member(), member);
        let error = closed();
        let mut queues = std::mem::take(&mut self.queues);
        queues.retain(|call| {
            let side = self.side(call).filter(|side| is_its(side));
            let its = side.map(|side| side.answers().refuse(call, &error));
            its.is_none()
        });
        self.queues = queues;
        self.note_reentrant();
        for mut side in self.closed.extract_if(.., |side| is_its(side)) {
            side.answers().refuse_all();
            // A handler may still run lower on the stack, and answer later.
            side.say_closed(!side.owes());
            self.notes.extend(side.answers().take_notes());
        }
        member.end();
    }
}
