//! A ring that closes: both sides.

use super::*;

impl Provider {
    /// Stops taking calls, and passes those left in the ring to `take`. If `is_over`, the provider no longer uses the link.
    pub(crate) fn close(&mut self, is_over: bool, mut take: impl FnMut(&mut Provider, Taken)) {
        let link = self.link().clone();
        link.status.close();
        for _ in 0..link.geometry.entries() {
            let Some(call) = self.try_take() else {
                break;
            };
            take(self, call);
        }
        self.say_closed(is_over);
    }

    /// Publishes the number of the last call that was taken.
    fn say_closed(&self, is_over: bool) {
        let (link, taken) = (self.link(), self.reader.taken());
        closing::close(&link.replies, link.geometry, (taken, is_over));
        link.slot_queue.wake();
        let bells = closing::bells_to_ring(link.calls.as_read(), link.geometry);
        for bell in (1..3).filter(|bell| bells >> bell & 1 == 1) {
            link.ring_callers(bell);
        }
    }
}

impl Link {
    /// After a call was published, checks whether the provider has closed.
    pub(crate) fn look_for_closing(&self) {
        if self.wake_provider() == Activity::Closed {
            self.close();
        }
    }

    /// Ends the link if the provider no longer uses it.
    pub(crate) fn end_if_over(&self) {
        if closing::look(self.replies.as_read(), self.geometry) == Some(true) {
            self.end();
        }
    }

    /// Records that the provider takes no more calls: waiting callers then check whether it has taken theirs.
    fn close(&self) {
        if self.life.close() {
            self.wake_all();
        }
    }
}
