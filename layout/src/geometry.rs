//! The layout of an outbox.
//!
//! ```text
//! offset (64 entries)   bytes   what                               section
//!      0                 8192   ring: 64 entries of 128            `ring`
//!   8192                 8192   reply slots: 64 of 128             `slot`
//!  16384                 4096   flags: 64 of 64                    `flags`
//!  20480                65536   payload blocks: 64 blocks of 1024    `blocks`
//! ```
//!
//! The broker chooses a geometry and tells it to both sides; each keeps it in private memory.
//! Zeroed memory is a valid empty outbox, and only its owner ever writes to it.

use rkyv::{Archive, Deserialize, Serialize};

/// Bytes of a cache line.
pub const LINE_LEN: usize = 64;
/// Bytes of a ring entry and of a reply slot: two cache lines.
pub const CELL_LEN: usize = 2 * LINE_LEN;
/// Bytes of an envelope, at the start of each cell.
pub const ENVELOPE_LEN: usize = 16;
/// Bytes that name the chain of a nested call, behind its envelope.
pub const CHAIN_LEN: usize = 16;
/// Bytes of payload that fit a cell beside its envelope; [`CHAIN_LEN`] less in a nested call.
pub const INLINE_LEN: usize = CELL_LEN - ENVELOPE_LEN;
/// Bytes of one pending call's flags: a cache line of its own.
pub const FLAGS_LEN: usize = 64;
/// Payload blocks of an outbox or an extent; one bit each in the writer's private map.
pub const BLOCKS: usize = 64;
/// The most entries a ring can have; one bit each in private maps.
pub const MAX_ENTRIES: u32 = 64;
/// The largest payload blocks that the broker makes.
pub const MAX_AREA_LEN: u32 = 1 << 20;

/// The sizes of an outbox; both outboxes of a link have the same.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    entries: u32,
    blocks_len: u32,
}

impl Geometry {
    /// 64 entries and 64 KiB of payload blocks.
    pub const DEFAULT: Geometry = Geometry {
        entries: 64,
        blocks_len: 64 << 10,
    };

    /// A geometry of `entries` (a power of two, at most 64) and payload blocks of `blocks_len` bytes
    /// (a multiple of 512, at most 1 MiB); `None` for anything else.
    pub const fn new(entries: u32, blocks_len: u32) -> Option<Geometry> {
        let geometry = Geometry {
            entries,
            blocks_len,
        };
        if geometry.is_sound() {
            Some(geometry)
        } else {
            None
        }
    }

    /// Whether a geometry that came over the wire is one that [`Geometry::new`] would make.
    pub const fn is_sound(&self) -> bool {
        self.entries.is_power_of_two()
            && self.entries <= MAX_ENTRIES
            && self.blocks_len > 0
            && self.blocks_len <= MAX_AREA_LEN
            && (self.blocks_len as usize).is_multiple_of(BLOCKS * 8)
    }

    /// The number of ring entries, and so of reply slots and pending calls.
    pub const fn entries(&self) -> u32 {
        self.entries
    }

    /// Bytes of the payload blocks, which is also the longest payload.
    pub const fn blocks_len(&self) -> usize {
        self.blocks_len as usize
    }

    /// Bytes of one block of the payload blocks.
    pub const fn block_len(&self) -> usize {
        self.blocks_len() / BLOCKS
    }

    /// Bytes of the whole outbox.
    pub const fn total_len(&self) -> usize {
        self.blocks_at() + self.blocks_len()
    }

    /// The place of the entry for a sequence number.
    #[inline]
    pub(crate) const fn entry_at(&self, sequence: u32) -> usize {
        (sequence & (self.entries - 1)) as usize * CELL_LEN
    }

    /// The place of a reply slot.
    #[inline]
    pub(crate) const fn reply_at(&self, slot: u8) -> usize {
        (self.entries as usize + slot as usize) * CELL_LEN
    }

    /// The place of a pending call's flags.
    #[inline]
    pub(crate) const fn flags_at(&self, slot: u8) -> usize {
        2 * self.entries as usize * CELL_LEN + slot as usize * FLAGS_LEN
    }

    /// The place of the payload blocks.
    #[inline]
    pub(crate) const fn blocks_at(&self) -> usize {
        self.entries as usize * (2 * CELL_LEN + FLAGS_LEN)
    }
}

// Checks the byte table above.
const _: () = {
    let g = Geometry::DEFAULT;
    assert!(g.entry_at(64) == 0 && g.entry_at(1) == 128);
    assert!(g.reply_at(0) == 8192);
    assert!(g.flags_at(0) == 16384);
    assert!(g.blocks_at() == 20480);
    assert!(g.total_len() == 86016);
    assert!(g.block_len() == 1024);
    assert!(INLINE_LEN == 112);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sound_geometries_are_made() {
        assert_eq!(Geometry::new(64, 64 << 10), Some(Geometry::DEFAULT));
        for (entries, blocks_len) in [
            (0, 512),
            (3, 512),
            (128, 512),
            (64, 0),
            (64, 513),
            (64, 2 << 20),
        ] {
            assert_eq!(
                Geometry::new(entries, blocks_len),
                None,
                "{entries} {blocks_len}"
            );
        }
    }
}
