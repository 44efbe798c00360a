//! The steps, in the order in which a call takes them.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use arc_swap::ArcSwap;
use callgate_layout::envelope::{Call, CallKind, Cell, Place, Reply};
use callgate_layout::pending::Pending;
use callgate_layout::ring::{RingReader, RingWriter};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};
use callgate_layout::{Encoding, Geometry, clock, slot};
use rkyv::api::{access_with_context, deserialize_using, serialize_using};
use rkyv::rancor::Error;
use rkyv::ser::Serializer;
use rkyv::ser::allocator::SubAllocator;
use rkyv::ser::writer::Buffer;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::{Archive, Deserialize, Serialize};

use crate::measure;

const GEOMETRY: Geometry = Geometry::DEFAULT;

#[derive(Archive, Serialize, Deserialize)]
struct Payload64 {
    words: [u64; 8],
}

/// A payload into a cell and out of it again, as the client does it.
pub(crate) fn archives(wanted: Option<&str>) {
    let payload = Payload64 { words: [7; 8] };
    let mut cell = Cell::default();
    measure(wanted, "a new cell", Cell::default);
    measure(wanted, "serialise 64 B into a cell", || {
        serialize(black_box(&payload), black_box(&mut cell))
    });
    let Some(length) = serialize(&payload, &mut cell) else {
        return;
    };
    measure(wanted, "validate 64 B", || {
        validate(black_box(&cell), length).is_some()
    });
    measure(wanted, "validate and deserialise 64 B", || {
        validate(black_box(&cell), length)
            .and_then(|archived| deserialize_using::<Payload64, _, Error>(archived, &mut ()).ok())
            .map(|payload| payload.words)
    });
}

fn serialize(payload: &Payload64, cell: &mut Cell) -> Option<usize> {
    let mut scratch = [const { MaybeUninit::uninit() }; 1024];
    let buffer = Buffer::from(cell.inline_mut());
    let mut serializer = Serializer::new(buffer, SubAllocator::new(&mut scratch), ());
    serialize_using::<_, Error>(payload, &mut serializer).ok()?;
    Some(serializer.into_writer().len())
}

fn validate(cell: &Cell, length: usize) -> Option<&ArchivedPayload64> {
    let bytes = &cell.inline()[..length];
    let mut validator = ArchiveValidator::with_max_depth(bytes, NonZeroUsize::new(64));
    access_with_context::<_, _, Error>(bytes, &mut validator).ok()
}

/// A call through a ring and its answer through a slot, both ends on this thread.
pub(crate) fn memory(wanted: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let (outbox, inbox) = outbox()?;
    let mut cell = Cell::default();
    let (place, length) = (Place::Inline, 64);
    let (writer, mut reader) = (RingWriter::new(GEOMETRY), RingReader::new(GEOMETRY));
    let call = Call {
        gate: 0,
        slot: 0,
        kind: CallKind::Function,
        encoding: Encoding::Archive,
        place,
        length,
        deadline: 0,
        chain: None,
    };
    measure(wanted, "publish a call of 64 B and take it", || {
        writer.publish(&outbox, black_box(&call), &mut cell);
        reader.take(&inbox, &mut cell).is_some()
    });
    let ok = true;
    let reply = Reply { ok, place, length };
    let mut turn = 0;
    measure(wanted, "publish a reply of 64 B and read it", || {
        turn += 1;
        slot::publish(&outbox, GEOMETRY, 0, turn, black_box(&reply), &mut cell);
        let seen = slot::state(&inbox, GEOMETRY, 0) == turn;
        seen && slot::read(&inbox, GEOMETRY, 0, &mut cell).is_ok()
    });
    let pending = Pending::new(GEOMETRY);
    measure(wanted, "take a pending call and free it", || {
        let ticket = pending.take_for(0);
        ticket.map(|ticket| pending.free(ticket))
    });
    Ok(())
}

fn outbox() -> Result<(WriteView, ReadView), Box<dyn std::error::Error>> {
    let len = GEOMETRY.total_len();
    let file = memfd::create("callgate-parts", len)?;
    let reading = Mapping::read_only(file.try_clone()?, len)?;
    let writing = WriteView::new(Mapping::writable(file, len)?).ok_or("not writable")?;
    Ok((writing, ReadView::new(reading)))
}

/// Reading the time.
pub(crate) fn clocks(wanted: Option<&str>) {
    measure(wanted, "read the coarse clock", clock::coarse_now);
    measure(wanted, "read the precise clock", clock::now);
    measure(wanted, "Instant::now", Instant::now);
}

/// What else is on a call's path.
pub(crate) fn rest(wanted: Option<&str>) {
    let swap = ArcSwap::from_pointee(1u64);
    measure(wanted, "load an ArcSwap", || **swap.load());
    measure(wanted, "a sequentially consistent fence", || {
        fence(Ordering::SeqCst);
    });
    let counter = std::sync::atomic::AtomicU32::new(0);
    measure(wanted, "a locked add", || {
        counter.fetch_add(1, Ordering::AcqRel)
    });
    let shared = Arc::new(1u64);
    measure(wanted, "clone an Arc and drop it", || Arc::clone(&shared));
    measure(wanted, "yield to nobody", std::thread::yield_now);
}
