//! How a value becomes the bytes of a version.

use std::marker::PhantomData;

use callgate_layout::Code;
use callgate_layout::shares::filling::Filling;
use callgate_layout::shares::sealed::Sealed;
use callgate_layout::view::Number;

use crate::base::archive::{self, MAX_LEN_HERE};
use crate::base::buffers::{KEEP, Pool, Scratch, no_memory};
use crate::base::error::{Error, Result};
use crate::base::types::{Failed, GateType};

/// Something that fills the memory of a version.
pub trait Content {
    /// Bytes that it takes.
    fn len(&self) -> u64;

    /// Fills memory of just that size.
    fn fill(&mut self, filling: &mut Filling) -> Result<()>;
}

/// Writes what a version is to hold.
pub(crate) type Write<'a> = dyn FnMut(&mut dyn Content) -> Result<()> + 'a;

/// A value as an archive. A long one that is made of large pieces is counted, and archived where it is to lie; any other is archived in
/// a buffer first: counting it would take as long.
pub(crate) struct Archived<'a, T> {
    value: &'a T,
    pool: Option<&'a Pool>,
    /// Of a value that was only counted, nothing.
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

    /// The archive in memory of this process's own, where it was made without a pool.
    pub(crate) fn kept(mut self) -> Sealed {
        Sealed::private(std::mem::take(&mut *self.buffer))
    }
}

/// Archives a value, or only counts it.
fn attempt<T: GateType>(value: &T, buffer: &mut Scratch, pool: &Pool) -> Result<usize, Failed> {
    match archive::attempt(value, buffer, pool) {
        Err(Failed::LargePiece) => {}
        // Longer than what fits an extent, though not too long for a share.
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
        // A type without bytes has memory all the same: its root lies at the end of that.
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

/// Numbers that a closure of the program's writes where they are to lie.
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

/// Bytes that are there.
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
