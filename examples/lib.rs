//! The examples are in folders of their own; this library is empty.
#![forbid(unsafe_code)]
