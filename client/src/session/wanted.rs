//! What a plugin wants of a gate that it opens.

use std::sync::Arc;

use callgate_layout::control::Shape;
use callgate_layout::{Encodings, Schema, Signature};

use crate::base::error::Result;
use crate::serve::offered::Types;

/// Any parameters, with this result.
pub(crate) fn anything(result: Option<Schema>) -> Signature {
    Signature {
        params: None,
        result,
        types: Vec::new(),
    }
}

/// What a plugin means to give to one half of a gate, and to get from it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// As the broker is told of it.
    pub(crate) shape: Shape,
    /// What is compared with the provider's.
    pub(crate) signature: Arc<Signature>,
}

impl Wanted {
    /// What has these types, in these encodings.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for types that are too large or too deep for a schema.
    pub(crate) fn new(signature: Signature, encodings: Encodings) -> Result<Wanted> {
        let Types { shape, .. } = Types::of(&signature, encodings)?;
        let signature = Arc::new(signature);
        Ok(Wanted { shape, signature })
    }

    /// Whether it says nothing of types, so that what the provider says of them is kept.
    pub(super) fn is_untyped(&self) -> bool {
        self.signature.params.is_none()
    }

    /// Of both halves, what does not mean to call them.
    pub(crate) fn nothing() -> Result<[Wanted; 2]> {
        let nothing = Wanted::new(anything(None), Encodings::NONE)?;
        Ok([nothing.clone(), nothing])
    }
}
