//! What is said of a version beside its bytes, where it is kept in a file: of a persistent share.

use std::sync::Arc;

use callgate_layout::control::{Form, VersionName};

/// A version of a persistent share, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) tag: Arc<str>,
    pub(crate) name: VersionName,
    /// Bytes of the value.
    pub(crate) len: u64,
    /// Archive or slice.
    pub(crate) form: Form,
    /// The name of the plugin that made it.
    pub(crate) maker: String,
    /// A signature with the type as its only parameter, for people.
    pub(crate) signature: String,
    /// The same as bytes.
    pub(crate) schema: Box<[u8]>,
}
