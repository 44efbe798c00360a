//! CELL-WRITTEN and CELL-MOVED: a cell that is read while it is written.

use std::sync::Arc;

use callgate_layout::cells::{CellReader, CellWriter, Copied};
use callgate_layout::view::{Use, WriteView};
use loom::thread;

use crate::bench::check;

/// Bytes of a value: two words, so that a copy can be torn.
const LEN: usize = 16;

/// A cell by the byte table in `cells`, with values 1 to `values`.
fn cell(values: u64) -> (CellWriter, CellReader) {
    use std::iter::{once, repeat_n};
    let count = once(Use::Wide).chain(repeat_n(Use::Data, 7));
    let memory = WriteView::heap(count.chain(repeat_n(Use::Overwritten, 16)));
    let reader = CellReader::new(memory.as_read().clone(), LEN).unwrap();
    let mut writer = CellWriter::new(memory, LEN).unwrap();
    (1..=values).for_each(|value| write(&mut writer, value));
    (writer, reader)
}

fn write(writer: &mut CellWriter, value: u64) {
    writer.write([value.to_ne_bytes(); 2].as_flattened());
}

/// The value, which has to be whole; 0 where there is none.
fn read(reader: &CellReader) -> u64 {
    let mut bytes = [0; LEN];
    match reader.read(&mut bytes) {
        Copied::Nothing => 0,
        Copied::Value => {
            let (words, _) = bytes.as_chunks::<8>();
            let [first, second] = [words[0], words[1]].map(u64::from_ne_bytes);
            assert_eq!(first, second, "a torn value");
            assert_ne!(first, 0, "a value before its bytes");
            first
        }
        Copied::Busy => panic!("no more values were written than were copied"),
    }
}

/// The first value is found whole, or there is none yet.
#[test]
fn the_first_value_comes_after_its_bytes() {
    check(None, || {
        let (mut writer, reader) = cell(0);
        let writing = thread::spawn(move || write(&mut writer, 1));
        assert!(read(&reader) <= 1);
        writing.join().unwrap();
        assert_eq!(read(&reader), 1);
    });
}

/// The writer goes two rounds, and so writes over the value that the reader may be copying.
#[test]
fn a_torn_copy_is_never_a_value() {
    check(None, || {
        let (mut writer, reader) = cell(1);
        let writing = thread::spawn(move || {
            write(&mut writer, 2);
            write(&mut writer, 3);
        });
        let first = read(&reader);
        assert!((1..=3).contains(&first));
        writing.join().unwrap();
        assert_eq!(read(&reader), 3);
    });
}

/// The same where the value is copied as words.
#[test]
fn torn_words_are_never_a_value() {
    check(None, || {
        let (mut writer, reader) = cell(1);
        let writing = thread::spawn(move || {
            write(&mut writer, 2);
            write(&mut writer, 3);
        });
        if let Some([first, second]) = reader.read_words::<2>() {
            assert_eq!(first, second, "a torn value");
            assert!((1..=3).contains(&first));
        }
        writing.join().unwrap();
        assert_eq!(reader.read_words(), Some([3; 2]));
    });
}

/// Two of them, which read as they like. At most two preemptions.
#[test]
fn each_of_two_readers_finds_whole_values() {
    check(Some(2), || {
        let (mut writer, reader) = cell(1);
        let reader = Arc::new(reader);
        let writing = thread::spawn(move || {
            write(&mut writer, 2);
            write(&mut writer, 3);
        });
        let reading = thread::spawn({
            let reader = reader.clone();
            move || assert!((1..=3).contains(&read(&reader)))
        });
        let (first, second) = (read(&reader), read(&reader));
        assert!(first <= second, "an older value after a newer one");
        reading.join().unwrap();
        writing.join().unwrap();
    });
}

/// A writer that is killed stands still for ever. Wherever that is, a reader finds the value before or the new one: it waits for
/// nobody, so it has come to its end in the orders in which the writer does not go on before.
#[test]
fn a_writer_that_stands_still_anywhere_leaves_a_value() {
    check(None, || {
        let (mut writer, reader) = cell(2);
        let writing = thread::spawn(move || write(&mut writer, 3));
        let first = read(&reader);
        let second = read(&reader);
        assert!((2..=3).contains(&first) && (first..=3).contains(&second));
        writing.join().unwrap();
    });
}
