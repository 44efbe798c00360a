//! Private memory for payloads that do not fit a cell.
//!
//! Fresh memory costs a page fault for each 4 KiB, many times what copying them does, so buffers are kept. Each
//! thread keeps its own up to [`KEEP`] bytes. Larger ones belong to the plugin's [`Pool`] between two calls, behind
//! a lock that only large payloads take. Whenever the control thread looks for idle extents, it also gives back
//! what the pool has not used since its last look; so the memory of threads that never call again is freed too.

use std::cell::Cell;

use callgate_layout::Code;
use callgate_layout::buffer::{Buffer, MIN_CAPACITY, OutOfMemory};
use parking_lot::Mutex;

use crate::base::error::Error;

/// Keep at most this much memory for a thread's next payload.
pub(crate) const KEEP: usize = MIN_CAPACITY;

/// How many bytes a plugin keeps for large payloads at most: as much as two of the largest need.
const MOST: usize = 160 << 20;

/// How many buffers a thread keeps: one for a request, and one for its answer if caller and provider run on one
/// thread.
const KEPT: usize = 2;

thread_local! {
    static SCRATCH: Cell<[Buffer; KEPT]> = const { Cell::new([const { Buffer::new() }; KEPT]) };
}

/// The large buffers of a plugin that are not in use.
#[derive(Debug, Default)]
pub struct Pool {
    /// Each with whether it was used since the last look.
    free: Mutex<Vec<(Buffer, bool)>>,
}

impl Pool {
    /// Gives a buffer at least `len` bytes, from the pool if necessary. Its content is lost.
    pub(crate) fn reserve(&self, buffer: &mut Buffer, len: usize) -> Result<(), OutOfMemory> {
        buffer.clear();
        if buffer.capacity() >= len {
            return Ok(());
        }
        let larger = match self.take(len) {
            Some(kept) => kept,
            None => Buffer::with_capacity(len)?,
        };
        Scratch::swap(buffer, larger);
        Ok(())
    }

    /// Takes the smallest buffer that is large enough. If there is none, drops the largest one, because the caller
    /// makes a larger one in its place.
    fn take(&self, len: usize) -> Option<Buffer> {
        let mut free = self.free.lock();
        let sizes = || free.iter().map(|(buffer, _)| buffer.capacity()).enumerate();
        let fitting = sizes().filter(|(_, size)| *size >= len);
        let best = fitting.min_by_key(|(_, size)| *size);
        let (place, size) = best.or_else(|| sizes().max_by_key(|(_, size)| *size))?;
        let (buffer, _) = free.swap_remove(place);
        // Memory is freed after the lock was released.
        drop(free);
        (size >= len).then_some(buffer)
    }

    /// Moves the content of a buffer to the largest one of the pool, if that has `len` bytes.
    #[cold]
    pub(crate) fn enlarge(&self, buffer: &mut Buffer, len: usize) {
        if len <= KEEP {
            return;
        }
        let mut free = self.free.lock();
        let largest = (0..free.len()).max_by_key(|place| free[*place].0.capacity());
        let Some(largest) = largest.filter(|place| free[*place].0.capacity() >= len) else {
            return;
        };
        let (mut larger, _) = free.swap_remove(largest);
        drop(free);
        if larger
            .renew(buffer.len())
            .map(|bytes| bytes.copy_from_slice(buffer))
            .is_ok()
        {
            Scratch::swap(buffer, larger);
        }
    }

    /// Keeps a buffer for the next large payload.
    pub(crate) fn put(&self, buffer: Buffer) {
        let mut free = self.free.lock();
        let kept: usize = free.iter().map(|(buffer, _)| buffer.capacity()).sum();
        if kept + buffer.capacity() <= MOST {
            free.push((buffer, true));
        } else {
            drop(free);
            drop(buffer);
        }
    }

    /// Drops the buffers that were not used since the last call. Returns whether any are left.
    pub(crate) fn sweep(&self) -> bool {
        let mut free = self.free.lock();
        let is_idle = |entry: &mut (Buffer, bool)| !std::mem::replace(&mut entry.1, false);
        let idle: Vec<_> = free.extract_if(.., is_idle).collect();
        let is_left = !free.is_empty();
        drop(free);
        drop(idle);
        is_left
    }
}

/// A buffer of this thread's. When it is dropped, it goes back to the thread, unless it has grown larger than
/// threads keep. If the thread has no buffer left, or is about to end, it is fresh.
#[derive(Debug)]
pub(crate) struct Scratch(Buffer);

impl Scratch {
    /// A buffer that has no memory yet.
    pub(crate) const fn fresh() -> Scratch {
        Scratch(Buffer::new())
    }

    /// Puts a larger buffer in the place of one that may belong to this thread.
    fn swap(buffer: &mut Buffer, larger: Buffer) {
        drop(Scratch(std::mem::replace(buffer, larger)));
    }

    pub(crate) fn take() -> Scratch {
        let taken = SCRATCH.try_with(|kept| {
            let mut buffers = kept.take();
            let found = buffers.iter_mut().find(|buffer| buffer.capacity() > 0);
            let buffer = found.map(std::mem::take).unwrap_or_default();
            kept.set(buffers);
            buffer
        });
        Scratch(taken.unwrap_or_default())
    }
}

