//! Cells as files: which plugin gets which, when they are sealed against others, and what is left when a plugin ends.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use callgate::Listing;
use callgate_layout::Code;
use callgate_layout::cells::{CellReader, CellWriter, Copied, cell_len};
use callgate_layout::control::{
    CellToBroker, CellToPlugin, SessionToBroker, SessionToPlugin, ToPlugin,
};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};

use crate::support::{Bus, Peer, bus, code_of, eventually, inode};

const LEN: usize = 16;
const MEMORY: usize = cell_len(LEN as u32) as usize;

fn open(request: u32, writes: bool) -> CellToBroker {
    CellToBroker::Open {
        request,
        tag: "level".into(),
        fingerprint: 7,
        signature: "([f32; 4])".into(),
        len: LEN as u32,
        writes,
        waits: true,
    }
}

/// The files that a writer is sent: its own, and that of the writer before.
fn to_write(peer: &mut Peer) -> (OwnedFd, Option<OwnedFd>) {
    match peer.next() {
        Some((ToPlugin::Cell(CellToPlugin::Write { len, has_last, .. }), files)) => {
            assert_eq!(
                (len as usize, files.len()),
                (MEMORY, 1 + usize::from(has_last))
            );
            let mut files = files.into_iter();
            (files.next().unwrap(), files.next())
        }
        other => panic!("nothing to write: {other:?}"),
    }
}

/// Maps and allocates a cell, as a correct writer does.
fn writer(file: &OwnedFd) -> CellWriter {
    memfd::allocate(file.as_fd(), MEMORY).unwrap();
    let map = Mapping::writable(file.try_clone().unwrap(), MEMORY).unwrap();
    CellWriter::new(WriteView::new(map).unwrap(), LEN).unwrap()
}

fn reader(file: OwnedFd) -> CellReader {
    let map = Mapping::read_only(file, MEMORY).unwrap();
    CellReader::new(ReadView::new(map), LEN).unwrap()
}

/// The file that a reader is sent, and the writer's name.
fn to_read(peer: &mut Peer) -> (OwnedFd, String) {
    match peer.next() {
        Some((ToPlugin::Cell(CellToPlugin::Read { len, writer, .. }), mut files)) => {
            assert_eq!((len as usize, files.len()), (MEMORY, 1));
            (files.pop().unwrap(), writer)
        }
        other => panic!("nothing to read: {other:?}"),
    }
}

/// A plugin that writes the cell, as a correct one does.
fn writing(bus: &Bus, name: &str) -> (Peer, OwnedFd, CellWriter) {
    let mut peer = bus.plugin(name);
    peer.send(open(1, true));
    let (file, last) = to_write(&mut peer);
    let mut cell = writer(&file);
    if let Some(last) = last {
        let mut value = [0; LEN];
        if reader(last).read(&mut value) == Copied::Value {
            cell.write(&value);
        }
    }
    peer.send(CellToBroker::Written { request: 1 });
    (peer, file, cell)
}

fn value(reader: &CellReader) -> Option<[u8; LEN]> {
    let mut value = [0; LEN];
    (reader.read(&mut value) == Copied::Value).then_some(value)
}

/// A reader that could write would speak for the writer, to all readers.
#[test]
fn a_reader_gets_the_memory_and_cannot_write_it() {
    let bus = bus();
    let mut listener = bus.plugin("reader");
    listener.send(open(5, false));
    let (_peer, file, mut cell) = writing(&bus, "writer");
    let (read, name) = to_read(&mut listener);
    assert_eq!((inode(&read), name.as_str()), (inode(&file), "writer"));
    assert!(Mapping::writable(read.try_clone().unwrap(), MEMORY).is_err());
    let again = memfd::reopen(read.as_fd(), true).and_then(|fd| Mapping::writable(fd, MEMORY));
    assert!(again.is_err(), "it is sealed");
    let read = reader(read);
    assert_eq!(value(&read), None);
    cell.write(&[1; LEN]);
    assert_eq!(value(&read), Some([1; LEN]));
    cell.write(&[2; LEN]);
    assert_eq!(value(&read), Some([2; LEN]));
}

