//! A private copy of a ring entry or reply slot: reads and writes its envelope and inline payload.

use rkyv::rancor::{self, Strategy};
use rkyv::ser::writer::Buffer;

use super::claim::{ArchivedChainClaim, CallClaim, ChainClaim, ReplyClaim};
use super::{Call, CallKind, Chain, ExtentPlace, Place, Reply, Violation};
use crate::blocks::Region;
use crate::encoding::Encoding;
use crate::geometry::{CELL_LEN, CHAIN_LEN, ENVELOPE_LEN, Geometry, INLINE_LEN, LINE_LEN};
use crate::view::{ReadView, WriteView};

/// Bytes behind the envelope that lie in a cell's first cache line.
const FIRST: usize = LINE_LEN - ENVELOPE_LEN;

/// A private copy of a cell: an entry or a reply slot.
///
/// The envelope is kept as two words, as it travels, and is put together and taken apart by
/// shifts: fields that were stored one by one would have to be waited for before they could be
/// loaded as words.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Cell {
    pub(crate) head: [u64; 2],
    pub(crate) payload: Payload,
}

/// What a cell holds behind its envelope; 16-aligned, as archives want it.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub(crate) struct Payload(pub(crate) [u8; INLINE_LEN]);

impl Default for Payload {
    fn default() -> Payload {
        Payload([0; INLINE_LEN])
    }
}

impl Cell {
    /// The bytes behind the envelope; 16-aligned, as archives want it.
    #[inline]
    pub fn inline(&self) -> &[u8; INLINE_LEN] {
        &self.payload.0
    }

    /// The bytes behind the envelope, to serialise into.
    #[inline]
    pub fn inline_mut(&mut self) -> &mut [u8] {
        &mut self.payload.0
    }

    /// The bytes behind the envelope of a call, and behind its chain where it is nested.
    #[inline]
    pub fn payload(&self, is_nested: bool) -> &[u8] {
        &self.payload.0[payload_at(is_nested)..]
    }

    /// The same, to serialise into.
    #[inline]
    pub fn payload_mut(&mut self, is_nested: bool) -> &mut [u8] {
        &mut self.payload.0[payload_at(is_nested)..]
    }

    /// How many bytes behind the envelope are in use, with a payload that begins at `at`.
    #[inline(always)]
    pub(crate) fn used(at: usize, place: Place, length: u32) -> usize {
        match place {
            Place::Inline => at + length as usize,
            Place::Blocks { .. } | Place::Extent(_) => at + 8,
        }
    }

    /// How many bytes behind its envelope a call uses.
    #[inline(always)]
    pub(crate) fn used_by(call: &Call) -> usize {
        Cell::used(payload_at(call.chain.is_some()), call.place, call.length)
    }

