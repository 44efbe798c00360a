//! Writes to a child's stdin, from any thread. Bytes that do not fit into the pipe are queued.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::write;
use parking_lot::Mutex;

/// The most bytes that are gathered before they are written.
const MOST_GATHERED: usize = 16 << 10;
/// The most memory that a queue keeps once all of it was written.
const KEEP: usize = 64 << 10;

/// Why a line was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The queue is full.
    Full,
    /// The child has closed its stdin, or has ended.
    Gone,
}

/// Writes to a child's stdin. Lines of several threads never mix. Bytes that the pipe does not take are queued; the loop writes them when
/// the kernel reports that there is room, and is woken for nothing else.
#[derive(Clone)]
pub(crate) struct Stdin {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// The most bytes that may be queued.
    quota: usize,
    /// Tells the loop that the queue has become full, or that the child has closed its stdin.
    tell: Box<dyn Fn() + Send + Sync>,
}

struct State {
    /// `None` once the pipe was closed.
    pipe: Option<OwnedFd>,
    queue: VecDeque<u8>,
    /// Whether the queue holds only gathered lines. Then the pipe may have room for them.
    is_gathering: bool,
    /// The time since when lines are refused because the queue is full and the child has read nothing.
    stuck_since: Option<Instant>,
}

impl Stdin {
    /// `tell` runs on the thread that writes and must not block. It is called once each time the queue becomes full, and when the child is
    /// found to have closed its stdin.
    pub(crate) fn new(
        pipe: OwnedFd,
        quota: usize,
        tell: impl Fn() + Send + Sync + 'static,
    ) -> Stdin {
        let state = State {
            pipe: Some(pipe),
            queue: VecDeque::new(),
            is_gathering: false,
            stuck_since: None,
        };
        Stdin {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                quota,
                tell: Box::new(tell),
            }),
        }
    }

    /// Writes a line; the part that the pipe does not take is queued.
    pub(crate) fn write(&self, line: impl AsRef<[u8]>) -> Result<(), Refused> {
        self.with(|state, quota| state.write(line.as_ref(), quota))
    }

    /// Writes a short line, even if the queue is full.
    pub(crate) fn write_beyond(&self, line: &[u8]) -> Result<(), Refused> {
        self.with(|state, _| state.write(line, usize::MAX))
    }

    /// Takes a line that is to be written together with others: the caller must [write them](Stdin::write_gathered) soon. Lines that are
    /// written otherwise come after them.
    pub(crate) fn gather(&self, line: &[u8]) -> Result<(), Refused> {
        self.with(|state, quota| state.gather(line, quota))
    }

    /// Writes the gathered lines. The part that the pipe does not take stays queued, as for other lines. If the child has closed its stdin,
    /// it may have read some of them before.
    pub(crate) fn write_gathered(&self) -> Result<(), Refused> {
        self.with(|state, _| {
            let is_lost = state.is_gathering && !state.flush();
            let outcome = state.pipe.as_ref().map(|_| ());
            (outcome.ok_or(Refused::Gone), is_lost)
        })
    }

    /// Writes queued bytes, as many as the pipe takes.
    pub(crate) fn flush(&self) {
        self.shared.state.lock().flush();
    }

    /// Runs `work`, and tells the loop if that has news for it.
    fn with<T>(&self, work: impl FnOnce(&mut State, usize) -> (T, bool)) -> T {
        let (outcome, is_news) = work(&mut self.shared.state.lock(), self.shared.quota);
        if is_news {
            (self.shared.tell)();
        }
        outcome
    }

    /// The number of queued bytes that the child has not taken.
    pub(crate) fn queued(&self) -> usize {
        self.shared.state.lock().queue.len()
    }

    /// The time since when lines are refused because the queue is full and the child has read nothing.
    pub(crate) fn stuck_since(&self) -> Option<Instant> {
        self.shared.state.lock().stuck_since
    }

    /// Whether the pipe was closed.
    pub(crate) fn is_gone(&self) -> bool {
        self.shared.state.lock().pipe.is_none()
    }

    /// The pipe's descriptor, while it is open.
    pub(crate) fn raw(&self) -> Option<RawFd> {
        self.shared
            .state
            .lock()
            .pipe
            .as_ref()
            .map(AsRawFd::as_raw_fd)
    }

    /// Closes the pipe and drops the queued bytes.
    pub(crate) fn close(&self) {
        self.shared.state.lock().close();
    }
}

