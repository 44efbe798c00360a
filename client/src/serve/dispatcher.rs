//! The dispatcher: runs a plugin's handlers on a thread of the plugin, on several, inside the program's own loop,
//! or on one thread together with those of the other plugins of its group.

mod copies;
mod crowd;
mod draining;
mod ending;
mod events;
mod inside;
mod members;
mod pool;
mod resting;
mod run;
pub(crate) mod serving_thread;
mod turns;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use callgate_layout::Code;
use callgate_layout::envelope::Violation;
use callgate_layout::pages::Status;
use callgate_layout::visits::Visits;
use parking_lot::{Mutex, ReentrantMutex, ReentrantMutexGuard};

use super::changes::Changes;
use super::counter::Counter;
use super::dispatch::Dispatch;
use super::exchange::IncomingCall;
use super::frame::{Frame, Served};
use super::outstanding::Outstanding;
use super::scheduler::{Broken, Scheduler, Wanted};
use super::stack;
use super::turn::{Lease, Turn, TurnLock};
use crate::base::backoff::Backoff;
use crate::base::chain;
use crate::base::error::Error;
use crate::base::thread::discard;
use crate::link::Link;

use members::{Doorbells, Parked};

pub(crate) use run::LATE_LOOK;

/// The serving side of a plugin, or of all plugins of a group: their calls, and the threads that may run them.
pub(crate) struct Dispatcher {
    changes: Arc<Changes>,
    dispatch: Dispatch,
    backoff: Backoff,
    /// A dispatcher's thread holds this lock for life, a pump while it runs, the threads of a pool for moments.
    /// Re-entrant, because a thread that waits inside a handler looks for calls of its chain.
    scheduler: ReentrantMutex<RefCell<Scheduler>>,
    outstanding: Arc<Outstanding>,
    /// Whether there are feeds from which events are taken, as far as the scheduler has noticed.
    has_feeds: AtomicBool,
    /// In a pool, held by the one thread that looks for calls.
    leader: Mutex<()>,
    parked: Mutex<Parked>,
    bells: Doorbells,
    /// The number of the thread that pumps; 0 if there is none.
    pump: AtomicU64,
    turn_lock: Lease,
    /// Calls of a pool's handlers that other plugins of this process are making directly.
    visits: Visits,
    /// How many threads of a pool have not ended.
    running: AtomicU32,
    /// How many of these are handling a call, and so look for none.
    busy: AtomicU32,
}

/// Access to the scheduler: its lock is either held all the time, or taken for moments.
pub(crate) enum Door<'a> {
    Held(ReentrantMutexGuard<'a, RefCell<Scheduler>>),
    Shared(&'a ReentrantMutex<RefCell<Scheduler>>),
}

/// The outcome of a look for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handled {
    /// There was none.
    Nothing,
    /// A call was answered, or its link ended.
    Done,
    /// Another chain has the turn.
    NoTurn,
    /// The call's gate has reached its limit.
    Full,
}

impl Door<'_> {
    /// Runs `work` with the scheduler. It must not run or drop a handler, which might come back here.
    #[inline]
    fn with<T>(&self, work: impl FnOnce(&mut Scheduler) -> T) -> T {
        match self {
            Door::Held(scheduler) => work(&mut scheduler.borrow_mut()),
            Door::Shared(scheduler) => work(&mut scheduler.lock().borrow_mut()),
        }
    }
}

impl Dispatcher {
    pub(crate) fn new(dispatch: Dispatch, backoff: Backoff) -> Dispatcher {
        let outstanding = Arc::<Outstanding>::default();
        let scheduler = Scheduler::new(dispatch, outstanding.clone());
        let turn_lock = Lease::new();
        turn_lock.owners().forget_pumping();
        Dispatcher {
            changes: Arc::new(Changes::new()),
            dispatch,
            backoff,
            scheduler: ReentrantMutex::new(RefCell::new(scheduler)),
            outstanding,
            has_feeds: AtomicBool::new(false),
            leader: Mutex::new(()),
            parked: Mutex::default(),
            bells: Doorbells::default(),
            pump: AtomicU64::new(0),
            turn_lock,
            visits: Visits::new(),
            running: AtomicU32::new(0),
            busy: AtomicU32::new(0),
        }
    }

    /// The changes that this dispatcher has to notice.
    pub(crate) fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// The calls that it has taken and that others will answer.
    pub(crate) fn outstanding(&self) -> &Arc<Outstanding> {
        &self.outstanding
    }

    pub(crate) fn dispatch(&self) -> Dispatch {
        self.dispatch
    }

