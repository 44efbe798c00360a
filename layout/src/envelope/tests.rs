//! What a caller writes a provider reads, and nothing else gets through.

use super::*;
use crate::geometry::{CELL_LEN, CHAIN_LEN, ENVELOPE_LEN, Geometry, INLINE_LEN};
use proptest::prelude::{
    Just, TestCaseError, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::strategy::Strategy as _;

const G: Geometry = Geometry::DEFAULT;

fn places() -> impl proptest::strategy::Strategy<Value = (Place, u32)> {
    let blocks = (0u8..64).prop_flat_map(|block| {
        (
            Just(Place::Blocks { block }),
            0..=(65536 - u32::from(block) * 1024),
        )
    });
    prop_oneof![
        (0u32..=112).prop_map(|length| (Place::Inline, length)),
        blocks
    ]
}

fn calls() -> impl proptest::strategy::Strategy<Value = Call> {
    let kinds = prop_oneof![Just(CallKind::Function), Just(CallKind::Action)];
    let chain = proptest::option::of((any::<u64>(), any::<u8>()));
    let chain = chain.prop_map(|chain| {
        chain.map(|(id, depth)| Chain {
            id: id | 1 << 63,
            depth,
        })
    });
    let kinds = (
        kinds,
        prop_oneof![Just(Encoding::Archive), Just(Encoding::Json)],
    );
    (any::<u16>(), 0u8..64, kinds, places(), any::<u32>(), chain).prop_map(
        |(gate, slot, (kind, encoding), (place, length), deadline, chain)| Call {
            gate,
            slot,
            kind,
            encoding,
            place,
            length: match (place, chain) {
                (Place::Inline, Some(_)) => length.min((INLINE_LEN - CHAIN_LEN) as u32),
                _ => length,
            },
            deadline,
            chain,
        },
    )
}

proptest! {
    #[test]
    fn what_a_caller_writes_a_provider_reads(call in calls(), sequence: u32) {
        let mut cell = Cell::default();
        cell.set_call(&call, sequence);
        prop_assert_eq!(cell.call(G), Ok(call));
        prop_assert_eq!(cell.head[0] as u32, sequence);
    }

    #[test]
    fn hostile_cells_are_refused_or_stay_in_bounds(bytes in proptest::collection::vec(any::<u8>(), CELL_LEN)) {
        let mut cell = Cell::default();
        let (head, payload) = bytes.split_at(ENVELOPE_LEN);
        let words = head.as_chunks::<8>().0;
        cell.head = [u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])];
        cell.payload.0.copy_from_slice(payload);
        if let Ok(call) = cell.call(G) {
            prop_assert!(u32::from(call.slot) < G.entries());
            in_bounds(call.place, call.length)?;
        }
        if let Ok(reply) = cell.reply(G) {
            in_bounds(reply.place, reply.length)?;
        }
    }
}

/// The words of an envelope, which are put together by hand, are its archive.
fn is_archive<T>(record: &T, words: [u64; 2])
where
    T: for<'a> Serialize<
        rkyv::api::high::HighSerializer<
            rkyv::util::AlignedVec,
            rkyv::ser::allocator::ArenaHandle<'a>,
            rkyv::rancor::Error,
        >,
    >,
{
    let archive = rkyv::to_bytes(record).unwrap();
    assert_eq!(archive[..], words.map(u64::to_le_bytes).concat());
}

proptest! {
    #[test]
    fn words_of_a_call_are_its_archive(words: [u64; 2]) {
        let claim = CallClaim::of(words);
        prop_assert_eq!(claim.words(), words);
        is_archive(&claim, words);
    }

    #[test]
    fn words_of_a_reply_are_its_archive(words: [u64; 2]) {
        let claim = ReplyClaim::of(words);
        prop_assert_eq!(claim.words(), words);
        is_archive(&claim, words);
    }
}

/// Golden bytes: whoever changes these changes the protocol's version.
#[test]
fn a_call_s_kind_has_its_encoding_in_bit_2() {
    let kind = |kind, encoding, chain| {
        let mut cell = Cell::default();
        let call = Call {
            gate: 0,
            slot: 0,
            kind,
            encoding,
            place: Place::Blocks { block: 0 },
            length: 0,
            deadline: 0,
            chain,
        };
        cell.set_call(&call, 1);
        assert_eq!(cell.call(G), Ok(call));
        cell.head[0] >> 56
    };
    let chain = Some(Chain {
        id: 1 << 63,
        depth: 1,
    });
    assert_eq!(kind(CallKind::Function, Encoding::Archive, None), 0x10);
    assert_eq!(kind(CallKind::Action, Encoding::Archive, None), 0x11);
    assert_eq!(kind(CallKind::Function, Encoding::Json, None), 0x14);
    assert_eq!(kind(CallKind::Action, Encoding::Json, chain), 0x1d);
    for none in [2, 3, 6, 7] {
        let cell = Cell {
            head: [1 | none << 56, 0],
            ..Cell::default()
        };
        let refused = Violation("a kind that no gate has");
        assert_eq!(cell.call(G), Err(refused), "{none}");
    }
}

fn in_bounds(place: Place, length: u32) -> Result<(), TestCaseError> {
    match place {
        Place::Inline => prop_assert!(length as usize <= INLINE_LEN),
        Place::Blocks { block } => {
            prop_assert!(usize::from(block) * 1024 + length as usize <= 65536);
        }
        Place::Extent(place) => {
            let region = Region::extent(1 << 20);
            let inside = usize::from(place.block) * (1 << 14) + length as usize <= 1 << 20;
            prop_assert_eq!(place.check(length, region).is_ok(), inside);
        }
    }
    Ok(())
}

#[test]
fn a_reply_reads_as_written() {
    for (ok, place, length) in [
        (true, Place::Inline, 0),
        (false, Place::Inline, 112),
        (true, Place::Blocks { block: 3 }, 5000),
    ] {
        let reply = Reply { ok, place, length };
        let mut cell = Cell::default();
        cell.set_reply(&reply, 7);
        assert_eq!(cell.reply(G), Ok(reply));
        assert_eq!(cell.head[0] as u32, 7);
    }
}
