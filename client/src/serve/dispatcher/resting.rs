//! What a dispatcher's thread publishes before it sleeps, for threads of other plugins in its handlers: that it has
//! looked at everything that has come in, and the values of its bells at that look.

use super::Dispatcher;
use super::members::AwaitedBells;
use crate::serve::owners::{Owners, Rest};

impl Dispatcher {
    /// The values at which a thread is about to look, if any gate is re-entrant. To be read before that look.
    pub(super) fn rest(&self, bells: &AwaitedBells<'_>, turns: Option<u32>) -> Option<Rest> {
        let bells = self
            .turn_lock
            .owners()
            .has_reentrant()
            .then(|| bells.values())?;
        Some(Rest { bells, turns })
    }

    /// As [`Dispatcher::rest`], for a thread that waits inside a chain, and may serve calls once a turn is lent or
    /// ends.
    pub(crate) fn rest_inside(&self, bells: &AwaitedBells<'_>) -> Option<Rest> {
        self.rest(bells, Some(self.turn_lock.seen()))
    }

    /// Publishes that the thread found nothing at that look, and sleeps until this is dropped.
    pub(crate) fn sleep_at(&self, rest: Option<Rest>) -> Option<AtRest<'_>> {
        let rest = rest?;
        let owners = self.turn_lock.owners();
        owners.set_rest(Some(rest));
        Some(AtRest(owners))
    }
}

/// A dispatcher's thread sleeps, because it found nothing to serve.
pub(crate) struct AtRest<'a>(&'a Owners);

impl Drop for AtRest<'_> {
    fn drop(&mut self) {
        self.0.set_rest(None);
    }
}