impl std::ops::Deref for Scratch {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.0
    }
}

impl std::ops::DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Buffer {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        if !(1..=KEEP).contains(&buffer.capacity()) {
            return;
        }
        buffer.clear();
        // A thread that is about to end keeps nothing.
        let _ = SCRATCH.try_with(|kept| {
            let mut buffers = kept.take();
            let place = buffers.iter_mut().find(|buffer| buffer.capacity() == 0);
            if let Some(place) = place {
                *place = buffer;
            }
            kept.set(buffers);
        });
    }
}

/// The error of a call if the system has no memory for its payload.
#[cold]
pub(crate) fn no_memory(OutOfMemory(len): OutOfMemory, what: &str) -> Error {
    let text = format!(
        "the system refused this process {len} bytes of memory for the {what}: see its limits (ulimit -v) and the machine's free memory"
    );
    Error::new(Code::System, text)
}

/// Checks whether the allocator has `len` bytes. The caller then allocates them piece by piece, in code where a
/// refusal would end the process.
#[cold]
pub(crate) fn probe(len: usize) -> Result<(), OutOfMemory> {
    let mut memory = Vec::<u8>::new();
    let reserved = memory.try_reserve_exact(len);
    // Otherwise the compiler may assume the answer and allocate nothing.
    std::hint::black_box(&mut memory);
    reserved.map_err(|_| OutOfMemory(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(pool: &Pool) -> Vec<usize> {
        let free = pool.free.lock();
        let mut sizes: Vec<_> = free.iter().map(|(buffer, _)| buffer.capacity()).collect();
        sizes.sort_unstable();
        sizes
    }

    fn buffer(len: usize) -> Buffer {
        Buffer::with_capacity(len).unwrap()
    }

    #[test]
    fn the_smallest_that_fits_is_taken_and_one_too_small_replaced() {
        let pool = Pool::default();
        for mib in [4, 1, 2] {
            pool.put(buffer(mib << 20));
        }
        let mut taken = Buffer::new();
        pool.reserve(&mut taken, (1 << 20) + 8).unwrap();
        assert_eq!(taken.capacity(), 2 << 20);
        let mut large = Buffer::new();
        pool.reserve(&mut large, 5 << 20).unwrap();
        assert_eq!((large.capacity(), sizes(&pool)), (5 << 20, vec![1 << 20]));
        // What is large enough stays where it is.
        pool.reserve(&mut large, 1 << 20).unwrap();
        assert_eq!((large.capacity(), sizes(&pool)), (5 << 20, vec![1 << 20]));
    }

    #[test]
    fn what_grows_moves_to_the_largest() {
        let pool = Pool::default();
        for mib in [1, 3, 2] {
            pool.put(buffer(mib << 20));
        }
        let mut growing = Buffer::new();
        growing.extend(b"kept").unwrap();
        pool.enlarge(&mut growing, 4 << 20);
        assert_eq!(growing.capacity(), KEEP);
        pool.enlarge(&mut growing, 1 << 20);
        assert_eq!((growing.capacity(), &growing[..]), (3 << 20, &b"kept"[..]));
        assert_eq!(sizes(&pool), [1 << 20, 2 << 20]);
    }

    #[test]
    fn what_was_not_used_between_two_looks_goes() {
        let pool = Pool::default();
        pool.put(buffer(1 << 20));
        pool.put(buffer(2 << 20));
        assert!(pool.sweep());
        let mut used = Buffer::new();
        pool.reserve(&mut used, 1 << 20).unwrap();
        pool.put(used);
        assert!(pool.sweep());
        assert_eq!(sizes(&pool), [1 << 20]);
        assert!(!pool.sweep());
    }

    #[test]
    fn a_pool_keeps_no_more_than_its_most() {
        let pool = Pool::default();
        for _ in 0..8 {
            pool.put(buffer(50 << 20));
        }
        assert_eq!(sizes(&pool), vec![50 << 20; 3]);
    }

    #[test]
    fn a_thread_keeps_small_buffers_and_not_large_ones() {
        let mut scratch = Scratch::take();
        scratch.extend(b"x").unwrap();
        let address = scratch.as_ptr();
        // A second one at the same time is another.
        let mut second = Scratch::take();
        second.extend(b"y").unwrap();
        assert_ne!(second.as_ptr(), address);
        drop(second);
        drop(scratch);
        let (mut a, mut b) = (Scratch::take(), Scratch::take());
        assert!(a.is_empty() && a.capacity() == KEEP && b.capacity() == KEEP);
        a.renew(KEEP + 1).unwrap();
        b.renew(KEEP).unwrap();
        drop((a, b));
        assert_eq!(Scratch::take().capacity(), KEEP);
    }

    #[test]
    fn a_probe_asks_and_keeps_nothing() {
        assert_eq!(probe(1 << 20), Ok(()));
        assert_eq!(probe(1 << 60), Err(OutOfMemory(1 << 60)));
    }
}
