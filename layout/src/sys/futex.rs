//! The kernel's wait-and-wake on a 32-bit word.
//!
//! Words in shared memory use the shared form, which works on read-only maps too. Deadlines are
//! absolute, in nanoseconds of the monotonic clock.
//!
//! A wait ends because of a wake-up, a word that has another value, a signal, or its deadline. Every other answer
//! means that the kernel did not wait: a seccomp filter refuses the call, or there is no memory for it. A loop around
//! such a wait would spin, so the wait sleeps for at most [`STOPGAP`] instead: calls go on, up to a millisecond
//! later. The first such answer is kept for [`take_refusal`], which another place logs: a waiting thread may hold a
//! lock under which nothing may be logged.

use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::io;
use std::time::Duration;

use nix::errno::Errno;

use super::time;

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

/// Waits while a shared word is `expected`, at most until the deadline.
///
/// May also return early: callers check their condition and wait again.
pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Option<u64>) {
    let time = deadline.map(timespec);
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `word` is a live reference for the duration of the call; `time` is null or points to
    // a timespec on this stack. The kernel only reads.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            WAIT_ABSOLUTE,
            expected,
            time,
            ptr::null::<u32>(),
            u32::MAX,
        )
    };
    match Errno::result(result) {
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR | Errno::ETIMEDOUT) => {}
        Err(errno) => stop_gap(errno as i32 | PLAIN, deadline.unwrap_or(u64::MAX)),
    }
}

/// Wakes everyone who waits for a shared word.
pub(crate) fn wake(word: &AtomicU32) {
    // SAFETY: `word` is a live reference; waking neither reads nor writes it.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), WAKE, i32::MAX) };
    woken(result);
}

/// Wakes everyone in this process who waits for a private word.
pub fn wake_private(word: &AtomicU32) {
    // SAFETY: `word` is a live reference; waking neither reads nor writes it.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), WAKE_PRIVATE, i32::MAX) };
    woken(result);
}

/// The longest sleep, in nanoseconds, in place of a wait that the kernel refused: short enough for calls to go on,
/// long enough to use hardly any processor time.
pub const STOPGAP: u64 = 1_000_000;

/// The first answer to a wait or wake-up that a working kernel never gives: its error number, plus [`PLAIN`] if the
/// call was about one word. 0 before there was one, [`TAKEN`] after it was taken.
static REFUSAL: AtomicI32 = AtomicI32::new(0);
const PLAIN: i32 = 1 << 16;
const TAKEN: i32 = -1;

fn woken(result: libc::c_long) {
    if let Err(errno) = Errno::result(result) {
        refused(errno as i32 | PLAIN);
    }
}

/// Sleeps instead of a wait that the kernel refused.
#[cold]
fn stop_gap(refusal: i32, deadline: u64) {
    refused(refusal);
    let left = deadline
        .saturating_sub(time::read(libc::CLOCK_MONOTONIC))
        .min(STOPGAP);
    std::thread::sleep(Duration::from_nanos(left));
}

#[cold]
fn refused(refusal: i32) {
    // Only the first refusal is kept.
    let _ = REFUSAL.compare_exchange(0, refusal, Ordering::Relaxed, Ordering::Relaxed);
}

/// The first refusal of a wait or a wake-up in this process. It is returned once.
pub fn take_refusal() -> Option<Unusable> {
    let refusal = REFUSAL.load(Ordering::Relaxed);
    if refusal == 0 || refusal == TAKEN || REFUSAL.swap(TAKEN, Ordering::Relaxed) == TAKEN {
        return None;
    }
    let errno = Errno::from_raw(refusal & !PLAIN);
    Some(match refusal & PLAIN {
        0 => Unusable::several(errno),
        _ => Unusable {
            call: "futex",
            errno,
        },
    })
}

/// The kernel, or a filter in front of it, refuses a futex call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusable {
    call: &'static str,
    errno: Errno,
}

impl Unusable {
    fn several(errno: Errno) -> Unusable {
        Unusable {
            call: "futex_waitv",
            errno,
        }
    }
}

impl core::fmt::Display for Unusable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Unusable { call, errno } = self;
        let why = io::Error::from(*errno);
        match errno {
            Errno::ENOSYS => write!(
                f,
                "there is no system call {call} ({why}): Linux 5.16 or newer has it, unless a \
                 sandbox or an old seccomp profile hides it"
            ),
            Errno::EPERM | Errno::EACCES => write!(
                f,
                "the system call {call} is forbidden ({why}): allow it in the seccomp profile of \
                 this process or of its container"
            ),
            _ => write!(
                f,
                "the system call {call} does not work ({why}): look for a seccomp profile or a \
                 sandbox that answers it"
            ),
        }
    }
}

/// A word to wait for, and the value that it has while the wait goes on.
#[derive(Debug)]
pub struct Awaited<'a> {
    word: &'a AtomicU32,
    expected: u32,
    flags: u32,
}

