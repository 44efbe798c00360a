//! The types that a plugin wants of a gate that it opens.

use std::sync::Arc;

use callgate_layout::control::Shape;
use callgate_layout::{Encodings, Schema, Signature};

use crate::base::error::Result;
use crate::serve::offered::Types;

/// The signature for any parameters, with this result.
pub(crate) fn anything(result: Option<Schema>) -> Signature {
    Signature {
        params: None,
        result,
        types: Vec::new(),
    }
}

/// The types with which a plugin wants to call one half of a gate.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// What the broker is told of them.
    pub(crate) shape: Shape,
    /// The signature that is compared with the provider's.
    pub(crate) signature: Arc<Signature>,
}

impl Wanted {
    /// These types, in these encodings.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for types that are too large or too deep for a schema.
    pub(crate) fn new(signature: Signature, encodings: Encodings) -> Result<Wanted> {
        let Types { shape, .. } = Types::of(&signature, encodings)?;
        let signature = Arc::new(signature);
        Ok(Wanted { shape, signature })
    }

    /// Whether the opener names no types, so that it takes over the provider's.
    pub(super) fn is_untyped(&self) -> bool {
        self.signature.params.is_none()
    }

    /// For both halves: the plugin does not want to call them.
    pub(crate) fn nothing() -> Result<[Wanted; 2]> {
        let nothing = Wanted::new(anything(None), Encodings::NONE)?;
        Ok([nothing.clone(), nothing])
    }
}
