//! The way to a child's stdin: any thread writes, and what does not fit the pipe is queued.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::write;
use parking_lot::Mutex;

/// So many bytes are gathered at most before they are written.
const MOST_GATHERED: usize = 16 << 10;
/// A queue that has been written keeps its memory up to here.
const KEEP: usize = 64 << 10;

/// Why a line was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The queue holds as much as it may.
    Full,
    /// The child has closed its stdin, or has ended.
    Gone,
}

/// The way to a child's stdin. Lines of several threads never mix. What the pipe does not take is queued, and written by the
/// loop when the kernel says that there is room: it is woken only then.
#[derive(Clone)]
pub(crate) struct Stdin {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// The most bytes that are queued.
    quota: usize,
    /// Tells the loop that the queue became full, or that the child reads no more.
    tell: Box<dyn Fn() + Send + Sync>,
}

struct State {
    /// `None` once nothing is written any more.
    pipe: Option<OwnedFd>,
    queue: VecDeque<u8>,
    /// Whether the queue holds only what was gathered, so that the pipe may have room for it.
    is_gathering: bool,
    /// Since when lines have been refused for want of room, without anything read by the child meanwhile.
    stuck_since: Option<Instant>,
}

impl Stdin {
    /// `tell` runs on a thread that writes and must not wait; it is called once each time the queue becomes full or the child is
    /// found to read no more.
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

    /// Writes a line, or queues what of it the pipe does not take.
    pub(crate) fn write(&self, line: impl AsRef<[u8]>) -> Result<(), Refused> {
        self.with(|state, quota| state.write(line.as_ref(), quota))
    }

    /// Writes a short line, also where the queue holds as much as it may.
    pub(crate) fn write_beyond(&self, line: &[u8]) -> Result<(), Refused> {
        self.with(|state, _| state.write(line, usize::MAX))
    }

    /// Takes a line that is to be written together with others: the caller has to [write them](Stdin::write_gathered) soon. Whatever
    /// else is written goes behind them.
    pub(crate) fn gather(&self, line: &[u8]) -> Result<(), Refused> {
        self.with(|state, quota| state.gather(line, quota))
    }

    /// Writes what was gathered. What the pipe does not take of it stays in the queue, as with other lines. Where nobody reads any more,
    /// the child may have read some of it.
    pub(crate) fn write_gathered(&self) -> Result<(), Refused> {
        self.with(|state, _| {
            let is_lost = state.is_gathering && !state.flush();
            let outcome = state.pipe.as_ref().map(|_| ());
            (outcome.ok_or(Refused::Gone), is_lost)
        })
    }

    /// Writes what is queued, as far as the pipe takes it.
    pub(crate) fn flush(&self) {
        self.shared.state.lock().flush();
    }

    /// Does something that may be news to the loop.
    fn with<T>(&self, work: impl FnOnce(&mut State, usize) -> (T, bool)) -> T {
        let (outcome, is_news) = work(&mut self.shared.state.lock(), self.shared.quota);
        if is_news {
            (self.shared.tell)();
        }
        outcome
    }

    /// How many bytes the child has not taken from the queue.
    pub(crate) fn queued(&self) -> usize {
        self.shared.state.lock().queue.len()
    }

    /// Since when lines have been refused for want of room, without anything read by the child meanwhile.
    pub(crate) fn stuck_since(&self) -> Option<Instant> {
        self.shared.state.lock().stuck_since
    }

    /// Whether nothing is written any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.shared.state.lock().pipe.is_none()
    }

    /// The pipe's number, while it is open.
    pub(crate) fn raw(&self) -> Option<RawFd> {
        self.shared
            .state
            .lock()
            .pipe
            .as_ref()
            .map(AsRawFd::as_raw_fd)
    }

    /// Closes the pipe and forgets what is queued.
    pub(crate) fn close(&self) {
        self.shared.state.lock().close();
    }
}

impl State {
    /// Returns besides whether the loop is to be told: this is the first line that is refused for its reason.
    fn write(&mut self, line: &[u8], quota: usize) -> (Result<(), Refused>, bool) {
        if self.pipe.is_none() {
            return (Err(Refused::Gone), false);
        }
        if self.is_gathering && !self.flush() {
            return (Err(Refused::Gone), true);
        }
        // A single line always has room: else one that is longer than the quota would never come.
        if !self.queue.is_empty() && self.queue.len() + line.len() > quota {
            let is_first = self.stuck_since.is_none();
            self.stuck_since.get_or_insert_with(Instant::now);
            return (Err(Refused::Full), is_first);
        }
        // While there is a queue, the pipe is full, and the loop goes on with the queue in its order.
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

    /// Returns besides, as [`State::write`] does, what is to be told.
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

    /// Returns whether anybody still reads.
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

    /// Writes what the pipe takes, and returns how much that is; `None` where nobody reads any more. If it is less than all, the
    /// pipe is full, and the kernel tells the loop when the child has read.
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

    /// A pipe's reading end, the way into it, and how often the loop was told.
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

    /// A part of a line that did not fit was written behind the next one.
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

    /// A child that read nothing had its host keep everything for it.
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
        // Less than the pipe holds, whatever of its pages is not full.
        read(&mut pipe, 40_000);
        stdin.flush();
        assert_eq!(stdin.stuck_since(), None);
        assert!(stdin.write(&line[..10_000]).is_ok());
    }

    /// With a small quota, a long answer waited for ever.
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

    /// Each line was written by itself, and what was written meanwhile went before those that were gathered.
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
        // A line that is too long to wait takes the others with it.
        assert_eq!(stdin.gather(b"five\n"), Ok(()));
        assert_eq!(stdin.gather(&[6; MOST_GATHERED]), Ok(()));
        assert_eq!(stdin.queued(), 0);
        assert_eq!(read(&mut pipe, 5), b"five\n");
    }

    /// What was gathered for a pipe that was full passed for lines that somebody else would write, or went beyond the quota.
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
        // The loop goes on when the kernel tells it that there is room.
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
