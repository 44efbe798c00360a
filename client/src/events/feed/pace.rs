//! How often a thread that is awake looks for the next event.
//!
//! Each look moves the ring's cache lines to the listener's core, and the sender must fetch them back before it can
//! write. If events follow each other closely, a listener that looks all the time finds each event by itself, and
//! each costs the sender that transfer. So after such events the listener leaves out some looks, and then finds
//! many events at once.

/// Events follow each other closely if an event came after at most this many looks that found nothing: the answer
/// to something that a handler has sent takes longer.
const SOON: u32 = 4;
/// How many looks are left out then: about 3 microseconds. With half as many, an event took half as long again.
const REST: u32 = 64;

#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Looks that found nothing since events were last taken.
    in_vain: u32,
    /// Looks that are still to be left out.
    rest: u32,
}

impl Pace {
    /// Whether to look now; counts the looks that are left out.
    #[inline]
    pub(super) fn looks(&mut self) -> bool {
        let looks = self.rest == 0;
        self.rest = self.rest.saturating_sub(1);
        looks
    }

    /// For a thread that has nothing else to do: spins for the time of the looks that are to be left out.
    #[inline]
    pub(crate) fn let_pass(&mut self) {
        (0..std::mem::take(&mut self.rest)).for_each(|_| std::hint::spin_loop());
    }

    /// Notes that a look has found nothing.
    #[inline]
    pub(crate) fn found_nothing(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
    }

    /// Notes that events were taken. `is_more` says whether there are more.
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
