//! The lives of gates: each has a number.
//!
//! Plugins that watch a gate tell its lives apart by their numbers, also across brokers, because the numbers of a broker begin above all
//! that brokers before it gave. A plugin that comes back names the life that its gate had, and its gate goes on with that life if
//!
//! - the number is below the first one of this broker, so that this broker has not given it and will not;
//! - and this broker has known no life of a gate of that name.
//!
//! So a life that is taken over is the first one of its name in this broker's time, and all later ones have larger numbers, whichever
//! plugin provides the gate and whichever looks: no plugin is told of a life and then of a smaller one. Whether the plugin really had this
//! life, the broker cannot know. A plugin that names another one misleads those who watch its own gate.
//!
//! Remembering which names had a life and are not provided now takes memory, whose amount plugins decide. When there are too many, all are
//! forgotten, and no life is taken over any more: a plugin that comes back then begins a new life, and plugins that watch the gate are told
//! so. As a rule this is long after the time in which plugins come back to this broker from the one before it.

use std::collections::BTreeSet;
use std::sync::Arc;

/// How many names of gates are remembered that had a life and have none now: a few megabytes.
const MOST_PAST: usize = 16_384;

/// The lives of all gates of a bus.
#[derive(Debug)]
pub(crate) struct Lives {
    first: u64,
    next: u64,
    /// Gates that had a life in this broker's time and are not provided now; `None` once there were too many.
    past: Option<BTreeSet<Arc<str>>>,
}

impl Lives {
    pub(crate) fn new(first: u64) -> Lives {
        Lives {
            first,
            next: first,
            past: Some(BTreeSet::new()),
        }
    }

    /// A gate begins to be provided. Returns the life that begins; `had` is the one that its provider says it had.
    pub(crate) fn begin(&mut self, gate: &str, had: Option<u64>) -> u64 {
        // It leaves the list of past gates, because it is provided now.
        let is_new = self.past.as_mut().is_some_and(|past| !past.remove(gate));
        // 0 stands for a gate that nobody provides.
        let taken = had.filter(|life| is_new && (1..self.first).contains(life));
        taken.unwrap_or_else(|| {
            let life = self.next;
            self.next += 1;
            life
        })
    }

    /// Notes that a gate is no longer provided.
    pub(crate) fn end(&mut self, gate: &Arc<str>) {
        if let Some(past) = &mut self.past {
            past.insert(gate.clone());
            if past.len() > MOST_PAST {
                self.past = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    const FIRST: u64 = 1000;

    /// A provider that stayed was taken for another one, or another one for it.
    #[test]
    fn a_life_is_taken_from_before_this_broker_and_once() {
        let gate: Arc<str> = "g".into();
        let mut lives = Lives::new(FIRST);
        assert_eq!(lives.begin(&gate, Some(999)), 999);
        lives.end(&gate);
        assert_eq!(
            lives.begin(&gate, Some(999)),
            FIRST,
            "one of its lives is known"
        );
        assert_eq!(
            lives.begin("h", Some(FIRST)),
            FIRST + 1,
            "of this broker's time"
        );
        assert_eq!(lives.begin("i", Some(u64::MAX)), FIRST + 2);
        assert_eq!(lives.begin("j", Some(0)), FIRST + 3, "that is none");
        assert_eq!(lives.begin("k", None), FIRST + 4);
    }

    /// A plugin that provided and withdrew gates of ever new names filled the broker's memory.
    #[test]
    fn names_of_the_past_are_bounded() {
        let mut lives = Lives::new(FIRST);
        let churn = |lives: &mut Lives, numbers: std::ops::Range<usize>| {
            for number in numbers {
                let gate: Arc<str> = format!("g{number}").into();
                lives.begin(&gate, None);
                lives.end(&gate);
            }
        };
        churn(&mut lives, 0..MOST_PAST);
        assert_eq!(lives.begin("last", Some(1)), 1, "all are known still");
        churn(&mut lives, MOST_PAST..MOST_PAST + 1);
        assert!(lives.past.is_none());
        let given = FIRST + MOST_PAST as u64 + 1;
        assert_eq!(
            lives.begin("g0", Some(1)),
            given,
            "it would have been smaller"
        );
        assert_eq!(lives.begin("new", Some(2)), given + 1);
        lives.end(&"new".into());
        assert!(lives.past.is_none());
    }

    proptest! {
        /// Whatever life providers say that they had.
        #[test]
        fn each_life_of_a_gate_is_larger_than_the_one_before(
            steps in proptest::collection::vec((0..4usize, proptest::option::of(0..FIRST + 40)), 1..80),
        ) {
            let gates: [Arc<str>; 4] = ["a", "b", "c", "d"].map(Into::into);
            let mut lives = Lives::new(FIRST);
            let mut provided = [false; 4];
            let mut last = BTreeMap::new();
            for (gate, had) in steps {
                provided[gate] = !provided[gate];
                if !provided[gate] {
                    lives.end(&gates[gate]);
                    continue;
                }
                let life = lives.begin(&gates[gate], had);
                let before = last.insert(gate, life).unwrap_or(0);
                prop_assert!(life > before, "{life} after {before}");
                prop_assert!(life >= FIRST || Some(life) == had);
            }
        }
    }
}
