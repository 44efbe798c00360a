//! The memory of extents: which plugin allocates it, and until when it is charged.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use callgate::BusLimits;
use callgate_layout::Code;
use callgate_layout::control::{
    Failure, LinkEnd, LinkToPlugin, MemoryId, MemoryToBroker, MemoryToPlugin, Role, ToPlugin,
};
use callgate_layout::payload::HEADROOM;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use nix::fcntl::OFlag;

use crate::support::records::{want, written};
use crate::support::{Bus, Linked, Peer, bus, bus_with, code_of, link};

/// The length of an extent that is charged as so many MiB.
fn mib(count: u32) -> u32 {
    (count << 20) + HEADROOM
}

/// A caller and a provider with a link, and the end of it that each has.
struct Pair {
    writer: Peer,
    reader: Peer,
    ours: Linked,
    theirs: Linked,
}

impl Pair {
    fn new(bus: &Bus, name: &str) -> Pair {
        let mut writer = bus.plugin(&format!("{name} writer"));
        let mut reader = bus.plugin(&format!("{name} reader"));
        let (ours, theirs, _) = link(&mut writer, &mut reader, name);
        Pair {
            writer,
            reader,
            ours,
            theirs,
        }
    }

    fn end(&self) -> LinkEnd {
        self.ours.end
    }

    /// An extent of the writer, by its number.
    fn extent(&self, number: u8) -> MemoryId {
        let end = self.end();
        assert_eq!(end.other(), self.theirs.end);
        MemoryId::Extent { end, number }
    }

    /// Has the writer ask for an extent. Returns its file, or the failure.
    fn want(&mut self, number: u8, len: u32) -> Result<OwnedFd, Failure> {
        let end = self.end();
        self.writer.send(want(end, number, len));
        match self.writer.next() {
            Some((ToPlugin::Memory(MemoryToPlugin::Map { .. }), mut files)) => {
                Ok(files.pop().unwrap())
            }
            Some((ToPlugin::Memory(MemoryToPlugin::Refused { failure, .. }), _)) => Err(failure),
            other => panic!("no extent: {other:?}"),
        }
    }

    /// Takes an extent through all stages until it can be used. Returns the writer's file and the reader's.
    fn make(&mut self, number: u8, len: u32) -> Result<(OwnedFd, OwnedFd), Failure> {
        let file = self.want(number, len)?;
        memfd::allocate(file.as_fd(), len as usize).unwrap();
        let memory = self.extent(number);
        self.writer.send(written(self.end(), number));
        let role = Role::Reader;
        let (record, mut files) = self.reader.next().unwrap();
        let map = MemoryToPlugin::Map { memory, role, len };
        assert_eq!(record, map.into(), "no extent of the peer's");
        self.reader.send(MemoryToBroker::Mapped { memory, role });
        let ready = MemoryToPlugin::Ready { memory };
        assert_eq!(self.writer.record(), ready.into());
        Ok((file, files.pop().unwrap()))
    }

    fn give_back(&mut self, number: u8) {
        let memory = self.extent(number);
        self.writer.send(MemoryToBroker::Return { memory });
        let gone = MemoryToPlugin::Unmap { memory };
        assert_eq!(self.reader.record(), gone.into());
    }
}

fn limited(bus_extent_mib: u32) -> Bus {
    let limits = BusLimits {
        bus_extent_mib,
        ..BusLimits::default()
    };
    bus_with(|builder| builder.limits(limits))
}

/// Extents that were returned, and that a plugin still holds, stay charged: with 24 kept descriptors of 64 MiB a
/// plugin would hold six times its quota.
#[test]
fn what_is_returned_and_kept_stays_charged() {
    let bus = bus();
    let mut pair = Pair::new(&bus, "keeping");
    let mut other = bus.plugin("another");
    let mut kept = Vec::new();
    let refused = loop {
        match pair.make(0, mib(64)) {
            Ok((file, _)) => kept.push(file),
            Err(failure) => break failure,
        }
        pair.give_back(0);
        assert!(kept.len() < 24, "1.5 GiB are held");
    };
    assert_eq!(code_of(&refused), Code::Overloaded);
    assert!(refused.message.contains("still held"), "{refused:?}");
    // Half of the quota; the rest is left for other links of the writer.
    assert_eq!(kept.len(), 2);
    assert_eq!(
        other.provide("other", callgate_layout::envelope::CallKind::Function, 7),
        None
    );
    drop(kept);
    // The broker looks again before it refuses.
    pair.make(0, mib(64)).unwrap();
}

/// The reader must not be able to keep it either, by a map without a descriptor.
#[test]
fn what_the_reader_keeps_stays_charged() {
    let limits = BusLimits {
        extent_mib: 4,
        ..BusLimits::default()
    };
    let bus = bus_with(|builder| builder.limits(limits));
    let mut pair = Pair::new(&bus, "keeping");
    let (file, read) = pair.make(3, mib(2)).unwrap();
    let map = Mapping::read_only(read, mib(2) as usize).unwrap();
    drop(file);
    pair.give_back(3);
    let refused = pair.want(3, mib(1)).unwrap_err();
    assert_eq!(code_of(&refused), Code::Overloaded);
    assert!(refused.message.contains("2 MiB"), "{refused:?}");
    drop(map);
    pair.make(3, mib(4)).unwrap();
}

