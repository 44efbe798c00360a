//! The errors with which a service refuses a call. Each has a code of its own, which callers get like that of a handler's error.

use callgate_client::HandlerError;
use serde_json::{Value, json};

/// A field is missing or has an impossible value.
#[cold]
pub(crate) fn invalid(field: &str, expected: &str) -> HandlerError {
    let text = format!("`{field}` is {expected}");
    HandlerError::new("INVALID_ARGUMENT", text).with_context(json!({ "field": field }))
}

/// Something is longer than it may be.
#[cold]
pub(crate) fn too_large(field: &str, (limit, unit): (usize, &str)) -> HandlerError {
    let text = format!("`{field}` has more than {limit} {unit}");
    let context = json!({ "field": field, "limit": limit });
    HandlerError::new("TOO_LARGE", text).with_context(context)
}

/// A plugin has used up a quota.
#[cold]
pub(crate) fn over_quota(quota: &str, limit: u64) -> HandlerError {
    let text = format!("the quota of {quota}, {limit}, is used up");
    let context: Value = json!({ "quota": quota, "limit": limit });
    HandlerError::new("QUOTA_EXCEEDED", text).with_context(context)
}
