//! What somebody wants of a share, and gets.

use std::sync::Arc;

use super::twin::Twin;
use crate::shares::made::What;
use crate::shares::used::Version;

/// A share that somebody wants.
pub(crate) struct Want<'a> {
    pub(crate) tag: &'a Arc<str>,
    pub(crate) what: &'a Arc<What>,
    /// Another type will not do.
    pub(crate) exact: bool,
    /// Nanoseconds of the monotonic clock.
    pub(crate) until: u64,
}

/// What there is of a share for who wants it.
pub(crate) enum Got {
    Version(Arc<Version>),
    /// Its text, where the maker has another type.
    Json(Box<Twin>),
}
