//! The exchange: what a call of 64 bytes moves, and nothing around it. Each side writes an envelope and
//! 64 bytes into two cache lines of its own, the other reads them. The limit's word may be written by
//! both sides in one line; whoever keeps a writer for every byte cannot be faster than this.
//!
//! How often to look depends on the machine: all the time, or after some pauses. The faster one counts
//! in each round.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::Ordering;

use super::limit::{Callee, Caller, Wait};
use super::{Client, Server, Setup, System};
use crate::Result;
use crate::raw::Words;
use crate::scenario::Scenario;

/// Words of four bytes: an envelope of 16 bytes and 64 more.
const WORDS: usize = 20;

/// Looks, and pauses so many times between two looks.
struct Carrying<const PAUSES: u32>;

impl<const PAUSES: u32> Wait for Carrying<PAUSES> {
    const ANSWER: (usize, usize) = (1, 0);

    #[inline]
    fn put(words: &Words, (line, first): (usize, usize), number: u32) {
        for nth in 1..WORDS {
            words.word(line, nth).store(number, Ordering::Relaxed);
        }
        words.word(line, first).store(number, Ordering::Release);
    }

    #[inline]
    fn other(words: &Words, (line, first): (usize, usize), old: u32) -> u32 {
        loop {
            // Its second line is fetched together with the first.
            black_box(words.word(line, WORDS - 1).load(Ordering::Relaxed));
            let now = words.word(line, first).load(Ordering::Acquire);
            if now != old {
                let rest = (1..WORDS).map(|nth| words.word(line, nth).load(Ordering::Relaxed));
                return rest.fold(now, |same, word| same & word);
            }
            (0..PAUSES).for_each(|_| spin_loop());
        }
    }
}

/// The exchange, looking all the time or not.
pub(super) struct Exchange {
    pauses: bool,
}

impl Exchange {
    pub(super) const EAGER: Exchange = Exchange { pauses: false };
    pub(super) const PATIENT: Exchange = Exchange { pauses: true };
}

impl System for Exchange {
    fn name(&self) -> &'static str {
        "exchange"
    }

    fn id(&self) -> &'static str {
        match self.pauses {
            false => "exchange-eager",
            true => "exchange-patient",
        }
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        scenario == Scenario::SmallHot
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        match self.pauses {
            false => Ok(Box::new(Callee::<Carrying<0>>::new(setup)?)),
            true => Ok(Box::new(Callee::<Carrying<3>>::new(setup)?)),
        }
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        match self.pauses {
            false => Ok(Box::new(Caller::<Carrying<0>>::new(setup))),
            true => Ok(Box::new(Caller::<Carrying<3>>::new(setup))),
        }
    }
}
