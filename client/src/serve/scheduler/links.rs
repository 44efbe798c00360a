//! Plugins and links that come and go: whose calls are looked for.

use std::sync::Arc;

use super::Scheduler;
use crate::serve::exchange::IncomingCall;
use crate::serve::frame::closed;
use crate::serve::incoming::Incoming;
use crate::serve::member::Member;

impl Scheduler {
    /// Takes note of plugins and links that came and went, if anything changed. What is left to do for
    /// those `leaving` is answered without running it.
    pub(crate) fn refresh(
        &mut self,
        (members, leaving): (&[Arc<Member>], Vec<Arc<Member>>),
        version: u64,
    ) {
        for member in leaving {
            self.part_with(&member);
            self.left.push(member);
        }
        if self.version == version {
            return;
        }
        self.version = version;
        for member in members {
            if member.has_changed() {
                self.refresh_links(member);
            }
        }
        self.fairness.renumber(self.sides.len());
        let sides = &self.sides;
        self.queues.retain(|call| {
            let side = sides.iter().find(|side| side.key() == call.key);
            let is_reentrant = side.map(|side| side.is_reentrant(call.envelope.gate));
            call.is_reentrant = is_reentrant.unwrap_or(false);
            side.is_some()
        });
        self.queues.forget_limits();
        self.note_reentrant();
    }

    /// Takes note of a plugin's links that came and went.
    fn refresh_links(&mut self, member: &Arc<Member>) {
        let peers = member.provided.peers();
        self.sides.retain(|side| {
            !Arc::ptr_eq(side.member(), member)
                || peers.iter().any(|peer| Arc::ptr_eq(peer, side.peer()))
        });
        for peer in peers {
            let is_known = |side: &Incoming| Arc::ptr_eq(&peer, side.peer());
            if !self.sides.iter().any(is_known) {
                let key = self.next_key;
                self.next_key += 1;
                let side = Incoming::new(key, (member, peer), self.together, &self.outstanding);
                self.sides.push(side);
            }
        }
        for side in &mut self.sides {
            if Arc::ptr_eq(side.member(), member) {
                side.note_reentrant();
            }
        }
    }

    /// Answers everything that is left for a plugin without running it, and forgets its links.
    fn part_with(&mut self, member: &Arc<Member>) {
        // Links may have come since the last look.
        self.refresh_links(member);
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
        let mut call = IncomingCall::none();
        for mut side in self.sides.extract_if(.., |side| is_its(side)) {
            for _ in 0..side.link().geometry().entries() {
                let Some(Ok(())) = side.take(&mut call, 0) else {
                    break;
                };
                side.answers().refuse(&call, &error);
            }
            side.answers().refuse_all();
            self.notes.extend(side.answers().take_notes());
        }
        self.fairness.renumber(self.sides.len());
    }
}
