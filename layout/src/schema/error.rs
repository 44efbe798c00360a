//! The errors of reading and writing signatures.

use super::{MAX_DEPTH, MAX_NAME, MAX_PARAMS, MAX_SCHEMA};

/// Why a signature cannot be written as bytes, or why bytes are no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The bytes end before the signature does.
    #[error("the schema is cut short")]
    CutShort,
    /// There are bytes after the end of the signature.
    #[error("the schema has bytes after its end")]
    TooManyBytes,
    /// More than [`MAX_SCHEMA`] bytes.
    #[error("the schema is longer than {MAX_SCHEMA} bytes")]
    TooLong,
    /// A byte has a value that is not allowed in its place.
    #[error("the schema has a byte {0} where that value is not allowed")]
    BadByte(u8),
    /// A number is too large, or takes more bytes than it needs.
    #[error("the schema has a number that is too large or takes more bytes than it needs")]
    BadNumber,
    /// A name is too long, is not UTF-8, or has control characters.
    #[error(
        "a name in the schema is no UTF-8, longer than {MAX_NAME} bytes or has control characters"
    )]
    BadName,
    /// An index is beyond the table of types.
    #[error("the schema names type {0}, which its table does not have")]
    BadIndex(u32),
    /// More than [`MAX_DEPTH`] levels.
    #[error("the schema is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More than [`MAX_PARAMS`] parameters.
    #[error("the schema has more than {MAX_PARAMS} parameters")]
    TooManyParams,
}
