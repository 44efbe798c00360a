//! Where a broker begins to count.
//!
//! A plugin may have a link of this broker and one of the broker before it. So that no number means
//! something in both, those of buses, plugins, links, shares and of what has to do with events begin at random: below 2^53, so that programs of any
//! language can read them. The lives of gates begin at the time since boot, so that those of a later
//! broker are larger: there are fewer lives than nanoseconds.

use std::hash::{BuildHasher, RandomState};

use callgate_layout::clock;
use nix::time::{ClockId, clock_gettime};

use crate::bus::First;

/// The first numbers of a broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    /// The bus's own.
    pub(super) bus: u64,
    /// The first plugin, or program that is started.
    pub(super) plugin: u64,
    /// Those that the bus gives.
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

/// From 1 to 2^52. What comes after it stays below 2^53 as long as there are not that many.
fn random(what: &str) -> u64 {
    (RandomState::new().hash_one(what) >> 12) + 1
}

/// In nanoseconds, as the broker's time namespace shows them: one that is started in another namespace than
/// the one before may begin lower, and then takes no life of it. Every kernel since 2.6.39 has this clock; where it is denied, the clock that does not
/// count the time that the machine slept is still later than for the broker before.
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

    /// A number of the broker before would mean something else to this one.
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

    /// Who watches a gate would take a later life for an earlier one.
    #[test]
    fn the_lives_of_a_later_broker_are_larger() {
        let before = Numbers::draw().first.life;
        assert!(before >= clock::now() / 2, "{before}: the time since boot");
        assert!(Numbers::draw().first.life > before);
    }
}
