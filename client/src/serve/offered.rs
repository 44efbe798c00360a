//! The types that brokers are told of gates and topics.

use callgate_layout::control::{MAX_TEXT, Shape};
use callgate_layout::schema::Head;
use callgate_layout::text::cut;
use callgate_layout::{Encodings, Signature};

use crate::base::error::Result;
use crate::base::types::no_schema;

/// The types of one half of a gate, or of a topic.
#[derive(Clone, Debug)]
pub(crate) struct Types {
    pub(crate) shape: Shape,
    /// The canonical bytes of the schema.
    pub(crate) schema: Vec<u8>,
}

impl Types {
    /// The types of a signature, in these encodings.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for types whose schema is too large.
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
