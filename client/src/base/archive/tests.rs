//! Archives as honest and as hostile peers write them.

use proptest::prelude::*;
use rkyv::util::AlignedVec;

use super::*;
use crate::{SortedMap, gate_type};

#[repr(align(16))]
struct Aligned<const N: usize>([u8; N]);

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Leaf(String),
    Fork(Box<Tree>, Box<Tree>),
    Many {
        children: Vec<Tree>,
        label: Option<char>,
    },
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Zoo {
    small: u8,
    wide: u128,
    flag: bool,
    letter: char,
    float: f64,
    text: Option<String>,
    outcome: Result<(u8, i64), String>,
    tree: Tree,
    map: SortedMap<String, [u16; 3]>,
    nested: Vec<Vec<Option<Box<i32>>>>,
}

#[gate_type]
struct Chain {
    next: Option<Box<Chain>>,
}

fn zoo() -> Zoo {
    let leaf = |text: &str| Box::new(Tree::Leaf(text.to_owned()));
    Zoo {
        small: 1,
        wide: u128::MAX - 5,
        flag: true,
        letter: 'ß',
        float: -0.25,
        text: Some("longer than eight bytes".to_owned()),
        outcome: Ok((3, -4)),
        tree: Tree::Many {
            children: vec![
                Tree::Fork(leaf("a"), leaf("some more text")),
                Tree::Leaf(String::new()),
            ],
            label: Some('x'),
        },
        map: [("b".to_owned(), [1, 2, 3]), ("a".to_owned(), [4, 5, 6])].into(),
        nested: vec![vec![None, Some(Box::new(7))], vec![]],
    }
}

fn archive_of<T: GateType>(value: &T) -> Buffer {
    let mut bytes = Buffer::new();
    serialize_vec(value, &mut bytes, None, MAX_LEN).unwrap();
    bytes
}

fn aligned(bytes: &[u8]) -> AlignedVec<16> {
    let mut aligned = AlignedVec::new();
    aligned.extend_from_slice(bytes);
    aligned
}

/// Reads bytes as `T` as a receiver does. It may fail, but must not panic.
fn read<T: GateType>(bytes: &[u8]) -> Result<T> {
    deserialize::<T>(access::<T>(bytes)?)
}

fn read_as_everything(bytes: &[u8]) {
    let _ = read::<Zoo>(bytes);
    let _ = read::<Tree>(bytes);
    let _ = read::<(String, Vec<u64>)>(bytes);
    let _ = read::<Result<Option<String>, Box<Tree>>>(bytes);
    let _ = read::<Chain>(bytes);
    let _ = read::<()>(bytes);
    let _ = read::<ErrorRecord>(bytes).map(Error::from);
    if let Ok(map) = access::<SortedMap<String, u32>>(bytes) {
        let _ = (map.get("a"), map.get(""), map.iter().count());
        let _ = deserialize::<SortedMap<String, u32>>(map).map(|map| map.get("a").copied());
    }
}

#[test]
fn a_value_survives_both_ways_of_archiving() {
    let bytes = archive_of(&zoo());
    assert_eq!(read::<Zoo>(&bytes).unwrap(), zoo());
    let mut buffer = Aligned([0; 4096]);
    let length = serialize_into(&zoo(), &mut buffer.0).unwrap();
    assert_eq!(buffer.0[..length], bytes[..]);
    assert_eq!(
        serialize_into(&zoo(), &mut buffer.0[..length]),
        Some(length)
    );
    assert_eq!(serialize_into(&zoo(), &mut buffer.0[..length - 1]), None);
}

/// The parameters of a call without any have an archive of no bytes, and an empty slice may point anywhere.
#[test]
fn archives_without_bytes_work_both_ways() {
    let mut buffer = Aligned([0; 16]);
    assert_eq!(serialize_into(&(), &mut buffer.0), Some(0));
    assert_eq!(serialize_into(&((),), &mut buffer.0[..0]), Some(0));
    assert_eq!(archive_of(&()).len(), 0);
    read::<()>(&[]).unwrap();
    read::<((),)>(&buffer.0[1..1]).unwrap();
    assert_eq!(access::<u32>(&[]).unwrap_err().code(), Code::Protocol);
}

