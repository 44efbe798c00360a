//! The benchmarks are programs, not this library, which is empty.
//!
//! - `peers`: a call beside its limit and its peers, in pairs of processes; several callers of one
//!   provider, and calls inside one process.
//! - `parts`: what the steps of a call cost, each by itself.
#![forbid(unsafe_code)]
