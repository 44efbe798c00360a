//! Decides which code is left out when no tests are built.

use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// Whether an item is left out when no tests are built.
pub(crate) fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.parse_args::<Meta>();
            condition.is_ok_and(|condition| without_tests(&condition) == Some(false))
        }
        meta => meta.path().is_ident("test"),
    })
}

/// The value of a condition when no tests are built; `None` if it depends on something else.
fn without_tests(condition: &Meta) -> Option<bool> {
    let list = match condition {
        Meta::Path(path) if path.is_ident("test") => return Some(false),
        Meta::List(list) => list,
        _ => return None,
    };
    let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    let parts: Vec<Option<bool>> = parts.ok()?.iter().map(without_tests).collect();
    let all_are = |value| parts.iter().all(|part| *part == Some(value));
    let one_is = |value| parts.contains(&Some(value));
    if list.path.is_ident("not") {
        return parts.first().copied().flatten().map(|part| !part);
    }
    // A list is decided by one false condition in `all`, or one true one in `any`.
    let decides = list.path.is_ident("any");
    match (one_is(decides), all_are(!decides)) {
        (true, _) => Some(decides),
        (_, true) => Some(!decides),
        _ => None,
    }
}
