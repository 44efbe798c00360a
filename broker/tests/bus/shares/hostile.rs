//! Makers that lie: readers get only memory that nobody can change and that is allocated in full. Only the making ends.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use callgate_layout::Code;
use callgate_layout::control::ShareToBroker;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};

use super::super::hostile::is_well;
use crate::support::shares::{ToWrite, bytes_of, publish, want};
use crate::support::{Peer, bus, code_of};

const LEN: u64 = 64 << 10;

/// One maker lies in this way, and the next one in the row, which is honest, makes the share.
fn lies(lie: impl FnOnce(&mut Peer, &ToWrite)) -> (Code, String) {
    let bus = bus();
    let (mut liar, mut honest) = (bus.plugin("liar"), bus.plugin("honest"));
    liar.send(want(1, "t", true));
    let making = liar.create();
    honest.send(want(1, "t", true));
    assert!(honest.is_quiet());
    liar.send(ShareToBroker::Make { making, len: LEN });
    let memory = liar.memory_to_write();
    lie(&mut liar, &memory);
    liar.send(ShareToBroker::Written { making });
    let (dropped, failure) = liar.dropped();
    assert_eq!(dropped, making);
    let next = honest.create();
    honest.send(ShareToBroker::Make {
        making: next,
        len: LEN,
    });
    honest.writes(2);
    let had = honest.have();
    assert_eq!(had.version.maker, "honest");
    // Only the making has ended, and nothing else of the plugin.
    liar.send(want(2, "t", false));
    assert_eq!(
        bytes_of(liar.have().memory.as_ref().unwrap()),
        [2; LEN as usize]
    );
    is_well(&bus);
    (code_of(&failure), failure.message)
}

/// A maker that keeps a map for writing could change what others read as a plain slice.
#[test]
fn a_map_for_writing_that_is_kept_is_found() {
    let mut kept = None;
    let (code, message) = lies(|_, memory| {
        memory.fill(1);
        let file = memory.file.try_clone().unwrap();
        kept = Some(Mapping::writable(file, LEN as usize).unwrap());
    });
    assert_eq!(code, Code::Protocol);
    assert!(message.contains("mapped for writing"), "{message}");
}

/// Readers would allocate the missing pages by looking at them.
#[test]
fn pages_that_are_not_there_are_found() {
    let (code, message) = lies(|_, _| {});
    assert_eq!(code, Code::Protocol);
    assert!(message.contains("only 0 are allocated"), "{message}");
    let (code, _) = lies(|_, memory| {
        let file = File::from(memory.file.try_clone().unwrap());
        file.write_all_at(&[1; 4096], LEN - 4096).unwrap();
    });
    assert_eq!(code, Code::Protocol);
    // Written, and freed again.
    let (code, message) = lies(|_, memory| {
        memory.fill(1);
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&memory.file, hole, 4096, 4096).unwrap();
    });
    assert_eq!(code, Code::Protocol);
    assert!(message.contains("61440"), "{message}");
    // Sealed by its maker, so that the broker only has to check.
    let (code, message) = lies(|_, memory| memfd::seal_for_good(memory.file.as_fd()).unwrap());
    assert_eq!(code, Code::Protocol);
    assert!(message.contains("only 0 are allocated"), "{message}");
}

/// A maker that seals the seals could keep the broker from adding its own.
#[test]
fn seals_of_the_maker_s_own_are_found() {
    let (code, message) = lies(|_, memory| {
        memory.fill(1);
        memfd::seal_seals(memory.file.as_fd()).unwrap();
    });
    assert_eq!(code, Code::Protocol);
    assert!(message.contains("cannot be sealed"), "{message}");
}

/// A maker that seals the memory as the broker does has done no harm.
#[test]
fn a_maker_may_seal_what_it_has_written() {
    let bus = bus();
    let mut maker = bus.plugin("maker");
    maker.send(want(1, "t", true));
    let making = maker.create();
    maker.send(ShareToBroker::Make { making, len: LEN });
    let memory = maker.memory_to_write();
    memory.fill(1);
    let write = FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE);
    fcntl(memory.file.as_fd(), write).unwrap();
    maker.send(ShareToBroker::Written { making });
    assert!(memfd::is_sealed_for_good(
        maker.have().memory.unwrap().as_fd()
    ));
}

/// A plugin that acknowledges memory which it was never sent could have other memory registered.
#[test]
fn what_is_not_its_own_ends_its_session() {
    let bus = bus();
    let (mut maker, mut liar) = (bus.plugin("maker"), bus.plugin("liar"));
    maker.send(want(1, "t", true));
    let making = maker.create();
    liar.send(ShareToBroker::Written { making });
    assert_eq!(code_of(&liar.ended()), Code::Protocol);
    // It cannot have written memory whose descriptor is still in the queue.
    maker.takes = false;
    for number in 0..16 {
        let tag = format!("filled.{number}");
        maker.send(publish(number + 10, &tag, LEN));
    }
    for _ in 0..8 {
        drop(maker.memory_to_write());
    }
    maker.send(ShareToBroker::Make { making, len: LEN });
    maker.send(ShareToBroker::Written { making });
    assert_eq!(code_of(&maker.ended()), Code::Protocol);
    is_well(&bus);
}
