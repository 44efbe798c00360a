//! A direct call that cannot begin at once: another chain has the provider's turn, or the gate has reached its
//! limit of calls.

use std::cell::RefCell;
use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::control::Needs;
use callgate_layout::permits::Asks;
use callgate_layout::sys::futex::Awaited;

use super::{Local, Visit};
use crate::base::cancel::CancelToken;
use crate::base::chain;
use crate::base::deadline::whose;
use crate::base::due::Due;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;
use crate::call::admission::AdmissionWait;
use crate::call::lasting;
use crate::link::together;
use crate::serve::frame::closed;
use crate::serve::lending;
use crate::serve::limits::{self, Limit, Permit};
use crate::serve::round;
use crate::serve::stack;
use crate::serve::turn::{Patience, Turn, TurnLock, Waiter};
use crate::serve::waits::About;

/// What a direct call holds while its handler runs.
pub(super) struct Admitted {
    pub(super) turn: Option<Turn>,
    /// `None` if the gate has no limit any more.
    pub(super) permit: Option<Permit>,
}

/// The outcome of an attempt to begin.
enum Attempt {
    Admitted(Admitted),
    /// This limit is reached.
    Full(Arc<Limit>),
    Failed(Error),
}

/// The wait of a call until fewer calls of its gate are under way.
struct Wait<'a> {
    visit: &'a Visit<'a>,
    chain: u64,
    asks: Asks,
    /// The gate's states meanwhile; the last one is the present state.
    renewed: &'a mut Vec<Local>,
}

impl Visit<'_> {
    #[cold]
    pub(super) fn await_turn(
        &self,
        turn_lock: &'static TurnLock,
        chain: u64,
        due: Due,
    ) -> Result<Turn> {
        // What the handler below has left for the end of its round is done before it waits.
        round::end();
        together::ring_before_wait();
        self.due.set(due.end());
        let mut waiter = self.waiter(chain, Needs::Turn);
        let who = (chain, self.local.callable.is_reentrant());
        let turn = lending::visit_until(turn_lock, who, &mut waiter);
        self.gained(turn, waiter.failure())
    }

    /// How this call waits, now that its deadline is computed. The broker is told if the wait lasts.
    fn waiter(&self, chain: u64, needs: Needs) -> AdmissionWait<'_, impl Fn() -> Option<About>> {
        let patience = Patience {
            deadline: self.due.get(),
            cancel: self.cancel,
            backoff: &self.by.backoff,
        };
        let callee = self.local.provider.identity.plugin;
        let is_reentrant = self.local.callable.is_reentrant();
        let about = move || match needs {
            // A re-entrant gate does not wait for the waits of other chains, so its wait for the turn is in no circle.
            Needs::Turn if is_reentrant => None,
            _ => lasting::about(self.by, chain, (callee, needs)),
        };
        AdmissionWait::new(patience, &*self.by.reporter, about)
    }

    /// What a call needs that waits for a permit, and that has given its turn back meanwhile.
    fn needs(&self) -> Needs {
        match self.local.callable.is_reentrant() || self.local.dispatcher.is_pool() {
            true => Needs::Permit,
            false => Needs::Turn,
        }
    }

    fn gained(&self, turn: Option<Turn>, failure: Option<Error>) -> Result<Turn> {
        if turn.is_none() {
            futex_refused::log();
        }
        let no_turn = || self.no_turn(Due::at(self.due.get()));
        turn.ok_or_else(|| failure.unwrap_or_else(no_turn))
    }

    #[cold]
    pub(super) fn no_turn(&self, due: Due) -> Error {
        let why = "the provider, in this process, ran other handlers until the deadline";
        self.too_late(why, due)
    }

    fn too_late(&self, why: &str, due: Due) -> Error {
        if self.is_cancelled() {
            return Error::new(Code::Cancelled, "the call was given up");
        }
        let whose = whose(due.end());
        Error::new(Code::Timeout, format!("{why}{whose}"))
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(CancelToken::is_cancelled)
    }

    /// Takes a permit for a call that has its turn. If it has to wait for one, it gives the turn back meanwhile,
    /// because the call that has the permit may need the turn.
    #[cold]
    pub(super) fn admit(
        &self,
        (chain, due): (u64, &mut Due),
        (turn, limit): (Option<Turn>, Arc<Limit>),
        renewed: &mut Vec<Local>,
    ) -> Result<Admitted> {
        let (first, later) = match chain::current() {
            Some(_) => (Asks::Chain, Asks::ChainVisitor),
            None => (Asks::First, Asks::Visitor),
        };
        if let Some(permit) = limit.permit(chain, first) {
            let permit = Some(permit);
            return Ok(Admitted { turn, permit });
        }
        let dispatcher = &self.local.dispatcher;
        dispatcher.leave_unrun(turn);
        *due = Due::at(due.end());
        self.due.set(due.end());
        let mut wait = Wait {
            visit: self,
            chain,
            asks: later,
            renewed,
        };
        let turn_lock = dispatcher.turn_lock();
        // If a handler of the same plugin lies below on this thread's stack, the turn of this call is the one that
        // that handler has lent. So it is given back to it.
        let is_own = stack::has(turn_lock);
        let wait = || {
            let mut admitted = wait.run(limit)?;
            if is_own {
                dispatcher.leave_unrun(admitted.turn.take());
            }
            Ok(admitted)
        };
        // Other calls of the chain may run meanwhile.
        let has_turn = |admitted: &Admitted| admitted.turn.is_some();
        let mut admitted = lending::lend_until(wait, has_turn, (turn_lock, chain))?;
        if is_own {
            // This thread's handler has the turn.
            let turn = dispatcher.visit(chain);
            admitted.turn = turn.or_else(|lock| self.await_turn(lock, chain, *due).map(Some))?;
        }
        Ok(admitted)
    }
}

