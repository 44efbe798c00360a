//! Cells whose broker is replaced by another one.

use std::thread;
use std::time::Duration;

use callgate_client::{BrokerEvent, Code};

use crate::scene::{Bus, PATIENCE, TAG, await_that, code, get, reader, set, writer};

/// Whether the writer or the reader reaches the next broker first must make no difference to what is read.
#[test]
fn values_are_read_across_brokers() {
    for is_writer_first in [true, false] {
        let buses = [Bus::new(), Bus::new()];
        let [one, other] = ["Writer", "Reader"].map(|name| buses[0].connect(name));
        let cell = writer(&one);
        let mut read = reader(&other);
        set(&cell, 1);
        assert_eq!(get(&mut read), 1);
        let [first, last] = match is_writer_first {
            true => [&one, &other],
            false => [&other, &one],
        };
        buses[1].takes(first);
        // One of the two has reached the next broker, and the other has not: the old memory is still written and read.
        for value in 2..50 {
            set(&cell, value);
            assert_eq!(get(&mut read), value);
        }
        buses[1].takes(last);
        for value in 50..100 {
            set(&cell, value);
            assert_eq!(get(&mut read), value);
            thread::sleep(Duration::from_micros(200));
        }
        let late = buses[1].connect("Late");
        assert_eq!(get(&mut reader(&late)), 99);
        assert!(read.is_current());
    }
}

#[test]
fn a_cell_is_written_and_read_while_there_is_no_broker() {
    let bus = Bus::new();
    let [one, other] = ["Writer", "Reader"].map(|name| bus.connect(name));
    let cell = writer(&one);
    set(&cell, 1);
    let mut read = reader(&other);
    drop(bus);
    for value in 2..100 {
        set(&cell, value);
        assert_eq!(get(&mut read), value);
    }
    let next = Bus::new();
    next.takes(&other);
    next.takes(&one);
    let late = next.connect("Late");
    let mut late = reader(&late);
    assert_eq!(get(&mut late), 99);
    set(&cell, 100);
    assert_eq!((get(&mut late), get(&mut read)), (100, 100));
}

/// Otherwise a reader would take the last value of a writer that has gone for good for a current one.
#[test]
fn who_does_not_come_back_is_gone() {
    let buses = [Bus::new(), Bus::new()];
    let [one, other] = ["Writer", "Reader"].map(|name| buses[0].connect(name));
    let cell = writer(&one);
    set(&cell, 1);
    let mut read = reader(&other);
    buses[1].takes(&other);
    drop((cell, one));
    await_that("it is known to have gone", || !read.is_current());
    assert_eq!(get(&mut read), 1);
    let next = buses[1].connect("Next");
    let cell = writer(&next);
    set(&cell, 2);
    await_that("the next one is read", || get(&mut read) == 2);
    assert_eq!((&*read.writer(), read.is_current()), ("Next", true));
}

/// The writer that reaches the next broker second is told so, and can no longer write.
#[test]
fn another_plugin_may_be_there_first() {
    let buses = [Bus::new(), Bus::new()];
    let [one, other] = ["Writer", "Reader"].map(|name| buses[0].connect(name));
    let cell = writer(&one);
    set(&cell, 1);
    let mut read = reader(&other);
    let rival = buses[1].connect("Rival");
    let rivals = writer(&rival);
    set(&rivals, 7);
    let (sender, told) = std::sync::mpsc::channel();
    one.on_broker(move |event| {
        let _ = sender.send(event);
    });
    buses[1].takes(&one);
    await_that("it writes no more", || cell.ended().is_some());
    assert_eq!(code(cell.set(&[2; 8])), Code::AlreadyProvided);
    let refused = std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok());
    let refused = refused.filter_map(|event| match event {
        BrokerEvent::GateRefused { gate, error } => Some((gate, error.code())),
        _ => None,
    });
    let expected = Some((TAG.to_owned(), Code::AlreadyProvided));
    assert_eq!(refused.into_iter().next(), expected);
    buses[1].takes(&other);
    await_that("the rival's is read", || get(&mut read) == 7);
}

/// A wait goes on with the next broker, and the program need not begin it again.
#[test]
fn a_wait_goes_on_with_the_next_broker() {
    let buses = [Bus::new(), Bus::new()];
    let [one, other] = ["Writer", "Reader"].map(|name| buses[0].connect(name));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| reader(&other));
        await_that("it waits", || {
            let listing = one.list().unwrap();
            listing["shares"]
                .as_array()
                .is_some_and(|all| all.len() == 1)
        });
        buses[1].takes(&other);
        buses[1].takes(&one);
        let cell = writer(&one);
        set(&cell, 3);
        let mut read = waiting.join().unwrap();
        await_that("it is read", || read.get().is_ok());
        assert_eq!(get(&mut read), 3);
    });
}
