//! The fixed header of a call and of a reply: archived rkyv records of 16 bytes.
//!
//! ```text
//! call      0 sequence u32   4 gate u16   6 slot u8     7 kind u8
//!           8 length u32    12 deadline u32            16 inline payload, 112 bytes
//! reply     0 state u32      4 status u8  5 place u8    6 zero u16
//!           8 length u32    12 zero u32                16 inline payload, 112 bytes
//! ```
//!
//! All little-endian. `kind` is the face in its low four bits and the place in its high four. A
//! payload elsewhere has, in the place of the inline payload, its first block's number u8, its
//! extent's number u8 (0 in the area), and zeros up to 8 bytes.
//! A call's reply slot names its caller's pending call; the *generation* of a slot, which
//! `state` carries, is how many calls the slot has borne, which both sides count in private.
//!
//! What a peer wrote is a *claim* ([`CallClaim`], [`ReplyClaim`]) until its one checked
//! constructor made a [`Call`] or [`Reply`] of it.

mod chain;

use rkyv::rancor::{self, Strategy};
use rkyv::ser::writer::Buffer;
use rkyv::{Archive, Deserialize, Serialize};

use crate::area::Region;
use crate::geometry::{CELL_LEN, CHAIN_LEN, ENVELOPE_LEN, Geometry, INLINE_LEN};

pub use chain::{Chain, MAX_DEPTH};

/// One half of a gate: what answers with a result, or what answers with nothing.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Face {
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
    /// In the writer's payload area, from this block on.
    Area {
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
    /// Face (3 bits), whether a [`ChainClaim`] follows (1 bit), and place (4 bits).
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
    /// 0: inline; 1: in the area; 2: in an extent.
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

/// What a caller says of a call before the ring gives it a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Index into the link's grants.
    pub gate: u16,
    /// The caller's pending call.
    pub slot: u8,
    /// Function or action.
    pub face: Face,
    /// Where the payload lies.
    pub place: Place,
    /// Bytes of payload.
    pub length: u32,
    /// When the caller gives up, in ticks.
    pub deadline: u32,
    /// The chain that a nested call belongs to; `None` where it begins one.
    pub chain: Option<Chain>,
}

/// What a provider says of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether the payload is the result, or else an error record.
    pub ok: bool,
    /// Where the payload lies.
    pub place: Place,
    /// Bytes of payload.
    pub length: u32,
}

/// A private copy of a cell: an entry or a reply slot.
#[derive(Clone, Debug)]
#[repr(align(16))]
pub struct Cell(pub(crate) [u8; CELL_LEN]);

impl Default for Cell {
    fn default() -> Cell {
        Cell([0; CELL_LEN])
    }
}

impl Cell {
    /// The bytes behind the envelope; 16-aligned, as archives want it.
    pub fn inline(&self) -> &[u8; INLINE_LEN] {
        self.0.last_chunk().unwrap_or(&[0; INLINE_LEN])
    }

    /// The bytes behind the envelope, to serialise into.
    pub fn inline_mut(&mut self) -> &mut [u8] {
        &mut self.0[ENVELOPE_LEN..]
    }

    /// The bytes behind the envelope of a call, and behind its chain where it is nested.
    #[inline]
    pub fn payload(&self, is_nested: bool) -> &[u8] {
        &self.0[payload_at(is_nested)..]
    }

    /// The same, to serialise into.
    #[inline]
    pub fn payload_mut(&mut self, is_nested: bool) -> &mut [u8] {
        &mut self.0[payload_at(is_nested)..]
    }

    /// How many bytes of the cell are in use, with a payload that begins at `at`.
    #[inline(always)]
    pub(crate) fn used(at: usize, place: Place, length: u32) -> usize {
        match place {
            Place::Inline => at + length as usize,
            Place::Area { .. } | Place::Extent(_) => at + 8,
        }
    }

    /// How many bytes of the cell a call uses.
    #[inline(always)]
    pub(crate) fn used_by(call: &Call) -> usize {
        Cell::used(payload_at(call.chain.is_some()), call.place, call.length)
    }

    #[inline(always)]
    fn set_place(&mut self, at: usize, place: Place) -> u8 {
        let (number, block, extent) = match place {
            Place::Inline => return 0,
            Place::Area { block } => (1, block, 0),
            Place::Extent(place) => (2, place.block, place.extent),
        };
        let word = [block, extent, 0, 0, 0, 0, 0, 0];
        self.0[at..at + 8].copy_from_slice(&word);
        number
    }

    #[inline(always)]
    fn place(
        &self,
        at: usize,
        (number, length): (u8, u32),
        geometry: Geometry,
    ) -> Result<Place, Violation> {
        if number == 0 {
            return match length as usize <= CELL_LEN - at {
                true => Ok(Place::Inline),
                false => Err(Violation("an inline payload longer than a cell")),
            };
        }
        let [block, extent, 0, 0, 0, 0, 0, 0] = self.0[at..at + 8] else {
            return Err(Violation("a payload whose place is none"));
        };
        match number {
            1 if extent == 0 && Region::outbox(geometry).holds(block, length) => {
                Ok(Place::Area { block })
            }
            1 => Err(Violation("a payload that lies outside of its area")),
            2 => Ok(Place::Extent(ExtentPlace { extent, block })),
            _ => Err(Violation("a payload in a place that does not exist")),
        }
    }

