//! Whether calls of a gate can be converted, if its provider has other types than its opener.

use std::sync::Arc;

use callgate_layout::Signature;
use callgate_layout::schema::compare::{Mismatch, Suits, suits};

use super::wanted::Wanted;
use crate::base::error::Error;

/// Whether values of the opener's types can become values of the provider's, and back.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// All or some values can.
    Converts {
        /// The first difference, for people.
        difference: String,
        /// Whether the provider takes any value, so that nobody need change a type.
        is_meant: bool,
    },
    /// The opener has named no types; these are the provider's.
    Untyped(Arc<Signature>),
    /// No value can.
    Never(Mismatch),
    /// The comparison failed.
    Failed(Error),
}

/// The verdicts on a gate's function and action; `None` for a half that need not be compared.
pub(crate) type Verdicts = [Option<Verdict>; 2];

impl Verdict {
    /// Compares the types that an opener wants with those of a provider.
    pub(super) fn of(wanted: &Wanted, provided: &Signature) -> Verdict {
        match suits(&wanted.signature, provided) {
            Ok(Suits::Convertible { difference }) => Verdict::Converts {
                difference,
                is_meant: provided.params.is_none(),
            },
            // The types are equal; the broker has compared bytes that are not canonical.
            Ok(Suits::Equal) => Verdict::Converts {
                difference: "none but in how the types are described".to_owned(),
                is_meant: false,
            },
            Err(mismatch) => Verdict::Never(mismatch),
        }
    }
}
