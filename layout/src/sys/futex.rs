//! The kernel's wait-and-wake on a 32-bit word.
//!
//! Words in shared memory use the shared form, which works on read-only maps too. Deadlines are
//! absolute, in nanoseconds of the monotonic clock.

use core::ptr;
use core::sync::atomic::AtomicU32;

use crate::view::ReadView;

const FUTEX_32: u32 = 2;
const FUTEX_PRIVATE: u32 = 128;
/// `FUTEX_WAIT_BITSET`, the form of wait whose timeout is absolute.
const WAIT_ABSOLUTE: i32 = 9;
const WAKE: i32 = 1;
const WAKE_PRIVATE: i32 = 1 | 128;

/// What `futex_waitv` takes; the kernel's `struct futex_waitv`.
#[repr(C)]
struct Waiter {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<Waiter>() == 24);

/// Waits while the word at byte `at` is `expected`, at most until the deadline.
///
/// May also return for no reason: callers look at what they wait for and wait again.
pub fn wait(view: &ReadView, at: usize, expected: u32, deadline: Option<u64>) {
    let time = deadline.map(timespec);
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    let word = view.futex(at).as_ptr();
    // SAFETY: `word` is a mapped, aligned 32-bit word for the duration of the call (`view` is
    // borrowed); `time` is null or points to a timespec on this stack. The kernel only reads.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            WAIT_ABSOLUTE,
            expected,
            time,
            ptr::null::<u32>(),
            u32::MAX,
        )
    };
}

/// Wakes everyone who waits for the word at byte `at`.
pub fn wake(view: &ReadView, at: usize) {
    let word = view.futex(at).as_ptr();
    // SAFETY: as in `wait`; waking neither reads nor writes the word.
    unsafe { libc::syscall(libc::SYS_futex, word, WAKE, i32::MAX) };
}

/// Wakes everyone in this process who waits for a private word.
pub fn wake_private(word: &AtomicU32) {
    // SAFETY: `word` is a live reference; waking neither reads nor writes it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), WAKE_PRIVATE, i32::MAX) };
}

/// A word to wait for, and the value it has while there is nothing to wake up for.
#[derive(Debug)]
pub struct Awaited<'a> {
    word: &'a AtomicU32,
    expected: u32,
    flags: u32,
}

impl<'a> Awaited<'a> {
    /// The shared word at byte `at`.
    pub fn shared(view: &'a ReadView, at: usize, expected: u32) -> Awaited<'a> {
        Awaited {
            word: view.futex(at),
            expected,
            flags: FUTEX_32,
        }
    }

    /// A word of this process.
    pub fn private(word: &'a AtomicU32, expected: u32) -> Awaited<'a> {
        Awaited {
            word,
            expected,
            flags: FUTEX_32 | FUTEX_PRIVATE,
        }
    }

    fn waiter(&self) -> Waiter {
        Waiter {
            value: u64::from(self.expected),
            address: self.word.as_ptr() as u64,
            flags: self.flags,
            reserved: 0,
        }
    }
}

/// The most words that one wait can have.
pub const MAX_AWAITED: usize = 128;

/// Waits while every word has its expected value, at most until the deadline. May also return
/// for no reason.
///
/// Words beyond the first [`MAX_AWAITED`] are not waited for.
pub fn wait_any<const N: usize>(words: &[Awaited<'_>; N], deadline: u64) {
    let waiters = words.each_ref().map(Awaited::waiter);
    wait_waiters(&waiters, deadline);
}

/// As [`wait_any`], for a number of words that is known only at run time.
pub fn wait_any_of(words: &[Awaited<'_>], deadline: u64) {
    let waiters: Vec<Waiter> = words.iter().map(Awaited::waiter).collect();
    wait_waiters(&waiters, deadline);
}

fn wait_waiters(waiters: &[Waiter], deadline: u64) {
    let waiters = &waiters[..waiters.len().min(MAX_AWAITED)];
    let time = timespec(deadline);
    // SAFETY: every word is live for the duration of the call (the callers' `Awaited` borrow
    // them); `waiters` and `time` outlive it. The kernel only reads them.
    unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len(),
            0,
            ptr::from_ref(&time),
            libc::CLOCK_MONOTONIC,
        )
    };
}

/// Whether the kernel has `futex_waitv` (Linux 5.16).
pub fn has_waitv() -> bool {
    // SAFETY: with no waiters the kernel refuses the call (EINVAL) before it looks at anything;
    // one without the call says ENOSYS.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            ptr::null::<Waiter>(),
            0,
            0,
            ptr::null::<u8>(),
            0,
        )
    };
    result != -1 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS)
}

fn timespec(nanos: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as libc::time_t,
        tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
    }
}
