//! The kernel's wait-and-wake on a 32-bit word.
//!
//! Words in shared memory use the shared form, which works on read-only maps too. Deadlines are
//! absolute, in nanoseconds of the monotonic clock.
//!
//! A wait ends because of a wake-up, a word that has another value, a signal, or its deadline. Every
//! other answer means that the kernel did not wait: a seccomp filter refuses the call, or there is no
//! memory for it. Whoever waits in a loop would spin on such an answer, so it is replaced by a sleep of
//! at most [`STOPGAP`]: calls go on, up to a millisecond later. The first one is kept for
//! [`take_refusal`], because a thread that waits may hold what a log must not be written under.

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
/// May also return for no reason: callers look at what they wait for and wait again.
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

/// How long a sleep lasts at most, in nanoseconds, that takes the place of a wait which the kernel
/// refused: short enough for calls to go on, long enough to use no processor.
pub const STOPGAP: u64 = 1_000_000;

/// The first answer that neither a wait nor a wake-up gets where both work: its error number, and
/// [`PLAIN`] where it was about one word. 0 before there was one, [`TAKEN`] once it was taken.
static REFUSAL: AtomicI32 = AtomicI32::new(0);
const PLAIN: i32 = 1 << 16;
const TAKEN: i32 = -1;

fn woken(result: libc::c_long) {
    if let Err(errno) = Errno::result(result) {
        refused(errno as i32 | PLAIN);
    }
}

/// Sleeps for a wait that the kernel refused.
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
    // What came before it stands.
    let _ = REFUSAL.compare_exchange(0, refusal, Ordering::Relaxed, Ordering::Relaxed);
}

/// The first refusal of a wait or a wake-up in this process, once.
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

/// The kernel, or a filter in front of it, refuses to wait.
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

/// A word to wait for, and the value it has while there is nothing to wake up for.
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
///
/// By two waits that are over at once: for a word that has another value, and until a time that has
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
        // Of refusals the first one is said, and once.
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
    }

    /// A wait that returns at once makes a loop around it spin.
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
        // One that has changed ends it, and so does a wake-up.
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

    /// A seccomp profile that answered EPERM passed for a kernel that has the call.
    #[test]
    fn what_is_missing_is_said() {
        let said = |errno| Unusable::several(errno).to_string();
        assert!(said(Errno::ENOSYS).contains("Linux 5.16"));
        assert!(said(Errno::EPERM).contains("seccomp"));
        assert!(said(Errno::EINVAL).contains("Invalid argument"));
        assert!(!said(Errno::EINVAL).contains("forbidden"));
    }
}
