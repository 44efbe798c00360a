//! Allocates the extents and the rings of events that this plugin writes.
//!
//! The broker only sets a file's size; the kernel charges its memory to the cgroup of the process that allocates
//! it, which is the process that writes. That takes 7 to 22 ms for 64 MiB, so it happens on a thread that lives
//! only for this one allocation:
//!
//! - The control thread must go on reading the broker's records and noticing deaths.
//! - A caller keeps its deadline and its cancel token meanwhile, and a pump its time limit. An extent
//!   whose caller has given up is allocated all the same, for the next caller.
//! - A dispatcher that publishes a late answer never waits for memory.
//! - A signal makes the kernel begin an allocation anew, so signals are blocked on this thread. Blocking them in a
//!   thread of the program would disturb the program.
//!
//! The memory cgroup is that of the process, so any of its threads may allocate. Only one thread at a time does: so
//! the same room in a cgroup is not promised twice, and a plugin with many links does not occupy all processors.
//! all processors.

mod cgroup;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use callgate_layout::control::{Failure, MemoryId, MemoryToBroker, Role, SourceToBroker, ToBroker};
use callgate_layout::shares::filling::Filling;
use callgate_layout::sys::fork::ForkMark;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::WriteView;
use callgate_layout::{Code, Encoding};
use nix::sys::signal::SigSet;
use parking_lot::Mutex;

use super::events::sources::Offered;
use super::mapping::unmapped;
use super::membership::Membership;
use crate::base::error::{Error, Result};
use crate::base::thread;
use crate::events::source::{self, RingKey};
use crate::link::Link;

/// A lock, with the process to which it belongs.
type Turn = Option<(ForkMark, Arc<Mutex<()>>)>;

/// The lock that lets one thread of this process at a time allocate. A child that is forked while it is held would
/// find it locked for ever, so each process makes its own.
fn turn() -> Arc<Mutex<()>> {
    static TURN: Mutex<Turn> = Mutex::new(None);
    let mut turn = TURN.lock();
    match &*turn {
        Some((mark, lock)) if mark.is_here() => lock.clone(),
        _ => {
            let lock = Arc::new(Mutex::new(()));
            *turn = Some((ForkMark::here(), lock.clone()));
            lock
        }
    }
}

/// An extent that the broker has made for this plugin.
pub(crate) struct NewExtent {
    /// The extent's number on this side of the link.
    pub(crate) number: u8,
    /// The size in bytes.
    pub(crate) len: usize,
    /// The file, which has this size and no memory yet.
    pub(crate) file: OwnedFd,
}

/// Allocates and maps an extent on a new thread, and tells the broker. If that fails, also tells the callers that
/// wait for the extent. If the link or the session ends meanwhile, the memory is freed again.
pub(crate) fn allocate(membership: &Arc<Membership>, link: &Arc<Link>, extent: NewExtent) {
    let (number, work) = (extent.number, (membership.clone(), link.clone()));
    let started = thread::spawn("callgate-memory", move || {
        let (membership, link) = work;
        // Signals are for the program's own threads.
        let _ = SigSet::all().thread_block();
        let made = make(extent.len, extent.file);
        settle(&membership, &link, number, made);
    });
    if let Err(error) = started {
        settle(membership, link, number, Err(error));
    }
}

/// A ring of events that the broker has made for this plugin.
pub(crate) struct NewRing {
    /// The number of the request with which the topic was offered.
    pub(crate) request: u32,
    /// The broker's number for the ring.
    pub(crate) ring: u64,
    pub(crate) encoding: Encoding,
    pub(crate) len: usize,
    /// The file, which has this size and no memory yet.
    pub(crate) file: OwnedFd,
}

/// Allocates and maps a ring on a new thread, has its source write it, and tells the broker.
pub(crate) fn allocate_ring(membership: &Arc<Membership>, new: NewRing) {
    let ring = new.ring;
    let Some(offered) = membership.sources.add_ring(new.request, ring) else {
        return settle_ring(membership, ring, &Err(no_source()));
    };
    let (theirs, failing) = (membership.clone(), offered.clone());
    let started = thread::spawn("callgate-memory", move || {
        let _ = SigSet::all().thread_block();
        let made = make_ring(&theirs, &offered, new);
        settle_ring(&theirs, ring, &made);
        offered.ring_settled(&made);
    });
    if let Err(error) = started {
        settle_ring(membership, ring, &Err(error.clone()));
        failing.ring_settled(&Err(error));
    }
}

