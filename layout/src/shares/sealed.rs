//! Memory that no process can change any more, read as a plain slice.

use core::ops::Deref;
use core::ptr::NonNull;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use memmap2::{Advice, Mmap, MmapOptions};

use crate::buffer::{Buffer, OutOfMemory};
use crate::payload::TrustPeers;
use crate::sys::memfd;
use crate::view::Number;

/// Bytes that do not change as long as this lives. Forked children inherit them.
#[derive(Debug)]
pub struct Sealed {
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    Mapped(Mmap),
    Private(Buffer),
}

impl Sealed {
    /// Maps a memory file of `len` bytes whose bytes and size nobody can change any more.
    ///
    /// # Errors
    ///
    /// [`InvalidData`](io::ErrorKind::InvalidData) if the file has another length or lacks one of the four seals;
    /// otherwise the system's error.
    pub fn shared(file: BorrowedFd<'_>, len: usize) -> io::Result<Sealed> {
        if !memfd::is_sealed_for_good(file) {
            let text = "the memory file can still be changed: it is not sealed";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        check_len(file, len)?;
        // SAFETY: the file is a memory file with all of `SHRINK`, `GROW`, `WRITE` and `SEAL`. Seals are never
        // removed. The kernel adds `WRITE` only if no writable map and no pending write is left, and allows none
        // afterwards, to nobody. So neither its bytes nor its length change as long as the map lives, whatever any
        // process does, and every page of it exists.
        let map = unsafe { MmapOptions::new().len(len).map(file.as_raw_fd())? };
        Sealed::mapped(map)
    }

    /// Maps a file of `len` bytes that is not sealed: one in which the broker stores a persistent share. The code
    /// that made the `TrustPeers` has promised that nobody changes or shortens the file.
    ///
    /// # Errors
    ///
    /// As [`Sealed::shared`], apart from the seals.
    pub fn in_place(file: BorrowedFd<'_>, len: usize, _trust: TrustPeers) -> io::Result<Sealed> {
        // The file is longer than the value: the broker's trailer follows the value.
        if memfd::len(file)? < len as u64 {
            return Err(wrong_len());
        }
        // SAFETY: the code that made the `TrustPeers` has promised that nobody changes or shortens such a file while
        // it is mapped.
        let map = unsafe { MmapOptions::new().len(len).map(file.as_raw_fd())? };
        Sealed::mapped(map)
    }

    fn mapped(map: Mmap) -> io::Result<Sealed> {
        // As for other shared memory: what peers wrote explains little of a crash, and dumping it takes long.
        map.advise(Advice::DontDump)?;
        let memory = Memory::Mapped(map);
        Ok(Sealed { memory })
    }

    /// Private memory of this process, which is not written any more.
    pub fn private(buffer: Buffer) -> Sealed {
        let memory = Memory::Private(buffer);
        Sealed { memory }
    }

    /// Numbers, copied into private memory of this process.
    ///
    /// # Errors
    ///
    /// There is not enough memory.
    pub fn of_numbers<N: Number>(numbers: &[N]) -> Result<Sealed, OutOfMemory> {
        // SAFETY: these are the bytes of the numbers, which are borrowed for as long. Numbers have no padding, so
        // each byte is initialised.
        let bytes = unsafe {
            core::slice::from_raw_parts(numbers.as_ptr().cast::<u8>(), size_of_val(numbers))
        };
        let mut buffer = Buffer::new();
        buffer.renew(bytes.len())?.copy_from_slice(bytes);
        Ok(Sealed::private(buffer))
    }

    /// All bytes. The first is at the beginning of a page.
    pub fn bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Mapped(map) => map,
            Memory::Private(buffer) => buffer,
        }
    }

    /// All of it as numbers. Bytes that make no whole number are left out.
    pub fn numbers<N: Number>(&self) -> &[N] {
        let bytes = self.bytes();
        let (start, count) = (bytes.as_ptr().cast::<N>(), bytes.len() / size_of::<N>());
        if count == 0 {
            return &[];
        }
        assert!(start.is_aligned());
        // SAFETY: the bytes of `count` numbers lie within `bytes`, to whose life the result is bound. The line above
        // checks that they are aligned. Any bytes are a number, and nobody changes them.
        unsafe { core::slice::from_raw_parts(start, count) }
    }
}

fn check_len(file: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    match memfd::len(file)? == len as u64 {
        true => Ok(()),
        false => Err(wrong_len()),
    }
}

