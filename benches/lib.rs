//! The benchmarks are programs, not this library, which is empty.
//!
//! - `peers`: a call beside its limit and its peers, in pairs of processes; several callers of one
//!   provider, and calls inside one process.
//!
//! What the steps of a call cost, each by itself, is a package beside this one, `callgate-parts`.
#![forbid(unsafe_code)]