impl State {
    /// Also returns whether the loop must be told: this line is the first that is refused for its reason.
    fn write(&mut self, line: &[u8], quota: usize) -> (Result<(), Refused>, bool) {
        if self.pipe.is_none() {
            return (Err(Refused::Gone), false);
        }
        if self.is_gathering && !self.flush() {
            return (Err(Refused::Gone), true);
        }
        // An empty queue takes a line of any length: otherwise a line longer than the quota could never be written.
        if !self.queue.is_empty() && self.queue.len() + line.len() > quota {
            let is_first = self.stuck_since.is_none();
            self.stuck_since.get_or_insert_with(Instant::now);
            return (Err(Refused::Full), is_first);
        }
        // If bytes are queued the pipe is full, and the loop writes the queue in its order.
        let written = match self.queue.is_empty() {
            true => self.put(line),
            false => Some(0),
        };
        match written {
            Some(count) => {
                self.queue.extend(&line[count..]);
                (Ok(()), false)
            }
            None => {
                self.close();
                (Err(Refused::Gone), true)
            }
        }
    }

    /// Also returns whether the loop must be told, as [`State::write`] does.
    fn gather(&mut self, line: &[u8], quota: usize) -> (Result<(), Refused>, bool) {
        let is_full = !self.queue.is_empty() && !self.is_gathering;
        let is_long = self.queue.len() + line.len() > MOST_GATHERED.min(quota);
        if self.pipe.is_none() || is_full || is_long {
            return self.write(line, quota);
        }
        self.queue.extend(line);
        self.is_gathering = true;
        (Ok(()), false)
    }

    /// Returns whether the child's stdin is still open.
    fn flush(&mut self) -> bool {
        self.is_gathering = false;
        while !self.queue.is_empty() {
            let part = self.queue.as_slices().0;
            let Some(count) = self.put(part) else {
                self.close();
                return false;
            };
            let is_full = count < part.len();
            drop(self.queue.drain(..count));
            if count > 0 {
                self.stuck_since = None;
            }
            if is_full {
                return true;
            }
        }
        self.queue.shrink_to(KEEP);
        true
    }

    /// Writes the bytes that the pipe takes, and returns their number; `None` if the child has closed its stdin. If it is less than all,
    /// the pipe is full, and the kernel reports when the child has read.
    fn put(&self, bytes: &[u8]) -> Option<usize> {
        let pipe = self.pipe.as_ref()?;
        let mut written = 0;
        while written < bytes.len() {
            match write(pipe, &bytes[written..]) {
                Ok(count) => written += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => return None,
            }
        }
        Some(written)
    }