fn wrong_len() -> io::Error {
    let text = "the memory file has another length than agreed";
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A value that was found in sealed memory, together with that memory.
#[derive(Debug)]
pub struct Shown<T: ?Sized> {
    value: NonNull<T>,
    memory: Arc<Sealed>,
}

// SAFETY: it gives out only `&T`, which may go to other threads if `T` is `Sync`. `value` points into memory that the
// `Arc` keeps, whatever the thread.
unsafe impl<T: ?Sized + Sync> Send for Shown<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: ?Sized + Sync> Sync for Shown<T> {}

impl<T: ?Sized + 'static> Shown<T> {
    /// Calls `find` to look for the value in the memory, and keeps both.
    ///
    /// # Errors
    ///
    /// The error of `find`.
    pub fn new<E>(
        memory: Arc<Sealed>,
        find: impl for<'a> FnOnce(&'a Sealed) -> Result<&'a T, E>,
    ) -> Result<Shown<T>, E> {
        let value = NonNull::from(find(&memory)?);
        Ok(Shown { value, memory })
    }

    /// The memory in which it lies.
    pub fn memory(&self) -> &Arc<Sealed> {
        &self.memory
    }
}

impl<T: ?Sized> Deref for Shown<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: `find` got the memory with an arbitrary lifetime, and returned a reference with the same lifetime:
        // to something in the memory, in the `Sealed`, or that lives for ever. `T` borrows nothing with a shorter
        // lifetime. The `Arc` keeps the `Sealed` at one address, and its bytes mapped and unchanged, for as long as
        // `self` lives, to which the result is bound. Nobody has the `Sealed` mutably: the `Arc` is never asked for
        // that here, and a `Sealed` has no method that changes it.
        unsafe { self.value.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::{AsFd, OwnedFd};

    use super::*;

    fn sealed(bytes: &[u8]) -> OwnedFd {
        memfd::sealed("test-sealed", bytes).unwrap()
    }

    #[test]
    fn what_was_sealed_is_read_in_place() {
        let bytes: Vec<u8> = (0..=255).collect();
        let file = sealed(&bytes);
        let memory = Arc::new(Sealed::shared(file.as_fd(), 256).unwrap());
        drop(file);
        assert_eq!(memory.bytes(), bytes);
        assert_eq!(memory.numbers::<u16>()[127], 0xfffe);
        let shown = Shown::new(memory.clone(), |memory| memory.bytes().get(3..5).ok_or(()));
        let shown = shown.unwrap();
        drop(memory);
        let there = std::thread::spawn(move || shown[1]).join().unwrap();
        assert_eq!(there, 4);
    }

    /// Memory that can still be changed is not mapped: its users read it through plain references.
    #[test]
    fn what_can_still_be_changed_is_not_mapped() {
        let open = memfd::create("test-sealed", 256).unwrap();
        let refused = |error: io::Error| error.kind() == io::ErrorKind::InvalidData;
        assert!(Sealed::shared(open.as_fd(), 256).is_err_and(refused));
        memfd::seal_writer(open.as_fd()).unwrap();
        // A process that still has it mapped can write.
        assert!(Sealed::shared(open.as_fd(), 256).is_err_and(refused));
        let file = sealed(&[7; 256]);
        assert!(Sealed::shared(file.as_fd(), 255).is_err_and(refused));
        assert!(Sealed::shared(file.as_fd(), 257).is_err_and(refused));
        let pipe = nix::unistd::pipe().unwrap().0;
        assert!(Sealed::shared(pipe.as_fd(), 256).is_err_and(refused));
    }

    #[test]
    fn private_memory_is_as_it_was_written() {
        let sealed = Sealed::of_numbers(&[0.5_f32, -1.0]).unwrap();
        assert_eq!(sealed.numbers::<f32>(), [0.5, -1.0]);
        assert_eq!(sealed.bytes().len(), 8);
        let none = Sealed::of_numbers::<u64>(&[]).unwrap();
        assert!(none.numbers::<u64>().is_empty());
    }

    #[test]
    fn a_plain_file_is_mapped_by_who_trusts() {
        let path = std::env::temp_dir().join(format!("callgate-sealed-{}", std::process::id()));
        File::create(&path)
            .unwrap()
            .write_all(b"value and trailer")
            .unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let trust = TrustPeers::of_this_test();
        let memory = Sealed::in_place(file.as_fd(), 5, trust).unwrap();
        assert_eq!(memory.bytes(), b"value");
        assert!(Sealed::in_place(file.as_fd(), 50, trust).is_err());
        assert!(Sealed::shared(file.as_fd(), 5).is_err());
    }
}
