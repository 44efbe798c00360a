//! A request for a share by a thread of the program, and its outcome.

use std::sync::Arc;

use super::twin::Twin;
use crate::shares::made::What;
use crate::shares::used::Version;

/// A request for a share, by a thread of the program.
pub(crate) struct Want<'a> {
    pub(crate) tag: &'a Arc<str>,
    pub(crate) what: &'a Arc<What>,
    /// Whether another type is an error.
    pub(crate) exact: bool,
    /// The deadline, in nanoseconds of the monotonic clock.
    pub(crate) until: u64,
}

/// The value of a share for the thread that asked.
pub(crate) enum Got {
    Version(Arc<Version>),
    /// The value as JSON, because the maker has another type.
    Json(Box<Twin>),
}
