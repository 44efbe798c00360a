//! The scheduler: where a plugin's calls come in. It looks at the links' rings in turn, and keeps the calls that
//! were taken while another chain had the turn, or while their gate had reached its limit.
//!
//! Nothing here runs or drops a handler, so it is only ever borrowed for a moment.

mod closing;
mod fairness;
mod feeds;
mod links;
mod queues;
mod wanted;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callgate_layout::envelope::Violation;

use super::dispatch::Dispatch;
use super::exchange::IncomingCall;
use super::frame::Frame;
use super::incoming::Incoming;
use super::limits::Limit;
use super::member::Member;
use super::outstanding::Outstanding;
use crate::base::error::{Error, Result};
use crate::link::Link;

use fairness::Fairness;
use feeds::FeedTurns;
use queues::{GateId, Queues};

pub(crate) use feeds::BATCH as FEED_BATCH;
pub(crate) use links::Members;
pub(crate) use wanted::Wanted;

/// How many calls are moved from the rings into the queues at a time.
const TAKE_IN: u32 = 16;

/// Why there was no space for results to a peer, to be logged.
pub(crate) type Notes = Vec<(Arc<Link>, Vec<Error>)>;

/// A link whose peer broke the protocol, and how.
pub(crate) type Broken = (Arc<Link>, Violation);

pub(crate) struct Scheduler {
    version: u64,
    sides: Vec<Incoming>,
    /// The links from which no more calls are taken.
    closed: Vec<Incoming>,
    /// Calls that were taken and could not run yet.
    queues: Queues,
    fairness: Fairness,
    feeds: FeedTurns,
    /// Whether calls are only looked for from time to time, by a pump.
    is_pumped: bool,
    /// Whether there is a call that the last look did not reach.
    is_missing: bool,
    /// Whether several threads answer calls in parallel.
    together: bool,
    outstanding: Arc<Outstanding>,
    next_key: u64,
    /// Frames for nested calls that are not in use.
    spare: Vec<Frame>,
    /// Plugins that drain: no more calls are taken from their links, and some are not answered yet. And those that
    /// have drained.
    draining: Arc<Vec<Arc<Member>>>,
    drained: Vec<Arc<Member>>,
    /// Plugins that are served no more and whose handlers may still run on a stack.
    left: Vec<Arc<Member>>,
    /// Errors to be logged for their links.
    notes: Notes,
}