/// Nor by a descriptor opened with `O_PATH`, which can neither read nor write but can be opened again.
#[test]
fn what_is_kept_by_a_mere_path_stays_charged() {
    let bus = limited(4);
    let mut pair = Pair::new(&bus, "keeping");
    let (file, read) = pair.make(0, mib(4)).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut options = File::options();
    let options = options.read(true).custom_flags(OFlag::O_PATH.bits());
    let hidden = options.open(path).unwrap();
    drop((file, read));
    pair.give_back(0);
    let refused = pair.want(0, mib(1)).unwrap_err();
    assert_eq!(code_of(&refused), Code::Overloaded);
    drop(hidden);
    pair.make(0, mib(4)).unwrap();
}

/// If a writer did not allocate, its readers would, and a memory limit could get them killed.
#[test]
fn who_does_not_allocate_is_sent_away() {
    for allocated in [0, mib(1) - 4096] {
        let bus = bus();
        let mut pair = Pair::new(&bus, "lying");
        let file = pair.want(0, mib(1)).unwrap();
        if allocated > 0 {
            memfd::allocate(file.as_fd(), allocated as usize).unwrap();
        }
        let (end, number) = (pair.end(), 0);
        pair.writer.send(written(end, number));
        let failure = pair.writer.ended();
        assert_eq!(code_of(&failure), Code::Protocol);
        let says = format!("it allocated {allocated}");
        assert!(failure.message.contains(&says), "{failure:?}");
        let gone = pair.reader.record();
        assert!(
            matches!(gone, ToPlugin::Link(LinkToPlugin::Gone { .. })),
            "{gone:?}"
        );
    }
}

/// A writer that seals the file first could keep the broker from sealing it against other writers.
#[test]
fn who_seals_its_extent_first_is_sent_away() {
    let bus = bus();
    let mut pair = Pair::new(&bus, "sealing");
    let file = pair.want(0, mib(1)).unwrap();
    memfd::seal_seals(file.as_fd()).unwrap();
    let (end, number) = (pair.end(), 0);
    pair.writer.send(written(end, number));
    let failure = pair.writer.ended();
    assert_eq!(code_of(&failure), Code::Protocol);
    assert!(failure.message.contains("sealed its extent"), "{failure:?}");
}

/// A writer without memory must be able to say so, and to ask again under the same number.
#[test]
fn an_extent_that_could_not_be_allocated_costs_nothing() {
    let bus = limited(1);
    let mut pair = Pair::new(&bus, "poor");
    for _ in 0..3 {
        let file = pair.want(0, mib(1)).unwrap();
        drop(file);
        pair.writer.send(MemoryToBroker::Failed {
            memory: pair.extent(0),
            role: Role::Writer,
            failure: Failure::new(Code::Overloaded, "the cgroup is full"),
        });
    }
    pair.make(0, mib(1)).unwrap();
    pair.writer.send(MemoryToBroker::Failed {
        memory: pair.extent(0),
        role: Role::Writer,
        failure: Failure::new(Code::Overloaded, "too late"),
    });
    assert_eq!(code_of(&pair.writer.ended()), Code::Protocol);
}

/// Sixteen plugins within their quotas could still use more memory than the machine has.
#[test]
fn the_whole_bus_has_a_limit() {
    let bus = limited(3);
    let (mut one, mut two) = (Pair::new(&bus, "one"), Pair::new(&bus, "two"));
    let first = one.make(0, mib(2)).unwrap();
    let refused = two.want(0, mib(2)).unwrap_err();
    assert_eq!(code_of(&refused), Code::Overloaded);
    let text = &refused.message;
    assert!(
        text.contains("3 MiB that all plugins of this bus"),
        "{text}"
    );
    let _small = two.make(1, mib(1)).unwrap();
    drop(first);
    one.give_back(0);
    two.make(0, mib(2)).unwrap();
}

/// A writer that is killed before it acknowledges must leave neither memory nor a charge.
#[test]
fn the_death_of_a_writer_frees_what_it_was_allocating() {
    let bus = limited(64);
    for _ in 0..3 {
        let mut pair = Pair::new(&bus, "dying");
        let file = pair.want(0, mib(64)).unwrap();
        memfd::allocate(file.as_fd(), mib(64) as usize).unwrap();
    }
    let mut pair = Pair::new(&bus, "living");
    pair.want(0, mib(64)).unwrap();
}

/// The memory of a plugin that has ended is no longer charged to it, so it can come back with its whole quota. But that memory is there as
/// long as its peer keeps it.
#[test]
fn what_is_left_of_a_dead_writer_counts_for_the_bus() {
    let bus = limited(2);
    let mut pair = Pair::new(&bus, "dying");
    let (_, read) = pair.make(0, mib(2)).unwrap();
    drop(pair.writer);
    let gone = pair.reader.record();
    assert!(
        matches!(gone, ToPlugin::Link(LinkToPlugin::Gone { .. })),
        "{gone:?}"
    );
    let mut next = Pair::new(&bus, "living");
    let refused = next.want(0, mib(1)).unwrap_err();
    let text = &refused.message;
    assert!(text.contains("somebody still holds"), "{text}");
    drop(read);
    next.make(0, mib(2)).unwrap();
}
