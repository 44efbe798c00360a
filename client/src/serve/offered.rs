//! What brokers are told of what a plugin provides.

use callgate_layout::control::{MAX_TEXT, Shape};
use callgate_layout::schema::Head;
use callgate_layout::text::cut;
use callgate_layout::{Encodings, Signature};

use crate::base::error::Result;
use crate::base::types::no_schema;

/// What a half of a gate takes and gives.
#[derive(Clone, Debug)]
pub(crate) struct Types {
    pub(crate) shape: Shape,
    /// The bytes of its schema.
    pub(crate) schema: Vec<u8>,
}

impl Types {
    /// What has this signature, in these encodings.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for types that have no schema.
    pub(crate) fn of(signature: &Signature, encodings: Encodings) -> Result<Types> {
        let schema = signature.to_bytes().map_err(no_schema)?;
        let head = Head::of(&schema).map_err(no_schema)?;
        let shape = Shape {
            params: head.params,
            fingerprint: head.fingerprint.0,
            encodings,
            signature: cut(signature.text(), MAX_TEXT),
        };
        Ok(Types { shape, schema })
    }
}