impl<'a> Awaited<'a> {
    /// A word of shared memory.
    pub(crate) fn shared(word: &'a AtomicU32, expected: u32) -> Awaited<'a> {
        Awaited {
            word,
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

/// The most words that one wait can name.
pub const MAX_AWAITED: usize = 128;

/// Waits while every word has its expected value, at most until the deadline. May also return early.
///
/// Words beyond the first [`MAX_AWAITED`] are ignored.
pub fn wait_any<const N: usize>(words: &[Awaited<'_>; N], deadline: u64) {
    let waiters = words.each_ref().map(Awaited::waiter);
    wait_waiters(&waiters, deadline);
}

/// As [`wait_any`], for a number of words that is not known at compile time.
pub fn wait_any_of(words: &[Awaited<'_>], deadline: u64) {
    let waiters: Vec<Waiter> = words.iter().map(Awaited::waiter).collect();
    wait_waiters(&waiters, deadline);
}

fn wait_waiters(waiters: &[Waiter], deadline: u64) {
    let waiters = &waiters[..waiters.len().min(MAX_AWAITED)];
    match wait_once(waiters, deadline) {
        Ok(()) | Err(Errno::EAGAIN | Errno::EINTR | Errno::ETIMEDOUT) => {}
        Err(errno) => stop_gap(errno as i32, deadline),
    }
}

fn wait_once(waiters: &[Waiter], deadline: u64) -> Result<(), Errno> {
    let time = timespec(deadline);
    // SAFETY: every word is live for the duration of the call (the callers' `Awaited` borrow
    // them); `waiters` and `time` outlive it. The kernel only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len(),
            0,
            ptr::from_ref(&time),
            libc::CLOCK_MONOTONIC,
        )
    };
    Errno::result(result).map(drop)
}

/// Whether this process can wait for several words (`futex_waitv`, Linux 5.16).
/// Makes two waits that end at once: one for a word that has another value, and one until a time that has passed. A
/// call that is missing or forbidden gives neither of the expected answers.
/// passed. What is not there, or is forbidden, gives neither of their answers.
pub fn check_waitv() -> Result<(), Unusable> {
    let word = AtomicU32::new(0);
    for (expected, answer) in [(1, Errno::EAGAIN), (0, Errno::ETIMEDOUT)] {
        let waiter = Awaited::private(&word, expected).waiter();
        let outcome = loop {
            match wait_once(core::slice::from_ref(&waiter), 1) {
                // A signal came.
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        if outcome != Err(answer) {
            let errno = outcome.err().unwrap_or(Errno::UnknownErrno);
            return Err(Unusable::several(errno));
        }
    }
    Ok(())
}

fn timespec(nanos: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as libc::time_t,
        tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_several_words_works_here() {
        assert_eq!(check_waitv(), Ok(()));
        assert_eq!(take_refusal(), None);
        // Only the first refusal is kept, and it is returned once.
        let start = time::read(libc::CLOCK_MONOTONIC);
        stop_gap(Errno::EPERM as i32 | PLAIN, u64::MAX);
        assert!(time::read(libc::CLOCK_MONOTONIC) >= start + STOPGAP);
        refused(Errno::ENOSYS as i32);
        let (call, errno) = ("futex", Errno::EPERM);
        assert_eq!(take_refusal(), Some(Unusable { call, errno }));
        assert_eq!(take_refusal(), None);
        refused(Errno::ENOSYS as i32);
        assert_eq!(take_refusal(), None);
        REFUSAL.store(Errno::ENOSYS as i32, Ordering::Relaxed);
        assert_eq!(take_refusal(), Some(Unusable::several(Errno::ENOSYS)));
        // A refused wake-up is reported, too.
        for (result, expected) in [(7, None), (-1, Some(Unusable { call, errno }))] {
            REFUSAL.store(0, Ordering::Relaxed);
            Errno::EPERM.set();
            woken(result);
            assert_eq!(take_refusal(), expected);
        }
    }

    /// A wait lasts until its deadline. If it returned at once, a loop around it would spin.
    #[test]
    fn a_wait_for_several_words_lasts() {
        let words = [AtomicU32::new(4), AtomicU32::new(5)];
        let awaited = |other| {
            let [one, two] = &words;
            [Awaited::private(one, 4), Awaited::private(two, other)]
        };
        let lasts = |wait: &dyn Fn(u64)| {
            let until = time::read(libc::CLOCK_MONOTONIC) + 50_000_000;
            let mut returns = 0_u64;
            while time::read(libc::CLOCK_MONOTONIC) < until {
                wait(until);
                returns += 1;
            }
            returns < 50
        };
        assert!(lasts(&|until| wait_any(&awaited(5), until)));
        assert!(lasts(&|until| wait_any_of(&awaited(5), until)));
        // A word that has changed ends the wait, and so does a wake-up.
        assert!(!lasts(&|until| wait_any(&awaited(6), until)));
        let start = time::read(libc::CLOCK_MONOTONIC);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                words[1].store(0, Ordering::Relaxed);
                wake_private(&words[1]);
            });
            while words[1].load(Ordering::Relaxed) != 0 {
                wait_any_of(&awaited(5), start + 60_000_000_000);
            }
        });
        assert!(time::read(libc::CLOCK_MONOTONIC) < start + 50_000_000_000);
        assert_eq!((timespec(7).tv_sec, timespec(7).tv_nsec), (0, 7));
    }

    /// The check tells a missing call from one that a seccomp profile refuses with EPERM.
    #[test]
    fn what_is_missing_is_said() {
        let said = |errno| Unusable::several(errno).to_string();
        assert!(said(Errno::ENOSYS).contains("Linux 5.16"));
        assert!(said(Errno::EPERM).contains("seccomp"));
        assert!(said(Errno::EINVAL).contains("Invalid argument"));
        assert!(!said(Errno::EINVAL).contains("forbidden"));
    }
}
