//! The kernel's clocks.

use core::mem::MaybeUninit;

/// Nanoseconds of a clock, such as [`libc::CLOCK_MONOTONIC`]; 0 where there is no such clock.
///
/// This calls the C library directly, because every call reads a clock twice.
#[inline]
pub fn read(clock: libc::clockid_t) -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `time` is writable memory of the type that the call writes.
    let result = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
    if result != 0 {
        return 0;
    }
    // SAFETY: the call has succeeded, and so has written all of `time`.
    let time = unsafe { time.assume_init() };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