/// The text of the error for a call that did not begin in time.
#[cold]
fn full() -> String {
    let text = "as many calls of the gate as may be were handled until the deadline";
    let held = limits::held_here();
    if held.is_empty() {
        return text.to_owned();
    }
    let names: Vec<_> = held.iter().map(|held| &*held.gate).collect();
    let names = names.join(", ");
    format!("{text}; meanwhile this thread's handlers kept others from limited gates: {names}")
}

impl Wait<'_> {
    /// Waits until the call may begin. If the gate gets another limit meanwhile, waits for that one.
    fn run(&mut self, mut limit: Arc<Limit>) -> Result<Admitted> {
        // As before a wait for the turn.
        round::end();
        together::ring_before_wait();
        let visit = self.visit;
        let waiter = RefCell::new(visit.waiter(self.chain, visit.needs()));
        loop {
            let before = || {
                let mut waiter = waiter.borrow_mut();
                let goes_on = !waiter.is_over();
                waiter.end();
                goes_on
            };
            let attempt = || match self.attempt(before) {
                None => None,
                Some(Attempt::Full(same)) if Arc::ptr_eq(&same, &limit) => None,
                some => some,
            };
            let sleep = |word: Awaited<'_>, has_changed: &dyn Fn() -> bool| {
                let mut waiter = waiter.borrow_mut();
                let goes_on = !waiter.is_over();
                if goes_on {
                    waiter.sleep(has_changed, word);
                }
                goes_on
            };
            match limit.visit_until(attempt, sleep) {
                Some(Attempt::Admitted(admitted)) => return Ok(admitted),
                Some(Attempt::Failed(error)) => return Err(error),
                Some(Attempt::Full(another)) => limit = another,
                None => break,
            }
        }
        futex_refused::log();
        let too_late = || visit.too_late(&full(), Due::at(visit.due.get()));
        Err(waiter.into_inner().failure().unwrap_or_else(too_late))
    }

    /// Tries to begin. Before it waits for another chain's turn to end, it calls `before`, and gives up with `None`
    /// if that returns `false`.
    fn attempt(&mut self, before: impl FnOnce() -> bool) -> Option<Attempt> {
        let visit = self.visit;
        let dispatcher = &visit.local.dispatcher;
        let turn = match dispatcher.visit(self.chain) {
            Ok(turn) => turn,
            Err(turn_lock) => {
                if !before() {
                    return None;
                }
                match self.await_turn(turn_lock) {
                    Ok(turn) => Some(turn),
                    Err(error) => return Some(Attempt::Failed(error)),
                }
            }
        };
        Some(self.attempt_in(turn))
    }

    /// Tries to begin, having the turn.
    fn attempt_in(&mut self, turn: Option<Turn>) -> Attempt {
        let visit = self.visit;
        let dispatcher = &visit.local.dispatcher;
        if !self.renewed.last().unwrap_or(visit.local).is_current() {
            self.renewed.push(visit.local.renewed());
        }
        let local = self.renewed.last().unwrap_or(visit.local);
        if local.provider.provided.is_closing() {
            dispatcher.leave_unrun(turn);
            return Attempt::Failed(closed());
        }
        let Some(limit) = local.limit() else {
            let permit = None;
            return Attempt::Admitted(Admitted { turn, permit });
        };
        match limit.permit(self.chain, self.asks) {
            None => {
                let limit = limit.clone();
                dispatcher.leave_unrun(turn);
                Attempt::Full(limit)
            }
            permit => Attempt::Admitted(Admitted { turn, permit }),
        }
    }

    fn await_turn(&self, turn_lock: &'static TurnLock) -> Result<Turn> {
        let mut waiter = self.visit.waiter(self.chain, Needs::Turn);
        let who = (self.chain, self.visit.local.callable.is_reentrant());
        let turn = turn_lock.visit_until(who, &mut waiter);
        self.visit.gained(turn, waiter.failure())
    }
}
