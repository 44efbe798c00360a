//! Notices that this process is a forked child of the one that made a handle, and keeps some descriptors out of such
//! children.
//!
//! Forked children do not inherit maps, so using a handle in a child would fault. The C library increments a counter
//! in each child, and a handle compares it: so the child gets a clear error, for the price of one load.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Once;

static FORKS: AtomicU32 = AtomicU32::new(0);
/// What [`changes`] returns.
static CHANGES: AtomicU64 = AtomicU64::new(0);
static INSTALL: Once = Once::new();
/// Descriptors that forked children must not keep; -1 marks a free place.
static WITHHELD: [AtomicI32; 64] = [const { AtomicI32::new(FREE) }; 64];
const FREE: i32 = -1;

/// Identifies the process that made a handle, so that its forked children are told from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkMark(u32);

impl ForkMark {
    /// The mark of this process.
    pub fn here() -> ForkMark {
        INSTALL.call_once(|| {
            // SAFETY: `in_child` is an `extern "C"` function that lives as long as the program and
            // does only what is allowed in a forked child, as it says.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
        ForkMark(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this process is the one that made the mark.
    #[inline]
    pub fn is_here(self) -> bool {
        FORKS.load(Ordering::Relaxed) == self.0
    }
}

/// How often [`change`] was called or this process was forked. A thread that has made a [`ForkMark`] and keeps copies
/// of what other threads change learns from this one word that neither has happened.
#[inline]
pub fn changes() -> u64 {
    CHANGES.load(Ordering::Acquire)
}

/// Counts a change of something that other threads of this process keep copies of. A thread that sees the new count
/// from [`changes`] looks for the change.
pub fn change() {
    CHANGES.fetch_add(1, Ordering::Release);
}

/// Keeps a descriptor's file out of children that are forked while this lives, whether they exec or not. In a child,
/// the number stands for an empty event counter instead. So a child that lives on does not keep a listening socket or
/// a lock open that its parent has closed.
///
/// Drop this before the descriptor is closed: after that, the number may belong to another file.
#[derive(Debug)]
pub struct Withheld {
    place: &'static AtomicI32,
}

impl Withheld {
    /// `None` if 64 descriptors are withheld already: then children inherit this one.
    pub fn new(fd: BorrowedFd<'_>) -> Option<Withheld> {
        ForkMark::here();
        let raw = fd.as_raw_fd();
        let free = |place: &&AtomicI32| {
            let taken = place.compare_exchange(FREE, raw, Ordering::AcqRel, Ordering::Relaxed);
            taken.is_ok()
        };
        let place = WITHHELD.iter().find(free)?;
        Some(Withheld { place })
    }
}

impl Drop for Withheld {
    fn drop(&mut self) {
        self.place.store(FREE, Ordering::Release);
    }
}

/// Runs in each forked child, on its only thread, before `fork` returns there. It may only touch atomics and make
/// system calls that are safe in a signal handler.
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    CHANGES.fetch_add(1, Ordering::Relaxed);
    let mut empty = FREE;
    for place in &WITHHELD {
        let raw = place.load(Ordering::Acquire);
        if raw == FREE {
            continue;
        }
        if empty == FREE {
            // SAFETY: takes two numbers and gives a new descriptor or -1.
            empty = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        }
        if empty != FREE {
            // SAFETY: takes three numbers. `raw` is a descriptor whose owner has asked for this; it
            // stays open under its number, so whoever owns it here may still close it.
            unsafe { libc::dup3(empty, raw, libc::O_CLOEXEC) };
        }
    }
    if empty != FREE {
        // SAFETY: the descriptor was made above and nobody else knows it.
        unsafe { libc::close(empty) };
    }
}

#[cfg(test)]
mod tests;
