//! The memory of a version before it is sealed: written by its maker, through a plain slice.

use std::io;
use std::os::fd::OwnedFd;

use crate::sys::mapping::Mapping;
use crate::view::Number;

/// A memory file of the broker's, mapped for writing by this map alone.
#[derive(Debug)]
pub struct Filling {
    mapping: Mapping,
}

impl Filling {
    /// Maps a memory file of `len` bytes that was made for this process to write, and has memory behind all of it, which is charged to
    /// this process. Takes the descriptor and closes it, so that nobody can map the file a second time.
    ///
    /// # Errors
    ///
    /// What the system says where there is not so much memory, or address space: nothing of it faults later.
    pub fn new(file: OwnedFd, len: usize, huge: bool) -> io::Result<Filling> {
        let mapping = Mapping::writable(file, len)?;
        mapping.populate(huge)?;
        Ok(Filling { mapping })
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it, zeros where nothing was written yet.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let (start, len) = (self.mapping.base(), self.mapping.len());
        // SAFETY: `start` is the address of `len` mapped bytes (`Mapping::writable` looks at the file's size, which is sealed), which stay
        // mapped while the mapping lives, to which the slice is bound. They are mapped for writing, and `populate` has put memory behind each
        // of them. Nobody else of this process reads or writes them: the mapping is private to this value, which alone gives out its
        // address, `&mut self` keeps other slices away, and the descriptor by which it could be mapped again was closed by mapping it.
        // Other processes do not: the broker made the file for this process, and gives it to others only after it has sealed it, which
        // the kernel refuses while this map lives. Bytes have no invalid values.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
    }

    /// All of it as numbers, as many as are whole.
    pub fn numbers_mut<N: Number>(&mut self) -> &mut [N] {
        let bytes = self.as_mut_slice();
        let (start, count) = (bytes.as_mut_ptr(), bytes.len() / size_of::<N>());
        assert!(start.cast::<N>().is_aligned());
        // SAFETY: the bytes of `count` numbers lie within `bytes`, which is borrowed from `self` for as long as the result lives and not used
        // beside it; the line above has it that they are aligned. Any bytes are a number, and any number is bytes: it has no padding.
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
        // While it is mapped nobody can say that it does not change any more.
        assert!(memfd::seal_for_good(file.as_fd()).is_err());
        drop(filling);
        memfd::seal_for_good(file.as_fd()).unwrap();
        let sealed = Sealed::shared(file.as_fd(), 10_000).unwrap();
        assert_eq!(sealed.bytes()[9996..], [1, 2, 3, 4]);
    }

    /// A file with less memory than agreed would fault where it ends.
    #[test]
    fn a_file_that_is_too_short_is_not_filled() {
        let file = memfd::create("test-filling", 4096).unwrap();
        assert!(Filling::new(file, 4097, false).is_err());
    }
}
