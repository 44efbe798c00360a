//! Cells as programs use them, with brokers, writers and readers in this process.

#![allow(clippy::unwrap_used)]

mod restarts;
mod scene;
mod types;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Cell, CellWriter, Code};

use scene::{Bus, Level, TAG, await_that, code, get, reader, set, writer};

#[test]
fn a_reader_copies_what_was_written_last() {
    let bus = Bus::new();
    let (one, other) = (bus.connect("Writer"), bus.connect("Reader"));
    let cell = writer(&one);
    let mut read = reader(&other);
    assert_eq!(code(read.get()), Code::NotReady, "nothing was written");
    for value in [1, 2, 2, 9] {
        set(&cell, value);
        assert_eq!(get(&mut read), value);
        assert_eq!(get(&mut read.clone()), value);
    }
    assert!(read.is_current());
    assert_eq!(
        (&*read.writer(), read.tag(), cell.tag()),
        ("Writer", TAG, TAG)
    );
    // A plugin may read what it writes.
    assert_eq!(get(&mut reader(&one)), 9);
}

/// The types of handles say which threads may use them; each clone has its own copy of the value.
#[test]
fn handles_go_to_other_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Sync>(_: &T) {}
    let bus = Bus::new();
    let plugin = bus.connect("Both");
    let cell = writer(&plugin);
    is_sync(&cell);
    let mut read = reader(&plugin);
    is_send(&read);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut read = read.clone();
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    match read.get() {
                        Ok(value) => assert_eq!(value, [value[0]; 8]),
                        Err(error) => {
                            assert!(
                                [Code::NotReady, Code::Busy].contains(&error.code()),
                                "{error}"
                            );
                        }
                    }
                }
            });
        }
        let writers: Vec<_> = [1, 2]
            .map(|thread| {
                let cell = &cell;
                scope.spawn(move || (0..50_000).for_each(|n| set(cell, n * 2 + thread)))
            })
            .into();
        for writer in writers {
            writer.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!([99_999, 100_000].contains(&get(&mut read)));
}

/// A reader that came before the writer would have to ask for the cell again and again.
#[test]
fn a_reader_may_come_first() {
    let bus = Bus::new();
    let (one, other) = (bus.connect("Writer"), bus.connect("Reader"));
    assert!(other.shares().try_cell::<Level>(TAG).unwrap().is_none());
    let begun = Instant::now();
    let short = Duration::from_millis(30);
    let late = other.shares().timeout(short).cell::<Level>(TAG).map(drop);
    let late = late.unwrap_err();
    assert_eq!((late.code(), late.gate()), (Code::NotReady, Some(TAG)));
    assert!(begun.elapsed() >= short);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| reader(&other));
        let cell = loop {
            // The broker creates a cell of that tag as soon as a reader waits for it.
            if bus_has_cell(&one) {
                break writer(&one);
            }
        };
        set(&cell, 5);
        let mut read = waiting.join().unwrap();
        await_that("the value is there", || read.get().is_ok());
        assert_eq!(get(&mut read), 5);
        assert_eq!(get(&mut other.shares().try_cell(TAG).unwrap().unwrap()), 5);
    });
}

fn bus_has_cell(plugin: &callgate_client::Plugin) -> bool {
    let listing = plugin.list().unwrap();
    listing["shares"]
        .as_array()
        .is_some_and(|all| !all.is_empty())
}

/// The last value stays after its writer has gone, and the next writer begins with it.
#[test]
fn writers_come_and_go() {
    let bus = Bus::new();
    let listener = bus.connect("Reader");
    let first = bus.connect("First");
    let cell = writer(&first);
    set(&cell, 1);
    let mut read = reader(&listener);
    let second = bus.connect("Second");
    let taken = second
        .shares()
        .cell_writer::<Level>(TAG)
        .map(drop)
        .unwrap_err();
    assert_eq!(
        (taken.code(), taken.gate()),
        (Code::AlreadyProvided, Some(TAG))
    );
    assert!(taken.message().contains("`First`"), "{taken}");
    drop(cell);
    await_that("the writer has gone", || !read.is_current());
    assert_eq!((get(&mut read), &*read.writer()), (1, "First"));
    let cell = writer(&second);
    await_that("there is another one", || &*read.writer() == "Second");
    assert_eq!((get(&mut read), read.is_current()), (1, true));
    set(&cell, 2);
    assert_eq!(get(&mut read), 2);
    drop(second);
    await_that("that one has gone", || !read.is_current());
    assert_eq!(get(&mut read), 2);
    assert_eq!(code(cell.set(&[3; 8])), Code::Closed);
    assert_eq!(cell.ended().map(|error| error.code()), Some(Code::Closed));
}

/// When a cell is closed the broker must forget it too: otherwise nobody could write it again, or give it another type.
#[test]
fn the_last_handle_closes_the_cell() {
    let bus = Bus::new();
    let plugin = bus.connect("Both");
    let cell = writer(&plugin);
    let read = reader(&plugin);
    let other = read.clone();
    drop((cell, read));
    assert!(bus_has_cell(&plugin));
    assert_eq!(
        code(plugin.shares().cell::<u32>(TAG)),
        Code::ShareTypeMismatch
    );
    drop(other);
    await_that("it is gone", || !bus_has_cell(&plugin));
    let cell: CellWriter<u32> = plugin.shares().cell_writer(TAG).unwrap();
    cell.set(&7).unwrap();
    assert_eq!(plugin.shares().cell::<u32>(TAG).unwrap().get().unwrap(), 7);
}

/// A reader in a plugin that has closed would show old values for ever.
#[test]
fn a_plugin_that_has_closed_reads_nothing() {
    let bus = Bus::new();
    let (one, other) = (bus.connect("Writer"), bus.connect("Reader"));
    let cell = writer(&one);
    set(&cell, 1);
    let mut read = reader(&other);
    drop(other);
    let error = read.get().unwrap_err();
    assert_eq!((error.code(), error.gate()), (Code::Closed, Some(TAG)));
    assert!(!read.is_current());
    let mut again = Cell::clone(&read);
    assert_eq!(code(again.get()), Code::Closed);
}
