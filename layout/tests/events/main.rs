//! The ring of events, cursors and topic words. One side writes and the other reads, through two maps of one memory
//! file, as in two processes.

#![cfg(not(callgate_loom))]
#![allow(clippy::unwrap_used)]

mod bytes;
mod exchange;
mod properties;

use std::fs::File;
use std::os::unix::fs::FileExt;

use callgate_layout::events::{Kind, RING_HEADER, RingReader, RingWriter, Run, Taken};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};

/// Memory as its writer and as its readers map it, and the file.
struct Shared {
    file: File,
    len: usize,
}

impl Shared {
    fn new(len: usize) -> Shared {
        let file = File::from(memfd::create("events", len).unwrap());
        Shared { file, len }
    }

    fn writable(&self) -> WriteView {
        let file = self.file.try_clone().unwrap();
        WriteView::new(Mapping::writable(file.into(), self.len).unwrap()).unwrap()
    }

    fn readable(&self) -> ReadView {
        let file = self.file.try_clone().unwrap();
        ReadView::new(Mapping::read_only(file.into(), self.len).unwrap())
    }

    fn read(&self, at: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at as u64).unwrap();
        bytes
    }
}

/// A ring of this capacity, whose first event has this number.
fn ring(capacity: usize, first: u64) -> (Shared, RingWriter) {
    let shared = Shared::new(RING_HEADER + capacity);
    let writer = RingWriter::new(shared.writable(), first);
    (shared, writer)
}

/// Bytes of which no two neighbours, and no two events, are the same.
fn payload(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|at| (at * 7 + number * 31 + 1) as u8)
        .collect()
}

/// Sends one event, as a source does that does not wait for its listeners.
fn send(writer: &mut RingWriter, payload: &[u8]) {
    let needed = writer.needed(payload.len());
    if !writer.has_room(payload.len()) {
        assert!(writer.forget(needed, needed + writer.capacity() / 4));
    }
    writer.push(Kind::Event, 0, payload);
    writer.publish();
}

/// Takes an event, which must be there; returns its number and its payload.
fn take(reader: &mut RingReader) -> (u64, Vec<u8>) {
    let mut run = Run::default();
    match reader.take(&mut run) {
        Taken::Event => (reader.number() - 1, run.payload().to_vec()),
        other => panic!("no event, but {other:?}"),
    }
}
