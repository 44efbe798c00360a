//! The page of a share: the number of its newest version, in memory that the broker alone writes.
//!
//! ```text
//! 0 number u64    of the newest version; 0: the share is gone. Its low half is a futex
//! ```
//!
//! The broker stores a number after it has registered the version. So a plugin that has read the number and asks the
//! broker gets that version or a newer one.
//!
//! **Sync point** VERSION-PUBLISHED. The broker registers a version, stores its number (release), and wakes the
//! threads that sleep. A reader loads the number (acquire), and sleeps only while its low half is unchanged: the
//! kernel compares the two when it puts the thread to sleep. A number with the same low half comes only 2^32 versions
//! later.

use crate::atomic::Ordering;
use crate::view::{ReadView, WriteView};

/// Bytes of a page.
#[cfg(not(callgate_loom))]
pub const PAGE_LEN: usize = 4096;

const NUMBER: usize = 0;

// Checks the byte table above. A change of it is a change of the protocol version.
#[cfg(not(callgate_loom))]
const _: () = assert!(crate::control::VERSION == 12 && NUMBER == 0);

/// The broker's side of a page.
#[derive(Debug)]
pub struct PageWriter {
    page: WriteView,
}

impl PageWriter {
    /// The writing side of a page. Zeroed memory is the page of a share that is gone.
    pub fn new(page: WriteView) -> PageWriter {
        PageWriter { page }
    }

    /// Stores the number of the newest version, which the broker has registered before; 0 if the share is gone. The
    /// caller then wakes the threads that sleep.
    pub fn store(&self, number: u64) {
        // VERSION-PUBLISHED, release.
        self.page.store64(NUMBER, number, Ordering::Release);
    }
}

/// A user's side of a page.
#[derive(Clone, Debug)]
pub struct PageReader {
    page: ReadView,
}

impl PageReader {
    /// The reading side of a page.
    pub fn new(page: ReadView) -> PageReader {
        PageReader { page }
    }

    /// The number of the newest version; 0 if the share is gone. A thread reads it before it sleeps.
    #[inline]
    pub fn number(&self) -> u64 {
        // VERSION-PUBLISHED, acquire.
        self.page.load64(NUMBER, Ordering::Acquire)
    }
}

#[cfg(not(callgate_loom))]
mod futexes {
    use super::{NUMBER, PageReader, PageWriter};
    use crate::sys::futex::{self, Awaited};

    impl PageWriter {
        /// As [`PageWriter::store`], and wakes the sleeping threads. One system call.
        pub fn publish(&self, number: u64) {
            self.store(number);
            futex::wake(self.page.as_read().futex(NUMBER));
        }
    }

    impl PageReader {
        /// The number as a futex word: a wait for it ends as soon as the number is not `seen` any more. The user
        /// waits for it together with a word of its own, which changes when the page is no longer used
        /// ([`futex::wait_any`]).
        pub fn awaited(&self, seen: u64) -> Awaited<'_> {
            // The futex is the low half of a little-endian number.
            Awaited::shared(self.page.futex(NUMBER), seen as u32)
        }
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use std::os::fd::AsFd;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::atomic::AtomicU32;
    use crate::clock;
    use crate::sys::futex::{Awaited, wait_any, wake_private};
    use crate::sys::mapping::Mapping;
    use crate::sys::memfd;

    fn page() -> (PageWriter, PageReader) {
        let file = memfd::create("test-page", PAGE_LEN).expect("a memory file");
        let other = file.try_clone().expect("a descriptor");
        let map = Mapping::writable(other, PAGE_LEN).expect("a map");
        memfd::seal_writer(file.as_fd()).expect("it is our own");
        let read = Mapping::read_only(file, PAGE_LEN).expect("a map");
        let writer = PageWriter::new(WriteView::new(map).expect("a writable one"));
        (writer, PageReader::new(ReadView::new(read)))
    }

    /// A user that sleeps wakes up when a version is published, and when its own word changes.
    #[test]
    fn a_sleeper_wakes_for_a_version_and_for_its_own_word() {
        let far = || clock::now() + 60_000_000_000;
        let (writer, reader) = page();
        assert_eq!(reader.number(), 0);
        writer.publish(7);
        assert_eq!(reader.number(), 7);
        let own = AtomicU32::new(0);
        let start = Instant::now();
        // A number that was published before the sleep ends it at once.
        wait_any(&[reader.awaited(6), Awaited::private(&own, 0)], far());
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(10));
                writer.publish(u64::MAX);
            });
            while reader.number() == 7 {
                wait_any(&[reader.awaited(7), Awaited::private(&own, 0)], far());
            }
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(10));
                own.store(1, Ordering::Relaxed);
                wake_private(&own);
            });
            while own.load(Ordering::Relaxed) == 0 {
                wait_any(
                    &[reader.awaited(u64::MAX), Awaited::private(&own, 0)],
                    far(),
                );
            }
        });
        assert_eq!(reader.number(), u64::MAX);
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
