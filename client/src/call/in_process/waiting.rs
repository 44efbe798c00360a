//! A direct call that cannot begin at once: another chain has the provider's turn, or as many calls of the
//! gate are under way as it may have.

use std::sync::Arc;

use callgate_layout::permits::Asks;
use callgate_layout::sys::futex::{self, Awaited};
use callgate_layout::{Code, clock};

use super::{Local, Visit};
use crate::base::cancel::CancelToken;
use crate::base::chain;
use crate::base::deadline::nanos_after;
use crate::base::error::{Error, Result};
use crate::base::futex_refused;
use crate::serve::frame::closed;
use crate::serve::lending;
use crate::serve::limits::{self, Limit, Permit};
use crate::serve::turn::{Turn, TurnLock};

/// What a direct call has while its handler runs.
pub(super) struct Admitted {
    pub(super) turn: Option<Turn>,
    /// `None` where the gate has no limit any more.
    pub(super) permit: Option<Permit>,
}

/// What became of an attempt to begin.
enum Attempt {
    Admitted(Admitted),
    /// As many calls are under way as this allows.
    Full(Arc<Limit>),
    Failed(Error),
}

/// A call that waits until fewer calls of its gate are under way.
struct Wait<'a> {
    visit: &'a Visit<'a>,
    chain: u64,
    asks: Asks,
    until: u64,
    /// What the gate was meanwhile, the last as it is now.
    renewed: &'a mut Vec<Local>,
}

impl Visit<'_> {
    #[cold]
    pub(super) fn await_turn(&self, turn_lock: &'static TurnLock, chain: u64) -> Result<Turn> {
        let until = self.until();
        let turn = lending::visit_until(turn_lock, chain, until, self.cancel, self.backoff);
        if turn.is_none() {
            futex_refused::log();
        }
        turn.ok_or_else(|| self.no_turn())
    }

    /// When its time is up, counted from the first wait on.
    fn until(&self) -> u64 {
        if self.due.get() == 0 {
            self.due.set(nanos_after(self.timeout));
        }
        self.due.get()
    }

    #[cold]
    pub(super) fn no_turn(&self) -> Error {
        self.too_late("the provider, in this process, ran other handlers until the deadline")
    }

    fn too_late(&self, why: &str) -> Error {
        match self.is_cancelled() {
            true => Error::new(Code::Cancelled, "the call was given up"),
            false => Error::new(Code::Timeout, why),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(CancelToken::is_cancelled)
    }

    /// Takes a permit for a call that has its turn. Where it has to wait for one, it gives the turn back
    /// meanwhile: who has the permit may need that.
    #[cold]
    pub(super) fn admit(
        &self,
        chain: u64,
        (turn, limit): (Option<Turn>, Arc<Limit>),
        renewed: &mut Vec<Local>,
    ) -> Result<Admitted> {
        let (first, later) = match chain::current() {
            Some(_) => (Asks::Chain, Asks::Chain),
            None => (Asks::First, Asks::Visitor),
        };
        if let Some(permit) = limit.permit(chain, first) {
            let permit = Some(permit);
            return Ok(Admitted { turn, permit });
        }
        let dispatcher = &self.local.dispatcher;
        dispatcher.leave_unrun(turn);
        let mut wait = Wait {
            visit: self,
            chain,
            asks: later,
            until: self.until(),
            renewed,
        };
        // What comes back in the chain may run meanwhile.
        let has_turn = |admitted: &Admitted| admitted.turn.is_some();
        let gained = dispatcher.turn_lock();
        lending::lend_until(|| wait.run(limit), has_turn, (gained, chain))
    }
}

/// Why a call did not begin in time.
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
    /// Waits until the call may begin; for one limit after the other, where the gate comes back with
    /// another one.
    fn run(&mut self, mut limit: Arc<Limit>) -> Result<Admitted> {
        let (visit, until) = (self.visit, self.until);
        loop {
            let attempt = || match self.attempt() {
                Attempt::Full(same) if Arc::ptr_eq(&same, &limit) => None,
                other => Some(other),
            };
            let sleep = |word: Awaited<'_>, has_changed: &dyn Fn() -> bool| {
                visit.sleep((word, has_changed), until)
            };
            match limit.visit_until(attempt, sleep) {
                Some(Attempt::Admitted(admitted)) => return Ok(admitted),
                Some(Attempt::Failed(error)) => return Err(error),
                Some(Attempt::Full(another)) => limit = another,
                None => {
                    futex_refused::log();
                    return Err(visit.too_late(&full()));
                }
            }
        }
    }

    fn attempt(&mut self) -> Attempt {
        let visit = self.visit;
        let dispatcher = &visit.local.dispatcher;
        let turn = match dispatcher.visit(self.chain) {
            Ok(turn) => turn,
            Err(lock) => {
                let wait = (self.chain, self.until);
                match lock.visit_until(wait.0, wait.1, visit.cancel, visit.backoff) {
                    Some(turn) => Some(turn),
                    None => return Attempt::Failed(visit.no_turn()),
                }
            }
        };
        if !visit.local.is_current() {
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
}

impl Visit<'_> {
    /// Sleeps once at most; false where the time is up.
    fn sleep(&self, (word, has_changed): (Awaited<'_>, &dyn Fn() -> bool), until: u64) -> bool {
        if self.is_cancelled() || clock::now() >= until {
            return false;
        }
        let is_over = || has_changed() || self.is_cancelled();
        if !self.backoff.stay_awake(until, is_over) {
            match self.cancel {
                Some(cancel) => futex::wait_any(&[word, cancel.word()], until),
                None => futex::wait_any(&[word], until),
            }
        }
        true
    }
}
