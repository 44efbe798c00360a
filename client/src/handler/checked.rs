//! Results in JSON that were checked before.

use crate::base::error::Result;
use crate::base::json;

/// The JSON text of a result, which was checked: a program that passes results on checks each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedResult<'a>(&'a [u8]);

impl<'a> CheckedResult<'a> {
    /// Checks that a text is one JSON value that callers accept.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if it is not; the message says where.
    pub fn new(text: &'a [u8]) -> Result<CheckedResult<'a>> {
        json::check_result(text).map(|()| CheckedResult(text))
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }
}