fn make_ring(membership: &Membership, offered: &Offered, new: NewRing) -> Result<()> {
    let NewRing {
        ring,
        encoding,
        len,
        file,
        ..
    } = new;
    let mapping = make(len, file)?;
    let memory = WriteView::new(mapping).ok_or_else(|| {
        let text = format!("{len} bytes of memory for events are not mapped for writing");
        Error::new(Code::System, text)
    })?;
    let of = membership.id.number();
    offered.source.add_ring(source::NewRing {
        key: RingKey { of, ring },
        encoding,
        memory,
    })
}

fn settle_ring(membership: &Membership, ring: u64, made: &Result<()>) {
    let record = match made {
        Ok(()) => SourceToBroker::RingMade { ring },
        Err(error) => {
            tracing::warn!(%error, "a ring of events cannot be made");
            membership.sources.remove_ring(ring);
            let failure = Failure::new(error.code(), error.message());
            SourceToBroker::RingFailed { ring, failure }
        }
    };
    // A broker that has ended needs no answer: the next one asks for rings of its own.
    let _ = acknowledge(membership, record);
}

fn no_source() -> Error {
    Error::new(Code::Closed, "this plugin sends on the topic no more")
}

fn make(len: usize, file: OwnedFd) -> Result<Mapping> {
    let turn = turn();
    let _alone = turn.lock();
    cgroup::check_room(len as u64)?;
    memfd::allocate(file.as_fd(), len)
        .and_then(|()| Mapping::writable(file, len))
        .map_err(|error| unmapped(len, &error))
}

/// Allocates and maps all memory of a version of a share. The calling thread does it itself, because it fills the
/// memory and waits for nothing else, and a factory may take as long anyway.
pub(super) fn allocate_version(file: OwnedFd, len: usize, huge: bool) -> Result<Filling> {
    let turn = turn();
    let _alone = turn.lock();
    cgroup::check_room(len as u64)?;
    Filling::new(file, len, huge).map_err(|error| unmapped(len, &error))
}

/// Tells the link, and then the broker, whether the extent was allocated.
fn settle(membership: &Membership, link: &Link, number: u8, made: Result<Mapping>) {
    let (end, role) = (link.end(), Role::Writer);
    let memory = MemoryId::Extent { end, number };
    let (record, failed) = match made {
        Ok(mapping) => {
            if !link.extents().mapped(number, mapping) {
                // The broker has refused the extent meanwhile, or was not told that it is wanted. It keeps the
                // number and the charge until it is told the outcome. Or the session is over.
                return report_unwanted(membership, memory);
            }
            (MemoryToBroker::Mapped { memory, role }, None)
        }
        Err(error) => {
            let failure = Failure::new(error.code(), error.message());
            let record = MemoryToBroker::Failed {
                memory,
                role,
                failure,
            };
            (record, Some(error))
        }
    };
    let sent = acknowledge(membership, record);
    if let Some(error) = failed.or(sent.err()) {
        link.extents().refused(error);
        link.wake_waiting();
    }
}

/// Tells the broker that an extent is not wanted any more, and that its memory is free again.
fn report_unwanted(membership: &Membership, memory: MemoryId) {
    let why = "the memory for a payload was there too late";
    let failed = MemoryToBroker::Failed {
        memory,
        role: Role::Writer,
        failure: Failure::new(Code::Timeout, why),
    };
    // A broker that has ended needs no answer.
    let _ = acknowledge(membership, failed);
}

/// Sends an acknowledgement, and tries again for as long as the broker does not read: without it the broker would
/// keep the extent's number and charge for as long as the link lives.
fn acknowledge(membership: &Membership, record: impl Into<ToBroker>) -> Result<()> {
    let record = record.into();
    loop {
        match membership.send(&record) {
            Err(error)
                if error.code() == Code::Timeout && membership.connection.check_alive().is_ok() => {
            }
            outcome => return outcome,
        }
    }
}
