//! The type that bridges declare for events.

use callgate_client::dynamic::Signature;

/// Any number of parameters of any type, as JSON.
pub(super) fn anything() -> Signature {
    Signature {
        params: None,
        result: None,
        types: Vec::new(),
    }
}
