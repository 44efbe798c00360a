//! Envelopes as they lie in shared memory: archived records for which every bit pattern is valid.
//!
//! The code builds and reads the envelopes of calls and replies as two words each. That these words equal the
//! archives is checked by the assertions here and by a test.

use rkyv::{Archive, Serialize};

use crate::geometry::{CHAIN_LEN, ENVELOPE_LEN};

/// The envelope of a call as it lies in a ring.
#[derive(Archive, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct CallClaim {
    /// The call's number on this ring.
    pub sequence: u32,
    /// Index into the link's grants.
    pub gate: u16,
    /// The caller's pending call, and so the reply slot.
    pub slot: u8,
    /// CallKind (2 bits), whether the payload is JSON, whether a [`ChainClaim`] follows (1 bit each), and
    /// place (4 bits).
    pub kind: u8,
    /// Bytes of payload.
    pub length: u32,
    /// When the caller gives up, in ticks (see [`crate::clock`]).
    pub deadline: u32,
}

/// What follows the envelope of a nested call: one that was made while another was handled.
#[derive(Archive, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct ChainClaim {
    /// The chain's name.
    pub id: u64,
    /// How many handlers of the chain are under way.
    pub depth: u8,
    /// Zero.
    pub zero: [u8; 7],
}

/// The envelope of a reply as it lies in a reply slot.
#[derive(Archive, Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct ReplyClaim {
    /// The generation of the call that is answered.
    pub state: u32,
    /// 0: a result; 1: an error record.
    pub status: u8,
    /// 0: inline; 1: in the outbox's blocks; 2: in an extent.
    pub place: u8,
    /// Zero.
    pub zero: u16,
    /// Bytes of payload.
    pub length: u32,
    /// Zero.
    pub zero2: u32,
}

// Golden layout: whoever changes this changes the protocol's version.
const _: () = {
    assert!(cfg!(target_endian = "little"), "words are little-endian");
    assert!(size_of::<ArchivedCallClaim>() == ENVELOPE_LEN);
    assert!(align_of::<ArchivedCallClaim>() == 4);
    assert!(core::mem::offset_of!(ArchivedCallClaim, sequence) == 0);
    assert!(core::mem::offset_of!(ArchivedCallClaim, gate) == 4);
    assert!(core::mem::offset_of!(ArchivedCallClaim, slot) == 6);
    assert!(core::mem::offset_of!(ArchivedCallClaim, kind) == 7);
    assert!(core::mem::offset_of!(ArchivedCallClaim, length) == 8);
    assert!(core::mem::offset_of!(ArchivedCallClaim, deadline) == 12);
    assert!(size_of::<ArchivedChainClaim>() == CHAIN_LEN);
    assert!(align_of::<ArchivedChainClaim>() <= ENVELOPE_LEN);
    assert!(core::mem::offset_of!(ArchivedChainClaim, id) == 0);
    assert!(core::mem::offset_of!(ArchivedChainClaim, depth) == 8);
    assert!(size_of::<ArchivedReplyClaim>() == ENVELOPE_LEN);
    assert!(core::mem::offset_of!(ArchivedReplyClaim, state) == 0);
    assert!(core::mem::offset_of!(ArchivedReplyClaim, status) == 4);
    assert!(core::mem::offset_of!(ArchivedReplyClaim, place) == 5);
    assert!(core::mem::offset_of!(ArchivedReplyClaim, length) == 8);
};

impl CallClaim {
    /// Its archive as two little-endian words.
    #[inline(always)]
    pub(super) fn words(self) -> [u64; 2] {
        let first = u64::from(self.sequence)
            | u64::from(self.gate) << 32
            | u64::from(self.slot) << 48
            | u64::from(self.kind) << 56;
        [
            first,
            u64::from(self.length) | u64::from(self.deadline) << 32,
        ]
    }

    /// What two words hold: any two are an archive.
    #[inline(always)]
    pub(super) fn of([first, second]: [u64; 2]) -> CallClaim {
        CallClaim {
            sequence: first as u32,
            gate: (first >> 32) as u16,
            slot: (first >> 48) as u8,
            kind: (first >> 56) as u8,
            length: second as u32,
            deadline: (second >> 32) as u32,
        }
    }
}

impl ReplyClaim {
    /// Its archive as two little-endian words.
    #[inline(always)]
    pub(super) fn words(self) -> [u64; 2] {
        let first = u64::from(self.state)
            | u64::from(self.status) << 32
            | u64::from(self.place) << 40
            | u64::from(self.zero) << 48;
        [first, u64::from(self.length) | u64::from(self.zero2) << 32]
    }

    /// What two words hold: any two are an archive.
    #[inline(always)]
    pub(super) fn of([first, second]: [u64; 2]) -> ReplyClaim {
        ReplyClaim {
            state: first as u32,
            status: (first >> 32) as u8,
            place: (first >> 40) as u8,
            zero: (first >> 48) as u16,
            length: second as u32,
            zero2: (second >> 32) as u32,
        }
    }
}
