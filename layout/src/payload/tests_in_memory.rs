//! Payloads that are written and read through maps of a memory file.

use super::*;
use crate::sys::mapping::Mapping;
use crate::sys::memfd;

fn extent() -> (Extent, ReadView) {
    let len = MIN_EXTENT_LEN as usize;
    let file = memfd::create("test", len).unwrap();
    let read = Mapping::read_only(file.try_clone().unwrap(), len).unwrap();
    let extent = Extent::new(3, Mapping::writable(file, len).unwrap()).unwrap();
    (extent, ReadView::new(read))
}

#[test]
fn what_is_filled_in_place_is_read_in_place() {
    let (extent, memory) = extent();
    let mut room = extent.take(100_001).unwrap();
    for (n, byte) in room.as_mut_slice().iter_mut().enumerate() {
        *byte = n as u8;
    }
    let place = room.place();
    let region = Region::extent(extent.len());
    assert_eq!(place.check(100_001, region), Ok(()));
    let view = PayloadView::new(&memory, region, place.block, 100_001, None);
    let mut copy = vec![0; 100_001];
    assert_eq!(view.copy_to(&mut copy), 100_001);
    assert!(copy.iter().enumerate().all(|(n, byte)| *byte == n as u8));
    assert_eq!(view.word(0), Some(0x0706_0504_0302_0100));
    assert_eq!(view.words().last(), Some(u64::from(100_000_u32 as u8)));
    assert_eq!(view.words().len(), 12_501);
    assert!(view.as_slice().is_none());
    drop(room);
    assert!(extent.is_idle());
}

#[test]
fn any_part_of_a_payload_is_copied() {
    let (extent, memory) = extent();
    let mut room = extent.take(3001).unwrap();
    let bytes: Vec<u8> = (0..3001_u32).map(|n| ((n * 7) >> 3) as u8).collect();
    room.as_mut_slice().copy_from_slice(&bytes);
    let region = Region::extent(extent.len());
    let view = PayloadView::new(&memory, region, room.place().block, 3001, None);
    for at in [0, 1, 7, 8, 13, 2999, 3000, 3001] {
        for len in [0, 1, 2, 7, 8, 9, 600, 3001 - at] {
            let mut copy = vec![0xaa; len];
            let is_there = at + len <= 3001;
            assert_eq!(view.copy_at(at, &mut copy), is_there, "{len} from {at}");
            assert!(
                !is_there || copy[..] == bytes[at..][..len],
                "{len} from {at}"
            );
        }
    }
    assert!(!view.copy_at(usize::MAX, &mut [0; 2]));
    assert!(view.words().eq(Words::of_bytes(&bytes)));
    assert_eq!(view.words().nth(375), Some(u64::from(bytes[3000])));
    assert_eq!(view.words().nth(376), None);
}

#[test]
fn rooms_do_not_overlap_and_come_back() {
    let (extent, _) = extent();
    let all = extent.take(extent.len()).unwrap();
    assert!(extent.take(1).is_none());
    drop(all);
    let rooms: Vec<Space> = std::iter::from_fn(|| extent.take(1)).collect();
    assert_eq!(rooms.len(), 64);
}
