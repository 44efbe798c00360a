//! The control thread's records for a broker that does not read at the moment.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use callgate_layout::sys::fdpass;
use parking_lot::Mutex;

use super::broker::BrokerName;
use crate::base::error::Result;

/// How many records may wait. They answer records of the broker, which keeps about as many for one plugin at most.
const MOST: usize = 16_384;

/// Records that wait, in the order in which they have to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Mutex<VecDeque<Box<[u8]>>>,
}

impl Outgoing {
    /// Sends a record, or queues it if others wait already or the socket is full.
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

    /// Sends another thread's record after all that wait. Returns `false` if not everything could be sent now.
    ///
    /// The order matters, because an answer of the control thread is often the reason why another thread sends
    /// something: if a wish for an extent overtook the news that the last one with this number has failed, the
    /// broker would take it for an offence.
    pub(crate) fn send_now(
        &self,
        socket: &OwnedFd,
        broker: &BrokerName,
        record: &[u8],
    ) -> Result<bool> {
        let mut queue = self.queue.lock();
        Ok(!flush(&mut queue, socket, broker)? && try_send(socket, broker, record)?)
    }

    /// As [`Outgoing::send_now`], with a descriptor.
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

    /// Sends what the socket has room for. Returns whether records are left.
    pub(crate) fn flush(&self, socket: &OwnedFd, broker: &BrokerName) -> Result<bool> {
        flush(&mut self.queue.lock(), socket, broker)
    }

    /// Whether no record waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// Drops all records, because the session is over.
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

/// Sends a record if the socket has room for it. Returns whether it had.
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

    /// The control thread waited for the broker to read, and did not notice its peers' deaths.
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

    /// Another thread's record overtook records that the control thread had queued earlier, because the socket had
    /// room again.
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

    /// A broker that never reads must not fill this process's memory.
    #[test]
    fn what_waits_is_bounded() {
        let (ours, _theirs) = fdpass::pair().unwrap();
        let (outgoing, broker) = (Outgoing::default(), BrokerName::default());
        let refused = (0..2 * MOST).find_map(|_| outgoing.send(&ours, &broker, &[0; 8]).err());
        assert_eq!(refused.map(|error| error.code()), Some(Code::Timeout));
        assert_eq!(outgoing.queue.lock().len(), MOST);
    }
}
