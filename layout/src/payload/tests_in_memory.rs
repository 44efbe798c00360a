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

/// A payload's last word, where it does not fill it, must not show what lies behind it.
#[test]
fn nothing_behind_a_payload_is_read() {
    let (extent, memory) = extent();
    let mut all = extent.take(extent.len()).unwrap();
    all.as_mut_slice().fill(0xff);
    drop(all);
    let region = Region::extent(extent.len());
    for len in 0..=25_u32 {
        let mut room = extent.take(len as usize).unwrap();
        room.as_mut_slice().fill(0xa0);
        let view = PayloadView::new(&memory, region, room.place().block, len, None);
        assert_eq!((view.len(), view.is_empty()), (len as usize, len == 0));
        let expected: Vec<u64> = Words::of_bytes(&vec![0xa0; len as usize]).collect();
        assert!(view.words().eq(expected.iter().copied()), "{len}");
        let words = (0..).map_while(|index| view.word(index));
        assert!(words.eq(expected), "{len}");
        let mut copy = vec![0; 100];
        assert_eq!(view.copy_to(&mut copy), len as usize);
        assert!(copy[len as usize..].iter().all(|byte| *byte == 0), "{len}");
    }
}

#[cfg(target_arch = "x86_64")]
fn is_copied_at_once() -> bool {
    std::arch::is_x86_feature_detected!("ermsb")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_copied_at_once() -> bool {
    false
}

/// Numbers are copied from where they lie, and none from behind the payload.
#[test]
fn numbers_are_copied_out() {
    let (extent, memory) = extent();
    let mut room = extent.take(4000).unwrap();
    for (n, bytes) in room.as_mut_slice().chunks_mut(4).enumerate() {
        bytes.copy_from_slice(&(n as u32 * 3).to_le_bytes());
    }
    let region = Region::extent(extent.len());
    let view = PayloadView::new(&memory, region, room.place().block, 4000, None);
    let expected = |from: u32| (from..1000).map(|n| n * 3).collect::<Vec<u32>>();
    match view.numbers::<u32>(0, 1000) {
        Some(all) => {
            assert_eq!(all, expected(0));
            assert_eq!(view.numbers::<u32>(20, 995), Some(expected(5)));
            assert_eq!(view.numbers::<u32>(4000, 0), Some(vec![]));
        }
        None => assert!(!is_copied_at_once(), "this processor copies them at once"),
    }
    assert_eq!(view.numbers::<u32>(20, 996), None);
    assert_eq!(view.numbers::<u32>(0, usize::MAX), None);
    assert_eq!(view.numbers::<u32>(4001, 0), None);
}

/// Only who has made the promise reads the payload as a slice, and then it is the payload.
#[test]
fn a_trusting_reader_has_the_payload_as_a_slice() {
    let (extent, memory) = extent();
    let first = extent.take(1).unwrap();
    let room = extent.take(300).unwrap();
    room.write(&[5; 400]);
    assert_eq!((room.len(), room.is_empty()), (300, false));
    // SAFETY: nothing writes to the room while the view is read.
    let trust = unsafe { TrustPeers::assume() };
    let region = Region::extent(extent.len());
    let block = room.place().block;
    assert_ne!(block, first.place().block);
    let view = PayloadView::new(&memory, region, block, 301, Some(trust));
    let slice = view.as_slice().unwrap();
    assert_eq!(slice[..300], [5; 300]);
    assert_eq!(slice[300], 0, "a room takes no more than its length");
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
    assert_eq!(extent.number(), 3);
    assert!(!extent.is_empty() && extent.is_idle());
    let all = extent.take(extent.len()).unwrap();
    assert!(!extent.is_idle());
    assert!(extent.take(1).is_none());
    drop(all);
    let rooms: Vec<Space> = std::iter::from_fn(|| extent.take(1)).collect();
    assert_eq!(rooms.len(), 64);
}
