//! Plugins that are served on until what was taken for them is answered, and from whose links no more is
//! taken.

use std::sync::Arc;
use std::time::Duration;

use super::{Dispatch, Dispatcher, Door};
use crate::serve::member::Member;
use crate::serve::scheduler::Scheduler;

/// How long another thread may keep the scheduler that only looks at it. One that runs a handler keeps it for
/// longer, and looks at what has changed when that has ended.
const MOMENT: Duration = Duration::from_millis(1);

impl Dispatcher {
    /// Takes no more calls from a plugin's links. What was taken is run and answered, and then the plugin is let
    /// go. This does not wait for handlers: whoever runs one that keeps the scheduler does the rest.
    pub(crate) fn drain(&self, member: &Arc<Member>) {
        if self.announce_drain(member) {
            self.look_at_draining();
        }
    }

    /// Has the scheduler take note of plugins that drain, where no other thread is about to.
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