    /// Begins a direct call of another plugin of this process, on the caller's thread. Fails with the turn lock to
    /// wait for while another chain has the turn. In a pool, handlers need no turn.
    #[inline]
    pub(crate) fn visit(&self, chain: u64) -> Result<Option<Turn>, &'static TurnLock> {
        if let Dispatch::Pool(_) = self.dispatch {
            // The visit is counted before the caller looks whether the plugin closes.
            self.visits.begin();
            stack::hold(None, 0);
            return Ok(None);
        }
        let turn_lock = self.turn_lock.turn_lock();
        stack::hold(Some(turn_lock), 0);
        turn_lock.visit(chain).map(Some).ok_or(turn_lock)
    }

    /// Ends a direct call, and counts it in the status page of the plugin that was called.
    #[inline]
    pub(crate) fn leave(&self, turn: Option<Turn>, status: &Status, failed: bool) {
        match turn {
            Some(turn) => {
                status.count_call(failed);
                self.turn_lock.end(turn);
            }
            None => {
                self.door().with(|_| status.count_call(failed));
                self.end_visit();
            }
        }
    }

    /// Ends a direct call in which no handler was run.
    pub(crate) fn leave_unrun(&self, turn: Option<Turn>) {
        match turn {
            Some(turn) => self.turn_lock.end(turn),
            None => self.end_visit(),
        }
    }

    /// Whether this thread is inside a chain in which a handler of one of these plugins runs, or may run, or inside
    /// such a handler on top of another chain's.
    pub(crate) fn is_inside(&self) -> bool {
        let may_visit = || self.visits.seen() != 0;
        let has_turn = |chain| self.turn_lock.belongs_to(chain) || stack::has(&self.turn_lock);
        chain::current().is_some_and(|chain| has_turn(chain.id) || may_visit())
    }

    /// Counts calls in the status page of one of these plugins.
    #[inline]
    pub(crate) fn counter<'a>(&self, status: &'a Status) -> Counter<'a> {
        Counter {
            status,
            together: self.is_pool(),
        }
    }

    /// Whether handlers run in parallel.
    #[inline]
    pub(crate) fn is_pool(&self) -> bool {
        matches!(self.dispatch, Dispatch::Pool(_))
    }

    /// Takes the turn for a call that came through a link; `None` while another chain has it.
    #[inline(always)]
    fn begin(&self, call: &IncomingCall) -> Option<Option<Turn>> {
        if let Dispatch::Pool(_) = self.dispatch {
            stack::hold(None, call.name);
            return Some(None);
        }
        stack::hold(Some(self.turn_lock.turn_lock()), call.name);
        match self.turn_lock.begin(call.chain.id) {
            None if call.is_reentrant => self.turn_lock.begin_on_top().map(Some),
            turn => turn.map(Some),
        }
    }

    /// Access to the scheduler: for as long as a thread is the only one to look at it, or in a pool for moments.
    fn door(&self) -> Door<'_> {
        match self.dispatch {
            Dispatch::Pool(_) => Door::Shared(&self.scheduler),
            Dispatch::Thread | Dispatch::Pump => Door::Held(self.scheduler.lock()),
        }
    }

    /// Whether this thread may run the plugin's handlers while it waits. To be asked on threads that [serve
    /// here](serving_thread::serve_here).
    pub(crate) fn is_mine(&self) -> bool {
        self.dispatch != Dispatch::Pump
            || self.pump.load(Ordering::Relaxed) == chain::thread_number()
    }

    /// As [`Dispatcher::door`], but `None` if another thread pumps.
    fn try_door(&self) -> Option<Door<'_>> {
        match self.dispatch {
            Dispatch::Pool(_) => Some(Door::Shared(&self.scheduler)),
            Dispatch::Thread | Dispatch::Pump => self.scheduler.try_lock().map(Door::Held),
        }
    }

    /// Makes this thread the one that pumps.
    pub(crate) fn set_pump_thread(&self) {
        self.pump.store(chain::thread_number(), Ordering::Relaxed);
    }

    /// Drops values that may hold the last reference to a handler, while nothing is borrowed or locked: values that
    /// the handler has captured may panic in their drops, and may call this very plugin on this thread. So the turn
    /// is released first.
    #[cold]
    fn discard<T>(&self, old: T) {
        self.turn_lock.release();
        discard(old);
    }

    /// Serves one call. Returns `false` if there was none that could have its turn.
    #[inline(always)]
    fn serve_one(&self, door: &Door<'_>, frame: &mut Frame, wanted: Wanted) -> bool {
        loop {
            let next = door.with(|scheduler| scheduler.next(&mut frame.exchange.call, wanted));
            match self.handle_next(door, frame, next) {
                Handled::Done => return true,
                // A call of another gate may run. There are no more of these than the links have slots.
                Handled::Full => {}
                Handled::NoTurn | Handled::Nothing => return false,
            }
        }
    }

    /// Runs the call that was taken into the frame and answers it, or puts it off.
    #[inline(always)]
    fn handle(&self, door: &Door<'_>, frame: &mut Frame) -> Handled {
        // GATES-CHANGED, after the call was seen: it may have been made for a grant that is newer than the frame's
        // copies.
        self.refresh_for_call(door, frame);
        let Some(turn) = self.begin(&frame.exchange.call) else {
            // It gets its turn when the chain that has the turn has ended.
            door.with(|scheduler| scheduler.put_off(&frame.exchange.call, None));
            return Handled::NoTurn;
        };
        let count = |status: &Status, failed| door.with(|_| status.count_call(failed));
        match frame.serve(self.is_pool(), count) {
            Ok(Served::Here) => {
                if matches!(self.dispatch, Dispatch::Pool(_)) {
                    self.tell_others(door, frame);
                }
            }
            Ok(Served::Nowhere) => self.refuse(door, frame),
            Ok(Served::Full) => {
                self.put_off(door, frame, turn);
                return Handled::Full;
            }
            Err(violation) => {
                self.end_broken(door, frame.exchange.call.key, (turn, violation));
                return Handled::Done;
            }
        }
        if let Some(turn) = turn {
            self.turn_lock.end(turn);
        }
        Handled::Done
    }

    /// Wakes another thread of a pool if there is work for it: a late answer, because only the thread that looks
    /// for calls publishes those; or calls in the queues that may run now that this call has ended, while this
    /// thread goes on to wait inside a chain.
    fn tell_others(&self, door: &Door<'_>, frame: &mut Frame) {
        let is_awaited = std::mem::take(&mut frame.exchange.is_awaited) && chain::nesting() > 0;
        let may_be_late = || self.outstanding.may_be_late.load(Ordering::Relaxed);
        let is_late = || door.with(|scheduler| scheduler.late_deadline().is_some());
        if is_awaited || may_be_late() && is_late() {
            self.wake_leader();
        }
    }

    /// Puts off a call whose gate has reached its limit.
    #[cold]
    fn put_off(&self, door: &Door<'_>, frame: &mut Frame, turn: Option<Turn>) {
        let met = frame.exchange.met.take();
        door.with(|scheduler| scheduler.put_off(&frame.exchange.call, met.as_ref()));
        if let Some(turn) = turn {
            self.turn_lock.end(turn);
        }
    }

    /// Answers a call whose link this frame does not have.
    #[cold]
    fn refuse(&self, door: &Door<'_>, frame: &mut Frame) {
        let error = Error::new(Code::ProviderGone, "the link is gone");
        door.with(|scheduler| scheduler.refuse(&frame.exchange.call, &error));
        frame.exchange.tidy(None);
    }

    /// Wakes the thread of a pool that sleeps, because another thread has made work for it.
    #[cold]
    fn wake_leader(&self) {
        if self.parked.lock().threads > 0 {
            self.bells.ring();
        }
    }

    /// Ends the turn of a call that no correct peer makes, and its link.
    #[cold]
    fn end_broken(&self, door: &Door<'_>, key: u64, (turn, why): (Option<Turn>, Violation)) {
        if let Some(turn) = turn {
            self.turn_lock.end(turn);
        }
        let link = door.with(|scheduler| scheduler.link(key));
        if let Some(link) = link {
            self.broke(door, &link, why);
        }
    }

    /// Reports a violation by a peer, which is logged: so the turn is released, because a subscriber of the log may
    /// call this very plugin.
    #[cold]
    fn broke(&self, door: &Door<'_>, link: &Arc<Link>, violation: Violation) {
        let member = door.with(|scheduler| scheduler.member(link));
        self.turn_lock.release();
        let name = link.peer().name();
        let text = format!("plugin `{name}`: {violation}; the link is closed");
        if let Some(member) = member {
            member.report(link, &Error::new(Code::Protocol, text));
        }
    }

    #[inline(always)]
    fn handle_next(
        &self,
        door: &Door<'_>,
        frame: &mut Frame,
        next: Option<Result<(), Broken>>,
    ) -> Handled {
        match next {
            None => Handled::Nothing,
            Some(Ok(())) => self.handle(door, frame),
            Some(Err((link, violation))) => {
                self.broke(door, &link, violation);
                Handled::Done
            }
        }
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher")
            .field("dispatch", &self.dispatch)
            .finish_non_exhaustive()
    }
}