    /// Writes a call's envelope, numbered `sequence`.
    #[inline(always)]
    pub(crate) fn set_call(&mut self, call: &Call, sequence: u32) {
        let place = self.set_place(payload_at(call.chain.is_some()), call.place);
        if let Some(Chain { id, depth }) = call.chain {
            let zero = [0; 7];
            let claim = ChainClaim { id, depth, zero };
            archive(&claim, &mut self.0[ENVELOPE_LEN..ENVELOPE_LEN + CHAIN_LEN]);
        }
        let claim = CallClaim {
            sequence,
            gate: call.gate,
            slot: call.slot,
            kind: call.face as u8 | if call.chain.is_some() { NESTED } else { 0 } | place << 4,
            length: call.length,
            deadline: call.deadline,
        };
        archive(&claim, &mut self.0[..ENVELOPE_LEN]);
    }

    /// Writes a reply's envelope for a slot's `generation`.
    #[inline(always)]
    pub(crate) fn set_reply(&mut self, reply: &Reply, generation: u32) {
        let place = self.set_place(ENVELOPE_LEN, reply.place);
        let claim = ReplyClaim {
            state: generation,
            status: u8::from(!reply.ok),
            place,
            zero: 0,
            length: reply.length,
            zero2: 0,
        };
        archive(&claim, &mut self.0[..ENVELOPE_LEN]);
    }

    /// Checks a copied entry. Its sequence number was compared before the copy was made.
    #[inline(always)]
    pub(crate) fn call(&self, geometry: Geometry) -> Result<Call, Violation> {
        let claim =
            rkyv::api::low::access::<ArchivedCallClaim, rancor::Failure>(&self.0[..ENVELOPE_LEN])
                .map_err(|_| Violation("an envelope that is none"))?;
        let length = claim.length.to_native();
        if u32::from(claim.slot) >= geometry.entries() {
            return Err(Violation("a slot beyond the last one"));
        }
        let face = match claim.kind & 7 {
            0 => Face::Function,
            1 => Face::Action,
            _ => return Err(Violation("a face that no gate has")),
        };
        let chain = match claim.kind & NESTED {
            0 => None,
            _ => Some(self.chain()?),
        };
        let at = payload_at(chain.is_some());
        Ok(Call {
            gate: claim.gate.to_native(),
            slot: claim.slot,
            face,
            place: self.place(at, (claim.kind >> 4, length), geometry)?,
            length,
            deadline: claim.deadline.to_native(),
            chain,
        })
    }

    #[cold]
    fn chain(&self) -> Result<Chain, Violation> {
        let bytes = &self.0[ENVELOPE_LEN..ENVELOPE_LEN + CHAIN_LEN];
        let claim = rkyv::api::low::access::<ArchivedChainClaim, rancor::Failure>(bytes)
            .map_err(|_| Violation("a chain that is none"))?;
        Ok(Chain {
            id: claim.id.to_native() | 1 << 63,
            depth: claim.depth,
        })
    }

    /// Checks a copied reply. Its state was compared before the copy was made.
    #[inline(always)]
    pub(crate) fn reply(&self, geometry: Geometry) -> Result<Reply, Violation> {
        let claim =
            rkyv::api::low::access::<ArchivedReplyClaim, rancor::Failure>(&self.0[..ENVELOPE_LEN])
                .map_err(|_| Violation("an envelope that is none"))?;
        let length = claim.length.to_native();
        if claim.status > 1 {
            return Err(Violation("a reply that is neither result nor error"));
        }
        Ok(Reply {
            ok: claim.status == 0,
            place: self.place(ENVELOPE_LEN, (claim.place, length), geometry)?,
            length,
        })
    }
}

/// Set in a call's kind where a [`ChainClaim`] follows.
const NESTED: u8 = 8;

/// Where a call's payload, or the word that says where it lies, begins.
#[inline]
const fn payload_at(is_nested: bool) -> usize {
    match is_nested {
        true => ENVELOPE_LEN + CHAIN_LEN,
        false => ENVELOPE_LEN,
    }
}

/// Archives a plain record into exactly its own size.
#[inline(always)]
fn archive<T>(record: &T, into: &mut [u8])
where
    T: for<'a> Serialize<Strategy<Buffer<'a>, rancor::Failure>>,
{
    let mut buffer = Buffer::from(into);
    let written =
        rkyv::api::serialize_using(record, Strategy::<_, rancor::Failure>::wrap(&mut buffer));
    debug_assert!(written.is_ok(), "an envelope is {ENVELOPE_LEN} bytes long");
}

#[cfg(test)]
mod tests;
