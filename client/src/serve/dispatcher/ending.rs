//! The end of a dispatcher, and of the service of one plugin of several.

use callgate_layout::sys::futex::{self, Awaited};

use super::copies::Old;
use super::{Dispatch, Dispatcher};
use crate::base::chain;
use crate::serve::lending;
use crate::serve::member::Member;
use crate::serve::stack;
use crate::serve::turn::Patience;

impl Dispatcher {
    /// Says that this dispatcher is to end; whether nobody did so before.
    pub(crate) fn close(&self) -> bool {
        let is_first = self.changes.close();
        self.bells.ring();
        is_first
    }

    /// Answers everything that is left for a plugin of a group whose end was announced, on a thread that
    /// serves here or while none does. Gives back what is to be discarded outside of all locks.
    pub(crate) fn part_here(&self) -> Old {
        let version = self.changes.version();
        self.door().with(|scheduler| {
            self.refresh_scheduler(scheduler, version);
            self.old_copies(scheduler, Vec::new())
        })
    }

    /// Waits until no handler of a plugin of a group is under way any more, whose end was announced: on the
    /// thread that serves, which says so when none of the group's handlers is under way there; then on
    /// those of other plugins of this process, of which those that begin from now on find it closed.
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
            // Who calls from now on need not wait for that.
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

    /// Whether another plugin of this process may run a handler.
    fn is_visited(&self) -> bool {
        self.visits.seen() != 0 || self.turn_lock.holder().is_some()
    }

    /// Takes no more calls from links of plugins whose end was announced, and says so.
    fn close_leaving(&self) {
        let leaving = self.leaving();
        self.door()
            .with(|scheduler| leaving.iter().for_each(|member| scheduler.close(member)));
    }

    /// Waits for a handler that another plugin of this process runs, unless this is its chain, or runs on top
    /// of it.
    fn await_visits(&self) {
        if stack::has(&self.turn_lock) {
            return;
        }
        if let Dispatch::Pool(_) = self.dispatch {
            // Inside a handler, which may be the one that would be waited for.
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

    /// Waits for a turn as long as it takes.
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

    /// Waits until no visitor runs a handler of this pool, which closes.
    pub(super) fn await_end_of_visits(&self) {
        self.visits.await_end(|left| {
            let left = Awaited::private(self.visits.word(), left);
            futex::wait_any(&[left], u64::MAX);
        });
    }
}
