//! Callgate's shared memory and wire.
//!
//! This crate says how the bytes lie that plugins and broker share, who may write which of
//! them, and in what order. It knows nothing of sockets, threads or policy: those stand in
//! `callgate-client` and `callgate`, which are what programs use.

pub mod code;

pub use code::{Blame, Code};
