//! A ring that closes: both sides.

use super::*;

impl Provider {
    /// Takes no more calls. What lies in the ring goes to `take`.
    pub(crate) fn close(&mut self, mut take: impl FnMut(&mut Provider, Taken)) {
        let link = self.link().clone();
        link.status.close();
        for _ in 0..link.geometry.entries() {
            let Some(call) = self.try_take() else {
                break;
            };
            take(self, call);
        }
        self.say_closed();
    }

    /// Says up to which call they were taken.
    fn say_closed(&self) {
        let link = self.link();
        closing::close(&link.replies, link.geometry, self.reader.taken());
        link.closing_queue.wake();
        let bells = closing::bells_to_ring(link.calls.as_read(), link.geometry);
        for bell in (1..3).filter(|bell| bells >> bell & 1 == 1) {
            link.ring_callers(bell);
        }
    }
}

impl Link {
    /// What becomes of a call with a number that was just published, where the provider may have closed: waits
    /// to hear up to which call they were taken.
    pub(crate) fn look_for_closing(&self) {
        if self.wake_provider() == Activity::Closed {
            let inbox = self.replies.as_read();
            while !closing::is_closed(inbox, self.geometry) {
                let is_open = || !closing::is_closed(inbox, self.geometry);
                self.closing_queue.wait(is_open);
            }
            self.close();
        }
    }

    /// The provider takes no more calls: who waits looks whether it has taken theirs.
    pub(crate) fn close(&self) {
        if self.life.close() {
            self.wake_all();
        }
    }
}
