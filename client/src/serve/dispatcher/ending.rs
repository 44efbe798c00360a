//! The end of a dispatcher, and of the service of one plugin of a group.

use callgate_layout::sys::futex::{self, Awaited};

use super::copies::Old;
use super::{Dispatch, Dispatcher};
use crate::base::chain;
use crate::serve::lending;
use crate::serve::member::Member;
use crate::serve::stack;
use crate::serve::turn::Patience;

impl Dispatcher {
    /// Tells the dispatcher to end. Returns whether this is the first time.
    pub(crate) fn close(&self) -> bool {
        let is_first = self.changes.close();
        self.bells.ring();
        is_first
    }

    /// Answers everything that is left for a plugin of a group whose end was announced. Called on a thread that
    /// serves here, or while no thread does. Returns the copies that the caller has to drop without a lock.
    pub(crate) fn part_here(&self) -> Old {
        let version = self.changes.version();
        self.door().with(|scheduler| {
            self.refresh_scheduler(scheduler, version);
            self.old_copies(scheduler, Vec::new())
        })
    }

    /// Waits until no handler of a group's plugin runs any more, after its end was announced. First for the serving
    /// thread, which lets the plugin go when no handler of the group runs on it; then for direct calls by other
    /// plugins of this process. Direct calls that begin from now on find the plugin closed.
    pub(crate) fn await_parting(&self, member: &Member) {
        member.await_let_go();
        let chain = chain::current().unwrap_or_else(chain::fresh).id;
        let turn = match self.visit(chain) {
            Ok(turn) => turn,
            Err(turn_lock) => {
                lending::visit_until(turn_lock, (chain, false), &mut self.without_end())
            }
        };
        if let Some(turn) = turn {
            self.turn_lock.end(turn);
        }
    }

    /// Ends the service: answers everything that is left without running it.
    pub(crate) fn finish(&self) {
        self.announce_all_ends();
        if self.is_visited() {
            // Calls that come in from now on are refused without waiting for those handlers.
            self.close_leaving();
        }
        self.await_visits();
        let door = self.door();
        let version = self.changes.version();
        let (spare, notes) = door.with(|scheduler| {
            self.refresh_scheduler(scheduler, version);
            (scheduler.take_spare(), scheduler.take_notes())
        });
        drop(door);
        self.say(notes);
        self.discard(spare);
    }

    /// Whether another plugin of this process may be running a handler.
    fn is_visited(&self) -> bool {
        self.visits.seen() != 0 || self.turn_lock.holder().is_some()
    }

    /// Takes no more calls from links of plugins whose end was announced, and tells the peers.
    fn close_leaving(&self) {
        let leaving = self.leaving();
        self.door()
            .with(|scheduler| leaving.iter().for_each(|member| scheduler.close(member)));
    }

    /// Waits for a handler that another plugin of this process runs, unless this thread is in its chain, or runs on
    /// top of it.
    fn await_visits(&self) {
        if stack::has(&self.turn_lock) {
            return;
        }
        if let Dispatch::Pool(_) = self.dispatch {
            // Not inside a handler, because that may be the one for which this would wait.
            if chain::current().is_none() {
                self.await_end_of_visits();
            }
            return;
        }
        let chain = chain::current().unwrap_or_else(chain::fresh).id;
        if let Ok(Some(turn)) = self.visit(chain) {
            return self.turn_lock.end(turn);
        }
        let turn = self
            .turn_lock
            .visit_until((chain, false), &mut self.without_end());
        if let Some(turn) = turn {
            self.turn_lock.end(turn);
        }
    }

    /// Waits for a turn without a deadline.
    fn without_end(&self) -> Patience<'_> {
        Patience {
            deadline: u64::MAX,
            cancel: None,
            backoff: &self.backoff,
        }
    }

    pub(super) fn end_visit(&self) {
        if self.visits.end(|| self.changes.is_closing()) {
            futex::wake_private(self.visits.word());
        }
    }

    /// Waits until no other plugin runs a handler of this pool, which is closing.
    pub(super) fn await_end_of_visits(&self) {
        self.visits.await_end(|left| {
            let left = Awaited::private(self.visits.word(), left);
            futex::wait_any(&[left], u64::MAX);
        });
    }
}
