//! Datagrams with descriptors, sent over a `SOCK_SEQPACKET` Unix socket.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, setsockopt, socketpair,
    sockopt,
};

use super::cmsg::{Messages, Part, words};
use super::standard;

/// The most descriptors that travel with one datagram.
pub const MAX_DESCRIPTORS: usize = 8;

/// Words of control messages for the descriptors and the sender of a datagram.
const CONTROL_WORDS: usize = words(MAX_DESCRIPTORS * size_of::<RawFd>()) + PLAIN_WORDS;
/// The same for the sender alone.
const PLAIN_WORDS: usize = words(size_of::<libc::ucred>());
/// The same for one descriptor and the sender. Because of rounding, two descriptors fit.
const ONE_WORDS: usize = words(size_of::<RawFd>()) + PLAIN_WORDS;

/// One received datagram.
#[derive(Debug)]
pub struct Received {
    /// How many bytes of it stand in the buffer; 0 when the other side has closed.
    pub len: usize,
    /// Whether the buffer was too small for it.
    pub truncated: bool,
    /// Whether the kernel dropped some of the descriptors, because this process has no room for them in its table.
    pub cut: bool,
    /// The descriptors that came along.
    pub descriptors: Vec<OwnedFd>,
    /// The process that sent it, as the kernel reports it. Only on sockets that ask for it.
    pub sender_pid: Option<u32>,
}

/// Sends one datagram without blocking; `WouldBlock` while the other side does not read.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        control,
        flags,
        None,
    )?;
    Ok(())
}

/// Receives one datagram without blocking.
///
/// Descriptors that this process has no room for are dropped by the kernel; the others are
/// returned, and [`Received::cut`] says so. The datagram itself is received all the same.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    receive_owned::<CONTROL_WORDS>(socket, buffer)
}

/// Receives one datagram without blocking, from a peer that may send one descriptor at most, over a socket on which
/// [`want_sender`] was called. If the peer sends more, the second one may be returned, and the kernel drops the
/// others; then the datagram counts as cut.
pub fn receive_one(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    receive_owned::<ONE_WORDS>(socket, buffer)
}

fn receive_owned<const WORDS: usize>(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<Received> {
    let (mut received, messages) = receive_with::<WORDS>(socket, buffer)?;
    for part in messages.parts() {
        match part {
            Part::Rights(numbers) => {
                let came = numbers.map(|number| {
                    // SAFETY: the kernel made this descriptor for this process with this very
                    // datagram (`Messages` holds what it wrote); each is named once in it, and
                    // nobody else knows it.
                    unsafe { OwnedFd::from_raw_fd(number) }
                });
                received.descriptors.extend(came);
            }
            Part::Credentials { pid } => received.sender_pid = u32::try_from(pid).ok(),
        }
    }
    // Everything is owned before a descriptor is moved, so that none is lost if a move fails.
    let came = std::mem::take(&mut received.descriptors);
    for descriptor in came {
        match standard::above(descriptor) {
            Ok(descriptor) => received.descriptors.push(descriptor),
            Err(_) => received.cut = true,
        }
    }
    Ok(received)
}

/// Receives one datagram without blocking, from a peer that may send no descriptors, over a socket on which
/// [`want_sender`] was called. The kernel drops descriptors that come along, and the datagram counts as cut.
///
/// The buffer has room for the sender's number alone, so that a peer cannot fill this process's table of descriptors.
pub fn receive_plain(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let (mut received, messages) = receive_with::<PLAIN_WORDS>(socket, buffer)?;
    for part in messages.parts() {
        if let Part::Credentials { pid } = part {
            received.sender_pid = u32::try_from(pid).ok();
        }
    }
    Ok(received)
}

/// Receives one datagram with room for so many words of control messages, which the caller then reads.
fn receive_with<const WORDS: usize>(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(Received, Messages<WORDS>)> {
    let mut control = [0_u64; WORDS];
    let mut slice = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all fields are numbers and pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header names a buffer and a control buffer that are borrowed or on this stack
    // for the duration of the call, with their true lengths; the kernel writes into nothing else.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    let received = Received {
        len,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        cut: header.msg_flags & libc::MSG_CTRUNC != 0,
        descriptors: Vec::new(),
        sender_pid: None,
    };
    let len = header.msg_controllen;
    Ok((received, Messages { control, len }))
}

/// Makes the kernel say with each datagram which process sent it.
pub fn want_sender(socket: BorrowedFd<'_>) -> io::Result<()> {
    setsockopt(&socket, sockopt::PassCred, &true)?;
    Ok(())
}

/// Two connected sockets, non-blocking and closed on exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok((standard::above(one)?, standard::above(other)?))
}

#[cfg(test)]
mod tests;