    #[inline(always)]
    fn set_place(&mut self, at: usize, place: Place) -> u8 {
        let (number, block, extent) = match place {
            Place::Inline => return 0,
            Place::Blocks { block } => (1, block, 0),
            Place::Extent(place) => (2, place.block, place.extent),
        };
        let word = [block, extent, 0, 0, 0, 0, 0, 0];
        self.payload.0[at..at + 8].copy_from_slice(&word);
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
            return match length as usize <= INLINE_LEN - at {
                true => Ok(Place::Inline),
                false => Err(Violation("an inline payload longer than a cell")),
            };
        }
        let [block, extent, 0, 0, 0, 0, 0, 0] = self.payload.0[at..at + 8] else {
            return Err(Violation("a payload whose place is none"));
        };
        match number {
            1 if extent == 0 && Region::outbox(geometry).holds(block, length) => {
                Ok(Place::Blocks { block })
            }
            1 => Err(Violation("a payload that lies outside of its blocks")),
            2 => Ok(Place::Extent(ExtentPlace { extent, block })),
            _ => Err(Violation("a payload in a place that does not exist")),
        }
    }

    /// Copies everything but the first word to `at` in an outbox; the second line only if the `used` bytes
    /// behind the envelope reach into it. Copies whole lines, because a copy of an unknown number of words
    /// costs far more.
    #[inline(always)]
    pub(crate) fn write(&self, outbox: &WriteView, at: usize, used: usize) {
        // Write the line that the reader polls last, and in one go: between two writes the reader's core may fetch the
        // line, and this core would have to fetch it back.
        if used > FIRST {
            outbox.copy_in(at + LINE_LEN, &self.payload.0[FIRST..]);
        }
        outbox.copy_in(at + ENVELOPE_LEN, &self.payload.0[..FIRST]);
        outbox.copy_in(at + 8, &self.head[1].to_ne_bytes());
    }

    /// Copies the first line at `at` in an inbox but for its first word, which was read before.
    #[inline(always)]
    pub(crate) fn read_first(&mut self, inbox: &ReadView, at: usize, word: u64) {
        let mut second = [0; 8];
        inbox.copy_out(at + 8, &mut second);
        self.head = [word, u64::from_ne_bytes(second)];
        inbox.copy_out(at + ENVELOPE_LEN, &mut self.payload.0[..FIRST]);
    }

    /// Copies the second line at `at`, if `used` bytes behind the envelope reach into it.
    #[inline(always)]
    pub(crate) fn read_second(&mut self, inbox: &ReadView, at: usize, used: usize) {
        if used > FIRST {
            inbox.copy_out(at + LINE_LEN, &mut self.payload.0[FIRST..]);
        }
    }

    /// Writes a call's envelope, numbered `sequence`.
    #[inline(always)]
    pub(crate) fn set_call(&mut self, call: &Call, sequence: u32) {
        let place = self.set_place(payload_at(call.chain.is_some()), call.place);
        let mut kind =
            call.kind as u8 | (call.encoding as u8) << JSON.trailing_zeros() | place << 4;
        if let Some(chain) = call.chain {
            self.set_chain(chain);
            kind |= NESTED;
        }
        self.head = CallClaim {
            sequence,
            gate: call.gate,
            slot: call.slot,
            kind,
            length: call.length,
            deadline: call.deadline,
        }
        .words();
    }

    #[cold]
    fn set_chain(&mut self, Chain { id, depth }: Chain) {
        let zero = [0; 7];
        let mut buffer = Buffer::from(&mut self.payload.0[..CHAIN_LEN]);
        let written = rkyv::api::serialize_using(
            &ChainClaim { id, depth, zero },
            Strategy::<_, rancor::Failure>::wrap(&mut buffer),
        );
        debug_assert!(written.is_ok(), "a chain is {CHAIN_LEN} bytes long");
    }

    /// Writes a reply's envelope for a slot's `generation`.
    #[inline(always)]
    pub(crate) fn set_reply(&mut self, reply: &Reply, generation: u32) {
        let place = self.set_place(0, reply.place);
        self.head = ReplyClaim {
            state: generation,
            status: u8::from(!reply.ok),
            place,
            zero: 0,
            length: reply.length,
            zero2: 0,
        }
        .words();
    }

    /// Checks a copied entry. Its sequence number was compared before the copy was made.
    #[inline(always)]
    pub(crate) fn call(&self, geometry: Geometry) -> Result<Call, Violation> {
        let claim = CallClaim::of(self.head);
        if u32::from(claim.slot) >= geometry.entries() {
            return Err(Violation("a slot beyond the last one"));
        }
        let kind = match claim.kind & 3 {
            0 => CallKind::Function,
            1 => CallKind::Action,
            _ => return Err(Violation("a kind that no gate has")),
        };
        let encoding = match claim.kind & JSON {
            0 => Encoding::Archive,
            _ => Encoding::Json,
        };
        let chain = match claim.kind & NESTED {
            0 => None,
            _ => Some(self.chain()?),
        };
        let at = payload_at(chain.is_some());
        Ok(Call {
            gate: claim.gate,
            slot: claim.slot,
            kind,
            encoding,
            place: self.place(at, (claim.kind >> 4, claim.length), geometry)?,
            length: claim.length,
            deadline: claim.deadline,
            chain,
        })
    }

    #[cold]
    fn chain(&self) -> Result<Chain, Violation> {
        let bytes = &self.payload.0[..CHAIN_LEN];
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
        let claim = ReplyClaim::of(self.head);
        if claim.status > 1 {
            return Err(Violation("a reply that is neither result nor error"));
        }
        Ok(Reply {
            ok: claim.status == 0,
            place: self.place(0, (claim.place, claim.length), geometry)?,
            length: claim.length,
        })
    }
}

/// Set in a call's kind where its payload is JSON.
const JSON: u8 = 4;

/// Set in a call's kind where a [`ChainClaim`] follows.
const NESTED: u8 = 8;

/// How far behind its envelope a call's payload begins, or the word that says where it lies.
#[inline]
const fn payload_at(is_nested: bool) -> usize {
    match is_nested {
        true => CHAIN_LEN,
        false => 0,
    }
}

const _: () = {
    assert!(CallKind::Function as u8 == 0 && CallKind::Action as u8 == 1);
    assert!(Encoding::Archive as u8 == 0 && Encoding::Json as u8 == 1);
    assert!(size_of::<Cell>() == CELL_LEN);
    assert!(core::mem::offset_of!(Cell, payload) == ENVELOPE_LEN);
};
