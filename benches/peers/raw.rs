//! Everything of the benchmarks that is `unsafe`: words in shared memory and the kernel's wait
//! on them for the limits, and two doors of peers that have no safe form.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use iceoryx2::request_mut::RequestMut;
use iceoryx2::request_mut_uninit::RequestMutUninit;
use iceoryx2::service::ipc;
use ipc_channel::ipc::IpcSharedMemory;
use memmap2::{Mmap, MmapMut, MmapRaw};

use crate::Result;
use crate::payload::Small;

/// Bytes of the lines of 32-bit words in a limit's memory.
pub(crate) const LEN: usize = 4096;
/// From one word to the next line: far enough that fetching two lines at once does no harm.
const LINE: usize = 256;

/// Zeroed memory for a limit, to be passed on and mapped by both sides: lines of 32-bit words, and behind
/// them so many 64-bit ones.
pub(crate) fn memory(words: usize) -> Result<OwnedFd> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let memory = memfd_create("callgate-limit", MFdFlags::MFD_CLOEXEC)?;
    nix::unistd::ftruncate(&memory, (LEN + words * 8) as i64)?;
    Ok(memory)
}

/// Words that two processes share.
#[derive(Debug)]
pub(crate) struct Words {
    map: MmapRaw,
}

impl Words {
    /// Maps what [`memory`] made.
    pub(crate) fn map(memory: OwnedFd) -> Result<Words> {
        let map = MmapRaw::map_raw(&File::from(memory))?;
        if map.len() < LEN || map.len() % 8 != 0 {
            return Err("the limit's memory has another size".into());
        }
        Ok(Words { map })
    }

    /// The 64-bit words behind the lines.
    #[inline]
    pub(crate) fn wide(&self) -> &[AtomicU64] {
        let count = (self.map.len() - LEN) / 8;
        // SAFETY: the map is at least `LEN` bytes long, as was checked when it was made.
        let first = unsafe { self.map.as_mut_ptr().add(LEN) };
        // SAFETY: the map begins on a page, so the words are aligned; they end where it does, and live
        // as long as it, which is borrowed; both processes access them by 64-bit atomics alone.
        unsafe { slice::from_raw_parts(first.cast(), count) }
    }

    /// The `nth` word of a line.
    #[inline]
    pub(crate) fn word(&self, line: usize, nth: usize) -> &AtomicU32 {
        let at = line * LINE + nth * 4;
        assert!(at + 4 <= LEN && nth * 4 < LINE);
        // SAFETY: `at` lies inside the `LEN` bytes of the map.
        let word = unsafe { self.map.as_mut_ptr().add(at) };
        // SAFETY: the map begins on a page, so the word is aligned; it lives as long as the map,
        // which is borrowed; both processes access it by 32-bit atomics alone.
        unsafe { AtomicU32::from_ptr(word.cast()) }
    }
}

/// Sleeps while a shared word has a value; may also return for no reason.
pub(crate) fn wait(word: &AtomicU32, value: u32) {
    let no_timeout = ptr::null::<libc::timespec>();
    // SAFETY: the word is live; the kernel only reads it.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            no_timeout,
        )
    };
}

/// Wakes all who sleep on a shared word.
pub(crate) fn wake(word: &AtomicU32) {
    // SAFETY: the word is live; the kernel neither reads nor writes it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Maps a memory file that nobody else has yet.
pub(crate) fn map_new(memory: &File) -> Result<MmapMut> {
    // SAFETY: the file was made by the caller, who has given it to nobody; so nobody changes or cuts it.
    Ok(unsafe { MmapMut::map_mut(memory) }?)
}

/// Maps a memory file that the other process of this benchmark has sealed against changes.
pub(crate) fn map_sealed(memory: &File) -> Result<Mmap> {
    // SAFETY: it is sealed, its size, too, so nobody can change or cut it.
    Ok(unsafe { Mmap::map(memory) }?)
}

/// Calls the words of a loan that were not written written, too: iceoryx2 can only be filled
/// whole or by such a promise, and filling 1 MiB would measure nothing else.
pub(crate) fn as_written(
    loan: RequestMutUninit<ipc::Service, [MaybeUninit<u64>], (), Small, ()>,
) -> RequestMut<ipc::Service, [u64], (), Small, ()> {
    // SAFETY: the words lie in memory that the kernel handed out as zeros and that other
    // processes write, so they have some value, and each value is a `u64`.
    unsafe { loan.assume_init() }
}

/// The bytes of a region that only the caller has and uses while it does not wait.
pub(crate) fn bytes_mut(region: &mut IpcSharedMemory) -> &mut [u8] {
    // SAFETY: the callee looks at the region only between a call and its answer, in which time
    // the caller, which waits, does not; and it never writes.
    unsafe { region.deref_mut() }
}
