//! Random numbers that a seed reproduces: SplitMix64.

use std::time::Duration;

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Takes the seed from `CALLGATE_SEED`, or else from the clock, and prints it.
    pub fn new(what: &str) -> Random {
        let given = std::env::var("CALLGATE_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(0, |now| now.as_nanos() as u64)
        });
        println!("{what}: CALLGATE_SEED={seed}");
        Random(seed)
    }

    /// A generator with a seed that another one gave.
    pub fn from_seed(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// Sleeps for less than `millis` milliseconds.
    pub fn pause(&mut self, millis: u64) {
        std::thread::sleep(Duration::from_micros(self.number() % (millis * 1000)));
    }

    /// Another generator, for a thread of its own.
    pub fn fork(&mut self) -> Random {
        Random(self.number())
    }
}