    fn close(&mut self) {
        self.pipe = None;
        self.queue = VecDeque::new();
        self.is_gathering = false;
        self.stuck_since = None;
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::unistd::pipe2;

    /// A pipe's reading end, the writer under test, and the number of times that the loop was told.
    fn scene(quota: usize) -> (File, Stdin, Arc<AtomicUsize>) {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).unwrap();
        fcntl(&writing, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let counter = told.clone();
        let tell = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        (reading.into(), Stdin::new(writing, quota, tell), told)
    }

    fn read(file: &mut File, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        file.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The part of a line that did not fit into the pipe was written after the next line.
    #[test]
    fn lines_come_whole_and_in_order_however_slowly_they_are_read() {
        let (mut pipe, stdin, told) = scene(8 << 20);
        let lines: Vec<Vec<u8>> = (0..100).map(|n| vec![n; 10_000 + usize::from(n)]).collect();
        for line in &lines {
            stdin.write(line).unwrap();
        }
        assert!(stdin.queued() > 0);
        for line in &lines {
            assert_eq!(read(&mut pipe, line.len()), *line);
            stdin.flush();
        }
        assert_eq!((stdin.queued(), told.load(Ordering::Relaxed)), (0, 0));
    }

    /// A child that read nothing made its host keep all lines for it.
    #[test]
    fn the_queue_has_an_end_and_says_since_when() {
        let (mut pipe, stdin, told) = scene(100_000);
        let line = vec![1; 50_000];
        let taken = (0..10).filter(|_| stdin.write(&line).is_ok()).count();
        // The pipe itself takes 64 KiB.
        assert_eq!(taken, 3);
        assert_eq!(stdin.write(&line), Err(Refused::Full));
        assert_eq!(told.load(Ordering::Relaxed), 1);
        let since = stdin.stuck_since().unwrap();
        stdin.flush();
        assert_eq!(stdin.stuck_since(), Some(since));
        stdin.write_beyond(b"ping\n").unwrap();
        // Less than the pipe holds, even if some of its pages are only partly filled.
        read(&mut pipe, 40_000);
        stdin.flush();
        assert_eq!(stdin.stuck_since(), None);
        assert!(stdin.write(&line[..10_000]).is_ok());
    }

    /// With a small quota, an answer longer than the quota was never written.
    #[test]
    fn a_line_that_is_longer_than_the_quota_comes_when_there_is_no_other() {
        let (mut pipe, stdin, _told) = scene(1000);
        let line = vec![1; 500_000];
        stdin.write(&line).unwrap();
        assert_eq!(stdin.write(&line), Err(Refused::Full));
        for _ in 0..10 {
            read(&mut pipe, 50_000);
            stdin.flush();
        }
        stdin.write(&line).unwrap();
    }

    /// Each line was written by itself, and lines written meanwhile came before those that were gathered.
    #[test]
    fn lines_are_gathered_until_they_are_written() {
        let (mut pipe, stdin, _told) = scene(100_000);
        assert_eq!(stdin.gather(b"one\n"), Ok(()));
        assert_eq!(stdin.gather(b"two\n"), Ok(()));
        assert_eq!(stdin.queued(), 8);
        stdin.write(b"three\n").unwrap();
        assert_eq!(stdin.queued(), 0);
        assert_eq!(stdin.gather(b"four\n"), Ok(()));
        stdin.write_gathered().unwrap();
        stdin.write_gathered().unwrap();
        assert_eq!(read(&mut pipe, 19), b"one\ntwo\nthree\nfour\n");
        // A line too long to be gathered has the gathered ones written with it.
        assert_eq!(stdin.gather(b"five\n"), Ok(()));
        assert_eq!(stdin.gather(&[6; MOST_GATHERED]), Ok(()));
        assert_eq!(stdin.queued(), 0);
        assert_eq!(read(&mut pipe, 5), b"five\n");
    }

    /// Lines gathered while the pipe was full counted as lines that another thread would write, or exceeded the quota.
    #[test]
    fn what_the_pipe_does_not_take_of_gathered_lines_is_queued() {
        let (mut pipe, stdin, told) = scene(100_000);
        let line = vec![1; 10_000];
        let mut taken = 0;
        loop {
            match stdin.gather(&line) {
                Ok(_) => taken += 1,
                Err(refused) => break assert_eq!(refused, Refused::Full),
            }
            if taken % 3 == 0 {
                stdin.write_gathered().unwrap();
            }
        }
        // The pipe's 64 KiB and the quota.
        assert!((13..=17).contains(&taken), "{taken}");
        assert_eq!(told.load(Ordering::Relaxed), 1);
        // The loop continues when the kernel reports that the pipe has room.
        for _ in 0..taken {
            assert_eq!(read(&mut pipe, line.len()), line);
            stdin.flush();
        }
        assert_eq!((stdin.queued(), stdin.gather(&line)), (0, Ok(())));
    }

    #[test]
    fn gathered_lines_find_that_nobody_reads() {
        let (pipe, stdin, told) = scene(100_000);
        stdin.gather(b"unheard\n").unwrap();
        drop(pipe);
        assert_eq!(stdin.write_gathered(), Err(Refused::Gone));
        assert_eq!(stdin.write_gathered(), Err(Refused::Gone));
        assert_eq!(stdin.gather(b"unheard\n"), Err(Refused::Gone));
        assert!(stdin.is_gone());
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_gone_and_told_of_once() {
        let (pipe, stdin, told) = scene(100_000);
        stdin.write(b"heard\n").unwrap();
        drop(pipe);
        for _ in 0..3 {
            assert_eq!(stdin.write(b"unheard\n"), Err(Refused::Gone));
        }
        assert!(stdin.is_gone() && stdin.raw().is_none());
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