/// The next writer begins with the last value of the one before, although that was killed.
#[test]
fn values_outlive_their_writer() {
    let bus = bus();
    let (peer, file, mut cell) = writing(&bus, "first");
    cell.write(&[9; LEN]);
    let mut listener = bus.plugin("reader");
    listener.send(open(5, false));
    let (old, _) = to_read(&mut listener);
    let old = reader(old);
    drop((peer, file, cell));
    assert_eq!(listener.record(), CellToPlugin::Left { request: 5 }.into());
    assert_eq!(value(&old), Some([9; LEN]));
    let (_peer, _, mut cell) = writing(&bus, "second");
    let (new, name) = to_read(&mut listener);
    let new = reader(new);
    assert_eq!((value(&new), name.as_str()), (Some([9; LEN]), "second"));
    cell.write(&[3; LEN]);
    assert_eq!((value(&new), value(&old)), (Some([3; LEN]), Some([9; LEN])));
}

/// A writer that does not allocate the memory loses its session: readers would have to allocate it, at their own
/// cost.
#[test]
fn who_does_not_allocate_is_sent_away() {
    let bus = bus();
    let mut peer = bus.plugin("writer");
    peer.send(open(1, true));
    let _file = to_write(&mut peer);
    peer.send(CellToBroker::Written { request: 1 });
    let failure = peer.ended();
    assert_eq!(code_of(&failure), Code::Protocol);
    assert!(failure.message.contains("it allocated 0"), "{failure:?}");
}

/// A writer that seals the memory first loses its session: it could keep the broker from sealing the memory against
/// others.
#[test]
fn who_seals_first_is_sent_away() {
    let bus = bus();
    let mut peer = bus.plugin("writer");
    peer.send(open(1, true));
    let (file, _) = to_write(&mut peer);
    memfd::allocate(file.as_fd(), MEMORY).unwrap();
    memfd::seal_seals(file.as_fd()).unwrap();
    peer.send(CellToBroker::Written { request: 1 });
    let failure = peer.ended();
    assert_eq!(code_of(&failure), Code::Protocol);
    assert!(failure.message.contains("sealed its cell"), "{failure:?}");
}

/// A reader that takes nothing while writers come and go is sent only the newest memory, so the broker does not keep
/// all of it.
#[test]
fn who_stands_still_is_sent_only_the_newest() {
    let bus = bus();
    let mut listener = bus.plugin("reader");
    listener.takes = false;
    listener.send(open(5, false));
    let mut inspector = bus.plugin("inspector");
    let before = descriptors();
    for round in 0..40 {
        let name = format!("writer {round}");
        drop(writing(&bus, &name));
        eventually("the writer has gone", || {
            let plugins = listing(&mut inspector).plugins;
            plugins.iter().all(|plugin| plugin.name != name)
        });
    }
    // Eight may be unacknowledged; one more waits behind them.
    assert!(
        descriptors() <= before + 12,
        "{before}, then {}",
        descriptors()
    );
}

/// The listing, for a connection that asks for it.
fn listing(inspector: &mut Peer) -> Listing {
    inspector.send(SessionToBroker::List { request: 9 });
    let Some((ToPlugin::Session(SessionToPlugin::Listing { .. }), mut files)) = inspector.next()
    else {
        panic!("no listing");
    };
    let file = File::from(files.pop().unwrap());
    let mut text = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut text, 0).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A listing shows the cells of a bus.
#[test]
fn cells_are_listed_with_the_shares() {
    let bus = bus();
    let (peer, _, _cell) = writing(&bus, "writer");
    let mut listener = bus.plugin("reader");
    listener.send(open(5, false));
    to_read(&mut listener);
    let mut inspector = bus.plugin("inspector");
    let shares = listing(&mut inspector).shares;
    let expected = serde_json::json!([{
        "tag": "level",
        "form": "cell",
        "owner": "writer",
        "users": ["reader"],
        "signature": "([f32; 4])",
        "bytes": LEN,
        "version": 0,
        "persistent": false,
    }]);
    assert_eq!(serde_json::to_value(&shares).unwrap(), expected);
    drop((listener, peer));
    eventually("the cell is gone", || {
        listing(&mut inspector).shares.is_empty()
    });
}
