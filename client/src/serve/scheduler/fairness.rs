//! The order in which a dispatcher looks at its links for calls.
//!
//! A few links are looked at in turn. If there are many, a look only covers those that brought calls lately and a
//! few of the others; otherwise calls would wait while a thousand quiet rings are looked at. After each batch of
//! calls all links are looked at once, so that a few busy ones cannot keep the others out. Before a dispatcher
//! sleeps, it looks at all links anyway.

/// How many calls are taken from one link, or from those that are looked at first, before it is the others' turn.
const BATCH: u32 = 16;
/// Up to this many links are all looked at each time.
const FEW: usize = 16;
/// If there are more: how many that brought calls lately are looked at first.
const RECENT: usize = 8;
/// How many of the others are added to each look.
const WINDOW: usize = 8;

/// The links' turns.
#[derive(Debug)]
pub(crate) struct Fairness {
    /// Where the next look at all links begins.
    turn: usize,
    /// How many calls were taken since the last turn.
    taken: u32,
    /// The links that brought calls lately, in no order; `usize::MAX` for none.
    recent: [usize; RECENT],
    /// The index in `recent` of the link that is looked at first, and of the one that is replaced next.
    first: usize,
    oldest: usize,
}

impl Fairness {
    pub(crate) fn new() -> Fairness {
        Fairness {
            turn: 0,
            taken: 0,
            recent: [usize::MAX; RECENT],
            first: 0,
            oldest: 0,
        }
    }

    /// Called when links came and went: there are `len` now, and their indexes have changed. The turn stays about
    /// where it was, because otherwise the first link would have it again after each change.
    pub(crate) fn renumber(&mut self, len: usize) {
        self.recent = [usize::MAX; RECENT];
        if self.turn >= len {
            self.turn = 0;
        }
    }

    /// Looks at links for a call; `None` if none that was looked at has one. With `thorough`, looks at all `len`
    /// links.
    #[inline(always)]
    pub(crate) fn look<T>(
        &mut self,
        len: usize,
        thorough: bool,
        mut look: impl FnMut(usize) -> Option<T>,
    ) -> Option<T> {
        if thorough || len <= FEW {
            return self.look_at_all(len, look);
        }
        if self.taken < BATCH
            && let Some(found) = self.look_at_recent(len, &mut look)
        {
            return Some(found);
        }
        let some = match self.taken < BATCH {
            true => WINDOW,
            false => len,
        };
        self.taken = 0;
        self.look_at_others(len, some, look)
    }

    /// Looks at all links in turn, a batch each.
    #[inline(always)]
    fn look_at_all<T>(
        &mut self,
        len: usize,
        mut look: impl FnMut(usize) -> Option<T>,
    ) -> Option<T> {
        if self.taken >= BATCH {
            self.pass(len);
        }
        for _ in 0..len {
            if let Some(found) = look(self.turn) {
                self.taken += 1;
                return Some(found);
            }
            self.pass(len);
        }
        None
    }

    #[inline]
    fn look_at_recent<T>(
        &mut self,
        len: usize,
        look: &mut impl FnMut(usize) -> Option<T>,
    ) -> Option<T> {
        for nth in 0..RECENT {
            let place = (self.first + nth) % RECENT;
            let at = self.recent[place];
            if at < len
                && let Some(found) = look(at)
            {
                self.taken += 1;
                self.first = (place + 1) % RECENT;
                return Some(found);
            }
        }
        None
    }

    #[inline]
    fn look_at_others<T>(
        &mut self,
        len: usize,
        some: usize,
        mut look: impl FnMut(usize) -> Option<T>,
    ) -> Option<T> {
        for _ in 0..some {
            let at = self.turn;
            self.pass(len);
            if let Some(found) = look(at) {
                self.remember(at);
                return Some(found);
            }
        }
        None
    }

    #[inline]
    fn pass(&mut self, len: usize) {
        self.taken = 0;
        self.turn += 1;
        if self.turn >= len {
            self.turn = 0;
        }
    }

    /// Ends the turn of the link that was found last: with few links, the next look begins with the one after it.
    pub(crate) fn pass_on(&mut self, len: usize) {
        if len <= FEW {
            self.pass(len);
        }
    }

    fn remember(&mut self, at: usize) {
        if !self.recent.contains(&at) {
            self.recent[self.oldest] = at;
            self.oldest = (self.oldest + 1) % RECENT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves this many calls of links, of which the busy ones always have one. Returns how many calls each link
    /// had.
    fn serve(busy: &[usize], len: usize, calls: usize) -> Vec<usize> {
        let (mut fairness, mut served) = (Fairness::new(), vec![0; len]);
        let mut looks = 0;
        while served.iter().sum::<usize>() < calls {
            looks += 1;
            assert!(looks < 100 * calls, "calls are there and not found");
            let found = fairness.look(len, false, |at| busy.contains(&at).then_some(at));
            if let Some(at) = found {
                served[at] += 1;
            }
        }
        served
    }

    /// One link that was never quiet kept all others from being served.
    #[test]
    fn of_few_and_of_many_links_every_busy_one_is_served() {
        for (busy, len) in [
            (vec![0, 3, 15], 16),
            (vec![0, 500, 999], 1000),
            ((0..12).collect(), 40),
            ((0..100).collect(), 100),
        ] {
            let served = serve(&busy, len, 400 * busy.len());
            for at in &busy {
                assert!(served[*at] >= 100, "{at} of {len}: {served:?}");
            }
        }
    }

    #[test]
    fn what_is_recent_is_found_at_once_and_what_is_quiet_soon() {
        let (mut fairness, len) = (Fairness::new(), 1000);
        let mut looks = |wanted: usize| {
            let (mut looks, mut seen) = (0, 0);
            while {
                looks += 1;
                let found = fairness.look(len, false, |at| {
                    seen += 1;
                    (at == wanted).then_some(())
                });
                found.is_none()
            } {}
            (looks, seen)
        };
        assert_eq!(looks(700).0, 700 / WINDOW + 1);
        assert!((0..10).all(|_| looks(700) == (1, 1)));
        assert!(looks(600).0 <= len / WINDOW);
        let (at_once, seen) = looks(700);
        assert!(at_once == 1 && seen <= RECENT);
    }

    /// A peer that made gates come and go gave the first link the turn for ever.
    #[test]
    fn changes_do_not_begin_the_rounds_anew() {
        for len in [3, 100] {
            let (mut fairness, mut served) = (Fairness::new(), vec![0; len]);
            for _ in 0..1000 {
                fairness.renumber(len);
                // All of them always have a call.
                let found = fairness.look(len, false, Some);
                served[found.expect("a call")] += 1;
            }
            assert!(served.iter().all(|calls| *calls >= 5), "{served:?}");
        }
    }

    /// The calls of one link lie side by side in memory; looking at another link for each call reads more memory.
    #[test]
    fn of_few_links_each_has_a_turn_of_a_batch() {
        let mut fairness = Fairness::new();
        for wanted in [0, 1, 2, 0] {
            for _ in 0..BATCH {
                assert_eq!(fairness.look(3, false, Some), Some(wanted));
            }
        }
    }

    #[test]
    fn a_thorough_look_misses_nothing() {
        let mut fairness = Fairness::new();
        for wanted in [999, 0, 500] {
            let found = fairness.look(1000, true, |at| (at == wanted).then_some(at));
            assert_eq!(found, Some(wanted));
        }
        assert_eq!(fairness.look(1000, true, |_| None::<()>), None);
        assert_eq!(fairness.look(0, false, |_| Some(())), None);
    }
}
