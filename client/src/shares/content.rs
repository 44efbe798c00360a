//! Writing a value into the memory of a version.

use std::marker::PhantomData;

use callgate_layout::Code;
use callgate_layout::shares::filling::Filling;
use callgate_layout::shares::sealed::Sealed;
use callgate_layout::view::Number;

use crate::base::archive::{self, MAX_LEN_HERE};
use crate::base::buffers::{KEEP, Pool, Scratch, no_memory};
use crate::base::error::{Error, Result};
use crate::base::types::{Failed, GateType};

/// Content that can be written into the memory of a version.
pub trait Content {
    /// The number of bytes that it needs.
    fn len(&self) -> u64;

    /// Writes it into memory of exactly that size.
    fn fill(&mut self, filling: &mut Filling) -> Result<()>;
}

/// Makes the memory of a version and has the content written into it.
pub(crate) type Write<'a> = dyn FnMut(&mut dyn Content) -> Result<()> + 'a;

/// A value as an archive. A long value that consists of large pieces is only measured here, and archived directly
/// in the version's memory. Any other value is archived in a buffer first: measuring it would take as long as
/// archiving it.
pub(crate) struct Archived<'a, T> {
    value: &'a T,
    pool: Option<&'a Pool>,
    /// The archive; empty for a value that was only measured.
    buffer: Scratch,
    len: usize,
}

impl<'a, T: GateType> Archived<'a, T> {
    pub(crate) fn new(value: &'a T, pool: Option<&'a Pool>) -> Result<Archived<'a, T>> {
        let mut buffer = Scratch::take();
        let len = match pool {
            Some(pool) => attempt(value, &mut buffer, pool),
            None => whole(value, &mut buffer, None),
        };
        Ok(Archived {
            value,
            pool,
            buffer,
            len: len.map_err(failed)?,
        })
    }

    /// Returns the archive in private memory of this process; for values that were archived without a pool.
    pub(crate) fn kept(mut self) -> Sealed {
        Sealed::private(std::mem::take(&mut *self.buffer))
    }
}

/// Archives a value in the buffer, or only measures it. Returns the archive's length.
fn attempt<T: GateType>(value: &T, buffer: &mut Scratch, pool: &Pool) -> Result<usize, Failed> {
    match archive::attempt(value, buffer, pool) {
        Err(Failed::LargePiece) => {}
        // Too long for an extent, but perhaps not for a share.
        Err(Failed::TooLong) => return whole(value, buffer, Some(pool)),
        outcome => return outcome.map(|()| buffer.len()),
    }
    buffer.clear();
    match archive::count(value, MAX_LEN_HERE) {
        Err(Failed::SmallPieces) => whole(value, buffer, Some(pool)),
        counted => counted,
    }
}

fn whole<T: GateType>(
    value: &T,
    buffer: &mut Scratch,
    pool: Option<&Pool>,
) -> Result<usize, Failed> {
    archive::serialize_vec(value, buffer, pool, MAX_LEN_HERE)?;
    Ok(buffer.len())
}

impl<T: GateType> Content for Archived<'_, T> {
    fn len(&self) -> u64 {
        // A version has one byte at least: for a type without bytes, its archive's root lies at the end of that.
        self.len.max(1) as u64
    }

    fn fill(&mut self, filling: &mut Filling) -> Result<()> {
        let space = filling.as_mut_slice();
        if self.buffer.len() == self.len {
            space[..self.len].copy_from_slice(&self.buffer);
            return Ok(());
        }
        match archive::serialize_in(self.value, space).map_err(failed)? {
            written if written == self.len => Ok(()),
            _ => {
                let text = "the value has changed while it was written: its archive has another length than before";
                Err(Error::new(Code::InvalidArgument, text))
            }
        }
    }
}

impl<T> Drop for Archived<'_, T> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool
            && self.buffer.capacity() > KEEP
        {
            pool.put(std::mem::take(&mut *self.buffer));
        }
    }
}

/// Numbers that a closure of the program writes directly into the version's memory.
pub(crate) struct InPlace<N, F> {
    count: usize,
    write: F,
    _numbers: PhantomData<fn(N)>,
}

impl<N: Number, F: FnMut(&mut [N])> InPlace<N, F> {
    pub(crate) fn new(count: usize, write: F) -> Result<InPlace<N, F>> {
        if count == 0 {
            let text = "a slice that is shared has one number at least";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        if count.checked_mul(size_of::<N>()).is_none() {
            let text = format!("{count} numbers are more than there is memory for");
            return Err(Error::new(Code::InvalidArgument, text));
        }
        Ok(InPlace {
            count,
            write,
            _numbers: PhantomData,
        })
    }
}

impl<N: Number, F: FnMut(&mut [N])> Content for InPlace<N, F> {
    fn len(&self) -> u64 {
        (self.count * size_of::<N>()) as u64
    }

    fn fill(&mut self, filling: &mut Filling) -> Result<()> {
        (self.write)(filling.numbers_mut());
        Ok(())
    }
}

/// Bytes that are copied into the version's memory.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Content for Bytes<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn fill(&mut self, filling: &mut Filling) -> Result<()> {
        filling.as_mut_slice().copy_from_slice(self.0);
        Ok(())
    }
}

fn failed(why: Failed) -> Error {
    match why {
        Failed::OutOfMemory(why) => no_memory(why, "archive of a share"),
        Failed::Unfit(why) => why.error("values of a share"),
        Failed::TooLong | Failed::SmallPieces | Failed::LargePiece => {
            let text = format!("the value's archive is longer than {MAX_LEN_HERE} bytes");
            Error::new(Code::RequestTooLarge, text)
        }
    }
}
