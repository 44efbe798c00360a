//! How often a thread that is awake looks for the next event.
//!
//! Whoever looks takes the lines away from the sender that is about to write them. Where events follow each other closely,
//! a listener that looks all the time finds each by itself, and each costs the sender the way from core to core. So
//! after such events it leaves out some looks, and finds many.

/// Events follow each other closely where one came after so many looks in vain at most: an answer to what a handler has
/// sent takes longer.
const SOON: u32 = 4;
/// So many looks are left out then: some 3 microseconds. With half as many an event took half as long again.
const REST: u32 = 64;

#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Looks in vain since events were taken.
    in_vain: u32,
    /// Looks to be left out.
    rest: u32,
}

impl Pace {
    /// Whether to look; counts looks that are left out.
    #[inline]
    pub(super) fn looks(&mut self) -> bool {
        let looks = self.rest == 0;
        self.rest = self.rest.saturating_sub(1);
        looks
    }

    /// For a thread that has nothing else to do: lets the time of the looks pass that are to be left out.
    #[inline]
    pub(crate) fn let_pass(&mut self) {
        (0..std::mem::take(&mut self.rest)).for_each(|_| std::hint::spin_loop());
    }

    /// A look has found nothing.
    #[inline]
    pub(crate) fn found_nothing(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// Events were taken, and whether there is any left.
    #[inline]
    pub(crate) fn took(&mut self, is_more: bool) {
        let came_soon = std::mem::take(&mut self.in_vain) <= SOON;
        self.rest = if came_soon && !is_more { REST } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(pace: &mut Pace) -> usize {
        (0..).take_while(|_| !pace.looks()).count()
    }

    #[test]
    fn looks_are_left_out_after_events_that_came_soon() {
        let mut pace = Pace::default();
        let in_vain = |pace: &mut Pace, looks| (0..looks).for_each(|_| pace.found_nothing());
        in_vain(&mut pace, SOON + 1);
        pace.took(false);
        assert_eq!(left_out(&mut pace), 0, "the first event came late");
        in_vain(&mut pace, SOON);
        pace.took(false);
        assert_eq!(left_out(&mut pace), REST as usize);
        pace.took(true);
        assert_eq!(left_out(&mut pace), 0, "there is more");
        in_vain(&mut pace, SOON + 1);
        pace.took(false);
        assert_eq!(left_out(&mut pace), 0, "that one came late again");
    }
}
