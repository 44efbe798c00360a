//! The examples stand in their own folders; this library is empty.
#![forbid(unsafe_code)]
