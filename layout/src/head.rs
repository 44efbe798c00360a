//! The header of a schema's bytes, and the fingerprint of the shape behind it.
//!
//! ```text
//! 0 shape u32   4 labels u32   8 params u8   9 result u8   10 zero u16   12 the shape, then the labels
//! ```
//!
//! The first two are lengths in bytes; 255 parameters stand for any number of them.

use xxhash_rust::xxh3::Xxh3;

use crate::control::{MAX_PARAMS, MAX_SCHEMA};
use crate::schema::Signature;

/// Bytes of the header.
const LEN: usize = 12;
/// In the place of a number of parameters.
const ANY: u8 = 255;
const FORMAT: &[u8] = b"callgate fingerprint 2; rkyv 0.8 little_endian aligned pointer_width_32\0";

/// What a schema's bytes say of it without being parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of parameters; `None` is any number.
    pub params: Option<u8>,
    /// Whether there is a result.
    pub has_result: bool,
    /// The fingerprint of the shape.
    pub fingerprint: u128,
}

impl Head {
    /// Reads it; `None` where the header does not fit the bytes.
    pub fn of(schema: &[u8]) -> Option<Head> {
        let (head, body) = schema.split_first_chunk::<LEN>()?;
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (shape, labels) = (number(0) as usize, number(4) as usize);
        let fits =
            shape.checked_add(labels) == Some(body.len()) && schema.len() <= MAX_SCHEMA as usize;
        let is_sound =
            (head[8] <= MAX_PARAMS || head[8] == ANY) && head[9] <= 1 && head[10..] == [0, 0];
        if !fits || !is_sound {
            return None;
        }
        let mut hash = Xxh3::new();
        hash.update(FORMAT);
        hash.update(&body[..shape]);
        Some(Head {
            params: (head[8] != ANY).then_some(head[8]),
            has_result: head[9] == 1,
            fingerprint: hash.digest128(),
        })
    }
}

/// The bytes of a schema whose shape is the fingerprint of a signature.
pub fn bytes_of(signature: &Signature) -> Vec<u8> {
    let shape = signature.fingerprint().0.to_le_bytes();
    let params = u8::try_from(signature.params.len()).unwrap_or(ANY);
    let mut bytes = Vec::with_capacity(LEN + shape.len());
    bytes.extend_from_slice(&(shape.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[
        0,
        0,
        0,
        0,
        params,
        u8::from(signature.result.is_some()),
        0,
        0,
    ]);
    bytes.extend_from_slice(&shape);
    bytes
}
