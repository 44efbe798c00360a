//! A writer that stores wrong counts, and writes while others copy.

use super::*;
use callgate_layout::cells::{CellReader, CellWriter, Copied, MAX_VALUE, cell_len};

const LEN: usize = 40;
const COUNTS: [u64; 9] = [
    0,
    1,
    2,
    3,
    1 << 32,
    u64::MAX / 2,
    u64::MAX / 2 + 1,
    u64::MAX - 1,
    u64::MAX,
];

/// A cell with two values.
fn honest() -> (Outbox, CellReader) {
    let outbox = Outbox::new(cell_len(LEN as u32) as usize);
    let mut writer = CellWriter::new(outbox.writer(), LEN).unwrap();
    (1..=2).for_each(|value| writer.write(&[value; LEN]));
    let reader = CellReader::new(outbox.inbox.clone(), LEN).unwrap();
    (outbox, reader)
}

/// Memory that is mapped as a cell and cannot be one.
#[test]
fn memory_that_is_no_cell_has_no_reader() {
    let is_one = |memory: usize, len: usize| {
        let outbox = Outbox::new(memory);
        let reads = CellReader::new(outbox.inbox.clone(), len).is_some();
        assert_eq!(CellWriter::new(outbox.writer(), len).is_some(), reads);
        reads
    };
    assert!(is_one(192, 64) && !is_one(192, 65) && !is_one(184, 1));
    assert!(!is_one(4096, 0) && is_one(64 + 2 * 4096, MAX_VALUE as usize));
    assert!(!is_one(1 << 16, MAX_VALUE as usize + 1) && !is_one(1 << 16, usize::MAX));
}

/// A count that goes back or jumps only decides which of the two buffers the reader copies.
#[test]
fn a_count_that_jumps_does_no_harm() {
    let (outbox, reader) = honest();
    for _ in 0..3 {
        for count in COUNTS {
            outbox.write(0, &count.to_le_bytes());
            let mut value = [0; LEN];
            let copied = reader.read(&mut value);
            if count == 0 {
                assert_eq!(copied, Copied::Nothing);
            } else {
                assert_eq!(copied, Copied::Value);
                assert_eq!(value, [2 - (count & 1) as u8; LEN]);
            }
        }
    }
}

/// The count changes all the time: the reader reports that, or finds a value, and returns in either case.
#[test]
fn a_count_that_changes_all_the_time_ends_no_reader() {
    let (outbox, reader) = honest();
    let is_over = Arc::new(AtomicBool::new(false));
    let liar = thread::spawn({
        let (is_over, view) = (is_over.clone(), outbox.writer());
        move || {
            let mut count = 0_u64;
            while !is_over.load(Ordering::Relaxed) {
                count = count.wrapping_add(0x8000_0000_0000_0001);
                callgate_layout::hostile::poke(&view, 0, count);
            }
        }
    });
    // The lying writer begins with a correct count.
    let mut value = [0; LEN];
    while reader.read(&mut value) == Copied::Value && value == [2; LEN] {}
    let mut seen = [0; 3];
    for _ in 0..100_000 {
        let mut value = [0; LEN];
        seen[reader.read(&mut value) as usize] += 1;
    }
    is_over.store(true, Ordering::Relaxed);
    liar.join().unwrap();
    assert_eq!(seen.iter().sum::<u32>(), 100_000);
}
