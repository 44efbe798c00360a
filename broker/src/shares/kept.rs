//! What the file of a persistent share says of its version, beside the bytes.

use std::sync::Arc;

use callgate_layout::control::{Form, VersionName};

/// Numbers of versions that plugins return or files have are below this one, so that there is always a next number.
pub(crate) const LAST: u64 = 1 << 62;

/// What the broker keeps of a version of a persistent share, beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) tag: Arc<str>,
    pub(crate) name: VersionName,
    /// Length of the value in bytes.
    pub(crate) len: u64,
    /// An archive or a slice.
    pub(crate) form: Form,
    /// The name of the plugin that made it.
    pub(crate) maker: String,
    /// The signature, with the type as its only parameter, as a text for people.
    pub(crate) signature: String,
    /// The same signature as the bytes of a schema.
    pub(crate) schema: Box<[u8]>,
}
