//! Draining plugins: no more calls are taken from their links, and they are served until the calls that were taken
//! are answered.

use std::sync::Arc;
use std::time::Duration;

use super::{Dispatch, Dispatcher, Door};
use crate::serve::member::Member;
use crate::serve::scheduler::Scheduler;

/// How long to wait for the scheduler's lock: a thread that only looks holds it for a shorter time. One that runs a
/// handler holds it for longer, and looks at the changes afterwards by itself.
const MOMENT: Duration = Duration::from_millis(1);

impl Dispatcher {
    /// Takes no more calls from a plugin's links. Calls that were taken are run and answered, and then the plugin
    /// is let go. This does not wait for handlers: if a thread that runs one holds the scheduler, that thread does
    /// the rest.
    pub(crate) fn drain(&self, member: &Arc<Member>) {
        if self.announce_drain(member) {
            self.look_at_draining();
        }
    }

    /// Has the scheduler notice plugins that drain, unless another thread is about to.
    pub(super) fn look_at_draining(&self) {
        let door = match self.dispatch {
            Dispatch::Pool(_) => Some(Door::Shared(&self.scheduler)),
            Dispatch::Thread | Dispatch::Pump => {
                self.scheduler.try_lock_for(MOMENT).map(Door::Held)
            }
        };
        if let Some(door) = door {
            let version = self.changes.version();
            door.with(|scheduler| self.refresh_scheduler(scheduler, version));
            self.let_go_drained(&door);
        }
    }

    /// Lets go of plugins that have drained.
    pub(super) fn let_go_drained(&self, door: &Door<'_>) {
        let drained = door.with(Scheduler::take_drained);
        if !drained.is_empty() {
            self.forget_drained(&drained);
            drained.iter().for_each(|member| member.let_go());
        }
    }
}
