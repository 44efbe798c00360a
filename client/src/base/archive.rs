//! Writing values as archives and reading them back. All archives of peers become values through this module.

mod arena;
mod record;

use core::mem::MaybeUninit;
use core::num::NonZeroUsize;

use callgate_layout::Code;
use callgate_layout::buffer::Buffer;
use callgate_layout::payload::MAX_EXTENT_LEN;
use rkyv::Archive;
use rkyv::api::{access_with_context, deserialize_using, serialize_using};
use rkyv::ser::allocator::SubAllocator;
use rkyv::ser::{Serializer, writer};
use rkyv::util::Align;
use rkyv::validation::archive::ArchiveValidator;

use super::buffers::Pool;
use super::error::{Error, Result};
use super::types::{Failed, GateType, Output, unfit};

pub(crate) use record::ErrorRecord;

/// How many pointers deep an archive may be nested. Reading an archive recurses, and so does dropping the value
/// that was read, on stacks of unknown size.
const MAX_DEPTH: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// The alignment of each archive's first byte, in bytes: the strictest of any gate type (`u128`).
pub(crate) const ALIGNMENT: usize = 16;

/// An aligned place for archives without bytes.
#[repr(align(16))]
struct Nothing([u8; 0]);
static NOTHING: Nothing = Nothing([]);

/// Bytes of scratch memory for an archive that fits a cell. While a value is written, what is kept there is never
/// larger than the archive of it, so this is far more than such an archive needs.
const SCRATCH: usize = 1024;

/// Archives a value into a buffer whose start is aligned to 16. Returns the length; `None` if it does not fit, or
/// needs more scratch memory than small values do. The root is at the end.
#[inline]
pub(crate) fn serialize_into<T: GateType>(value: &T, buffer: &mut [u8]) -> Option<usize> {
    debug_assert!(buffer.as_ptr().addr().is_multiple_of(ALIGNMENT));
    let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
    let allocator = SubAllocator::new(&mut scratch);
    let mut serializer = Serializer::new(writer::Buffer::from(buffer), allocator, ());
    serialize_using(value, &mut serializer).ok()?;
    Some(serializer.into_writer().len())
}

/// Memory on a stack for one small archive, aligned to 16. Only the archive's own bytes are initialised.
pub(crate) struct OnStack(Align<[MaybeUninit<u8>; Self::LEN]>);

impl OnStack {
    /// The longest archive that fits, in bytes.
    pub(crate) const LEN: usize = 1024;

    pub(crate) const fn new() -> OnStack {
        OnStack(Align([const { MaybeUninit::uninit() }; Self::LEN]))
    }

    /// Archives a value; `None` if it does not fit, as in [`serialize_into`].
    #[inline(always)]
    pub(crate) fn serialize<T: GateType>(&mut self, value: &T) -> Option<writer::Buffer<'_>> {
        let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
        let allocator = SubAllocator::new(&mut scratch);
        let mut serializer = Serializer::new(writer::Buffer::from(&mut self.0.0), allocator, ());
        serialize_using(value, &mut serializer).ok()?;
        Some(serializer.into_writer())
    }
}

/// The longest archive that can be sent through a link, in bytes.
pub(crate) const MAX_LEN: usize = MAX_EXTENT_LEN as usize;

/// The longest archive that is possible, in bytes: 32-bit relative pointers reach no farther.
pub(crate) const MAX_LEN_HERE: usize = i32::MAX as usize;

/// Archives a value into a buffer, replacing its content. If a pool is given, larger memory comes from it. Fails if
/// the archive needs more than `most` bytes, or more memory than there is.
pub(crate) fn serialize_vec<T: GateType>(
    value: &T,
    out: &mut Buffer,
    pool: Option<&Pool>,
    most: usize,
) -> Result<(), Failed> {
    write(value, Output::growing(out, pool, most)).map(drop)
}

/// As [`serialize_vec`], for an archive that is to be copied into a link's shared memory. If it is long and
/// consists of large pieces, this fails with [`Failed::LargePiece`]: then it is better written directly into shared
/// memory.
pub(crate) fn attempt<T: GateType>(value: &T, out: &mut Buffer, pool: &Pool) -> Result<(), Failed> {
    write(value, Output::attempt(out, pool, MAX_LEN)).map(drop)
}

/// Archives a value directly into shared memory. Returns the length; fails if it does not fit.
pub(crate) fn serialize_in<T: GateType>(value: &T, space: &mut [u8]) -> Result<usize, Failed> {
    write(value, Output::fixed(space))
}

/// Measures the archive of a value, if that does not take long.
pub(crate) fn count<T: GateType>(value: &T, most: usize) -> Result<usize, Failed> {
    write(value, Output::counting(most))
}

fn write<T: GateType>(value: &T, output: Output<'_>) -> Result<usize, Failed> {
    arena::with(|arena| {
        let mut serializer = Serializer::new(output, arena.acquire(), ());
        let is_written = serialize_using(value, &mut serializer).is_ok();
        serializer.into_writer().finish(is_written)
    })
}

/// Checks an archive, which may be forged, and returns a reference to it. Its first byte must be aligned to 16.
#[inline]
pub(crate) fn access<T: GateType>(bytes: &[u8]) -> Result<&T::Archived> {
    let bytes = if bytes.is_empty() { &NOTHING.0 } else { bytes };
    if !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        return Err(Error::new(
            Code::Protocol,
            "the archive's first byte is not aligned to 16",
        ));
    }
    let mut validator = ArchiveValidator::with_max_depth(bytes, Some(MAX_DEPTH));
    access_with_context::<T::Archived, _, rkyv::rancor::Error>(bytes, &mut validator).map_err(
        |_| {
            Error::new(
                Code::Protocol,
                "not a valid archive, or nested more than 64 deep",
            )
        },
    )
}

/// Makes a value of an archive.
#[inline]
pub(crate) fn deserialize<T: GateType>(archived: &<T as Archive>::Archived) -> Result<T> {
    let no_value = |reason: &dyn std::fmt::Display| {
        let text = format!("the archive holds no value: {reason}");
        Error::new(Code::Protocol, text)
    };
    unfit::reading(|| deserialize_using::<T, _, rkyv::rancor::Error>(archived, &mut ()))
        .map_err(|why| no_value(&why))?
        .map_err(|reason| no_value(&reason))
}

#[cfg(test)]
mod tests;
