//! Noticing plugins and links that come and go.

use std::sync::Arc;

use super::Scheduler;
use crate::serve::incoming::Incoming;
use crate::serve::member::Member;

/// The plugins of a dispatcher.
#[derive(Default)]
pub(crate) struct Members {
    pub(crate) served: Arc<Vec<Arc<Member>>>,
    /// Those from whose links no more calls are taken.
    pub(crate) draining: Arc<Vec<Arc<Member>>>,
    /// Those whose calls are all answered now without being run.
    pub(crate) leaving: Vec<Arc<Member>>,
}

impl Scheduler {
    /// Notices plugins and links that came and went, if anything has changed.
    pub(crate) fn refresh(&mut self, members: Members, version: u64) {
        let Members {
            served,
            draining,
            leaving,
        } = members;
        for member in leaving {
            self.part_with(&member);
            self.left.push(member);
        }
        if self.version == version {
            return;
        }
        self.version = version;
        self.feeds.refresh(served.iter().chain(draining.iter()));
        for member in served.iter().chain(draining.iter()) {
            if member.has_changed() {
                self.refresh_links(member);
            }
        }
        for member in draining.iter() {
            self.close(member);
        }
        self.draining = draining;
        self.note_drained();
        self.fairness.renumber(self.sides.len());
        let (sides, closed) = (&self.sides, &self.closed);
        self.queues.retain(|call| {
            let mut sides = sides.iter().chain(closed);
            let side = sides.find(|side| side.key() == call.key);
            let is_reentrant = side.map(|side| side.is_reentrant(call.envelope.gate));
            call.is_reentrant = is_reentrant.unwrap_or(false);
            side.is_some()
        });
        self.queues.forget_limits();
        self.note_reentrant();
    }

    /// Notices a plugin's links that came and went.
    pub(super) fn refresh_links(&mut self, member: &Arc<Member>) {
        let peers = member.provided.peers();
        let is_there = |side: &Incoming| {
            !Arc::ptr_eq(side.member(), member)
                || peers.iter().any(|peer| Arc::ptr_eq(peer, side.peer()))
        };
        self.sides.retain(is_there);
        self.closed.retain(is_there);
        for peer in peers {
            let is_known = |side: &Incoming| Arc::ptr_eq(&peer, side.peer());
            if !self.all_sides().any(is_known) {
                let key = self.next_key;
                self.next_key += 1;
                let side = Incoming::new(key, (member, peer), self.together, &self.outstanding);
                self.sides.push(side);
            }
        }
        for side in self.sides.iter_mut().chain(&mut self.closed) {
            if Arc::ptr_eq(side.member(), member) {
                side.note_reentrant();
            }
        }
    }
}
