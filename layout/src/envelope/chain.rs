//! Chains: calls together with the calls that are made while they are handled.

/// A chain: a call together with the calls that are made while it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name, which only needs to differ from those of other chains under way. Both sides of
    /// the first call derive it from where that call lies ([`Chain::begun_by`]).
    pub id: u64,
    /// How many handlers of it are under way.
    pub depth: u8,
}

/// Set in the names of chains that began inside a process.
const IN_PROCESS: u64 = 1 << 62;

/// How many handlers of one chain may be under way.
pub const MAX_DEPTH: u8 = 64;

impl Chain {
    /// The chain that a call begins which is not made by a handler: by the end of the link that
    /// it is made at, its slot and the slot's generation.
    #[inline]
    pub fn begun_by(link: u64, side: u8, slot: u8, generation: u32) -> Chain {
        let end = link << 1 | u64::from(side & 1);
        let id = end << 38 | u64::from(slot & 63) << 32 | u64::from(generation);
        Chain::named(id & !IN_PROCESS)
    }

    /// The chain that a call begins which passes through no link, by a name that its thread drew.
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
