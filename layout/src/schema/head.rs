//! The first bytes of a signature, which hold everything that the broker needs from it.

use core::fmt;

use xxhash_rust::xxh3::Xxh3;

use super::format::FORMAT;
use super::{MAX_PARAMS, MAX_SCHEMA, SchemaError};

/// The length of a head in bytes.
pub(super) const HEAD: usize = 12;

/// The byte that stands for any number of parameters.
pub(super) const ANY_PARAMS: u8 = 255;
const _: () = assert!(MAX_PARAMS < ANY_PARAMS as usize);

/// 128 bits that stand for everything which decides the bytes of a signature's archives.
///
/// It guards against mistakes and not against malice: if a peer lies about its fingerprint, its values fail
/// validation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// What the first bytes of a signature say, without parsing the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many parameters there are; `None` for any number.
    pub params: Option<u8>,
    /// Whether there is a result.
    pub has_result: bool,
    /// The hash of the format, the numbers above and the shape.
    pub fingerprint: Fingerprint,
}

/// The parts of a signature's bytes.
pub(super) struct Parts<'a> {
    pub(super) params: Option<u8>,
    pub(super) has_result: bool,
    pub(super) shape: &'a [u8],
    pub(super) labels: &'a [u8],
}

impl Head {
    /// Reads the head and hashes the shape. It does not check that the shape is a valid one.
    ///
    /// # Errors
    ///
    /// The lengths do not fit the bytes, or another number of the head has a value that is not allowed.
    pub fn of(bytes: &[u8]) -> Result<Head, SchemaError> {
        let parts = Parts::of(bytes)?;
        let mut hash = Xxh3::new();
        hash.update(FORMAT);
        hash.update(&bytes[8..HEAD + parts.shape.len()]);
        Ok(Head {
            params: parts.params,
            has_result: parts.has_result,
            fingerprint: Fingerprint(hash.digest128()),
        })
    }
}

impl Parts<'_> {
    pub(super) fn of(bytes: &[u8]) -> Result<Parts<'_>, SchemaError> {
        if bytes.len() > MAX_SCHEMA {
            return Err(SchemaError::TooLong);
        }
        let (head, rest) = bytes
            .split_first_chunk::<HEAD>()
            .ok_or(SchemaError::CutShort)?;
        let [a, b, c, d, e, f, g, h, params, has_result, zero @ ..] = *head;
        let (shape, labels) = rest
            .split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize)
            .ok_or(SchemaError::CutShort)?;
        match (u32::from_le_bytes([e, f, g, h]) as usize).cmp(&labels.len()) {
            core::cmp::Ordering::Less => return Err(SchemaError::TooManyBytes),
            core::cmp::Ordering::Equal => {}
            core::cmp::Ordering::Greater => return Err(SchemaError::CutShort),
        }
        if let Some(byte) = zero.into_iter().find(|byte| *byte != 0) {
            return Err(SchemaError::BadByte(byte));
        }
        let has_result = match has_result {
            0 => false,
            1 => true,
            other => return Err(SchemaError::BadByte(other)),
        };
        Ok(Parts {
            params: (params != ANY_PARAMS).then_some(params),
            has_result,
            shape,
            labels,
        })
    }
}