impl Scheduler {
    pub(crate) fn new(dispatch: Dispatch, outstanding: Arc<Outstanding>) -> Scheduler {
        Scheduler {
            version: 0,
            sides: Vec::new(),
            closed: Vec::new(),
            queues: Queues::default(),
            fairness: Fairness::new(),
            feeds: FeedTurns::new(),
            is_pumped: dispatch == Dispatch::Pump,
            is_missing: false,
            together: matches!(dispatch, Dispatch::Pool(_)),
            outstanding,
            next_key: 0,
            spare: Vec::new(),
            draining: Arc::default(),
            drained: Vec::new(),
            left: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The version of the changes that it has noticed.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The incoming sides of the links, and those of links from which no more calls are taken.
    pub(crate) fn sides(&self) -> (&[Incoming], &[Incoming]) {
        (&self.sides, &self.closed)
    }

    fn all_sides(&self) -> impl Iterator<Item = &Incoming> {
        self.sides.iter().chain(&self.closed)
    }

    /// The plugin to which a link belongs, if the link is still here.
    pub(crate) fn member(&self, link: &Arc<Link>) -> Option<Arc<Member>> {
        let is_it = |side: &&Incoming| Arc::ptr_eq(side.link(), link);
        Some(self.all_sides().find(is_it)?.member().clone())
    }

    /// The link through which a call came, if it is still here.
    pub(crate) fn link(&self, key: u64) -> Option<Arc<Link>> {
        let side = self.all_sides().find(|side| side.key() == key)?;
        Some(side.link().clone())
    }

    /// Takes the plugins that were parted with. The caller knows that none of their handlers runs.
    pub(crate) fn take_left(&mut self) -> Vec<Arc<Member>> {
        std::mem::take(&mut self.left)
    }

    /// Whether a ring has a call.
    #[inline]
    pub(crate) fn has_call(&self) -> bool {
        self.sides.iter().any(Incoming::has_call)
    }

    /// Whether there is a call that can run, or may be able to. The next look then looks everywhere.
    pub(crate) fn has_work(&mut self) -> bool {
        self.is_missing = self.has_call();
        self.is_missing || self.has_queued(Wanted::Any)
    }

    /// Has the next look look everywhere, because this thread was woken for something.
    pub(crate) fn miss_nothing(&mut self) {
        self.is_missing = true;
        self.feeds.miss_nothing();
    }

    /// Whether a queued call can run, apart from waiting for its turn.
    #[inline]
    pub(crate) fn has_queued(&self, wanted: Wanted) -> bool {
        self.queues.has_runnable(wanted)
    }

    /// Whether any gate is re-entrant.
    pub(crate) fn has_reentrant(&self) -> bool {
        self.all_sides().any(Incoming::has_reentrant)
    }

    /// Whether a call of a re-entrant gate is queued.
    pub(crate) fn has_queued_reentrant(&self) -> bool {
        self.queues.has_reentrant()
    }

    /// Takes the next wanted call into `call`, if this look finds one. Other calls that are found on the way are
    /// queued, so that they stay in order.
    #[inline(always)]
    pub(crate) fn next(
        &mut self,
        call: &mut IncomingCall,
        wanted: Wanted,
    ) -> Option<Result<(), Broken>> {
        if self.queues.is_empty() {
            let thorough = self.is_thorough(wanted);
            if let Err(broken) = self.next_in_rings(call, thorough)? {
                return Some(Err(broken));
            }
            if wanted.has(call) {
                return Some(Ok(()));
            }
            self.put_off(call, None);
        }
        self.next_of_all(call, wanted)
    }

    /// Whether a look has to look everywhere, because no other look follows at once.
    #[inline]
    fn is_thorough(&mut self, wanted: Wanted) -> bool {
        self.is_pumped || wanted != Wanted::Any || std::mem::take(&mut self.is_missing)
    }

    /// As [`Scheduler::next`], while calls are queued.
    #[cold]
    fn next_of_all(
        &mut self,
        call: &mut IncomingCall,
        wanted: Wanted,
    ) -> Option<Result<(), Broken>> {
        if let Some(queued) = self.next_queued(call, wanted) {
            return Some(queued);
        }
        let thorough = self.is_thorough(wanted);
        loop {
            if let Err(broken) = self.next_in_rings(call, thorough)? {
                return Some(Err(broken));
            }
            if wanted.has(call) && !self.has_to_wait(call) {
                return Some(Ok(()));
            }
            self.put_off(call, None);
        }
    }

    /// Takes the next wanted call from the queues, if one can run. If there are several threads, or after a number
    /// of calls, first moves calls that came in meanwhile into the queues, so that their gates get their turns.
    pub(crate) fn next_queued(
        &mut self,
        call: &mut IncomingCall,
        wanted: Wanted,
    ) -> Option<Result<(), Broken>> {
        let is_due = self.together || self.queues.is_ring_s_turn();
        if wanted == Wanted::Any && is_due && self.has_queued(wanted) {
            for _ in 0..TAKE_IN {
                match self.next_in_rings(call, true) {
                    None => break,
                    Some(Ok(())) => self.put_off(call, None),
                    Some(Err(broken)) => return Some(Err(broken)),
                }
            }
        }
        *call = self.queues.take(wanted)?;
        self.note_reentrant();
        Some(Ok(()))
    }

    /// Whether a call that begins a chain has to wait behind others of its gate, whose limit is reached.
    #[cold]
    fn has_to_wait(&mut self, call: &IncomingCall) -> bool {
        call.envelope.chain.is_none() && {
            let gate = self.gate(call);
            self.queues.is_blocked(&gate)
        }
    }

    /// Puts off a call that cannot run yet: behind those that came before it, or, if it was taken from the queues,
    /// in front of those that came after it. Notes the limit that was reached.
    #[cold]
    pub(crate) fn put_off(&mut self, call: &IncomingCall, limit: Option<&Arc<Limit>>) {
        let gate = self.gate(call);
        self.queues.push(gate, call, limit);
        self.note_reentrant();
    }

    /// Publishes whether calls of re-entrant gates are queued, for threads that wait with a turn.
    fn note_reentrant(&self) {
        self.outstanding.set_reentrant(self.queues.has_reentrant());
    }

    /// The gate that a call is for.
    fn gate(&mut self, call: &IncomingCall) -> GateId {
        let index = call.envelope.gate;
        self.side(call).map_or(
            GateId {
                member: 0,
                gate: None,
            },
            |side| GateId {
                member: Arc::as_ptr(side.member()) as usize,
                gate: side.peer().gate(index),
            },
        )
    }

    /// Takes the next call from the rings, in the order of [`Fairness`].
    #[inline(always)]
    fn next_in_rings(
        &mut self,
        call: &mut IncomingCall,
        thorough: bool,
    ) -> Option<Result<(), Broken>> {
        let Scheduler {
            sides, fairness, ..
        } = self;
        fairness.look(sides.len(), thorough, |at| {
            let side = sides.get_mut(at)?;
            if side.link().is_gone() {
                return None;
            }
            let taken = side.take(call, at)?;
            Some(taken.map_err(|violation| (side.link().clone(), violation)))
        })
    }

    /// Answers a call that was taken here and cannot be run with an error.
    #[cold]
    pub(crate) fn refuse(&mut self, call: &IncomingCall, error: &Error) {
        if let Some(side) = self.side(call) {
            side.answers().refuse(call, error);
        }
    }

    fn side(&mut self, call: &IncomingCall) -> Option<&mut Incoming> {
        let is_it = |side: &Incoming| side.key() == call.key;
        let index = match self.sides.get(call.index) {
            Some(side) if is_it(side) => Some(call.index),
            _ => self.sides.iter().position(is_it),
        };
        match index {
            Some(index) => self.sides.get_mut(index),
            None => self.closed.iter_mut().find(|side| is_it(side)),
        }
    }

    /// When the next late answer's time is up; 0 if a plugin has drained.
    #[inline]
    pub(crate) fn late_deadline(&mut self) -> Option<u64> {
        match self.outstanding.may_be_late.load(Ordering::Relaxed) {
            true => self.find_late(),
            false => None,
        }
    }

    #[cold]
    fn find_late(&mut self) -> Option<u64> {
        // Cleared before the look, because other threads may add answers that this look does not see.
        self.outstanding.may_be_late.store(false, Ordering::Relaxed);
        self.note_drained();
        let drained = (!self.drained.is_empty()).then_some(0);
        let next = self
            .all_sides()
            .filter_map(|side| side.answers().late_deadline())
            .chain(drained)
            .min();
        if next.is_some() {
            self.outstanding.may_be_late.store(true, Ordering::Relaxed);
        }
        next
    }

    /// Publishes late answers for which there is space now.
    pub(crate) fn settle(&self) {
        self.all_sides().for_each(|side| side.answers().settle());
    }

    /// Takes the errors of results that had no space.
    pub(crate) fn take_notes(&mut self) -> Notes {
        let mut notes = self.take_parting_notes();
        notes.extend(
            self.all_sides()
                .filter_map(|side| side.answers().take_notes()),
        );
        notes
    }

    /// Takes the errors for links whose plugin is served no more.
    pub(crate) fn take_parting_notes(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }

    /// A frame for a nested call.
    pub(crate) fn frame(&mut self) -> Frame {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps a frame for the next nested call.
    pub(crate) fn keep(&mut self, frame: Frame) {
        self.spare.push(frame);
    }

    /// Takes the frames that are not in use.
    pub(crate) fn take_spare(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.spare)
    }
}
