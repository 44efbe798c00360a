//! The types that can be sent through gates: a closed list, and the schema of each type on it.

#[doc(hidden)]
pub mod array;
mod builtin;
#[doc(hidden)]
pub mod by_json;
mod direct;
#[doc(hidden)]
pub mod fields;
mod json_schema;
mod map;
mod output;
pub(crate) mod plain;
pub(crate) mod unfit;

use callgate_layout::schema::SchemaError;
use callgate_layout::{Code, Describer, Fingerprint, Schema, Signature};
use rkyv::api::low::LowDeserializer;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{self, Failure, Strategy};
use rkyv::ser::Serializer;
use rkyv::ser::allocator::{ArenaHandle, SubAllocator};
use rkyv::ser::writer::Buffer;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::{Archive, Deserialize, Serialize};

use super::error::{Error, Result};

pub use direct::Direct;
pub(crate) use direct::take as take_direct;
pub use json_schema::json_schema;
pub use map::{MapKey, SortedMap};
pub(crate) use output::{Failed, Output};

use crate::base::json::{JsonType, Parameters};

/// Checks an archive's bytes. No gate type has shared pointers, so there is no support for them.
pub(crate) type Validation<'a> = Strategy<ArchiveValidator<'a>, rancor::Error>;
/// Reads a value from its archive.
pub(crate) type Deserialization = LowDeserializer<rancor::Error>;
/// Writes into memory of a fixed size, with scratch memory of a fixed size.
pub(crate) type IntoBuffer<'w, 'a> =
    Strategy<Serializer<Buffer<'w>, SubAllocator<'a>, ()>, Failure>;
/// Writes archives of any size.
pub(crate) type IntoOutput<'w, 'a> = Strategy<Serializer<Output<'w>, ArenaHandle<'a>, ()>, Failure>;

/// A type that may be a parameter or a result of a gate.
///
/// The list is closed: numbers of fixed width, `bool`, `char`, `String`, `()`, [`Vec`],
/// [`Option`], [`Result`], [`Box`], arrays, tuples of up to eight,
/// [`SortedMap`], [`Duration`](std::time::Duration), and structs and enums marked with [`gate_type`](macro@crate::gate_type).
/// Do not implement it by hand: the attribute also derives the checks that make it safe to read an archive.
///
/// Elements without a size are refused, because a forged archive could claim billions of them:
///
/// ```compile_fail
/// use callgate_client::{gate_type, signature_of};
/// signature_of::<(Vec<()>,), ()>();
/// ```
///
/// Maps, sets, paths and times of the standard library may be fields of such a struct or enum, but not parameters
/// or results themselves:
///
/// ```compile_fail
/// use callgate_client::signature_of;
/// signature_of::<(std::collections::HashMap<String, u32>,), ()>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel through a gate",
    label = "not a gate type",
    note = "gate types are u8..u128, i8..i128, f32, f64, bool, char, String, (), Vec, Option, Result, Box, \
            arrays, tuples up to 8, SortedMap, Duration, callgate_client::Json for any JSON (in handlers also serde_json::Value), \
            and structs and enums marked with #[gate_type]; \
            within their fields also HashMap, BTreeMap, HashSet, BTreeSet, PathBuf and SystemTime, \
            written out and not by another name"
)]
pub trait GateType:
    Archive<Archived: for<'a> CheckBytes<Validation<'a>> + Deserialize<Self, Deserialization>>
    + for<'w, 'a> Serialize<IntoBuffer<'w, 'a>>
    + for<'w, 'a> Serialize<IntoOutput<'w, 'a>>
    + JsonType
    + Send
    + Sized
    + 'static
{
    /// The type's shape; structs and enums go into the describer's table.
    fn schema(describer: &mut Describer) -> Schema;

    /// Reads a value from an archive in shared memory, from byte `at` on, without copying all of the archive;
    /// `None` if the type does not allow that.
    #[doc(hidden)]
    fn take(_archive: &Direct<'_>, _at: usize) -> Option<Self> {
        None
    }

    /// As `take`, for a vector of these.
    #[doc(hidden)]
    fn take_vector(_archive: &Direct<'_>, _at: usize) -> Option<Vec<Self>> {
        None
    }

    /// Whether the type is a number.
    #[doc(hidden)]
    const IS_NUMBER: bool = false;

    /// Whether any bytes are a valid value of the type: it consists of numbers that do not cross words.
    #[doc(hidden)]
    const IS_PLAIN: bool = false;

    /// Reads a plain value from words, from byte `at` on.
    #[doc(hidden)]
    fn of_words(_words: &[u64], _at: usize) -> Option<Self> {
        None
    }

    /// As `of_words`, for an array of numbers.
    #[doc(hidden)]
    fn many_of_words<const N: usize>(_words: &[u64], _at: usize) -> Option<[Self; N]> {
        None
    }

    /// A value that is its own archive, to be overwritten: a number, or an array of numbers.
    #[doc(hidden)]
    fn zero() -> Option<Self> {
        None
    }

    /// The bytes of such a value; any bytes may be written there.
    #[doc(hidden)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut []
    }

    /// As `zero`, for an array of this number.
    #[doc(hidden)]
    fn zeros<const N: usize>() -> Option<[Self; N]> {
        None
    }

    /// As `bytes_mut`, for an array of this number.
    #[doc(hidden)]
    fn bytes_of(_numbers: &mut [Self]) -> &mut [u8] {
        &mut []
    }
}

/// A gate type that a handler returns as it is: any except `Result`, which is the handler's own outcome.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not a gate type",
    note = "a handler returns a gate type, or a `Result` of one whose error converts into HandlerError"
)]
pub trait Plain: GateType {}

mod sealed {
    pub trait Sealed {}
}

/// The parameters of a gate: a tuple of up to eight gate types, `()` for none.
///
/// A single parameter is a tuple too: `(u32,)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of parameters",
    label = "expected a tuple of up to eight gate types",
    note = "a single parameter is a tuple too: `(u32,)`"
)]
pub trait Arguments: GateType + Parameters + sealed::Sealed {
    /// The schema of each parameter, in order.
    fn schemas(describer: &mut Describer) -> Vec<Schema>;
}

/// The signature of a function that takes `A` and returns `R`.
///
/// ```
/// use callgate_client::signature_of;
/// assert_eq!(signature_of::<(String, u32), i32>().text(), "(String, u32) -> i32");
/// ```
pub fn signature_of<A: Arguments, R: GateType>() -> Signature {
    let mut describer = Describer::new();
    let params = A::schemas(&mut describer);
    let result = R::schema(&mut describer);
    describer.signature(Some(params), Some(result))
}

/// The signature of an action or an event, which takes `A` and has no result.
pub fn action_signature_of<A: Arguments>() -> Signature {
    let mut describer = Describer::new();
    let params = A::schemas(&mut describer);
    describer.signature(Some(params), None)
}

/// The schema of one type: a signature with the type as its only parameter.
pub fn schema_of<T: GateType>() -> Signature {
    let mut describer = Describer::new();
    let schema = T::schema(&mut describer);
    describer.signature(Some(vec![schema]), None)
}

/// The fingerprint of one type, as versions of shares have it.
///
/// # Errors
///
/// `INVALID_ARGUMENT` for a type whose schema is too long or nested too deep.
pub fn fingerprint_of<T: GateType>() -> Result<Fingerprint> {
    schema_of::<T>().fingerprint().map_err(no_schema)
}

/// The error for types whose schema is too large.
pub(crate) fn no_schema(why: SchemaError) -> Error {
    Error::new(Code::InvalidArgument, why.to_string())
}

#[cfg(test)]
mod tests;
