use std::borrow::Cow;
use std::fmt::Write;

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::testing::{loose, texts, values};
use crate::frame::*;

mod frames;
mod services;
mod wrong;

fn parsed(text: &str) -> Incoming<'_> {
    parse(text.as_bytes()).unwrap_or_else(|malformed| panic!("{text}: {malformed}"))
}

/// The error for a frame that is dropped.
fn refused(text: impl AsRef<[u8]>) -> Malformed {
    let text = text.as_ref();
    match parse(text) {
        Ok(incoming) => panic!("{}: {incoming:?}", text.escape_ascii()),
        Err(malformed) => malformed,
    }
}
