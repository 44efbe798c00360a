//! Values into archives and back: the one door through which a peer's bytes become values.

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

/// How many pointers deep an archive may be nested: reading one recurses, and so does dropping
/// what was read, on stacks of unknown size.
const MAX_DEPTH: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// The alignment of every archive's first byte: the strictest that a gate type has (`u128`).
pub(crate) const ALIGNMENT: usize = 16;

/// An aligned place for the archives that have no bytes.
#[repr(align(16))]
struct Nothing([u8; 0]);
static NOTHING: Nothing = Nothing([]);

/// Bytes of scratch memory for an archive that fits a cell. What is kept there while a value is written
/// is no larger than what becomes of it, so this is far more than such an archive takes.
const SCRATCH: usize = 1024;

/// Archives a value into a buffer whose start is aligned to 16, and returns the length; `None`
/// where it does not fit, or takes more scratch memory than small values do. The root is at the end.
#[inline]
pub(crate) fn serialize_into<T: GateType>(value: &T, buffer: &mut [u8]) -> Option<usize> {
    debug_assert!(buffer.as_ptr().addr().is_multiple_of(ALIGNMENT));
    let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
    let allocator = SubAllocator::new(&mut scratch);
    let mut serializer = Serializer::new(writer::Buffer::from(buffer), allocator, ());
    serialize_using(value, &mut serializer).ok()?;
    Some(serializer.into_writer().len())
}

/// Memory on a stack for one small archive, aligned to 16. Nothing is written there but the archive.
pub(crate) struct OnStack(Align<[MaybeUninit<u8>; Self::LEN]>);

impl OnStack {
    /// Bytes of the longest archive that fits.
    pub(crate) const LEN: usize = 1024;

    pub(crate) const fn new() -> OnStack {
        OnStack(Align([const { MaybeUninit::uninit() }; Self::LEN]))
    }

    /// Archives a value; `None` where it does not fit, as in [`serialize_into`].
    #[inline(always)]
    pub(crate) fn serialize<T: GateType>(&mut self, value: &T) -> Option<writer::Buffer<'_>> {
        let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH];
        let allocator = SubAllocator::new(&mut scratch);
        let mut serializer = Serializer::new(writer::Buffer::from(&mut self.0.0), allocator, ());
        serialize_using(value, &mut serializer).ok()?;
        Some(serializer.into_writer())
    }
}

/// The longest archive that travels through a link.
pub(crate) const MAX_LEN: usize = MAX_EXTENT_LEN as usize;

/// The longest archive there can be: what 32-bit relative pointers reach.
pub(crate) const MAX_LEN_HERE: usize = i32::MAX as usize;

/// Archives a value into a buffer, in place of what was there, which takes memory of a plugin's pool
/// where one is given; an error where that takes more than
/// `most` bytes, or more memory than there is.
pub(crate) fn serialize_vec<T: GateType>(
    value: &T,
    out: &mut Buffer,
    pool: Option<&Pool>,
    most: usize,
) -> Result<(), Failed> {
    write(value, Output::growing(out, pool, most)).map(drop)
}

/// Archives a value into a buffer on the way to a link's other side, unless it is long and made of
/// large pieces: then it is better written where it travels, and this fails with
/// [`Failed::LargePiece`].
pub(crate) fn attempt<T: GateType>(value: &T, out: &mut Buffer, pool: &Pool) -> Result<(), Failed> {
    write(value, Output::attempt(out, pool, MAX_LEN)).map(drop)
}

/// Archives a value where it travels, and returns the length; an error where it does not fit.
pub(crate) fn serialize_in<T: GateType>(value: &T, space: &mut [u8]) -> Result<usize, Failed> {
    write(value, Output::fixed(space))
}

/// How long the archive of a value will be, if that is found out quickly.
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

/// Checks an archive, however hostile, and shows it. Its first byte must be aligned to 16.
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

/// Takes a value out of its archive.
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
