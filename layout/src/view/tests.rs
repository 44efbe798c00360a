//! Views of memory files.

use crate::atomic::Ordering::Relaxed;

use super::*;
use crate::sys::mapping::Mapping;
use crate::sys::memfd;

fn writable(len: usize) -> WriteView {
    let file = memfd::create("test", len).expect("memory");
    let view = WriteView::new(Mapping::writable(file, len).expect("memory"));
    view.expect("memory")
}

/// A map for reading is never written to: a store would fault.
#[test]
fn what_is_mapped_for_reading_is_not_written_to() {
    let file = memfd::create("test", 4096).unwrap();
    let reader = Mapping::read_only(file.try_clone().unwrap(), 4096).unwrap();
    assert!(WriteView::new(reader).is_none());
    let reader = ReadView::new(Mapping::read_only(file.try_clone().unwrap(), 4096).unwrap());
    let writer = WriteView::new(Mapping::writable(file, 4096).unwrap()).unwrap();
    assert_eq!((reader.len(), reader.is_empty()), (4096, false));
    writer.store64(8, 7 << 32 | 5, Relaxed);
    writer.add32(8, u32::MAX, Relaxed);
    assert_eq!(
        (reader.load64(8, Relaxed), reader.load32(12, Relaxed)),
        (7 << 32 | 4, 7)
    );
    writer.store32(12, 9, Relaxed);
    assert_eq!(
        (reader.load32(8, Relaxed), reader.load32(12, Relaxed)),
        (4, 9)
    );
    for (before, together) in [(0, false), (1, true), (2, false)] {
        assert_eq!(writer.count(16, together), before);
    }
    assert_eq!(writer.as_read().load64(16, Relaxed), 3);
}

/// An offset beyond the last word, or one that is not aligned, panics: it is a mistake of this program.
#[test]
fn what_is_out_of_bounds_panics() {
    let view = writable(4096);
    let read = view.as_read();
    assert_eq!(
        (read.load64(4088, Relaxed), read.load32(4092, Relaxed)),
        (0, 0)
    );
    read.copy_out(4088, &mut [0; 8]);
    read.copy_out(4096, &mut []);
    let panics = |access: &dyn Fn()| {
        let access = std::panic::AssertUnwindSafe(access);
        std::panic::catch_unwind(access).is_err()
    };
    for at in [4, 4089, 4096, usize::MAX - 7] {
        assert!(panics(&|| assert_eq!(read.load64(at, Relaxed), 0)), "{at}");
    }
    for at in [2, 4094, 4096, usize::MAX - 3] {
        assert!(panics(&|| assert_eq!(read.load32(at, Relaxed), 0)), "{at}");
    }
    for (at, len) in [(4096, 1), (4088, 9), (0, 4097), (4104, 0), (4, 8)] {
        assert!(
            panics(&|| read.copy_out(at, &mut vec![0; len])),
            "{at} {len}"
        );
        assert!(panics(&|| view.copy_in(at, &vec![0; len])), "{at} {len}");
    }
}

/// Copies of every length, around those at which another way of copying is used, are whole and touch nothing else.
#[test]
fn copies_are_whole_and_touch_nothing_else() {
    const LEN: usize = 1 << 20;
    let view = writable(LEN);
    for at in [0, 8, 4096] {
        for len in [
            0, 1, 7, 8, 9, 500, 511, 512, 513, 520, 262_143, 262_144, 262_145,
        ] {
            let bytes: Vec<u8> = (0..len).map(|n| (n * 7 + n / 256) as u8 | 1).collect();
            view.copy_in(at, &bytes);
            let mut copy = vec![0; len + 8];
            view.as_read().copy_out(at, &mut copy[..len]);
            assert!(copy[..len] == bytes, "{len} at {at}");
            assert_eq!(copy[len..], [0; 8]);
            // After that come zeros: those that fill up the last word, or those from before.
            view.as_read().copy_out(at, &mut copy);
            assert_eq!(copy[len..], [0; 8], "{len} at {at}");
            view.copy_in(at, &vec![0; len]);
        }
    }
}
