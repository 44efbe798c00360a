//! Gate types as JSON, by the rules of decision 22. Nothing here does input or output.
//!
//! Each type writes and reads itself ([`JsonType`]; the attribute macro makes the implementations of structs and
//! enums) with the [`Writer`] and the [`Reader`] of this module, without a tree in between. What a peer sends is
//! bounded: texts and values nest at most `LEVELS` deep, and memory is allocated as elements are read, not as a
//! length announces.

mod calls;
mod compound;
mod digits;
mod fault;
mod foreign;
mod lists;
mod maps;
mod numbers;
mod objects;
mod reader;
mod scalars;
mod short;
mod strings;
mod texts;
mod tuples;
mod value;
mod variants;
mod writer;

pub use calls::{read_arguments, read_result, to_text};
pub(crate) use calls::{write_arguments, write_list, write_result, wrong_number};
pub use fault::{Fault, Result};
pub use foreign::{read_opaque, write_opaque};
pub use maps::JsonKey;
pub(crate) use maps::{read_sorted, write_pairs};
pub use objects::Object;
pub use reader::Reader;
pub(crate) use texts::{check_arguments, check_result, read_values, write_values};
pub use tuples::Parameters;
pub use variants::Variant;
pub use writer::Writer;

/// How many levels deep a value may be: arrays and objects of its JSON, and newtypes in between. Reading, writing
/// and dropping recurse, on stacks of unknown size.
pub(crate) const LEVELS: u32 = 64;

/// A type that writes itself as JSON and reads itself from it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel through a gate",
    label = "not a gate type, and nothing that fields may be besides"
)]
pub trait JsonType: Sized {
    /// Appends the value.
    fn write(&self, writer: &mut Writer<'_>) -> Result<()>;

    /// Reads the value that comes next.
    fn read(reader: &mut Reader<'_>) -> Result<Self>;

    /// Appends a list of values. Numbers and booleans override this with a faster way.
    #[inline]
    fn write_list(list: &[Self], writer: &mut Writer<'_>) -> Result<()> {
        writer.list(list.iter())
    }

    /// Reads a list of values.
    #[inline]
    fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Self>> {
        reader.list()
    }

    /// The value of a missing field of this type; `None` if the field is required.
    fn missing() -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests;
