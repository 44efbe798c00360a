//! How often a thread that is awake looks for the next event.
//!
//! Whoever looks takes the lines away from the sender that is about to write them. Where events follow each other closely,
//! a listener that looks all the time finds each by itself, and each costs the sender the way from core to core. So
//! after such events it leaves out some looks, and finds many.

/// Events follow each other closely where one came within so many looks: an answer to what a handler has sent takes longer.
const SOON: u32 = 4;
/// So many looks are left out then: some 3 microseconds. With half as many an event took half as long again.
const REST: u32 = 64;

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Looks since there was nothing any more.
    looks: u32,
    /// Looks to be left out.
    rest: u32,
}

impl Pace {
    /// Whether to look; counts that.
    #[inline]
    pub(super) fn looks(&mut self) -> bool {
        if self.rest > 0 {
            self.rest -= 1;
            return false;
        }
        self.looks = self.looks.saturating_add(1);
        true
    }

    /// There was nothing any more.
    #[inline]
    pub(super) fn was_drained(&mut self) {
        self.rest = if self.looks <= SOON { REST } else { 0 };
        self.looks = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(pace: &mut Pace) -> u32 {
        (0..).take_while(|_| !pace.looks()).count() as u32
    }

    #[test]
    fn looks_are_left_out_after_events_that_came_soon() {
        let mut pace = Pace::default();
        (0..100).for_each(|_| assert!(pace.looks()));
        pace.was_drained();
        assert_eq!(left_out(&mut pace), 0, "the first event came late");
        pace.was_drained();
        assert_eq!(left_out(&mut pace), REST);
        (0..SOON).for_each(|_| assert!(pace.looks()));
        pace.was_drained();
        assert_eq!(left_out(&mut pace), 0, "that one came after more looks");
    }
}
