//! What a dispatcher's thread tells those of other plugins, who are in its handlers, before it sleeps: that it
//! has looked at all that has come in, and at which state of its bells.

use super::Dispatcher;
use super::members::AwaitedBells;
use crate::serve::owners::{Owners, Rest};

impl Dispatcher {
    /// What a thread is about to look at, where it matters to anybody; to be read before that look.
    pub(super) fn rest(&self, bells: &AwaitedBells<'_>, turns: Option<u32>) -> Option<Rest> {
        let bells = self
            .turn_lock
            .owners()
            .has_reentrant()
            .then(|| bells.values())?;
        Some(Rest { bells, turns })
    }

    /// The same for a thread that waits inside a chain, and may serve what comes in when somebody's turn is lent
    /// or ends.
    pub(crate) fn rest_inside(&self, bells: &AwaitedBells<'_>) -> Option<Rest> {
        self.rest(bells, Some(self.turn_lock.seen()))
    }

    /// The thread found nothing then, and sleeps until this is dropped.
    pub(crate) fn sleep_at(&self, rest: Option<Rest>) -> Option<AtRest<'_>> {
        let rest = rest?;
        let owners = self.turn_lock.owners();
        owners.set_rest(Some(rest));
        Some(AtRest(owners))
    }
}

/// A dispatcher's thread sleeps, having found nothing to serve.
pub(crate) struct AtRest<'a>(&'a Owners);

impl Drop for AtRest<'_> {
    fn drop(&mut self) {
        self.0.set_rest(None);
    }
}
