//! What the control thread has for the broker while the broker does not read.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use callgate_layout::sys::fdpass;
use parking_lot::Mutex;

use super::broker::BrokerName;
use crate::base::error::Result;

/// The most records that wait. They answer records of the broker's, which keeps no more than about so
/// many for one plugin.
const MOST: usize = 16_384;

/// Records in the order in which they are to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Mutex<VecDeque<Box<[u8]>>>,
}

impl Outgoing {
    /// Sends a record, or queues it where others wait already or the socket is full.
    pub(crate) fn send(&self, socket: &OwnedFd, broker: &BrokerName, record: &[u8]) -> Result<()> {
        let mut queue = self.queue.lock();
        if queue.is_empty() && try_send(socket, broker, record)? {
            return Ok(());
        }
        if queue.len() >= MOST {
            let what = format!("does not read its socket, for which {MOST} records wait");
            return Err(broker.is_late(&what));
        }
        queue.push_back(record.into());
        Ok(())
    }

    /// Sends a record of another thread's behind all that waits; false where not all of it goes now.
    ///
    /// What the control thread has answered is often why others send something: a wish for an extent
    /// that overtook the news that the last one of this number had failed would be an offence.
    pub(crate) fn send_now(
        &self,
        socket: &OwnedFd,
        broker: &BrokerName,
        record: &[u8],
    ) -> Result<bool> {
        let mut queue = self.queue.lock();
        Ok(!flush(&mut queue, socket, broker)? && try_send(socket, broker, record)?)
    }

    /// The same, with a descriptor.
    pub(crate) fn send_file_now(
        &self,
        (socket, broker): (&OwnedFd, &BrokerName),
        record: &[u8],
        file: &OwnedFd,
    ) -> Result<bool> {
        let mut queue = self.queue.lock();
        let with = [file.as_fd()];
        Ok(!flush(&mut queue, socket, broker)? && attempt(socket, broker, (record, &with))?)
    }

    /// Sends what goes; whether something is left.
    pub(crate) fn flush(&self, socket: &OwnedFd, broker: &BrokerName) -> Result<bool> {
        flush(&mut self.queue.lock(), socket, broker)
    }

    /// Whether anything waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// Forgets what waits, because the session is over.
    pub(crate) fn clear(&self) {
        self.queue.lock().clear();
    }
}

fn flush(queue: &mut VecDeque<Box<[u8]>>, socket: &OwnedFd, broker: &BrokerName) -> Result<bool> {
    while let Some(record) = queue.front() {
        if !try_send(socket, broker, record)? {
            return Ok(true);
        }
        queue.pop_front();
    }
    Ok(false)
}

/// Sends a record if the socket has room for it.
pub(crate) fn try_send(socket: &OwnedFd, broker: &BrokerName, record: &[u8]) -> Result<bool> {
    attempt(socket, broker, (record, &[]))
}

fn attempt(
    socket: &OwnedFd,
    broker: &BrokerName,
    (record, files): (&[u8], &[BorrowedFd<'_>]),
) -> Result<bool> {
    loop {
        match fdpass::send(socket.as_fd(), record, files) {
            Ok(()) => return Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(false),
                io::ErrorKind::Interrupted => {}
                _ => return Err(broker.gone(&error.to_string())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callgate_layout::Code;

    /// The control thread waited for the broker to read, and did not hear of its peers' deaths.
    #[test]
    fn records_wait_in_order_and_nobody_waits_for_them() {
        let (ours, theirs) = fdpass::pair().unwrap();
        let (outgoing, broker) = (Outgoing::default(), BrokerName::default());
        let mut sent = 0_u32;
        while outgoing.is_empty() {
            outgoing.send(&ours, &broker, &sent.to_le_bytes()).unwrap();
            sent += 1;
        }
        for _ in 0..100 {
            outgoing.send(&ours, &broker, &sent.to_le_bytes()).unwrap();
            sent += 1;
        }
        let (mut buffer, mut came) = ([0; 64], 0_u32);
        while came < sent {
            let received = fdpass::receive_plain(theirs.as_fd(), &mut buffer).unwrap();
            assert_eq!(buffer[..received.len], came.to_le_bytes());
            came += 1;
            let left = outgoing.flush(&ours, &broker).unwrap();
            assert_eq!(left, !outgoing.is_empty());
        }
        assert!(outgoing.is_empty());
    }

    /// Another thread's record came before those that the control thread had sent earlier, because the
    /// socket had room again.
    #[test]
    fn nobody_overtakes_what_waits() {
        let (ours, theirs) = fdpass::pair().unwrap();
        let (outgoing, broker) = (Outgoing::default(), BrokerName::default());
        let mut sent = 0_u32;
        while outgoing.is_empty() {
            outgoing.send(&ours, &broker, &sent.to_le_bytes()).unwrap();
            sent += 1;
        }
        outgoing.send(&ours, &broker, &sent.to_le_bytes()).unwrap();
        sent += 1;
        let (mut buffer, mut came) = ([0; 64], 0_u32);
        let mut last = false;
        while came <= sent {
            let Ok(received) = fdpass::receive_plain(theirs.as_fd(), &mut buffer) else {
                break;
            };
            assert_eq!(buffer[..received.len], came.to_le_bytes());
            came += 1;
            last = last
                || outgoing
                    .send_now(&ours, &broker, &sent.to_le_bytes())
                    .unwrap();
        }
        assert!(last && came == sent + 1, "{came} of {sent}");
    }

    /// Whoever never reads must not fill this process's memory.
    #[test]
    fn what_waits_is_bounded() {
        let (ours, _theirs) = fdpass::pair().unwrap();
        let (outgoing, broker) = (Outgoing::default(), BrokerName::default());
        let refused = (0..2 * MOST).find_map(|_| outgoing.send(&ours, &broker, &[0; 8]).err());
        assert_eq!(refused.map(|error| error.code()), Some(Code::Timeout));
        assert_eq!(outgoing.queue.lock().len(), MOST);
    }
}
