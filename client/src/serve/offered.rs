//! What brokers are told of what a plugin provides.

use callgate_layout::control::{MAX_TEXT, Shape};
use callgate_layout::head::{self, Head};
use callgate_layout::text::cut;
use callgate_layout::{Encodings, Signature};

/// What a half of a gate takes and gives.
#[derive(Clone, Debug)]
pub(crate) struct Types {
    pub(crate) shape: Shape,
    /// The bytes of its schema.
    pub(crate) schema: Vec<u8>,
}

impl Types {
    pub(crate) fn of(signature: &Signature, encodings: Encodings) -> Types {
        let schema = head::bytes_of(signature);
        let head = Head::of(&schema);
        Types {
            shape: Shape {
                params: head.and_then(|head| head.params),
                fingerprint: head.map_or(0, |head| head.fingerprint),
                encodings,
                signature: cut(signature.text(), MAX_TEXT),
            },
            schema,
        }
    }
}