#[test]
fn a_vector_is_cleared_before_it_is_filled_again() {
    let mut bytes = archive_of(&"a rather long text that goes out of line".to_owned());
    serialize_vec(&7_u32, &mut bytes, None, MAX_LEN).unwrap();
    assert_eq!(bytes[..], [7, 0, 0, 0]);
}

/// Small values must go inline, although scratch memory has a fixed size.
#[test]
fn what_fits_a_cell_needs_little_scratch_memory() {
    fn check<T: GateType>(value: &T) {
        let archive = archive_of(value);
        let mut buffer = Aligned([0; 112]);
        let length = serialize_into(value, &mut buffer.0);
        assert_eq!(length, (archive.len() <= 112).then_some(archive.len()));
        if let Some(length) = length {
            assert_eq!(buffer.0[..length], archive[..]);
        }
    }
    for n in 0..40 {
        check(&vec![String::new(); n]);
        check(&vec!["a text that goes out of line".to_owned(); n]);
        check(&vec![vec![Some(Box::new(7_u8)); n]; n]);
        check(&vec![vec![vec![Vec::<u8>::new()]]; n]);
        check(&vec![(1_u8, Some(vec![2_u8; n])); n]);
    }
}

/// With archives of more than 2 GiB, rkyv panicked on the caller's thread.
#[test]
fn an_archive_stops_growing_at_the_longest_payload() {
    let most = MAX_LEN;
    let third = vec![1_u8; most / 3];
    let mut bytes = Buffer::new();
    assert!(serialize_vec(&vec![third.clone(); 2], &mut bytes, None, MAX_LEN).is_ok());
    assert!(serialize_vec(&vec![third; 4], &mut bytes, None, MAX_LEN).is_err());
    assert!(bytes.len() <= most);
    // An archive of exactly the longest length still fits.
    assert!(serialize_vec(&vec![7_u8; most - 8], &mut bytes, None, MAX_LEN).is_ok());
    assert_eq!(bytes.len(), most);
    assert!(serialize_vec(&vec![7_u8; most - 7], &mut bytes, None, MAX_LEN).is_err());
}

/// The counted length is the written one, in memory that grows and in memory of exactly that size.
#[test]
fn a_value_is_counted_and_written_in_place() {
    fn check<T: GateType>(value: &T) {
        let archive = archive_of(value);
        assert_eq!(count(value, MAX_LEN), Ok(archive.len()));
        assert_eq!(count(value, archive.len() - 1), Err(Failed::TooLong));
        let mut room = vec![0xaa; archive.len() + 40];
        let length = serialize_in(value, &mut room).unwrap();
        assert!(room[..length] == archive[..] && room[length..] == [0xaa; 40]);
        let short = &mut room[..length - 1];
        assert_eq!(serialize_in(value, short), Err(Failed::TooLong));
    }
    check(&zoo());
    check(&(7_u8, vec![1.5_f32; 100_000], vec![vec![3_u8; 5000]; 100]));
    check(&vec![7_u8; 1 << 20]);
    // Counting many small pieces takes as long as writing them.
    let pieces = vec!["a text that goes out of line".to_owned(); 10_000];
    assert_eq!(count(&pieces, MAX_LEN), Err(Failed::SmallPieces));
    assert_eq!(
        count(&pieces[..10].to_vec(), MAX_LEN),
        Ok(archive_of(&pieces[..10].to_vec()).len())
    );
}

#[test]
fn misaligned_bytes_are_refused_and_not_read() {
    let mut buffer = Aligned([0; 32]);
    let length = serialize_into(&7_u8, &mut buffer.0).unwrap();
    assert_eq!(length, 1);
    let error = access::<u8>(&buffer.0[1..2]).unwrap_err();
    assert_eq!(error.code(), Code::Protocol);
    assert!(error.message().contains("aligned"));
}

