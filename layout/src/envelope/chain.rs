//! Chains: calls together with the calls that are made while they are handled.

/// A chain: a call together with the calls that are made while it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name, which only needs to differ from those of other chains under way. Both sides of
    /// the first call derive it from where that call lies ([`ChainNames::begun_by`]).
    pub id: u64,
    /// How many handlers of it are under way.
    pub depth: u8,
}

/// Set in the names of chains that began inside a process.
const IN_PROCESS: u64 = 1 << 62;

/// How many handlers of one chain may be under way.
pub const MAX_DEPTH: u8 = 64;

impl Chain {
    /// The chain that begins with a call inside this process, which uses no link; the calling thread drew its name.
    #[inline]
    pub fn begun_here(name: u64) -> Chain {
        Chain::named(name | IN_PROCESS)
    }

    /// Names have their highest bit set, so that they can stand beside other states in a word.
    #[inline]
    fn named(id: u64) -> Chain {
        let id = id | 1 << 63;
        Chain { id, depth: 0 }
    }
}

/// The names of the chains that calls begin at one end of a link.
///
/// A name has 62 bits that are derived: the bus's random number, exclusive-or the link's end above the
/// lowest 38 bits, exclusive-or slot and generation in these. So the names of one bus differ by
/// construction, for as many links as there are numbers of 23 bits. Two chains of two buses that are under
/// way at the same time have the same name with a probability of 2^-62, because the random numbers of one,
/// its own and where its links begin, which together reach all of these bits, would have to be what those
/// of the other and both places make them: in a process with 1,000 chains under way on each of two buses,
/// some two have with 2^-42.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainNames(u64);

impl ChainNames {
    /// The names of chains at one end of a link, on the bus with this number.
    pub fn new(bus: u64, link: u64, side: u8) -> ChainNames {
        let end = link << 1 | u64::from(side & 1);
        ChainNames((bus ^ end.rotate_left(38)) & !IN_PROCESS)
    }

    /// The chain that begins with the call in this slot and generation. Calls that handlers make begin no chain.
    #[inline]
    pub fn begun_by(self, slot: u8, generation: u32) -> Chain {
        let ChainNames(base) = self;
        Chain::named(base ^ (u64::from(slot & 63) << 32 | u64::from(generation)))
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, prop_assert_ne, proptest};

    proptest! {
        #[test]
        fn the_names_of_a_bus_differ(
            bus: u64, first in 1u64..1 << 52, ends in any::<[(u32, bool); 2]>(), slots in any::<[u8; 2]>(),
            counts: [u32; 2],
        ) {
            let place = |n: usize| (ends[n].0 >> 9, ends[n].1, slots[n] & 63, counts[n]);
            let name = |n: usize| {
                let (link, side, slot, generation) = place(n);
                let link = first + u64::from(link);
                ChainNames::new(bus, link, side.into()).begun_by(slot, generation).id
            };
            if place(0) != place(1) {
                prop_assert_ne!(name(0), name(1));
            }
        }

        /// Random places are seldom the same but for one thing.
        #[test]
        fn names_of_neighbours_differ(bus: u64, link in 0..u32::MAX >> 9, count: u32) {
            let mut names = std::collections::BTreeSet::new();
            for (link, side) in [(link, 0), (link, 1), (link + 1, 0)] {
                let of = ChainNames::new(bus, link.into(), side);
                for slot in 0..64 {
                    for count in [count, count.wrapping_add(1)] {
                        names.insert(of.begun_by(slot, count).id);
                    }
                }
            }
            prop_assert_eq!(names.len(), 3 * 64 * 2);
        }

        /// A handler ran in the middle of another one, in a process on two buses: both had counted their
        /// links from 1.
        #[test]
        fn the_same_place_on_another_bus_has_another_name(a: u64, b: u64, link: u16, count: u32) {
            // Those bits are not of the number.
            if (a ^ b) << 2 != 0 {
                let name = |bus| ChainNames::new(bus, link.into(), 0).begun_by(3, count).id;
                prop_assert_ne!(name(a), name(b));
            }
        }

        /// Whatever name a thread drew: such a chain is told from those of links, and from the states
        /// that stand in the same words.
        #[test]
        fn a_chain_inside_a_process_is_marked(own: u64) {
            let chain = Chain::begun_here(own);
            prop_assert_eq!((chain.id, chain.depth), (own | 3 << 62, 0));
        }

        #[test]
        fn no_name_is_that_of_a_chain_inside_a_process(bus: u64, link: u64, slot: u8, count: u32, own: u64) {
            let name = ChainNames::new(bus, link, 1).begun_by(slot, count);
            prop_assert_ne!(name, Chain::begun_here(own));
        }
    }
}
