//! The memory of a version before it is sealed. Its maker writes it through a plain slice.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::buffer::{Buffer, OutOfMemory};
use crate::sys::mapping::Mapping;
use crate::sys::memfd;
use crate::view::Number;

/// A memory file of the broker's, which only this map can write. A short value is in private memory instead.
#[derive(Debug)]
pub struct Filling {
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    Mapped { mapping: Mapping, file: OwnedFd },
    Private(Buffer),
}

impl Filling {
    /// Maps a memory file of `len` bytes that the broker made for this process to write. Populates all of it at once;
    /// the memory is charged to this process. Keeps the descriptor private, so that nobody can map the file a second
    /// time.
    ///
    /// # Errors
    ///
    /// The system's error if it lacks memory or address space. After success no access to the memory faults.
    pub fn new(file: OwnedFd, len: usize, huge: bool) -> io::Result<Filling> {
        let mapping = Mapping::writable_of(file.as_fd(), len)?;
        mapping.populate(huge)?;
        let memory = Memory::Mapped { mapping, file };
        Ok(Filling { memory })
    }

    /// A buffer of `len` bytes for a value that is sent to the broker within a record. All of it is zeroed.
    ///
    /// # Errors
    ///
    /// There is not enough memory.
    pub fn private(mut buffer: Buffer, len: usize) -> Result<Filling, OutOfMemory> {
        buffer.renew(len)?.fill(0);
        let memory = Memory::Private(buffer);
        Ok(Filling { memory })
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        match &self.memory {
            Memory::Mapped { mapping, .. } => mapping.len(),
            Memory::Private(buffer) => buffer.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Unmaps the memory file, and makes the kernel refuse every further change of it. Its readers check the seals
    /// themselves.
    ///
    /// # Errors
    ///
    /// The kernel's error if it refuses. The broker then tries again itself, and reports what is wrong.
    pub fn seal(self) -> io::Result<()> {
        match self.memory {
            Memory::Mapped { mapping, file } => {
                drop(mapping);
                memfd::seal_for_good(file.as_fd())
            }
            Memory::Private(_) => Ok(()),
        }
    }

    /// The buffer, if the value is in private memory.
    pub fn into_private(self) -> Buffer {
        match self.memory {
            Memory::Mapped { .. } => Buffer::new(),
            Memory::Private(buffer) => buffer,
        }
    }

    /// All bytes; zeros where nothing was written yet.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let mapping = match &mut self.memory {
            Memory::Mapped { mapping, .. } => mapping,
            Memory::Private(buffer) => return buffer.as_mut_slice(),
        };
        let (start, len) = (mapping.base(), mapping.len());
        // SAFETY: `start` is the address of `len` mapped bytes: `Mapping::writable_of` checks the file's size, which
        // is sealed. They stay mapped while the mapping lives, to which the slice is bound. They are mapped for
        // writing, and `populate` has put memory behind each of them. Nothing else in this process reads or writes
        // them: the mapping is private to this value, which alone gives out its address, and `&mut self` keeps other
        // slices away. The descriptor with which the file could be mapped again is private to this value, too, and
        // used only to seal the file. No other process accesses them: the broker made the file for this process, and
        // gives it to others only after it was sealed, which the kernel refuses while this map lives. Bytes have no
        // invalid values.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// All of it as numbers. Bytes that make no whole number are left out.
    pub fn numbers_mut<N: Number>(&mut self) -> &mut [N] {
        let bytes = self.as_mut_slice();
        let (start, count) = (bytes.as_mut_ptr(), bytes.len() / size_of::<N>());
        assert!(start.cast::<N>().is_aligned());
        // SAFETY: the bytes of `count` numbers lie within `bytes`, which is borrowed from `self` for as long as the
        // result lives, and not used meanwhile. The line above checks that they are aligned. Any bytes are a number,
        // and any number is bytes: it has no padding.
        unsafe { std::slice::from_raw_parts_mut(start.cast::<N>(), count) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::super::sealed::Sealed;
    use super::*;
    use crate::sys::memfd;

    #[test]
    fn what_is_filled_is_what_is_in_the_file() {
        let file = memfd::create("test-filling", 10_000).unwrap();
        let mut filling = Filling::new(file.try_clone().unwrap(), 10_000, true).unwrap();
        assert!(memfd::allocated(file.as_fd()).unwrap() >= 10_000);
        assert_eq!(filling.as_mut_slice(), [0; 10_000]);
        filling.numbers_mut::<u32>()[2499] = 0x0403_0201;
        assert_eq!(filling.numbers_mut::<u128>().len(), 625);
        assert_eq!(filling.as_mut_slice()[9996..], [1, 2, 3, 4]);
        // While it is mapped, the kernel refuses to seal it.
        assert!(memfd::seal_for_good(file.as_fd()).is_err());
        filling.seal().unwrap();
        assert!(memfd::is_sealed_for_good(file.as_fd()));
        let sealed = Sealed::shared(file.as_fd(), 10_000).unwrap();
        assert_eq!(sealed.bytes()[9996..], [1, 2, 3, 4]);
    }

    /// A maker that fills a slice of numbers finds zeros, also if the buffer was used before.
    #[test]
    fn private_memory_is_zeros_and_is_given_back() {
        let mut buffer = Buffer::new();
        buffer.renew(100).unwrap().fill(7);
        let mut filling = Filling::private(buffer, 64).unwrap();
        assert_eq!(filling.as_mut_slice(), [0; 64]);
        filling.numbers_mut::<u64>()[7] = u64::MAX;
        assert_eq!(
            (filling.len(), filling.numbers_mut::<u128>().len()),
            (64, 4)
        );
        assert_eq!(
            filling.into_private()[55..],
            [0, 255, 255, 255, 255, 255, 255, 255, 255]
        );
    }

    /// A file with fewer bytes than agreed is refused: an access beyond its end would fault.
    #[test]
    fn a_file_that_is_too_short_is_not_filled() {
        let file = memfd::create("test-filling", 4096).unwrap();
        assert!(Filling::new(file, 4097, false).is_err());
    }
}
