//! The queue of records for one plugin.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use callgate_layout::control::ToPlugin;
use callgate_layout::sys::fdpass;
use nix::errno::Errno;

use crate::quota::{Charge, InFlight};

/// How many descriptors a plugin may leave unacknowledged.
const MAX_IN_FLIGHT: usize = 8;

/// How many bytes may wait for one plugin.
const MAX_QUEUED_BYTES: usize = 16 << 20;

/// How many descriptors may wait for one plugin: more than it is sent for all links that it can have, and few enough for the broker's
/// table.
const MAX_QUEUED_DESCRIPTORS: usize = 8192;

/// Descriptors that are sent with a record.
pub(crate) type Descriptors = Vec<Arc<OwnedFd>>;

#[derive(Debug)]
struct Datagram {
    bytes: Vec<u8>,
    descriptors: Descriptors,
    /// The charge that the plugin bears until it has taken the datagram.
    charge: Option<Charge>,
}

/// The records that wait to be sent to one plugin.
#[derive(Debug)]
pub(crate) struct Outgoing {
    queue: VecDeque<Datagram>,
    queued_bytes: usize,
    queued_descriptors: usize,
    in_flight: InFlight,
    most: usize,
}

/// Why sending has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is sent.
    Empty,
    /// The socket is full.
    Full,
    /// The next record has descriptors, and the plugin has too many unacknowledged ones.
    Unacknowledged,
    /// The kernel has too many descriptors of this user in flight, or no memory; later it may accept more.
    Crowded,
}

