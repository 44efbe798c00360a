//! Values that are read directly from shared memory, compared with values from a private copy that is checked.

use callgate_layout::blocks::Region;
use callgate_layout::buffer::Buffer;
use callgate_layout::payload::{Extent, MIN_EXTENT_LEN};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::ReadView;
use proptest::prelude::*;
use rkyv::util::AlignedVec;

use super::*;
use crate::base::archive;

type Mixed = (u8, Vec<u16>, f64, Vec<u32>, (Vec<f32>, i64));

fn archive_of<T: GateType>(value: &T) -> Vec<u8> {
    let mut bytes = Buffer::new();
    archive::serialize_vec(value, &mut bytes, None, archive::MAX_LEN).unwrap();
    bytes.to_vec()
}

/// Reads an archive directly from shared memory, as its receiver does.
fn directly<T: GateType>(bytes: &[u8]) -> Option<T> {
    let len = MIN_EXTENT_LEN as usize;
    let file = memfd::create("test", len).unwrap();
    let memory = ReadView::new(Mapping::read_only(file.try_clone().unwrap(), len).unwrap());
    let extent = Extent::new(0, Mapping::writable(file, len).unwrap()).unwrap();
    let mut room = extent.take(bytes.len()).unwrap();
    room.as_mut_slice().copy_from_slice(bytes);
    let (region, block) = (Region::extent(len), room.place().block);
    take(&PayloadView::new(
        &memory,
        region,
        block,
        bytes.len() as u32,
        None,
    ))
}

/// Reads an archive from a private copy.
fn by_copy<T: GateType>(bytes: &[u8]) -> Option<T> {
    let mut aligned = AlignedVec::<16>::new();
    aligned.extend_from_slice(bytes);
    archive::deserialize::<T>(archive::access::<T>(&aligned).ok()?).ok()
}

#[test]
fn numbers_and_vectors_of_them_are_taken_directly() {
    fn check<T: GateType + PartialEq>(value: &T) {
        assert!(directly::<T>(&archive_of(value)).is_some_and(|taken| taken == *value));
    }
    check(&(vec![0.5_f32; 200_000],));
    check(&((0..100_003).map(|n| (n % 251) as u8).collect::<Vec<_>>(),));
    check(&(0..70_000).collect::<Vec<u64>>());
    check(&(vec![u128::MAX - 7; 3000], vec![i16::MIN; 5], -1_i8));
    check(&(Vec::<u8>::new(), Vec::<f64>::new()));
    let mixed: Mixed = (7, vec![3; 9], -0.25, (0..5000).collect(), (vec![2.5], -9));
    check(&mixed);
}

#[test]
fn whatever_else_there_is_is_left_to_the_copy() {
    fn check<T: GateType>(value: &T) {
        assert!(directly::<T>(&archive_of(value)).is_none());
    }
    check(&(vec![true; 1000],));
    check(&("text".repeat(1000),));
    check(&(vec![vec![7_u8; 1000]],));
    check(&(Some(vec![7_u8; 1000]),));
    // No value of this type fits into these bytes.
    assert!(directly::<(u64, u64)>(&[0; 15]).is_none());
}

/// Eight vectors must not consist of the same bytes: their values would take eight times as much memory here as the
/// peer has sent.
#[test]
fn vectors_do_not_share_elements() {
    let mut bytes = archive_of(&(vec![7_u8; 64], vec![9_u8; 64]));
    let second = bytes.len() - 8;
    let distance = -i32::try_from(second).unwrap();
    bytes[second..second + 4].copy_from_slice(&distance.to_le_bytes());
    assert!(directly::<(Vec<u8>, Vec<u8>)>(&bytes).is_none());
    assert!(by_copy::<(Vec<u8>, Vec<u8>)>(&bytes).is_none());
}

proptest! {
    /// If a forged archive can be read directly, the value is the same as that of the checked copy.
    #[test]
    fn a_forged_archive_is_taken_as_its_copy_or_not_at_all(
        at in 0_usize..120,
        forged in proptest::collection::vec(any::<u8>(), 1..12),
        cut in 0_usize..24,
    ) {
        let mixed: Mixed = (7, vec![3; 9], -0.25, vec![5; 4], (vec![2.5; 3], -9));
        let mut bytes = archive_of(&mixed);
        let end = (at + forged.len()).min(bytes.len());
        let at = at.min(end);
        bytes[at..end].copy_from_slice(&forged[..end - at]);
        bytes.truncate(bytes.len() - cut);
        if let Some(taken) = directly::<Mixed>(&bytes) {
            let copied = by_copy::<Mixed>(&bytes);
            prop_assert_eq!(copied.map(|copied| archive_of(&copied)), Some(archive_of(&taken)));
        }
    }
}
