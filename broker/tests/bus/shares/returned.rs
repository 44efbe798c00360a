//! What a plugin returns to the next broker, and which descriptors it may not send.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use callgate_layout::Code;
use callgate_layout::control::ShareToBroker;
use callgate_layout::sys::memfd;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};

use super::super::hostile::is_well;
use crate::support::shares::{bytes_of, returned, sealed, want, watch};
use crate::support::{bus, code_of, inode};

const LEN: u64 = 300_000;

/// Users keep what they have, and new ones are sent the maker's memory, for reading only.
#[test]
fn what_is_returned_is_found_again() {
    let bus = bus();
    let (mut maker, mut reader, mut had) =
        (bus.plugin("maker"), bus.plugin("reader"), bus.plugin("had"));
    reader.send(watch(1, "t", None));
    let memory = sealed(LEN as usize);
    maker.send_with(returned(5, "t", LEN), &[&memory]);
    let back = maker.have();
    assert_eq!(
        (
            back.request,
            back.version.name.incarnation,
            back.version.name.number
        ),
        (5, 99, 5)
    );
    assert!(back.memory.is_none());
    assert_eq!(back.page.number(), 5);
    assert_eq!(reader.changed(), Some(back.version.name));
    reader.send(want(2, "t", false));
    let read = reader.have().memory.unwrap();
    assert_eq!(inode(&read), inode(&memory), "no copy");
    assert_eq!(bytes_of(&read), vec![3; LEN as usize]);
    let flags = fcntl(read.as_fd(), FcntlArg::F_GETFL).unwrap();
    assert_eq!(
        OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE,
        OFlag::O_RDONLY
    );
    let mut again = want(3, "t", false);
    if let ShareToBroker::Want { had, .. } = &mut again {
        *had = Some(back.version.name);
    }
    had.send(again);
    assert!(had.have().memory.is_none(), "it has it");
    // The first plugin to return a share has the tag.
    let mut late = bus.plugin("late");
    late.send_with(returned(6, "t", LEN), &[&sealed(LEN as usize)]);
    assert_eq!(code_of(&late.refused()), Code::AlreadyProvided);
    let newer = maker.publishes("t", (9, 9));
    assert_eq!(newer.version.name.number, 6);
    is_well(&bus);
}

/// Memory that others map must be such that nobody can change it or take it away.
#[test]
fn what_is_no_sealed_memory_is_refused() {
    let bus = bus();
    let mut maker = bus.plugin("maker");
    let unsealed = |seals: SealFlag| {
        let file = memfd::create("test", LEN as usize).unwrap();
        memfd::allocate(file.as_fd(), LEN as usize).unwrap();
        fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals)).unwrap();
        file
    };
    let holes = memfd::create("test", LEN as usize).unwrap();
    memfd::seal_for_good(holes.as_fd()).unwrap();
    let (pipe, _other): (OwnedFd, OwnedFd) = {
        let (one, other) = std::io::pipe().unwrap();
        (one.into(), other.into())
    };
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let wrong: Vec<(OwnedFd, &str)> = vec![
        (pipe, "no memory file"),
        (OwnedFd::from(socket), "no memory file"),
        (
            File::open("/proc/self/exe").unwrap().into(),
            "no memory file",
        ),
        (File::open("/dev/zero").unwrap().into(), "no memory file"),
        (
            unsealed(SealFlag::F_SEAL_FUTURE_WRITE | SealFlag::F_SEAL_SEAL),
            "no memory file",
        ),
        (unsealed(SealFlag::F_SEAL_WRITE), "no memory file"),
        (holes, "only 0 of"),
        (sealed(LEN as usize - 1), "299999 bytes"),
        (sealed(LEN as usize + 1), "300001 bytes"),
    ];
    for (at, (file, what)) in wrong.into_iter().enumerate() {
        maker.send_with(returned(at as u32, "t", LEN), &[&file]);
        let failure = maker.refused();
        assert_eq!(code_of(&failure), Code::Protocol, "{at}: {failure:?}");
        assert!(failure.message.contains(what), "{at}: {failure:?}");
    }
    maker.send(returned(20, "t", LEN));
    assert_eq!(
        code_of(&maker.refused()),
        Code::Protocol,
        "nothing came along"
    );
    // Afterwards there is no share, as before.
    maker.send(want(21, "t", false));
    assert_eq!(code_of(&maker.refused()), Code::NotReady);
    maker.makes("t", (1, 1));
    is_well(&bus);
}

/// A plugin that sends descriptors could fill the broker's table.
#[test]
fn nothing_else_has_a_descriptor() {
    let bus = bus();
    let memory = sealed(LEN as usize);
    let others = [
        want(1, "t", false),
        ShareToBroker::Unwatch { request: 1 },
        watch(1, "t", None),
    ];
    for (at, record) in others.into_iter().enumerate() {
        let mut peer = bus.plugin(&format!("p{at}"));
        peer.send_with(record, &[&memory]);
        assert_eq!(code_of(&peer.ended()), Code::Protocol);
    }
    for count in [2, 3, 8] {
        let mut peer = bus.plugin(&format!("q{count}"));
        peer.send_with(returned(1, "t", LEN), &vec![&memory; count]);
        assert_eq!(code_of(&peer.ended()), Code::Protocol, "{count}");
    }
    is_well(&bus);
}