/// The queue is full, because the plugin does not read what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Outgoing {
    /// Creates a queue of at most `most` records.
    pub(crate) fn new(most: usize) -> Outgoing {
        Outgoing {
            queue: VecDeque::new(),
            queued_bytes: 0,
            queued_descriptors: 0,
            in_flight: InFlight::new(MAX_IN_FLIGHT),
            most,
        }
    }

    /// Adds a record at the end.
    pub(crate) fn push(
        &mut self,
        record: &ToPlugin,
        descriptors: Descriptors,
        charge: Option<Charge>,
    ) -> Result<(), Overflow> {
        let queued_descriptors = self.queued_descriptors + descriptors.len();
        if self.queue.len() >= self.most
            || self.queued_bytes >= MAX_QUEUED_BYTES
            || queued_descriptors > MAX_QUEUED_DESCRIPTORS
        {
            return Err(Overflow);
        }
        match record.encode() {
            Ok(bytes) => {
                self.queued_bytes += bytes.len();
                self.queued_descriptors = queued_descriptors;
                self.queue.push_back(Datagram {
                    bytes: bytes.to_vec(),
                    descriptors,
                    charge,
                });
            }
            // Cannot happen: every text in a record was checked against its limit when it came in.
            Err(error) => tracing::error!("a record cannot be sent: {error}"),
        }
        Ok(())
    }

    /// Sends as many records as the socket takes without blocking.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<Flushed> {
        while let Some(datagram) = self.queue.front_mut() {
            let descriptors: Vec<BorrowedFd<'_>> =
                datagram.descriptors.iter().map(|fd| fd.as_fd()).collect();
            if !self.in_flight.has_room(descriptors.len()) {
                return Ok(Flushed::Unacknowledged);
            }
            match fdpass::send(socket, &datagram.bytes, &descriptors) {
                Ok(()) => {
                    let charge = datagram.charge.take();
                    self.in_flight.sent(datagram.descriptors.len(), charge);
                }
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EAGAIN) => return Ok(Flushed::Full),
                    Some(Errno::EINTR) => continue,
                    Some(Errno::ETOOMANYREFS | Errno::ENOBUFS | Errno::ENOMEM) => {
                        return Ok(Flushed::Crowded);
                    }
                    _ => return Err(error),
                },
            }
            self.queued_bytes -= datagram.bytes.len();
            self.queued_descriptors -= datagram.descriptors.len();
            self.queue.pop_front();
        }
        Ok(Flushed::Empty)
    }

    /// Removes the records that would bring this descriptor. Returns how many they were.
    pub(crate) fn discard(&mut self, descriptor: &Arc<OwnedFd>) -> u32 {
        let before = self.queue.len();
        let (bytes, descriptors) = (&mut self.queued_bytes, &mut self.queued_descriptors);
        self.queue.retain(|datagram| {
            let brings = |fd: &Arc<OwnedFd>| Arc::ptr_eq(fd, descriptor);
            let goes = datagram.descriptors.iter().any(brings);
            if goes {
                *bytes -= datagram.bytes.len();
                *descriptors -= datagram.descriptors.len();
            }
            !goes
        });
        u32::try_from(before - self.queue.len()).unwrap_or(u32::MAX)
    }

    /// Counts an acknowledgement. Returns `false` if there was nothing to acknowledge.
    pub(crate) fn took(&mut self) -> bool {
        self.in_flight.took()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callgate_layout::control::{MAX_RECORD, SessionToPlugin};

    fn listing(request: u32) -> ToPlugin {
        SessionToPlugin::Listing { request }.into()
    }

    fn next(socket: &OwnedFd) -> Option<u32> {
        let mut buffer = vec![0; MAX_RECORD];
        let received = fdpass::receive(socket.as_fd(), &mut buffer).ok()?;
        match ToPlugin::decode(&buffer[..received.len]) {
            Ok(ToPlugin::Session(SessionToPlugin::Listing { request })) => Some(request),
            _ => None,
        }
    }

    /// A record that overtakes another one with descriptors would name what the plugin does not have yet.
    #[test]
    fn records_keep_their_order_while_descriptors_wait() {
        let (ours, theirs) = fdpass::pair().unwrap();
        let mut outgoing = Outgoing::new(100);
        let file = Arc::new(std::fs::File::open("/dev/null").unwrap().into());
        for request in 0..10 {
            let with = vec![Arc::clone(&file)];
            outgoing.push(&listing(request), with, None).unwrap();
        }
        outgoing.push(&listing(10), Vec::new(), None).unwrap();
        let flushed = outgoing.flush(ours.as_fd()).unwrap();
        assert_eq!(flushed, Flushed::Unacknowledged);
        let came: Vec<u32> = std::iter::from_fn(|| next(&theirs)).collect();
        assert_eq!(came, Vec::from_iter(0..8));
        assert!(outgoing.took() && outgoing.took());
        assert_eq!(outgoing.flush(ours.as_fd()).unwrap(), Flushed::Empty);
        let came: Vec<u32> = std::iter::from_fn(|| next(&theirs)).collect();
        assert_eq!(came, [8, 9, 10]);
    }

    /// A plugin that does not read must not fill the broker's memory.
    #[test]
    fn a_queue_is_bounded() {
        let (ours, _theirs) = fdpass::pair().unwrap();
        let mut outgoing = Outgoing::new(3);
        while outgoing.flush(ours.as_fd()).unwrap() == Flushed::Empty {
            outgoing.push(&listing(0), Vec::new(), None).unwrap();
        }
        assert_eq!(outgoing.push(&listing(1), Vec::new(), None), Ok(()));
        assert_eq!(outgoing.push(&listing(1), Vec::new(), None), Ok(()));
        assert_eq!(outgoing.push(&listing(1), Vec::new(), None), Err(Overflow));
    }

    /// An extent whose link has ended is charged to nobody: if it waited to be sent, it would be memory beyond every quota.
    #[test]
    fn what_is_discarded_is_closed() {
        let mut outgoing = Outgoing::new(10);
        let open = || Arc::new(std::fs::File::open("/dev/null").unwrap().into());
        let (one, other) = (open(), open());
        for fd in [&one, &other, &one] {
            let with = vec![Arc::clone(fd)];
            outgoing.push(&listing(0), with, None).unwrap();
        }
        assert_eq!(outgoing.discard(&one), 2);
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&other)), (1, 2));
        assert_eq!((outgoing.queue.len(), outgoing.queued_descriptors), (1, 1));
    }

    /// Descriptors that wait fill the broker's table, which all plugins share.
    #[test]
    fn descriptors_that_wait_are_bounded() {
        let mut outgoing = Outgoing::new(usize::MAX);
        let file: Arc<OwnedFd> = Arc::new(std::fs::File::open("/dev/null").unwrap().into());
        let push = |outgoing: &mut Outgoing| {
            let with = vec![Arc::clone(&file); 8];
            outgoing.push(&listing(0), with, None)
        };
        for _ in 0..MAX_QUEUED_DESCRIPTORS / 8 {
            assert_eq!(push(&mut outgoing), Ok(()));
        }
        assert_eq!(push(&mut outgoing), Err(Overflow));
        assert_eq!(outgoing.push(&listing(1), Vec::new(), None), Ok(()));
    }
}
