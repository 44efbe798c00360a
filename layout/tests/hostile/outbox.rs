//! The outbox of a peer that is this process, and a reader of everything in it.

use super::*;

/// Memory that a peer writes: the file, and this side's map of it.
pub(super) struct Outbox {
    pub(super) file: File,
    pub(super) inbox: ReadView,
}

impl Outbox {
    pub(super) fn new(len: usize) -> Outbox {
        let fd = memfd::create("hostile", len).unwrap();
        let mapping = Mapping::read_only(fd.as_fd().try_clone_to_owned().unwrap(), len);
        Outbox {
            inbox: ReadView::new(mapping.unwrap()),
            file: fd.into(),
        }
    }

    /// An outbox with a call in each entry and a reply in each slot, with payloads inline and in blocks, and
    /// everything released.
    pub(super) fn honest(geometry: Geometry) -> Outbox {
        let outbox = Outbox::new(geometry.total_len());
        let view = outbox.writer();
        let (ring, blocks) = (
            RingWriter::new(geometry),
            Blocks::new(Region::outbox(geometry)),
        );
        for slot in 0..geometry.entries() as u8 {
            let run = blocks.allocate(20).unwrap();
            blocks::write(&view, Region::outbox(geometry), run, &[slot; 20]);
            let place = match slot % 2 {
                0 => Place::Inline,
                _ => Place::Blocks { block: run.first() },
            };
            let call = Call {
                gate: 0,
                slot,
                kind: CallKind::Function,
                encoding: Encoding::Archive,
                place,
                length: 20,
                deadline: 0,
                chain: None,
            };
            ring.publish(&view, &call, &mut Cell::default());
            let reply = Reply {
                ok: true,
                place,
                length: 20,
            };
            slot::publish(&view, geometry, slot, 1, &reply, &mut Cell::default());
            flags::release(&view, geometry, slot, 1);
        }
        outbox
    }

    pub(super) fn writer(&self) -> WriteView {
        let fd = self.file.as_fd().try_clone_to_owned().unwrap();
        WriteView::new(Mapping::writable(fd, self.inbox.len()).unwrap()).unwrap()
    }

    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        self.file.write_all_at(bytes, at as u64).unwrap();
    }
}

/// Reads a payload as this side does, after checking independently that it lies in its place.
pub(super) fn read_payload(inbox: &ReadView, geometry: Geometry, place: Place, length: u32) {
    let length = length as usize;
    match place {
        Place::Inline => assert!(length <= INLINE_LEN),
        Place::Blocks { block } => {
            assert!(usize::from(block) * geometry.block_len() + length <= geometry.blocks_len());
            assert!(usize::from(block) <= BLOCKS);
            blocks::read(inbox, Region::outbox(geometry), block, &mut vec![0; length]);
        }
        // This stays a claim until it is checked against the extent that it names.
        Place::Extent(place) => {
            let region = Region::extent(1 << 20);
            let is_inside = usize::from(place.block) * region.block_len() + length <= region.len();
            assert_eq!(place.check(length as u32, region).is_ok(), is_inside);
        }
    }
}

/// Takes calls until there is none or the peer broke the protocol; at most `most`.
pub(super) fn drain(
    reader: &mut RingReader,
    inbox: &ReadView,
    geometry: Geometry,
    most: usize,
) -> usize {
    let mut cell = Cell::default();
    for taken in 0..most {
        match reader.take(inbox, &mut cell) {
            None | Some(Err(_)) => return taken,
            Some(Ok(call)) => {
                assert!(u32::from(call.slot) < geometry.entries());
                read_payload(inbox, geometry, call.place, call.length);
            }
        }
    }
    most
}

/// Everything that is ever read of an outbox besides its ring.
pub(super) fn read_slots(inbox: &ReadView, geometry: Geometry) {
    let mut cell = Cell::default();
    for slot in 0..geometry.entries() as u8 {
        let state = slot::state(inbox, geometry, slot);
        if let Ok(reply) = slot::read(inbox, geometry, slot, &mut cell) {
            read_payload(inbox, geometry, reply.place, reply.length);
        }
        let _ = flags::waiter_to_wake(inbox, geometry, slot);
        let _ = flags::is_released(inbox, geometry, slot, state);
    }
}

/// Reads an outbox that nobody changes meanwhile.
pub(super) fn read_all(inbox: &ReadView, geometry: Geometry) {
    let mut reader = RingReader::new(geometry);
    let _ = reader.has_call(inbox);
    let entries = geometry.entries() as usize;
    let taken = drain(&mut reader, inbox, geometry, 2 * entries);
    assert!(
        taken <= entries,
        "a ring gave more calls than it has entries"
    );
    read_slots(inbox, geometry);
}
