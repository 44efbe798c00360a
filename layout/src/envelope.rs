//! The fixed header of a call and of a reply: archived rkyv records of 16 bytes.
//!
//! ```text
//! call      0 sequence u32   4 gate u16   6 slot u8     7 kind u8
//!           8 length u32    12 deadline u32            16 inline payload, 112 bytes
//! reply     0 state u32      4 status u8  5 place u8    6 zero u16
//!           8 length u32    12 zero u32                16 inline payload, 112 bytes
//! ```
//!
//! All little-endian. `kind` has the call's kind in its lowest two bits, then a bit for JSON and one for a
//! nested call, and the place in its high four. The answer has its call's encoding; an error is an archive. A
//! payload elsewhere has, in the place of the inline payload, its first block's number u8, its
//! extent's number u8 (0 in blocks), and zeros up to 8 bytes.
//! A call's reply slot has the number of its caller's pending call. The *generation* of a slot, which
//! `state` carries, is the number of calls that have used the slot; each side counts them in private memory.
//!
//! What a peer wrote is a *claim* ([`CallClaim`], [`ReplyClaim`]) until its one checked
//! constructor made a [`Call`] or [`Reply`] of it.

mod cell;
mod chain;
mod claim;

use rkyv::{Archive, Deserialize, Serialize};

use crate::blocks::Region;
use crate::encoding::Encoding;

pub use cell::Cell;
pub use chain::{Chain, ChainNames, MAX_DEPTH};
pub use claim::{CallClaim, ChainClaim, ReplyClaim};

/// One half of a gate: its function, or its action.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// Answers with a result.
    Function,
    /// Answers that it was done.
    Action,
}

/// Where a payload lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the envelope, in the same cell.
    Inline,
    /// In the writer's payload blocks, from this block on.
    Blocks {
        /// The first block.
        block: u8,
    },
    /// In an extent of the writer's. On the reading side this is a claim until
    /// [`ExtentPlace::check`].
    Extent(ExtentPlace),
}

/// A place in an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentPlace {
    /// The extent's number among those of its side of the link.
    pub extent: u8,
    /// The first block.
    pub block: u8,
}

impl ExtentPlace {
    /// Checks a peer's claim against the extent that it names, as the broker gave it.
    pub fn check(self, length: u32, region: Region) -> Result<(), Violation> {
        if region.holds(self.block, length) {
            Ok(())
        } else {
            Err(Violation("a payload that lies outside of its extent"))
        }
    }
}

/// A peer wrote what no correct peer writes; the text says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer broke the protocol: {0}")]
pub struct Violation(pub &'static str);

/// The content of a call's envelope without the number, which the ring gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Index into the link's grants.
    pub gate: u16,
    /// The caller's pending call.
    pub slot: u8,
    /// Function or action.
    pub kind: CallKind,
    /// The encoding of the payload, and of the answer's payload if that is a result.
    pub encoding: Encoding,
    /// Where the payload lies.
    pub place: Place,
    /// Bytes of payload.
    pub length: u32,
    /// When the caller gives up, in ticks.
    pub deadline: u32,
    /// The chain that a nested call belongs to; `None` where it begins one.
    pub chain: Option<Chain>,
}

/// The content of a reply's envelope without the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether the payload is the result, or else an error record.
    pub ok: bool,
    /// Where the payload lies.
    pub place: Place,
    /// Bytes of payload.
    pub length: u32,
}

#[cfg(test)]
mod tests;
