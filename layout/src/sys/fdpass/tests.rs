//! Datagrams between two ends in one process.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

use super::*;

fn flags(fd: &OwnedFd) -> (FdFlag, OFlag) {
    let of_fd = fcntl(fd, FcntlArg::F_GETFD).unwrap();
    let of_file = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    (
        FdFlag::from_bits_retain(of_fd),
        OFlag::from_bits_retain(of_file),
    )
}

/// Both ends are closed on exec: otherwise a program that is started meanwhile would inherit the connection.
#[test]
fn both_ends_are_closed_on_exec_and_do_not_block() {
    let (one, other) = pair().unwrap();
    for end in [&one, &other] {
        let (of_fd, of_file) = flags(end);
        assert!(of_fd.contains(FdFlag::FD_CLOEXEC) && of_file.contains(OFlag::O_NONBLOCK));
    }
    let nothing = receive(one.as_fd(), &mut [0; 8]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
}

/// Each descriptor arrives, in order, as one that this process owns.
#[test]
fn descriptors_come_along_with_their_datagram() {
    let (one, other) = pair().unwrap();
    let pipes: Vec<_> = (0..MAX_DESCRIPTORS).map(|_| io::pipe().unwrap()).collect();
    let writers: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
    send(one.as_fd(), b"all", &writers).unwrap();
    send(one.as_fd(), b"none", &[]).unwrap();
    let mut buffer = [0; 8];
    let received = receive(other.as_fd(), &mut buffer).unwrap();
    assert_eq!(&buffer[..received.len], b"all");
    assert!(!received.cut && !received.truncated && received.sender_pid.is_none());
    assert_eq!(received.descriptors.len(), MAX_DESCRIPTORS);
    for (number, fd) in received.descriptors.into_iter().enumerate() {
        assert!(flags(&fd).0.contains(FdFlag::FD_CLOEXEC));
        File::from(fd).write_all(&[number as u8]).unwrap();
    }
    for (number, (mut reader, writer)) in pipes.into_iter().enumerate() {
        drop(writer);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [number as u8]);
    }
    let received = receive(other.as_fd(), &mut buffer).unwrap();
    assert_eq!((received.len, received.descriptors.len()), (4, 0));
    drop(one);
    let end = receive(other.as_fd(), &mut buffer).unwrap();
    assert_eq!((end.len, end.truncated), (0, false));
}

/// A datagram that is longer than the buffer is marked as truncated, so that it is not mistaken for a shorter one.
#[test]
fn what_did_not_fit_is_said() {
    let (one, other) = pair().unwrap();
    send(one.as_fd(), &[7; 9], &[]).unwrap();
    send(one.as_fd(), &[7; 8], &[]).unwrap();
    let long = receive(other.as_fd(), &mut [0; 8]).unwrap();
    assert!(long.truncated && long.len == 8);
    assert!(!receive(other.as_fd(), &mut [0; 8]).unwrap().truncated);
}

/// A receiver that expects no descriptors gets none, so that a peer cannot fill its table. It learns who sent the
/// datagram.
#[test]
fn the_sender_is_named_and_its_descriptors_are_refused() {
    let (one, other) = pair().unwrap();
    want_sender(other.as_fd()).unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    send(one.as_fd(), b"x", &[writer.as_fd()]).unwrap();
    drop(writer);
    let received = receive_plain(other.as_fd(), &mut [0; 8]).unwrap();
    assert!(received.cut && received.descriptors.is_empty());
    assert_eq!(received.sender_pid, Some(std::process::id()));
    // The read ends because nobody has the other end open any more.
    assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
    send(one.as_fd(), b"x", &[]).unwrap();
    let received = receive_plain(other.as_fd(), &mut [0; 8]).unwrap();
    assert!(!received.cut && received.sender_pid == Some(std::process::id()));
    send(one.as_fd(), b"x", &[one.as_fd()]).unwrap();
    let received = receive(other.as_fd(), &mut [0; 8]).unwrap();
    assert_eq!(received.descriptors.len(), 1, "the sender takes no room");
    assert_eq!(received.sender_pid, Some(std::process::id()));
}

/// A peer that does not read does not block the sender, even if the socket was set to blocking.
#[test]
fn sending_never_blocks() {
    let (one, _other) = pair().unwrap();
    fcntl(&one, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let full = (0..1_000_000).find_map(|_| send(one.as_fd(), &[7; 1000], &[]).err());
    assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
}
