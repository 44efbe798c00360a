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

/// Waits while the shared word at byte `at` is `expected` *and* the private word is
/// `private_expected`, at most until the deadline. May also return for no reason.
pub fn wait_either(
    view: &ReadView,
    at: usize,
    expected: u32,
    private: &AtomicU32,
    private_expected: u32,
    deadline: u64,
) {
    let waiters = [
        waiter(view.futex(at), expected, FUTEX_32),
        waiter(private, private_expected, FUTEX_32 | FUTEX_PRIVATE),
    ];
    let time = timespec(deadline);
    // SAFETY: both words are live for the duration of the call (`view` and `private` are
    // borrowed); `waiters` and `time` stand on this stack. The kernel only reads them.
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

fn waiter(word: &AtomicU32, expected: u32, flags: u32) -> Waiter {
    Waiter {
        value: u64::from(expected),
        address: word.as_ptr() as u64,
        flags,
        reserved: 0,
    }
}

fn timespec(nanos: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as libc::time_t,
        tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
    }
}