/// rkyv's own `access` recurses a million nested boxes deep, and the process aborts.
#[test]
fn a_million_nested_boxes_are_refused() {
    // Each link is its flag, padding and a relative pointer 8 bytes back. The first link has no next one.
    let mut bytes = aligned(&[0; 8]);
    for _ in 0..1_500_000 {
        bytes.extend_from_slice(&[1, 0, 0, 0, 0xf4, 0xff, 0xff, 0xff]);
    }
    assert!(bytes.len() > 12_000_000);
    // A forged chain of 60 links is what rkyv itself writes. So the forgery is correct.
    assert!(read::<Chain>(&bytes[..8 * 60]).is_ok());
    assert_eq!(
        access::<Chain>(&bytes).err().map(|error| error.code()),
        Some(Code::Protocol)
    );
}

#[test]
fn an_error_record_brings_an_error_across() {
    let context = serde_json::json!({ "slot": 3 });
    let error = Error::new(Code::HandlerError, "no")
        .with_context(context.clone())
        .maybe_run();
    let back = Error::from(read::<ErrorRecord>(&archive_of(&ErrorRecord::from(&error))).unwrap());
    assert_eq!((back.code(), back.message()), (Code::HandlerError, "no"));
    assert_eq!(back.context(), Some(&context));
    assert!(back.may_have_run());
}

#[test]
fn a_long_message_is_cut_and_says_so() {
    let error = Error::new(Code::System, "x".to_owned() + &"ß".repeat(4000));
    let back = Error::from(ErrorRecord::from(&error));
    assert!(back.message().len() <= 4096);
    let mark = "ß … (cut: 3932 bytes more)";
    assert!(back.message().ends_with(mark), "{back}");
    // When it is passed on, it is not cut again.
    let further = Error::from(ErrorRecord::from(&back));
    assert_eq!(further.message(), back.message());
}

#[test]
fn a_long_context_is_left_out_and_its_length_said() {
    let context = serde_json::json!({ "handler_code": "FULL", "inner_gate": "A.B", "dump": "x".repeat(20_000) });
    let error = Error::new(Code::HandlerError, "no").with_context(context);
    let back = Error::from(ErrorRecord::from(&error));
    let left =
        serde_json::json!({ "handler_code": "FULL", "inner_gate": "A.B", "omitted_bytes": 20_052 });
    assert_eq!(back.context(), Some(&left));
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_as_everything(&aligned(&bytes));
    }

    #[test]
    fn a_damaged_archive_does_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let map: SortedMap<String, u32> = [("b".to_owned(), 1), ("a".to_owned(), 2)].into();
        for bytes in [archive_of(&zoo()), archive_of(&map), archive_of(&zoo().tree)] {
            let mut bytes = aligned(&bytes);
            for (index, byte) in &changes {
                let index = index.index(bytes.len());
                bytes[index] = *byte;
            }
            let end = if cuts { cut.index(bytes.len()) } else { bytes.len() };
            read_as_everything(&bytes[..end]);
        }
    }

    #[test]
    fn an_unsorted_map_loses_keys_at_most(pairs in prop::collection::vec((any::<u8>(), any::<u32>()), 0..40)) {
        let bytes = archive_of(&pairs);
        let archived = access::<SortedMap<u8, u32>>(&bytes).unwrap();
        for key in 0..=u8::MAX {
            let value = archived.get(&key).map(|value| value.to_native());
            prop_assert!(value.is_none_or(|value| pairs.contains(&(key, value))));
        }
        let owned = deserialize::<SortedMap<u8, u32>>(archived).unwrap();
        prop_assert!(owned.iter().is_sorted_by(|a, b| a.0 < b.0));
        for (key, _) in &pairs {
            let last = pairs.iter().rev().find(|pair| pair.0 == *key).map(|pair| pair.1);
            prop_assert_eq!(owned.get(key).copied(), last);
        }
    }
}
