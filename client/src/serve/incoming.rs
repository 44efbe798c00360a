//! The incoming side of a link: takes calls from the peer's ring.

use std::sync::Arc;

use callgate_layout::envelope::{Call, Chain, ChainNames, Violation};
use callgate_layout::pending::Ticket;
use callgate_layout::ring::RingReader;
use callgate_layout::{closing, slot};

use super::answers::Answers;
use super::exchange::IncomingCall;
use super::grants::PeerGrants;
use super::member::Member;
use super::outstanding::Outstanding;
use crate::link::Link;

/// The incoming side of a link: what this plugin knows of the peer's calls, in memory that the peer cannot change.
pub(crate) struct Incoming {
    key: u64,
    member: Arc<Member>,
    peer: Arc<PeerGrants>,
    answers: Arc<Answers>,
    reader: RingReader,
    /// How many calls each slot has borne.
    generations: [u32; 64],
    /// The names of the chains that the peer's calls begin.
    chains: ChainNames,
    /// Which of the gates that the peer may call are re-entrant, by index; an index beyond the end is not.
    reentrant: Vec<bool>,
    /// Whether the peer was told that no more calls are taken.
    has_said_closed: bool,
}

impl Incoming {
    pub(crate) fn new(
        key: u64,
        (member, peer): (&Arc<Member>, Arc<PeerGrants>),
        together: bool,
        outstanding: &Arc<Outstanding>,
    ) -> Incoming {
        let link = peer.link().clone();
        let reader = RingReader::new(link.geometry());
        let chains = link.chains(link.end().other());
        let answers = Arc::new(Answers::new(link, together, outstanding.clone()));
        peer.answered_by(&answers);
        Incoming {
            key,
            member: member.clone(),
            chains,
            answers,
            peer,
            reader,
            generations: [0; 64],
            reentrant: Vec::new(),
            has_said_closed: false,
        }
    }

    /// Notes which gates are re-entrant now.
    pub(crate) fn note_reentrant(&mut self) {
        self.reentrant = self.member.provided.reentrant(&self.peer);
    }

    pub(crate) fn has_reentrant(&self) -> bool {
        self.reentrant.contains(&true)
    }

    /// Whether the gate behind an index is re-entrant.
    #[cold]
    pub(crate) fn is_reentrant(&self, gate: u16) -> bool {
        self.reentrant
            .get(usize::from(gate))
            .is_some_and(|is_it| *is_it)
    }

    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// The plugin to which the link belongs.
    pub(crate) fn member(&self) -> &Arc<Member> {
        &self.member
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        self.answers.link()
    }

    pub(crate) fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }

    pub(crate) fn peer(&self) -> &Arc<PeerGrants> {
        &self.peer
    }

    /// Whether there is a call to take now.
    #[inline]
    pub(crate) fn has_call(&self) -> bool {
        !self.link().is_gone() && self.reader.has_call(self.link().inbox())
    }

    /// Takes the next call, if there is one.
    #[inline(always)]
    pub(crate) fn take(
        &mut self,
        into: &mut IncomingCall,
        index: usize,
    ) -> Option<Result<(), Violation>> {
        let call = self
            .reader
            .take(self.answers.link().inbox(), &mut into.cell)?;
        Some(call.and_then(|call| self.accept(call, index, into)))
    }

    /// Tells the peer up to which call this side has taken them, and with `is_over` also that all of these are
    /// answered and this plugin is done with the link. Wakes the threads that wait for this.
    pub(crate) fn say_closed(&mut self, is_over: bool) {
        let link = self.link();
        let (outbox, geometry) = (link.outbox(), link.geometry());
        if self.has_said_closed && !is_over {
            return;
        }
        closing::close(outbox, geometry, (self.reader.taken(), is_over));
        closing::wake(outbox, geometry);
        let bells = closing::bells_to_ring(link.inbox(), geometry);
        let bells = (0..u64::BITS as u8).filter(|bell| bells >> bell & 1 == 1);
        bells.for_each(|bell| link.peer_bell().ring_callers(bell));
        // For threads that wait for a slot or for space.
        link.peer_bell().ring();
        self.has_said_closed = true;
    }

    /// Whether a call that was taken is not answered yet. Each call is answered in its slot, by whichever thread,
    /// so the slots show exactly which are.
    pub(crate) fn owes(&self) -> bool {
        let link = self.link();
        let (outbox, geometry) = (link.outbox().as_read(), link.geometry());
        let generations = (0..).zip(self.generations);
        let mut slots = generations.take(geometry.entries() as usize);
        !link.is_gone()
            && slots.any(|(slot, generation)| slot::state(outbox, geometry, slot) != generation)
    }

    /// Copies a call to private memory, where the peer cannot change it.
    #[inline(always)]
    fn accept(
        &mut self,
        call: Call,
        index: usize,
        into: &mut IncomingCall,
    ) -> Result<(), Violation> {
        let slot = call.slot;
        self.answers.begin(slot)?;
        let generation = &mut self.generations[usize::from(slot)];
        *generation = generation.wrapping_add(1);
        let generation = *generation;
        let ticket = Ticket { slot, generation };
        let is_nested = call.chain.is_some();
        let begun = || self.chains.begun_by(slot, generation);
        let before = call.chain.unwrap_or_else(begun);
        into.name = match is_nested {
            true => self.name(ticket),
            false => before.id,
        };
        into.is_reentrant = !self.reentrant.is_empty() && self.is_reentrant(call.gate);
        (into.key, into.index) = (self.key, index);
        (into.envelope, into.ticket) = (call, ticket);
        into.chain = Chain {
            depth: before.depth.saturating_add(1),
            ..before
        };
        Ok(())
    }

    /// The name of the chain that a nested call would begin.
    #[cold]
    fn name(&self, ticket: Ticket) -> u64 {
        self.chains.begun_by(ticket.slot, ticket.generation).id
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.answers.end_unanswered();
    }
}
