//! The types that can be shared: every gate type, and slices of plain numbers.

use callgate_layout::buffer::{Buffer, OutOfMemory};
use callgate_layout::control::Form;
use callgate_layout::schema::Primitive;
use callgate_layout::shares::sealed::Sealed;
use callgate_layout::view::Number;
use callgate_layout::{Code, Signature};
use rkyv::Archive;

use super::content::{Archived, InPlace};
use crate::base::archive;
use crate::base::buffers::no_memory;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::types::{GateType, schema_of};

/// The greatest length of a version's JSON, in bytes.
pub(crate) const MOST_JSON: usize = i32::MAX as usize;

pub(crate) mod sealed {
    use super::{GateType, Number};

    use super::{Archived, InPlace};
    use crate::base::buffers::Pool;
    use crate::base::error::Result;
    use crate::shares::content::Write;

    pub trait Kind {
        /// Passes the value's content to `write`, which puts it into a version's memory.
        fn write(&self, pool: &Pool, write: &mut Write<'_>) -> Result<()>;
    }

    impl<T: GateType> Kind for T {
        fn write(&self, pool: &Pool, write: &mut Write<'_>) -> Result<()> {
            write(&mut Archived::new(self, Some(pool))?)
        }
    }

    impl<N: Number> Kind for [N] {
        fn write(&self, _: &Pool, write: &mut Write<'_>) -> Result<()> {
            write(&mut InPlace::new(self.len(), |slice: &mut [N]| {
                slice.copy_from_slice(self);
            })?)
        }
    }
}

/// A type that can be shared: a gate type, of which a guard shows the archive, or a slice `[N]` of plain numbers,
/// of which it shows the slice.
///
/// No other crate can implement it.
///
/// ```compile_fail
/// use callgate_client::{Plugin, Share};
/// # fn of(plugin: &Plugin) {
/// // Texts have no fixed width.
/// let names: Share<[String]> = plugin.shares().get("Names").unwrap();
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared",
    label = "neither a gate type nor a slice of numbers",
    note = "what can be shared are gate types, and slices of u8..u128, i8..i128, f32 and f64: `Share<[f32]>`"
)]
pub trait ShareType: sealed::Kind + 'static {
    /// What a guard dereferences to: the archive, or the slice.
    type Shown: ?Sized + Send + Sync + 'static;
    /// What [`Share::to_value`](crate::Share::to_value) returns: `T`, or a `Vec` of the numbers.
    type Value;

    #[doc(hidden)]
    const FORM: Form;

    /// A signature whose only parameter is the type, or for a slice the vector of its numbers.
    #[doc(hidden)]
    fn signature() -> Signature;

    /// Finds the value in a version's memory, and checks it.
    #[doc(hidden)]
    fn find(memory: &Sealed) -> Result<&Self::Shown>;

    #[doc(hidden)]
    fn value_of(shown: &Self::Shown) -> Result<Self::Value>;

    /// Writes the value in a version's memory as JSON, replacing the buffer's content.
    #[doc(hidden)]
    fn write_json(memory: &Sealed, out: &mut Buffer) -> Result<()>;

    /// Reads JSON into private memory of this process, in the form that a version has.
    #[doc(hidden)]
    fn read_json(text: &[u8]) -> Result<Sealed>;
}

impl<T> ShareType for T
where
    T: GateType,
    T::Archived: Send + Sync,
{
    type Shown = <T as Archive>::Archived;
    type Value = T;
    const FORM: Form = Form::Archive;

    fn signature() -> Signature {
        schema_of::<T>()
    }

    fn find(memory: &Sealed) -> Result<&T::Archived> {
        archive::access::<T>(memory.bytes())
    }

    fn value_of(shown: &T::Archived) -> Result<T> {
        archive::deserialize::<T>(shown)
    }

    fn write_json(memory: &Sealed, out: &mut Buffer) -> Result<()> {
        let value = Self::value_of(Self::find(memory)?)?;
        json::write_result(&value, out, None, MOST_JSON)
    }

    fn read_json(text: &[u8]) -> Result<Sealed> {
        let value: T = json::read_result(text)?;
        Ok(Archived::new(&value, None)?.kept())
    }
}

impl<N: Number + GateType + Send + Sync> ShareType for [N] {
    type Shown = [N];
    type Value = Vec<N>;
    const FORM: Form = Form::Slice;

    fn signature() -> Signature {
        schema_of::<Vec<N>>()
    }

    fn find(memory: &Sealed) -> Result<&[N]> {
        match memory.bytes().len().is_multiple_of(size_of::<N>()) {
            true => Ok(memory.numbers()),
            false => {
                let text = "the memory holds no whole number of the slice's numbers";
                Err(Error::new(Code::Protocol, text))
            }
        }
    }

    fn value_of(shown: &[N]) -> Result<Vec<N>> {
        let mut value = Vec::new();
        let reserved = value.try_reserve_exact(shown.len());
        reserved.map_err(|_| no_memory(OutOfMemory(size_of_val(shown)), "numbers"))?;
        value.extend_from_slice(shown);
        Ok(value)
    }

    fn write_json(memory: &Sealed, out: &mut Buffer) -> Result<()> {
        json::write_list(Self::find(memory)?, out, MOST_JSON)
    }

    fn read_json(text: &[u8]) -> Result<Sealed> {
        let numbers: Vec<N> = json::read_result(text)?;
        Sealed::of_numbers(&numbers).map_err(|why| no_memory(why, "numbers of a share"))
    }
}

/// Writes a slice of numbers as JSON, whose type is known by its schema alone.
pub(crate) fn write_numbers(number: Primitive, memory: &Sealed, out: &mut Buffer) -> Result<()> {
    macro_rules! by_number {
        ($($name:ident: $type:ty),*) => {
            match number {
                $(Primitive::$name => <[$type]>::write_json(memory, out),)*
                Primitive::Bool | Primitive::Char => {
                    let text = "the share is no slice of numbers, though its maker says so";
                    Err(Error::new(Code::Protocol, text))
                }
            }
        };
    }
    by_number!(
        U8: u8, U16: u16, U32: u32, U64: u64, U128: u128, I8: i8, I16: i16, I32: i32, I64: i64, I128: i128,
        F32: f32, F64: f64
    )
}
