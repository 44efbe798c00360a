//! Why a service refuses a call: errors with a code of its own, which callers get as those of a handler.

use callgate_client::HandlerError;
use serde_json::{Value, json};

/// A field is missing or cannot be.
#[cold]
pub(crate) fn invalid(field: &str, expected: &str) -> HandlerError {
    let text = format!("`{field}` is {expected}");
    HandlerError::new("INVALID_ARGUMENT", text).with_context(json!({ "field": field }))
}

/// Something has more than it may have.
#[cold]
pub(crate) fn too_large(field: &str, (limit, unit): (usize, &str)) -> HandlerError {
    let text = format!("`{field}` has more than {limit} {unit}");
    let context = json!({ "field": field, "limit": limit });
    HandlerError::new("TOO_LARGE", text).with_context(context)
}

/// A plugin has as much as it may have.
#[cold]
pub(crate) fn over_quota(quota: &str, limit: u64) -> HandlerError {
    let text = format!("the quota of {quota}, {limit}, is used up");
    let context: Value = json!({ "quota": quota, "limit": limit });
    HandlerError::new("QUOTA_EXCEEDED", text).with_context(context)
}
