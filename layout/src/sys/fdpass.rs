//! Datagrams with descriptors over a `SOCK_SEQPACKET` Unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, setsockopt, socketpair, sockopt,
};

/// The most descriptors that travel with one datagram.
pub const MAX_DESCRIPTORS: usize = 8;

/// One datagram as it came.
#[derive(Debug)]
pub struct Received {
    /// Bytes of it that stand in the buffer; 0 when the other side has closed.
    pub len: usize,
    /// Whether the buffer was too small for it.
    pub truncated: bool,
    /// The descriptors that came along.
    pub descriptors: Vec<OwnedFd>,
    /// The sending process, as the kernel says, where the socket asks for it.
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
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS], nix::sys::socket::UnixCredentials);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let mut received = Received {
        len: message.bytes,
        truncated: message
            .flags
            .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC),
        descriptors: Vec::new(),
        sender_pid: None,
    };
    for part in message.cmsgs()? {
        match part {
            ControlMessageOwned::ScmRights(raw) => {
                // SAFETY: the kernel made these descriptors for this process with this very
                // datagram; each is named once and nobody else has closed it.
                received.descriptors.extend(
                    raw.into_iter()
                        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                );
            }
            ControlMessageOwned::ScmCredentials(credentials) => {
                received.sender_pid = u32::try_from(credentials.pid()).ok();
            }
            _ => {}
        }
    }
    Ok(received)
}

/// Receives one datagram without blocking from somebody who is to send no descriptors, over a
/// socket that [`want_sender`] was called on. Descriptors that come along are dropped by the
/// kernel, and the datagram counts as truncated.
///
/// There is room for the sender's number alone, so that a peer cannot fill this process's table.
pub fn receive_plain(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let cut = MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC;
    let mut received = Received {
        len: message.bytes,
        truncated: message.flags.intersects(cut),
        descriptors: Vec::new(),
        sender_pid: None,
    };
    if received.truncated {
        return Ok(received);
    }
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmCredentials(credentials) = part {
            received.sender_pid = u32::try_from(credentials.pid()).ok();
        }
    }
    Ok(received)
}

/// Makes the kernel say with each datagram which process sent it.
pub fn want_sender(socket: BorrowedFd<'_>) -> io::Result<()> {
    setsockopt(&socket, sockopt::PassCred, &true)?;
    Ok(())
}

/// Two connected sockets, non-blocking and closed on exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    )?)
}
