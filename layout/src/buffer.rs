//! Private memory through which payloads pass between an archive and shared memory.
//!
//! Each buffer is an anonymous map and not a piece of the allocator's heap, for three reasons. Where
//! the system lacks the memory, the result is an error and not the end of the process. The kernel
//! fills the memory with zeros, so that a peer's bytes can be copied in without writing zeros first.
//! Dropping the buffer gives the memory back to the kernel at once.

use core::ops::{Deref, DerefMut};

use memmap2::{MmapMut, MmapOptions};

/// Bytes of the smallest buffer that is not empty. Capacities are multiples of this.
pub const MIN_CAPACITY: usize = 64 << 10;

/// A byte string in private memory that begins on a page.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Option<MmapMut>,
    capacity: usize,
    len: usize,
}

/// The system did not give this process the memory that it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system refused {0} bytes of memory")]
pub struct OutOfMemory(pub usize);

impl Buffer {
    /// An empty buffer, which has no memory yet.
    pub const fn new() -> Buffer {
        Buffer {
            memory: None,
            capacity: 0,
            len: 0,
        }
    }

    /// An empty buffer with memory for at least `capacity` bytes.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`], as every method that asks for memory.
    pub fn with_capacity(capacity: usize) -> Result<Buffer, OutOfMemory> {
        let whole = capacity.max(1).checked_next_multiple_of(MIN_CAPACITY);
        let whole = whole.ok_or(OutOfMemory(capacity))?;
        let memory = MmapOptions::new().len(whole).map_anon();
        Ok(Buffer {
            memory: Some(memory.map_err(|_| OutOfMemory(whole))?),
            capacity: whole,
            len: 0,
        })
    }

    /// The number of bytes that fit without asking for more memory.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sets the length to 0, and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes the buffer `len` bytes long and returns them for the caller to overwrite: they hold old bytes or zeros.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; the buffer is empty then.
    pub fn renew(&mut self, len: usize) -> Result<&mut [u8], OutOfMemory> {
        self.len = 0;
        if self.capacity() < len {
            // Free the old memory first, so that the process never holds both.
            *self = Buffer::new();
            *self = Buffer::with_capacity(len)?;
        }
        self.len = len;
        let memory = self.memory.as_deref_mut();
        Ok(memory.map_or(&mut [], |memory| &mut memory[..len]))
    }

    /// All bytes, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len;
        let memory = self.memory.as_deref_mut();
        memory.map_or(&mut [], |memory| &mut memory[..len])
    }

    /// Appends bytes, and doubles the memory if it is too small.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; the buffer keeps its contents then.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        if self.capacity() - self.len < bytes.len() {
            self.grow(bytes.len())?;
        }
        if let Some(memory) = &mut self.memory {
            memory[self.len..self.len + bytes.len()].copy_from_slice(bytes);
            self.len += bytes.len();
        }
        Ok(())
    }

    #[cold]
    fn grow(&mut self, by: usize) -> Result<(), OutOfMemory> {
        let len = self.len.checked_add(by).ok_or(OutOfMemory(by))?;
        let mut larger = Buffer::with_capacity(len.max(self.capacity().saturating_mul(2)))?;
        larger.renew(self.len)?.copy_from_slice(self);
        *self = larger;
        Ok(())
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.memory {
            Some(memory) => &memory[..self.len],
            None => &[],
        }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Some(memory) => &mut memory[..self.len],
            None => &mut [],
        }
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_keeps_what_is_in_it() {
        let mut buffer = Buffer::new();
        assert_eq!((buffer.capacity(), &buffer[..]), (0, &[][..]));
        let mut expected = Vec::new();
        for n in 0..200_u8 {
            buffer.extend(&[n; 1000]).unwrap();
            expected.extend_from_slice(&[n; 1000]);
        }
        assert!(buffer[..] == expected && buffer.capacity() >= 200_000);
        assert!(buffer.as_ptr().addr().is_multiple_of(4096));
        let capacity = buffer.capacity();
        buffer.renew(7).unwrap().fill(3);
        assert_eq!((&buffer[..], buffer.capacity()), (&[3; 7][..], capacity));
        buffer.clear();
        assert!(buffer.is_empty());
    }

    /// The buffer asks for new memory only if the old memory is too small: a length that fits exactly keeps it.
    #[test]
    fn what_fits_stays_in_the_same_memory() {
        let mut buffer = Buffer::with_capacity(1).unwrap();
        assert_eq!(buffer.capacity(), MIN_CAPACITY);
        buffer.extend(&[7; MIN_CAPACITY]).unwrap();
        assert_eq!(buffer.capacity(), MIN_CAPACITY);
        // New memory would be zeros.
        assert_eq!(buffer.renew(MIN_CAPACITY).unwrap(), [7; MIN_CAPACITY]);
        assert_eq!(buffer.renew(MIN_CAPACITY + 1).unwrap().len(), 65_537);
        assert_eq!(buffer.capacity(), 2 * MIN_CAPACITY);
    }

    /// A request for more memory than the system has is an error, and leaves the buffer as it was.
    #[test]
    fn what_cannot_be_had_is_an_error() {
        let mut buffer = Buffer::new();
        buffer.extend(b"kept").unwrap();
        assert!(Buffer::with_capacity(usize::MAX).is_err());
        assert!(Buffer::with_capacity(1 << 60).is_err());
        assert_eq!(&buffer[..], b"kept");
        assert!(buffer.renew(1 << 60).is_err());
        assert!(buffer.is_empty() && buffer.renew(5).is_ok());
    }
}
