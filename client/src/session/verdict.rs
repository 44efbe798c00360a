//! Whether a gate's calls can be converted, where its provider has other types than its opener.

use std::sync::Arc;

use callgate_layout::Signature;
use callgate_layout::schema::compare::{Mismatch, Suits, suits};

use super::wanted::Wanted;
use crate::base::error::Error;

/// Whether values of an opener's types can become values of a provider's, and back.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// They can, or some can.
    Converts {
        /// The first difference.
        difference: String,
    },
    /// The opener has no types of its own; these are the provider's.
    Untyped(Arc<Signature>),
    /// They never can.
    Never(Mismatch),
    /// It could not be found out.
    Failed(Error),
}

/// What became of the types of a gate's function and of its action, where these had to be compared.
pub(crate) type Verdicts = [Option<Verdict>; 2];

impl Verdict {
    /// Compares what an opener wants with what a provider has.
    pub(super) fn of(wanted: &Wanted, provided: &Signature) -> Verdict {
        match suits(&wanted.signature, provided) {
            Ok(Suits::Convertible { difference }) => Verdict::Converts { difference },
            // The broker saw bytes that are not canonical.
            Ok(Suits::Equal) => Verdict::Converts {
                difference: "none but in how the types are described".to_owned(),
            },
            Err(mismatch) => Verdict::Never(mismatch),
        }
    }
}
