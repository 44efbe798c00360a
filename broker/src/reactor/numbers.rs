//! The numbers with which a broker begins to count.
//!
//! A plugin may have a link of this broker and one of the broker before it. So that no number means something in both, the numbers of
//! buses, plugins, links, shares, and of everything that has to do with events begin at random: below 2^53, so that programs of any
//! language can read them. The lives of gates begin at the time since boot, so that those of a later broker are larger: there are fewer
//! lives than nanoseconds.

use std::hash::{BuildHasher, RandomState};

use callgate_layout::clock;
use nix::time::{ClockId, clock_gettime};

use crate::bus::First;

/// The first numbers of a broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// The number of the bus.
    pub(super) bus: u64,
    /// The number of the first plugin, or of the first program that is started.
    pub(super) plugin: u64,
    /// The first numbers that the bus gives.
    pub(super) first: First,
}

impl Numbers {
    pub(super) fn draw() -> Numbers {
        Numbers {
            bus: random("bus"),
            plugin: random("plugin"),
            first: First {
                link: random("link"),
                life: since_boot(),
                event: random("event"),
                share: random("share"),
            },
        }
    }
}

/// Returns a number from 1 to 2^52. Counting on from there stays below 2^53 until 2^52 numbers were given.
fn random(what: &str) -> u64 {
    (RandomState::new().hash_one(what) >> 12) + 1
}

/// Returns the time since boot in nanoseconds, as the broker's time namespace shows it. A broker in another namespace than the one before
/// may begin lower, and then takes over no life of that one. Every kernel since 2.6.39 has this clock. Where a sandbox denies it, the clock
/// is used that does not count the time the machine slept: it is still later than it was for the broker before.
fn since_boot() -> u64 {
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok();
    let boot = boot.and_then(|boot| {
        let seconds = u64::try_from(boot.tv_sec()).ok()?;
        seconds
            .checked_mul(1_000_000_000)?
            .checked_add_signed(boot.tv_nsec())
    });
    boot.unwrap_or_else(clock::now).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of the broker before must not mean something else to this one.
    #[test]
    fn two_brokers_do_not_begin_alike() {
        let (one, other) = (Numbers::draw(), Numbers::draw());
        assert_ne!(one.bus, other.bus);
        assert_ne!(one.plugin, other.plugin);
        assert_ne!(one.first.link, other.first.link);
        for number in [one.bus, one.plugin, one.first.link] {
            assert!((1..=1 << 52).contains(&number), "{number}");
        }
        assert_ne!(one.bus, one.plugin);
        assert_ne!(one.plugin, one.first.link);
    }

    /// A plugin that watches a gate must not take a later life for an earlier one.
    #[test]
    fn the_lives_of_a_later_broker_are_larger() {
        let before = Numbers::draw().first.life;
        assert!(before >= clock::now() / 2, "{before}: the time since boot");
        assert!(Numbers::draw().first.life > before);
    }
}
